//! Debts: expected events that must happen in time, and their payments.
//!
//! | file | what it owns |
//! |---|---|
//! | `schedule.rs`, `schedule/` | when something is due: intervals, cron expressions, one deadline |
//! | `state.rs` | what a payment, a sweep, a pause and a resumption make of a debt: values in, values out |
//! | `terms.rs` | what is agreed of a debt: its schedule and its limits |

pub mod schedule;
pub mod state;
pub mod terms;
