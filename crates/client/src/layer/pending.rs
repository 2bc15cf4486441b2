//! A request that is not counted yet: it counts when this ends, whatever ends it.

use std::fmt;

use http_body::Body;

use super::outcome;
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
    /// If nothing else ends it, the client went away.
    status: u16,
}

/// Counts the request of a panic that unwinds through this.
pub(super) struct OnPanic<'p>(pub(super) &'p mut Option<Pending>);

// === impl Pending ===

impl Pending {
    #[inline]
    pub(super) fn begin(queue: &Queue, series: Series, is_grpc: bool) -> Option<Self> {
        let ticket = Some(queue.begin(series)?);
        let queue = queue.clone();
        Some(Self { queue, ticket, series, is_grpc, status: outcome::CLIENT_GONE })
    }

    /// Counts the request with this status.
    #[inline]
    pub(super) fn end(mut self, status: u16) {
        self.status = status;
    }

    /// Counts the request if the head of its answer has the status. If not, the body has it.
    #[inline]
    pub(super) fn answered<B: Body>(self, answer: &http::Response<B>) -> Option<Self> {
        if !self.is_grpc {
            self.end(answer.status().as_u16());
            return None;
        }
        let ended = answer.body().is_end_stream().then_some(outcome::UNKNOWN);
        match outcome::of_grpc_head(answer).or(ended) {
            Some(status) => {
                self.end(status);
                None
            }
            None => {
                if let Some(ticket) = &self.ticket {
                    self.queue.stream(ticket);
                }
                Some(self)
            }
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
            pending.end(outcome::FAILED);
        }
    }
}
