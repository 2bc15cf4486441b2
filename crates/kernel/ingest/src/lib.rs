//! From many streams to few transactions: a bounded queue, batches without a timer, workers.
//!
//! A stream pushes [`Rows`] in chunks and gets a [`Receipt`] for all that it pushed. A worker takes
//! one chunk and what else waits, up to a limit, and writes it as one batch through a [`Sink`]. Under
//! load batches grow by themselves; an idle server adds no latency. What a row is, is the domain's
//! business.
//!
//! | file | what it owns |
//! |---|---|
//! | `metrics.rs` | what a scrape is told of a queue and its workers |
//! | `progress.rs` | whether rows can be stored, as far as the workers know |
//! | `queue.rs` | the queue, bounded in rows and bytes |
//! | `receipt.rs` | telling a stream when its own rows are stored |
//! | `sink.rs` | what a batch is written to |
//! | `worker.rs` | the loop that writes batches, and repeats them safely |

mod metrics;
mod progress;
mod queue;
mod receipt;
mod sink;
mod worker;

pub use progress::Trouble;
pub use queue::{Full, Limits, Queue, Room};
pub use receipt::{Failure, Receipt};
pub use sink::{Batch, Rows, Sink, WriteError};
pub use worker::{Settings, Workers};
