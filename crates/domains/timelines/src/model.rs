//! What is stored: contexts, timelines, events and durations.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use tally_runtime::Namespace;
use uuid::Uuid;

use crate::message::{Attributes, NEWEST, Status, Written};
use crate::pairing::{Attempt, End, Spent};

/// A context: a kind of process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) id: Uuid,
    pub(crate) namespace: Namespace,
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    /// The number of its newest timeline; 0, if there was none.
    pub(crate) timelines: i64,
    pub(crate) terms: Terms,
}

/// What is agreed of a context. None: what the server's settings say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// For how many days a timeline is kept after it was last heard of; 0 is for ever.
    pub(crate) retention_days: Option<u32>,
    /// How long after it was last heard of an open event is abandoned.
    pub(crate) abandon_after: Option<SignedDuration>,
}

/// A timeline: one run of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timeline {
    pub(crate) id: Uuid,
    pub(crate) context: Uuid,
    /// 1, 2, 3 … in its context.
    pub(crate) number: i64,
    /// What its senders call it; empty: nothing.
    pub(crate) label: String,
    /// When it was made, by the server's clock.
    pub(crate) begun: Timestamp,
    /// When it was last heard of, by the server's clock.
    pub(crate) heard: Timestamp,
    /// When it is deleted.
    pub(crate) expires: Option<Timestamp>,
    /// The earliest and the latest time of its events, by their senders' clocks.
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    pub(crate) counts: Counts,
}

/// How many events a timeline has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: i64,
    pub(crate) open: i64,
    pub(crate) abandoned: i64,
    pub(crate) failed: i64,
}

/// An event as it is stored: one attempt, or a point, which is an attempt that ends where it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) timeline: Uuid,
    /// Its number in its timeline.
    pub(crate) number: i64,
    pub(crate) context: Uuid,
    pub(crate) key: Key,
    pub(crate) is_point: bool,
    /// Which attempt of its key it is, by their starts; 0 for an end without a start.
    pub(crate) rank: i64,
    pub(crate) attempt: Attempt,
    /// When it is abandoned if nothing is heard of it. None if it is not open, or abandoned.
    pub(crate) overdue: Option<Timestamp>,
    pub(crate) abandoned: Option<Timestamp>,
}

/// What tells events of a timeline apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) span: String,
}

/// How an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    Open,
    Abandoned,
    Ended(Status),
    /// Only its end has come.
    Unstarted,
    Point,
}

/// How long the events of a key took in a timeline. It outlives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Duration {
    pub(crate) context: Uuid,
    pub(crate) timeline_number: i64,
    pub(crate) key: Key,
    /// When its timeline was made.
    pub(crate) begun: Timestamp,
    /// How long the longest attempt took that ended well.
    pub(crate) took: Option<SignedDuration>,
    /// How much of that it waited.
    pub(crate) waited: SignedDuration,
    /// How many attempts failed.
    pub(crate) failed: i64,
}

/// What a timeline is asked for by, in its context.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    Newest,
    Number(i64),
    Id(Uuid),
    Label(String),
}

// === impl Key ===

impl Key {
    pub(crate) fn of(said: &Written) -> Self {
        let Written { name, host, span, .. } = said;
        Self { name: name.clone(), host: host.clone(), span: span.clone() }
    }
}

// === impl Timeline ===

impl Timeline {
    /// What has become of it so far, in one word.
    pub(crate) fn standing(&self) -> &'static str {
        match self.counts {
            Counts { events: 0, .. } => "empty",
            Counts { open: 1.., .. } => "open",
            Counts { failed: 1.., .. } => "failed",
            Counts { abandoned: 1.., .. } => "abandoned",
            _ => "ok",
        }
    }
}

// === impl Event ===

impl Event {
    pub(crate) fn standing(&self) -> Standing {
        let Attempt { start, end, .. } = &self.attempt;
        match (start, end) {
            _ if self.is_point => Standing::Point,
            (Some(_), Some(end)) => Standing::Ended(end.status),
            (Some(_), None) if self.abandoned.is_some() => Standing::Abandoned,
            (Some(_), None) => Standing::Open,
            (None, _) => Standing::Unstarted,
        }
    }

    /// Its end; a point has none.
    pub(crate) fn end(&self) -> Option<&End> {
        self.attempt.end.as_ref().filter(|_| !self.is_point)
    }

    /// How long it took, at least nothing. None while it is open, of an end alone, and of a point.
    pub(crate) fn took(&self) -> Option<SignedDuration> {
        self.attempt.took().filter(|_| !self.is_point)
    }

    /// Up to when something is known of it if it has not ended: up to now, or to when it was last heard of.
    pub(crate) fn known_until(&self, now: Timestamp) -> Timestamp {
        if self.abandoned.is_some() { self.attempt.heard() } else { now }
    }

    /// How long it waited and worked, so far if it has not ended.
    pub(crate) fn spent(&self, now: Timestamp) -> Spent {
        self.attempt.spent(self.known_until(now))
    }

    /// What was said of it at its start, and over that at its end.
    pub(crate) fn attributes(&self) -> Attributes {
        let Attempt { start, end, .. } = &self.attempt;
        let mut attributes = start.as_ref().map(|one| one.attributes.clone()).unwrap_or_default();
        attributes.extend(end.iter().flat_map(|end| end.attributes.clone()));
        attributes
    }
}

// === impl Standing ===

impl Standing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Abandoned => "abandoned",
            Self::Ended(Status::Ok) => "ok",
            Self::Ended(Status::Failed) => "failed",
            Self::Ended(Status::Skipped) => "skipped",
            Self::Unstarted => "unstarted",
            Self::Point => "point",
        }
    }
}

// === impl Which ===

impl Which {
    /// `newest`, a number, an id, or a label.
    pub(crate) fn read(text: &str) -> Self {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            _ if text == NEWEST => Self::Newest,
            Ok(number) if is_number => Self::Number(number),
            _ => match Uuid::try_parse(text) {
                Ok(id) => Self::Id(id),
                Err(_) => Self::Label(text.replace('\0', "\u{fffd}")),
            },
        }
    }

    /// The same text as a label, if it looks like something else.
    pub(crate) fn as_label(&self, text: &str) -> Option<Self> {
        matches!(self, Self::Number(_) | Self::Id(_)).then(|| Self::Label(text.to_owned()))
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str(NEWEST),
            Self::Number(number) => write!(f, "{number}"),
            Self::Id(id) => write!(f, "{id}"),
            Self::Label(label) => f.write_str(&tally_runtime::text::beginning(label)),
        }
    }
}
