//! Counts every request of an HTTP or gRPC service with one line.
//!
//! | file | what it owns |
//! |---|---|
//! | `endpoint.rs` | what is counted: a method and a path |
//! | `interceptor.rs` | a tonic interceptor that counts calls, and the layer that tells it their path |
//! | `layer.rs` | a tower layer that counts each request once; `layer/` has its rules |
//! | `queue.rs` | the handle that services record with |
//! | `spool/` | with the feature `spool`: batches in files, which survive a restart |

#![deny(missing_docs)]

mod endpoint;
mod interceptor;
mod layer;
mod queue;
#[cfg(feature = "spool")]
pub mod spool;

pub use endpoint::{Endpoint, Method};
pub use interceptor::{CountInterceptor, PathLayer, WithPath};
pub use layer::{Count, CountLayer, Head, UNMATCHED};
pub use queue::{Queue, TryRecordError};
