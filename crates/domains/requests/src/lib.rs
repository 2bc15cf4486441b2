//! Counting requests: from a stream of single requests to totals by day.
//!
//! | file | what it owns |
//! |---|---|
//! | `add.rs` | one `Add` stream: decode, validate, push, acknowledge |
//! | `ahead.rs` | clients' times that are ahead of the server's clock |
//! | `batch.rs` | one batch of a `Record` stream: from a message to rows |
//! | `copy.rs` | rows and times in the binary form that Postgres takes |
//! | `counted.rs` | files that were counted as a whole |
//! | `domain.rs` | the domain as an app lists it |
//! | `endpoints.rs` | from a method and a path to an id, without a lock or an allocation |
//! | `error.rs` | what can go wrong, and what it means to the client |
//! | `framing.rs` | gRPC's messages in the frames of a body, read where they lie |
//! | `grpc.rs` | `count.v1.CountService` and `tally.requests.v1.RequestService` |
//! | `import_count.rs` | importing the Go server's tables |
//! | `intake.rs` | what `Add` and `Record` have in common |
//! | `message.rs` | one request of an `Add` stream, read where its message lies |
//! | `migrations.rs` | the tables, for each kind of database |
//! | `model.rs` | endpoint, day, period |
//! | `record.rs` | how the batches of a `Record` stream become rows |
//! | `rollup.rs` | rolling up, and the housekeeping that goes with it |
//! | `rows.rs` | rows as they travel, with the names that they need |
//! | `service.rs` | the domain's operations, and the parts that they are made of |
//! | `settings.rs` | the domain's settings: as flags and variables, and checked |
//! | `store/` | what a store must do, and how each database does it |
//! | `totals.rs` | a question about totals, and its answer in order |
//! | `validate.rs` | which requests and dates are acceptable |
//! | `writer.rs` | storing a batch with the names that it needs |

mod add;
mod ahead;
mod batch;
mod copy;
mod counted;
mod domain;
mod endpoints;
mod error;
mod framing;
mod grpc;
mod import_count;
mod intake;
mod message;
mod migrations;
mod model;
mod record;
mod rollup;
mod rows;
mod service;
mod settings;
pub mod store;
mod totals;
mod validate;
mod writer;

use domain::NAME;

pub use batch::{RecordLimits, decode_batch};
pub use counted::{CountedFile, RememberFiles};
pub use domain::DOMAIN;
pub use import_count::{ImportCount, Imported, import_count};
pub use migrations::MIGRATIONS;
pub use model::{Day, DayRange, Endpoint, EndpointId, Named};
pub use rows::Rows;
pub use service::Service;
pub use settings::{NamesArgs, Settings};
pub use totals::{Filter, Granularity, Query, TooMany, Totals};
