//! What every Tally process needs before it does anything: time, tasks, settings, logs.
//!
//! It knows no domain and no wire format, and of databases only what can go wrong with them.
//!
//! | file | what it owns |
//! |---|---|
//! | `backoff.rs` | how long to wait before something is tried again |
//! | `chores.rs` | background work that has to be done at least every so often |
//! | `clock.rs` | the only place that asks the machine what time it is |
//! | `config.rs` | settings whose mistakes are collected and reported at once |
//! | `day.rs` | a UTC day |
//! | `distance.rs` | how far apart two spellings are |
//! | `durations.rs` | durations as people write them |
//! | `error.rs` | the error of an operation on a database: did it happen, is it worth repeating |
//! | `faults.rs` | points at which a test can stop the process |
//! | `file.rs` | small files that settings name |
//! | `hash.rs` | hashes that stand in a database for what they are of |
//! | `kind.rs` | the kinds of failure, and the one table from kind to gRPC and HTTP status |
//! | `metrics.rs`, `metrics/` | counters, gauges and histograms, and the answer to a scrape |
//! | `namespace.rs` | a namespace |
//! | `random.rs` | the only place that draws random numbers and ids |
//! | `service_manager.rs` | what systemd is told of the process |
//! | `signal.rs` | SIGTERM, Ctrl-C and SIGHUP |
//! | `tasks.rs` | named tasks, and waiting for them at the end |
//! | `telemetry.rs` | log output |
//! | `text.rs` | texts from strangers, numbers, sizes and ages as people read them |
//! | `trace.rs` | which trace of other programs a request belongs to |
//! | `turns.rs` | serving those who ask at the same time in turns |
//! | `zones.rs` | time zones by name |

pub mod backoff;
mod chores;
mod clock;
pub mod config;
mod day;
mod distance;
pub mod durations;
mod error;
pub mod faults;
pub mod file;
pub mod hash;
mod kind;
pub mod metrics;
mod namespace;
pub mod random;
mod service_manager;
mod signal;
mod tasks;
pub mod telemetry;
pub mod text;
pub mod trace;
pub mod turns;
pub mod zones;

pub use chores::{Chore, Overdue};
pub use clock::{Clock, ManualClock, SystemClock};
pub use day::Day;
pub use distance::distance;
pub use error::{Error, Outcome, Said, chain, chain_for_clients, tell};
pub use kind::Kind;
pub use namespace::Namespace;
pub use service_manager::ServiceManager;
pub use signal::Signals;
pub use tasks::{Drain, Tasks};
pub use trace::Trace;
