//! What every Tally process needs before it does anything: time, tasks, settings, logs.
//!
//! It knows no domain, no database and no wire format.
//!
//! | file | what it owns |
//! |---|---|
//! | `clock.rs` | the only place that asks the machine what time it is |
//! | `config.rs` | settings whose mistakes are collected and reported at once |
//! | `error.rs` | the kinds of failure, and the one table from kind to gRPC and HTTP status |
//! | `signal.rs` | SIGTERM, Ctrl-C and SIGHUP |
//! | `tasks.rs` | named tasks, and waiting for them at the end |
//! | `telemetry.rs` | log output |

mod clock;
pub mod config;
mod error;
mod signal;
mod tasks;
pub mod telemetry;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Kind, chain, chain_by};
pub use signal::Signals;
pub use tasks::{Drain, Tasks};
