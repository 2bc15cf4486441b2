//! What layers need of a queue: requests that begin and end, and the names of customers.

use std::time::Duration;

use tally_proto::wire::{self, CUSTOMER_BYTES_MAX};
use tokio::time::Instant;

use super::{Queue, Shared, Ticket};
use crate::clock;
use crate::rows::Row;
use crate::series::Table;
use crate::{Series, SeriesKey};

/// How long a close waits for open requests: a server may end before the last of its tasks.
const OPEN_WAIT: Duration = Duration::from_secs(1);

// === impl Queue ===

impl Queue {
    /// Begins a request of a series without a status. None: the queue is closed, and the request
    /// is noted as dropped.
    #[inline]
    pub(crate) fn begin(&self, series: Series) -> Option<Ticket> {
        let row = Row::one(series, self.shared().clock.micros());
        let ticket = self.shared().shards.begin(row);
        if ticket.is_none() {
            self.shared().shards.refuse(row);
        }
        ticket
    }

    /// The series of this key, if there is one.
    #[inline]
    pub(crate) fn known(&self, key: SeriesKey<'_>) -> Option<Series> {
        self.shared().table.find(key)
    }

    /// The series that differs from this one in its path alone.
    pub(crate) fn with_path(&self, series: Series, path: &str) -> Series {
        let table = &self.shared().table;
        table.series(SeriesKey { path, ..table.key(series.0) })
    }

    /// The head of its answer is sent, without a status: it counts under this series.
    #[inline]
    pub(crate) fn stream(&self, ticket: &Ticket, series: Series) {
        self.shared().shards.stream(ticket, series);
    }

    /// Counts a request that has begun, unless that is done.
    #[inline]
    pub(crate) fn end(&self, ticket: Ticket, begun_as: Series, status: u16) {
        let shared = self.shared();
        let series = shared.table.with_status(begun_as, status);
        if let Err((row, reason)) = shared.shards.end(ticket, series)
            && shared.record_again(row, reason).is_err()
        {
            shared.shards.refuse(row);
        }
    }

    /// Who serves the requests.
    #[inline]
    pub(crate) fn service(&self) -> &str {
        &self.shared().service
    }

    /// The name that a customer counts under: its own, while there is room for more names.
    pub(crate) fn customer(&self, name: &str) -> &str {
        let shared = self.shared();
        if name.is_empty() {
            return "";
        }
        let names = shared.customers.get_or_init(|| Table::new(shared.customers_max));
        let path = wire::text(name, CUSTOMER_BYTES_MAX);
        names.key(names.series(SeriesKey { path, ..SeriesKey::default() }).0).path
    }
}

// === impl Shared ===

impl Shared {
    /// Waits until no request is open, for at most half of this time.
    pub(super) async fn open_ended(&self, limit: Duration) {
        // They also need time to be sent.
        let until = clock::later(Instant::now(), OPEN_WAIT.min(limit / 2));
        // An in-memory queue needs no runtime.
        if self.driver.is_some() {
            let _ = tokio::time::timeout_at(until, self.shards.open_ended()).await;
        }
        let requests = self.shards.open();
        if requests > 0 {
            tracing::warn!(requests, "requests are open at the close: they count without a status");
        }
    }
}

#[cfg(test)]
mod tests;
