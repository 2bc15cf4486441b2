//! Cron expressions.

use jiff::tz::TimeZone;

/// A cron expression with its time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    text: String,
    zone: TimeZone,
}

// === impl Cron ===

impl Cron {
    /// The expression as it was written, with one space between its fields.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of the zone in the tz database.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}
