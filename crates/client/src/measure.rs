//! Counters of the `metrics` facade, labelled by `producer`; the README lists them. They are
//! updated when requests are taken and every second. After a queue ends, only its report changes.

use crate::ledger::Settled;
use crate::progress::Connection;

pub(crate) fn settled(producer: &str, settled: Settled) {
    add("tally_client_requests_acknowledged_total", producer, settled.acknowledged);
    add("tally_client_requests_rejected_total", producer, settled.rejected);
    add("tally_client_requests_in_doubt_total", producer, settled.in_doubt);
    add("tally_client_requests_dropped_total", producer, settled.dropped);
}

/// What a queue recorded, dropped and skipped since the last call, and what waits now.
pub(crate) fn queue(producer: &str, recorded: u64, dropped: u64, skipped: u64, queued: u64) {
    add("tally_client_requests_recorded_total", producer, recorded);
    add("tally_client_requests_dropped_total", producer, dropped);
    add("tally_client_requests_skipped_total", producer, skipped);
    set("tally_client_requests_queued", producer, queued);
}

pub(crate) fn unsettled(producer: &str, rows: u64) {
    set("tally_client_requests_unsettled", producer, rows);
}

pub(crate) fn connection(producer: &str, connection: Connection) {
    let connected = matches!(connection, Connection::Record | Connection::Add);
    set("tally_client_connected", producer, u64::from(connected));
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing reads them"))]
fn add(name: &'static str, producer: &str, count: u64) {
    #[cfg(feature = "metrics")]
    metrics::counter!(name, "producer" => producer.to_owned()).increment(count);
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing reads them"))]
fn set(name: &'static str, producer: &str, value: u64) {
    #[cfg(feature = "metrics")]
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
    metrics::gauge!(name, "producer" => producer.to_owned()).set(value as f64);
}
