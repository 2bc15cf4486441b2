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

    /// Counts the request with this status.
    #[inline]
    pub(super) fn end(mut self, status: u16) {
        self.status = status;
    }

    /// Counts the request if the head of its answer has the status. If not, the body has it.
    #[inline]
    pub(super) fn answered<B: Body>(mut self, answer: &http::Response<B>) -> Option<Self> {
        if !self.is_grpc {
            self.end(answer.status().as_u16());
            return None;
        }
        if self.unconfirmed.is_some() && status::confirms_path(answer) {
            self.confirm();
        }
        // If that panics, it failed.
        let if_dropped = std::mem::replace(&mut self.status, status::FAILED);
        let ended = answer.body().is_end_stream().then_some(status::UNKNOWN);
        self.status = if_dropped;
        match status::of_grpc_head(answer).or(ended) {
            Some(status) => {
                self.end(status);
                None
            }
            None => {
                if let Some(ticket) = &self.ticket {
                    self.queue.stream(ticket, self.series);
                }
                Some(self)
            }
        }
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
        if let Some(pending) = self.0.take() {
            pending.end(status::FAILED);
        }
    }
}
