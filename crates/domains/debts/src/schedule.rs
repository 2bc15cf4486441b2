//! When something is due.
//!
//! | file | what it owns |
//! |---|---|
//! | `cron.rs` | cron expressions |

mod cron;

use std::time::Duration;

use jiff::Timestamp;

pub use self::cron::Cron;

/// When something is due.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// So long after the last payment; after the debt was made, if there is none.
    Interval(Duration),
    /// At the times of a cron expression in a time zone.
    Cron(Cron),
    /// Once, up to this moment.
    Deadline(Timestamp),
    /// Never. Only runs and failures count.
    None,
}
