//! Errors, and what they give back.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::Series;
use crate::transport::causes;

/// A queue or a producer cannot be made. An unreachable server is not an error here.
/// `Debug` prints for people, because a `main` that returns an error shows that.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's address cannot be understood.
    #[error("\u{201c}{url}\u{201d} is not an address like http://127.0.0.1:7777: {reason}")]
    Url {
        /// The address as it was given, without a user name and a password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The address begins with `https://`, which needs the feature `tls`.
    #[error("{url} needs the feature `tls` of tally-client")]
    TlsFeature {
        /// The address as it was given.
        url: String,
    },
    /// The PEM text given to `ca_certificates` has no certificate.
    #[error("the certificates to trust are not PEM: there is no BEGIN CERTIFICATE")]
    NoCaCertificate,
    /// A certificate given to `ca_certificates` cannot be read.
    #[error("certificate {number} of those to trust cannot be read")]
    CaCertificate {
        /// Its place in the text, from 1.
        number: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// `client_certificate` cannot be read, or the key does not match it.
    #[error("the client's certificate and key cannot be used")]
    ClientCertificate(#[source] tonic::transport::Error),
    /// TLS cannot be set up, such as when the operating system trusts no certificate.
    #[error("cannot set TLS up")]
    Tls(#[source] tonic::transport::Error),
    /// The key has characters that a header cannot have.
    #[error("the key has characters that a header cannot have")]
    Key,
    /// Not within a tokio runtime: connect in `#[tokio::main]`, or after `Runtime::enter`.
    #[error("not within a tokio runtime: connect in an async fn that tokio runs")]
    NoRuntime,
    /// The id given to `take_over` is all zero.
    #[error("a producer's id must not be all zero")]
    NilId,
    /// A spool keeps the batches of a producer of its own.
    #[error("a producer that is taken over cannot have a spool: its checkpoint takes its place")]
    TakeOverWithSpool,
    /// The spool cannot be used.
    #[error("cannot use the spool in {}", dir.display())]
    Spool {
        /// The spool's folder.
        dir: std::path::PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl fmt::Debug for ConnectError {
    /// The error and all of its causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        causes(self).skip(1).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// A request was not taken. Pass it to [`Queue::record_at`](crate::Queue::record_at), which waits
/// for room, or to [`Queue::note_dropped`](crate::Queue::note_dropped).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request cannot be counted: {reason}")]
pub struct TryRecordError {
    /// What it counts under.
    pub series: Series,
    /// When.
    pub at: SystemTime,
    /// Why it was not taken.
    pub reason: Refusal,
}

/// Why requests were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no room.
    #[error("the queue is full")]
    Full,
    /// The queue is closed, or the runtime of the queue or the producer is gone.
    #[error("it is closed")]
    Closed,
    /// The time is outside the years 1 to 9999, or over 24 hours ahead of this machine's clock.
    #[error("the time is out of range")]
    Time,
    /// A row has no requests, or more than 1,000,000.
    #[error("a row stands for 1 to 1,000,000 requests")]
    Requests,
    /// The rows do not fit into one batch: give fewer.
    #[error("the rows do not fit into one batch")]
    TooLarge,
    /// The checkpoint is empty, or longer than 256 bytes.
    #[error("a checkpoint has 1 to 256 bytes")]
    Checkpoint,
    /// Only a producer that was [taken over](crate::ProducerBuilder::take_over) has a checkpoint.
    #[error("a checkpoint needs `take_over`")]
    NotTakenOver,
    /// The producer cannot go on.
    #[error("{0}")]
    Stopped(crate::Stop),
}

/// A flush could not show that everything recorded before it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The limit passed. The requests keep waiting.
    #[error("{waiting} requests are not acknowledged after {} ms", limit.as_millis())]
    TimedOut {
        /// How many requests still wait.
        waiting: u64,
        /// The limit.
        limit: Duration,
    },
    /// Everything is settled, but requests were dropped, rejected, or are in doubt.
    #[error("{lost} requests were dropped, rejected, or are in doubt")]
    Lost {
        /// How many.
        lost: u64,
    },
    /// The queue was closed, or its runtime ended, before everything was acknowledged.
    #[error("the queue was closed while {waiting} requests waited")]
    Closed {
        /// How many requests were waiting.
        waiting: u64,
    },
}

/// The producer takes none of the rows, and gives them back. `Debug` prints for people.
#[derive(thiserror::Error)]
#[error("rows cannot be counted: {reason}")]
pub struct SendError {
    /// The rows that were not taken.
    pub rows: Vec<crate::Row>,
    /// Why.
    pub reason: Refusal,
}

impl fmt::Debug for SendError {
    /// Without the rows, which may be thousands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({} rows)", self.rows.len())
    }
}
