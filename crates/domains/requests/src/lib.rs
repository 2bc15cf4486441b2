//! Counting requests: from a stream of single requests to totals by day.
//!
//! | file | what it owns |
//! |---|---|
//! | `ahead.rs` | clients' times that are ahead of the server's clock |
//! | `batch.rs` | one batch of a `Record` stream: from a message to rows |
//! | `counted.rs` | files that were counted as a whole |
//! | `endpoints.rs` | from a method and a path to an id, without a lock or an allocation |
//! | `error.rs` | what can go wrong, and what it means to the client |
//! | `framing.rs` | gRPC's messages in the frames of a body, read where they lie |
//! | `grpc.rs` | `count.v1.CountService` and `tally.requests.v1.RequestService` |
//! | `import_count.rs` | importing the Go server's tables |
//! | `message.rs` | one request of an `Add` stream, read where its message lies |
//! | `migrations.rs` | the tables, for each kind of database |
//! | `model.rs` | endpoint, day, period |
//! | `producer.rs` | batches of one producer on their way |
//! | `record.rs` | one `Record` stream: open, decode, push, acknowledge by number |
//! | `recorder.rs` | one `Add` stream: decode, validate, push, acknowledge |
//! | `rollup.rs` | rolling up, and the housekeeping that goes with it |
//! | `rows.rs` | rows as they travel, with the names that they need |
//! | `service.rs` | the domain's parts, put together |
//! | `store/` | what a store must do, and how each database does it |
//! | `totals.rs` | a question about totals, and its answer in order |
//! | `validate.rs` | which requests and dates are acceptable |
//! | `warm.rs` | reading the latest days into memory at the start |

mod ahead;
mod batch;
mod counted;
mod endpoints;
mod error;
mod framing;
mod grpc;
mod import_count;
mod message;
mod migrations;
mod model;
mod producer;
mod record;
mod recorder;
mod rollup;
mod rows;
mod service;
pub mod store;
mod totals;
mod validate;
mod warm;

pub use batch::{InvalidBatch, RecordLimits, decode_batch};
pub use counted::{CountedFile, RememberFiles};
pub use error::{Error, InvalidDate, InvalidTime, WrongTimes};
pub use grpc::CountServer;
pub use import_count::{CountTables, ImportCount, Imported, import_count};
pub use migrations::MIGRATIONS;
pub use model::{Day, DayRange, Endpoint, EndpointId, Named, Period};
pub use producer::{BatchEnd, Run, Verdict};
pub use rows::Rows;
pub use service::{
    CONNECTIONS_BESIDE_WORKERS, CONNECTIONS_BESIDE_WRITES, Parts, Service, Settings,
};
pub use totals::{Filter, Granularity, LimitOrder, Omitted, PeriodTotals, Query, TooMany, Totals};

/// The domain's name, in its tables and in those that domains share.
pub const DOMAIN: &str = "requests";
