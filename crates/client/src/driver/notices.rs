//! What is logged: one line when the server goes away and one when it is back, and no flood.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::record::Reason;
use crate::progress::Connection;
use crate::transport::describe;

/// Log a flapping server at most this often.
const INTERVAL: Duration = Duration::from_secs(60);

/// Log refused requests at most this often.
const REJECTED_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Notices {
    url: String,
    producer: String,
    /// What was last said, and when.
    said: Option<(Instant, Said)>,
    /// When a person was last called for.
    called: Option<Instant>,
    /// It was said that the server speaks only `count.v1`.
    said_add: bool,
    /// When it was last said that the spool fails.
    said_spool: Option<Instant>,
    /// When it was last said that the server refuses requests, and how many more since.
    said_rejected: (Option<Instant>, u64),
    /// What is wrong at the moment, for those who ask.
    trouble: watch::Sender<Option<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Away(Code),
    /// A time is ahead of the server's clock.
    Ahead,
    Back(Connection),
}

// === impl Notices ===

impl Notices {
    pub(super) fn new(
        url: String,
        producer: String,
        trouble: watch::Sender<Option<String>>,
    ) -> Self {
        Self {
            url,
            producer,
            said: None,
            called: None,
            said_add: false,
            said_spool: None,
            said_rejected: (None, 0),
            trouble,
        }
    }

    fn note(&self, trouble: Option<String>) {
        if *self.trouble.borrow() != trouble {
            self.trouble.send_replace(trouble);
        }
    }

    pub(super) fn away(&mut self, status: &Status) {
        self.note(Some(describe(status).to_string()));
        let is_ahead = Reason::of(status) == Reason::TimeAhead;
        let code = status.code();
        let says = if is_ahead { Said::Ahead } else { Said::Away(code) };
        let needs_a_person = is_ahead || needs_a_person(code);
        let now = Instant::now();
        let due = match self.said {
            None => true,
            // The same again is said once.
            Some((_, said)) if said == says => false,
            Some((at, _)) => {
                let called = self.called.is_some_and(|called| now - called < INTERVAL);
                now - at >= INTERVAL || needs_a_person && !called
            }
        };
        if !due {
            return;
        }
        self.said = Some((now, says));
        let (server, producer) = (&self.url, &self.producer);
        let (error, code) = (describe(status), code.description());
        if needs_a_person {
            self.called = Some(now);
        }
        if is_ahead {
            tracing::error!(
                server,
                producer,
                error,
                "the server's clock is behind this machine's, or this one is ahead; requests wait \
                 until the clocks are set"
            );
        } else if needs_a_person {
            tracing::error!(
                server,
                producer,
                error,
                code,
                "Tally refuses this client; it goes on trying"
            );
        } else {
            tracing::warn!(
                server,
                producer,
                error,
                code,
                "Tally cannot be reached; requests wait until it can"
            );
        }
    }

    /// What an earlier process has left has come to its end; if it was not counted, that was said.
    pub(super) fn recovered(&self, batches: u64) {
        let (server, producer) = (&self.url, &self.producer);
        tracing::info!(server, producer, batches, "all that was left in the spool is settled");
    }

    /// Nothing is wrong any more.
    pub(super) fn well(&self) {
        self.note(None);
    }

    pub(super) fn back(&mut self, connection: Connection) {
        let (server, producer) = (&self.url, &self.producer);
        if connection == Connection::Add && !self.said_add {
            self.said_add = true;
            tracing::error!(
                server,
                producer,
                "this server does not speak tally.requests.v1: requests are counted with \
                 count.v1 Add, which is not exactly once; what is in doubt is not sent again"
            );
        }
        if matches!(self.said, Some((_, Said::Back(_)))) {
            return;
        }
        tracing::info!(server, producer, "counting with Tally");
        self.said = Some((Instant::now(), Said::Back(connection)));
    }

    pub(super) fn new_producer(&self, why: &str, in_doubt: u64, batches_lost: u64) {
        let (server, producer) = (&self.url, &self.producer);
        tracing::error!(
            server,
            producer,
            in_doubt,
            batches_lost,
            "{why}; going on under a new id. What was sent and not acknowledged is in doubt, and \
             is not sent again"
        );
    }

    pub(super) fn database_lost(&self, why: &str, batches_lost: u64) {
        let (server, producer) = (&self.url, &self.producer);
        tracing::error!(
            server,
            producer,
            batches_lost,
            "{why}; what it has lost is lost, and the rest goes on under a new id"
        );
    }

    /// The spool has failed, such as when it is full.
    pub(super) fn spool(&mut self, error: &str) -> Status {
        let now = Instant::now();
        if self.said_spool.is_none_or(|at| now - at >= INTERVAL) {
            self.said_spool = Some(now);
            let (server, producer) = (&self.url, &self.producer);
            tracing::error!(server, producer, error, "the spool fails; requests wait in memory");
        }
        Status::data_loss(error)
    }

    /// Said once in a while, with those that were not spoken of.
    pub(super) fn rejected(&mut self, sequence: u64, requests: u64, status: &Status) {
        let error = describe(status);
        self.note(Some(error.to_string()));
        let (said, unsaid) = self.said_rejected;
        let requests = unsaid + requests;
        let now = Instant::now();
        if said.is_some_and(|at| now - at < REJECTED_INTERVAL) {
            self.said_rejected.1 = requests;
            return;
        }
        self.said_rejected = (Some(now), 0);
        let (server, producer) = (&self.url, &self.producer);
        tracing::error!(
            server,
            producer,
            sequence,
            requests,
            error,
            "the server refuses requests; they are not counted"
        );
    }

    pub(super) fn in_doubt(&self, requests: u64, status: &Status) {
        let (server, producer) = (&self.url, &self.producer);
        let error = describe(status);
        tracing::error!(
            server,
            producer,
            requests,
            error,
            "an Add stream broke; its requests may or may not be counted, and are not sent again"
        );
    }

    pub(super) fn given_up(&self, in_doubt: u64, dropped: u64) {
        if self.said_rejected.1 > 0 {
            let (server, producer, requests) = (&self.url, &self.producer, self.said_rejected.1);
            tracing::error!(server, producer, requests, "the server refused further requests");
        }
        if in_doubt + dropped > 0 {
            let (server, producer) = (&self.url, &self.producer);
            tracing::error!(
                server,
                producer,
                in_doubt,
                dropped,
                "closed before everything was acknowledged"
            );
        }
    }
}

/// Whether trying again will hardly help by itself.
fn needs_a_person(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::InvalidArgument
            | Code::NotFound
    )
}
