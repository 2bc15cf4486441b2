//! Counts every request of an HTTP or gRPC service with one line, through a Tally server:
//! acknowledged requests are counted exactly once, and losses are known.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::routing::get;
//!
//! let queue = tally_client::Queue::connect("http://127.0.0.1:7777").await?;
//! let app: axum::Router =
//!     axum::Router::new().route("/", get(|| async { "hello" })).layer(queue.layer());
//! // Serve the app. When it has ended:
//! let report = queue.close().await;
//! println!("{} counted, {} lost", report.acknowledged, report.lost());
//! # Ok(()) }
//! ```
//!
//! The feature `axum` counts by route; without it, all is `_unmatched` by default ([`CountLayer`]).
//!
//! The service never waits for the server: requests wait in memory until they can be sent.
//! [`Queue`] is for services, [`Producer`] for importers and jobs. A request that may already be
//! counted is not sent again: it is in doubt in the [`Report`].
//!
//! | feature | what it adds |
//! |---|---|
//! | `axum` | counts under the route that axum matched |
//! | `tls` | `https://` |
//! | `metrics` | counters for the `metrics` facade; the README lists them |
//!
//! Settings, defaults and limits are at [`QueueBuilder`]. Logs go through `tracing`.
//!
//! | file | what it owns |
//! |---|---|
//! | `clock.rs` | the time of day |
//! | `driver.rs` | the task that sends; `driver/` has its connection, its batches and its accounts |
//! | `error.rs` | errors, and what they give back |
//! | `interceptor.rs` | a tonic interceptor that counts calls, and the layer that gives it their path |
//! | `key.rs` | what requests are counted under: methods, and the keys of series |
//! | `layer.rs` | a tower layer that counts each request once, with its status; `layer/` has its rules |
//! | `ledger.rs` | numbered batches and their outcome: the client's rules of the protocol |
//! | `measure.rs` | counters of the `metrics` facade |
//! | `producer.rs` | the low-level client: batches of rows, in order, and checkpoints |
//! | `progress.rs` | how far a producer's requests have come |
//! | `queue.rs` | the handle that services record with; `queue/` has where requests wait |
//! | `random.rs` | ids, claims, jitter |
//! | `rows.rs` | rows and drops, and how they become batches |
//! | `series.rs` | the series that a client knows, found without a lock |
//! | `settings.rs` | settings, defaults, limits |
//! | `spool.rs` | batches in files, which survive a restart; `spool/` has the format |
//! | `transport.rs` | connecting to a server |

#![deny(missing_docs)]

mod clock;
mod driver;
mod error;
mod interceptor;
mod key;
mod layer;
mod ledger;
mod measure;
mod producer;
mod progress;
mod queue;
mod random;
mod rows;
mod series;
mod settings;
pub mod spool;
mod transport;

pub use clock::Clock;
pub use error::{ConnectError, FlushError, Refusal, SendError, TryRecordError};
pub use interceptor::{CountInterceptor, PathLayer, WithPath};
pub use key::{Method, SeriesKey};
pub use layer::{
    ArrivalLayer, Count, CountArrival, CountBody, CountFuture, CountLayer, Head, UNMATCHED,
};
pub use producer::{Opened, Producer, ProducerBuilder, Stop};
pub use progress::{Connection, Progress};
pub use queue::{Queue, QueueBuilder, Report};
pub use rows::Row;
pub use series::Series;

/// The examples of the README are compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
