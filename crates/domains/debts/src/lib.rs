//! Debts: expected events that must happen in time, and their payments.
//!
//! | file | what it owns |
//! |---|---|
//! | `durations.rs` | durations as people write them |
//! | `schedule.rs`, `schedule/` | when something is due: intervals, cron expressions, one deadline |
//! | `state.rs`, `state/` | what a payment, a sweep, a pause and a resumption make of a debt: values in, values out |
//! | `terms.rs` | what is agreed of a debt: its schedule and its limits |

pub mod durations;
pub mod schedule;
pub mod state;
pub mod terms;

/// How much of a text its error repeats.
const REPEATED_CHARS_MAX: usize = 40;

/// The beginning of a text, for its error.
fn beginning(text: &str) -> String {
    text.chars().take(REPEATED_CHARS_MAX).collect()
}
