//! A request that is not counted yet: it counts when this ends, whatever ends it.

use std::fmt;

use http::Uri;
use http_body::Body;

use super::status;
use crate::queue::Ticket;
use crate::{Queue, Series};

/// Counts its request when it is dropped.
pub(super) struct Pending {
    queue: Queue,
    /// Taken by the drop.
    ticket: Option<Ticket>,
    /// What the request counts under, but for the status.
    series: Series,
    is_grpc: bool,
    unconfirmed: Option<Box<Uri>>,
    /// If nothing else ends it, the client went away.
    status: u16,
}

/// What a request counts under before its answer.
pub(super) struct Begun {
    pub(super) series: Series,
    pub(super) is_grpc: bool,
    /// The path of a gRPC call that the client may have invented. The call counts under it once an
    /// answer confirms it.
    pub(super) unconfirmed: Option<Box<Uri>>,
}

/// Counts the request of a panic that unwinds through this.
pub(super) struct OnPanic<'p>(pub(super) &'p mut Option<Pending>);

// === impl Pending ===

impl Pending {
    #[inline]
    pub(super) fn begin(queue: &Queue, begun: Begun) -> Option<Self> {
        let Begun { series, is_grpc, unconfirmed } = begun;
        let ticket = Some(queue.begin(series)?);
        let queue = queue.clone();
        Some(Self { queue, ticket, series, is_grpc, unconfirmed, status: status::CLIENT_GONE })
    }

    /// Counts a request with this status, unless that is done.
    #[inline]
    pub(super) fn end(pending: &mut Option<Self>, status: u16) {
        if let Some(pending) = pending {
            pending.status = status;
        }
        *pending = None;
    }

    /// The status that the head of the answer says. If it says none, the body will.
    #[inline]
    pub(super) fn answered<B: Body>(&mut self, answer: &http::Response<B>) -> Option<u16> {
        if !self.is_grpc {
            return Some(answer.status().as_u16());
        }
        if self.unconfirmed.is_some() && status::confirms_path(answer) {
            self.confirm();
        }
        // If that panics, it failed.
        let if_dropped = std::mem::replace(&mut self.status, status::FAILED);
        let ended = answer.body().is_end_stream().then_some(status::UNKNOWN);
        self.status = if_dropped;
        let status = status::of_grpc_head(answer).or(ended);
        if let (None, Some(ticket)) = (status, &self.ticket) {
            self.queue.stream(ticket, self.series);
        }
        status
    }

    /// The client has not invented the path.
    #[cold]
    fn confirm(&mut self) {
        if let Some(uri) = self.unconfirmed.take() {
            self.series = self.queue.with_path(self.series, uri.path());
        }
    }
}

impl Drop for Pending {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.queue.end(ticket, self.series, self.status);
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pending").finish_non_exhaustive()
    }
}

// === impl Begun ===

impl Begun {
    /// A call of a known path.
    #[inline]
    pub(super) fn grpc(series: Series) -> Self {
        Self { series, is_grpc: true, unconfirmed: None }
    }
}

// === impl OnPanic ===

impl OnPanic<'_> {
    /// There was no panic.
    #[inline]
    pub(super) fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        Pending::end(self.0, status::FAILED);
    }
}
