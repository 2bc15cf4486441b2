//! Logging: one line when the server becomes unreachable and one when it is back, at limited rates.

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
    server: String,
    producer: String,
    /// The last logged state of the connection, and when.
    last: Option<(Instant, Said)>,
    /// When a person was last asked to act.
    called: Option<Instant>,
    /// Logged that the server speaks only `count.v1`.
    said_add: bool,
    /// When a failing spool was last logged.
    said_spool: Option<Instant>,
    /// When refused requests were last logged, and how many came since.
    said_rejected: (Option<Instant>, u64),
    /// The current trouble, for the handles.
    trouble: watch::Sender<Option<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Away(Code),
    /// A time is ahead of the server's clock.
    Ahead,
    Back,
}

/// Logs with the server and the producer.
macro_rules! log {
    ($level:ident, $notices:ident, $($rest:tt)+) => {
        tracing::$level!(server = $notices.server, producer = $notices.producer, $($rest)+)
    };
}

// === impl Notices ===

impl Notices {
    pub(super) fn new(
        server: String,
        producer: String,
        trouble: watch::Sender<Option<String>>,
    ) -> Self {
        Self {
            server,
            producer,
            last: None,
            called: None,
            said_add: false,
            said_spool: None,
            said_rejected: (None, 0),
            trouble,
        }
    }

    /// Notes what is wrong for the handles; None if nothing is.
    pub(super) fn note(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|noted| {
            *noted != trouble && {
                *noted = trouble;
                true
            }
        });
    }

    pub(super) fn away(&mut self, status: &Status) {
        let (error, code) = (describe(status), status.code());
        self.note(Some(error.clone()));
        let is_ahead = Reason::of(status) == Reason::TimeAhead;
        let says = if is_ahead { Said::Ahead } else { Said::Away(code) };
        let needs_a_person = is_ahead || needs_a_person(code);
        let now = Instant::now();
        let due = self.last.is_none_or(|(at, said)| {
            let called = self.called.is_some_and(|called| now - called < INTERVAL);
            // Log the same state once.
            said != says && (now - at >= INTERVAL || needs_a_person && !called)
        });
        if !due {
            return;
        }
        self.last = Some((now, says));
        let code = code.description();
        if !needs_a_person {
            log!(warn, self, error, code, "Tally cannot be reached; requests wait until it can");
            return;
        }
        self.called = Some(now);
        if is_ahead {
            log!(
                error,
                self,
                error,
                "the server's clock is behind this machine's, or this one is ahead; requests wait \
                 until the clocks are set"
            );
        } else {
            log!(error, self, error, code, "Tally refuses this client, which keeps trying");
        }
    }

    /// The batches of an earlier process are settled. Uncounted ones were logged.
    pub(super) fn recovered(&self, batches: u64) {
        log!(info, self, batches, "all batches left in the spool are settled");
    }

    pub(super) fn back(&mut self, connection: Connection) {
        if connection == Connection::Add && !std::mem::replace(&mut self.said_add, true) {
            log!(
                error,
                self,
                "this server does not speak tally.requests.v1: requests are counted with \
                 count.v1 Add, which is not exactly once; what is in doubt is not sent again"
            );
        }
        if !matches!(self.last, Some((_, Said::Back))) {
            log!(info, self, "counting with Tally");
            self.last = Some((Instant::now(), Said::Back));
        }
    }

    pub(super) fn new_producer(&self, why: &str, lost: bool, in_doubt: u64, batches_lost: u64) {
        let rest = match lost {
            true => "those batches are lost, and the rest continues under a new id",
            false => {
                "continuing under a new id. Sent but unacknowledged requests are in doubt, and are \
                 not sent again"
            }
        };
        log!(error, self, in_doubt, batches_lost, "{why}; {rest}");
    }

    /// The producer does not go on as a new one.
    pub(super) fn stopped(&mut self, why: &str, unsent: u64) {
        self.note(Some(why.to_owned()));
        log!(error, self, unsent, "{why}; this process stops counting");
    }

    /// The spool failed, for example because it is full.
    pub(super) fn spool(&mut self, error: &str) -> Status {
        let now = Instant::now();
        if self.said_spool.is_none_or(|at| now - at >= INTERVAL) {
            self.said_spool = Some(now);
            log!(error, self, error, "the spool fails; requests wait in memory");
        }
        Status::data_loss(error)
    }

    /// Logs at a limited rate, with the sum since the last time.
    pub(super) fn rejected(&mut self, sequence: u64, requests: u64, status: &Status) {
        let error = describe(status);
        self.note(Some(error.clone()));
        let (at, unsaid) = self.said_rejected;
        let (requests, now) = (unsaid + requests, Instant::now());
        if at.is_some_and(|at| now - at < REJECTED_INTERVAL) {
            self.said_rejected.1 = requests;
            return;
        }
        self.said_rejected = (Some(now), 0);
        let what = "the server refuses requests; they are not counted";
        log!(error, self, sequence, requests, error, "{what}");
    }

    pub(super) fn in_doubt(&self, requests: u64, status: &Status) {
        log!(
            error,
            self,
            requests,
            error = describe(status),
            "an Add stream broke; its requests may or may not be counted, and are not sent again"
        );
    }

    pub(super) fn given_up(&self, in_doubt: u64, dropped: u64) {
        let requests = self.said_rejected.1;
        if requests > 0 {
            log!(error, self, requests, "the server refused further requests");
        }
        if in_doubt + dropped > 0 {
            log!(error, self, in_doubt, dropped, "closed before everything was acknowledged");
        }
    }
}

/// Whether retrying will hardly help by itself.
fn needs_a_person(code: Code) -> bool {
    use Code::{InvalidArgument, NotFound, PermissionDenied, Unauthenticated, Unimplemented};
    matches!(code, Unauthenticated | PermissionDenied | Unimplemented | InvalidArgument | NotFound)
}
