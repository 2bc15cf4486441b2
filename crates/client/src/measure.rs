//! Counters of the `metrics` facade, with the feature `metrics`. Each has the label `producer`.
//!
//! | name | what it counts |
//! |---|---|
//! | `tally_client_requests_recorded_total` | requests that the queue took |
//! | `tally_client_requests_acknowledged_total` | requests that are committed |
//! | `tally_client_requests_rejected_total` | requests that the server refused |
//! | `tally_client_requests_in_doubt_total` | requests of which nobody can tell |
//! | `tally_client_requests_dropped_total` | requests that were dropped, taken or not |
//! | `tally_client_requests_queued` | a gauge: requests that wait to be sent |

use crate::ledger::Settled;

/// Rows came to their end.
#[cfg(feature = "metrics")]
pub(crate) fn settled(producer: &str, settled: Settled) {
    add("tally_client_requests_acknowledged_total", producer, settled.acknowledged);
    add("tally_client_requests_rejected_total", producer, settled.rejected);
    add("tally_client_requests_in_doubt_total", producer, settled.in_doubt);
}

/// What a queue has done since it was last asked.
#[cfg(feature = "metrics")]
pub(crate) fn queue(producer: &str, recorded: u64, dropped: u64, queued: u64) {
    add("tally_client_requests_recorded_total", producer, recorded);
    add("tally_client_requests_dropped_total", producer, dropped);
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
    metrics::gauge!("tally_client_requests_queued", "producer" => producer.to_owned())
        .set(queued as f64);
}

#[cfg(feature = "metrics")]
fn add(name: &'static str, producer: &str, count: u64) {
    metrics::counter!(name, "producer" => producer.to_owned()).increment(count);
}

/// Rows came to their end.
#[cfg(not(feature = "metrics"))]
pub(crate) fn settled(_producer: &str, _settled: Settled) {}

/// What a queue has done since it was last asked.
#[cfg(not(feature = "metrics"))]
pub(crate) fn queue(_producer: &str, _recorded: u64, _dropped: u64, _queued: u64) {}
