//! Counts every request of an HTTP or gRPC service with one line.
//!
//! | file | what it owns |
//! |---|---|
//! | `endpoint.rs` | what is counted: a method and a path |
//! | `queue.rs` | the handle that services record with |

#![deny(missing_docs)]

mod endpoint;
mod queue;

pub use endpoint::{Endpoint, Method};
pub use queue::{Queue, TryRecordError};
