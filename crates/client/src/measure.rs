//! Counters of the `metrics` facade, with the feature `metrics`. Each has the label `producer`.
//! They are brought up to date when requests are taken to be sent, and every ten seconds while
//! none can be. When a queue has ended they say what its [`Report`](crate::Report) does, and what
//! is recorded after that is in the report alone.
//!
//! | name | what it counts |
//! |---|---|
//! | `tally_client_requests_recorded_total` | requests that the queue took |
//! | `tally_client_requests_acknowledged_total` | requests that are committed |
//! | `tally_client_requests_rejected_total` | requests that the server refused |
//! | `tally_client_requests_in_doubt_total` | requests that may or may not be counted |
//! | `tally_client_requests_dropped_total` | requests that were dropped, taken or not |
//! | `tally_client_requests_skipped_total` | requests that were not counted on purpose |
//! | `tally_client_requests_queued` | a gauge: requests that wait where they can still be dropped |
//! | `tally_client_requests_unsettled` | a gauge: requests of this process behind those, on their way or in a spool, and not acknowledged |
//! | `tally_client_connected` | a gauge: 1 while there is a connection, else 0 |

use crate::ledger::Settled;
use crate::progress::Connection;

/// What a queue has done since it was last asked.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody asks"))]
pub(crate) struct Done {
    pub(crate) recorded: u64,
    pub(crate) dropped: u64,
    pub(crate) skipped: u64,
    /// How many wait now.
    pub(crate) queued: u64,
}

/// Rows came to their end.
#[cfg(feature = "metrics")]
pub(crate) fn settled(producer: &str, settled: Settled) {
    add("tally_client_requests_acknowledged_total", producer, settled.acknowledged);
    add("tally_client_requests_rejected_total", producer, settled.rejected);
    add("tally_client_requests_in_doubt_total", producer, settled.in_doubt);
    add("tally_client_requests_dropped_total", producer, settled.dropped);
}

/// A queue has done something.
#[cfg(feature = "metrics")]
pub(crate) fn queue(producer: &str, done: Done) {
    add("tally_client_requests_recorded_total", producer, done.recorded);
    add("tally_client_requests_dropped_total", producer, done.dropped);
    add("tally_client_requests_skipped_total", producer, done.skipped);
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
    set("tally_client_requests_queued", producer, done.queued as f64);
}

/// So many rows are not acknowledged.
#[cfg(feature = "metrics")]
pub(crate) fn unsettled(producer: &str, rows: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
    set("tally_client_requests_unsettled", producer, rows as f64);
}

/// There is a connection, or there is none any more.
#[cfg(feature = "metrics")]
pub(crate) fn connection(producer: &str, connection: Connection) {
    let connected = matches!(connection, Connection::Record | Connection::Add);
    set("tally_client_connected", producer, f64::from(u8::from(connected)));
}

#[cfg(feature = "metrics")]
fn add(name: &'static str, producer: &str, count: u64) {
    metrics::counter!(name, "producer" => producer.to_owned()).increment(count);
}

#[cfg(feature = "metrics")]
fn set(name: &'static str, producer: &str, value: f64) {
    metrics::gauge!(name, "producer" => producer.to_owned()).set(value);
}

/// Rows came to their end.
#[cfg(not(feature = "metrics"))]
pub(crate) fn settled(_producer: &str, _settled: Settled) {}

/// A queue has done something.
#[cfg(not(feature = "metrics"))]
pub(crate) fn queue(_producer: &str, _done: Done) {}

/// So many rows are not acknowledged.
#[cfg(not(feature = "metrics"))]
pub(crate) fn unsettled(_producer: &str, _rows: u64) {}

/// There is a connection, or there is none any more.
#[cfg(not(feature = "metrics"))]
pub(crate) fn connection(_producer: &str, _connection: Connection) {}
