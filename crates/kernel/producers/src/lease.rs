//! Who has a producer. A *lease* is an epoch and claims: a client shows it to go on with its
//! producer, and the database compares it with its own.

use tally_proto::tally::producers::v1 as proto;
use tally_proto::wire::{reason, timestamp};
use tally_runtime::{Kind, random};
use uuid::Uuid;

use crate::setback::{Setback, Told};

/// Opens a producer, for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Its id; not nil.
    pub id: Uuid,
    /// The epoch of the last answer that the client has received, or 0.
    pub epoch: i64,
    /// The claims with which it was opened since then, and last the claim of the process itself.
    pub claims: Vec<i64>,
    /// What people call it.
    pub name: String,
    /// Whether the database may add it: the client has not opened it before, or has stored nothing.
    pub may_be_new: bool,
    /// Whether it takes the producer over from the process that has it.
    pub take_over: bool,
    /// The last acknowledgement that the client received, if it received one.
    pub told: Option<Told>,
    /// Its epoch from now on, if it is new or changes hands: see [`draw_epoch`].
    pub next_epoch: i64,
}

/// Where a producer stands in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Drawn when it last changed hands, and told to its client; 0 for an insert worker of a server.
    pub epoch: i64,
    /// The claim of the process that opened it last.
    pub claim: i64,
    /// The last batch that is committed.
    pub sequence: i64,
    /// When it was opened or stored something, in microseconds since 1970-01-01 UTC. Later by at least
    /// one each time that it is opened.
    pub last_seen_micros: i64,
    /// Whether processes take it over from each other by its id alone.
    pub is_shared: bool,
    /// How far its client has come, by the client's own rule; empty if it never said so.
    pub checkpoint: Vec<u8>,
}

/// A producer to forget, if it stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Its id.
    pub id: Uuid,
    /// Its epoch.
    pub epoch: i64,
    /// The last batch that is committed.
    pub sequence: i64,
    /// When it was last seen, if another stream may have opened it since and needs it then.
    pub last_seen_micros: Option<i64>,
}

/// A producer could not be opened, or may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another process has it.
    #[error(
        "another client uses this producer's id: each process needs an id of its own, or a claim \
         that continues the one before it"
    )]
    InUse,
    /// Another process has taken it over.
    #[error(
        "another process has taken this producer over: what is not acknowledged to this one is for the \
         other one to count"
    )]
    TakenOver,
    /// It belongs to another domain.
    #[error(
        "this producer's id is in use for something else than {domain}: a client that sends both \
         needs an id for each"
    )]
    OtherDomain {
        /// The domain that was asked.
        domain: &'static str,
    },
    /// The database does not have it any more.
    #[error(
        "the server no longer knows this producer, because it was silent for too long or the \
         database was restored: begin again under a new id"
    )]
    Forgotten,
    /// The domain takes no more.
    #[error("the server knows {max} producers already, and does not take a new one")]
    TooMany {
        /// The limit.
        max: u32,
    },
    /// The domain takes no more that are shared.
    #[error(
        "the server knows {max} shared producers already, which is half of producers_max, and does not \
         take a new one"
    )]
    TooManyShared {
        /// The limit.
        max: u32,
    },
}

/// What opening a producer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Adds it.
    Add,
    /// Lets it go on.
    GoOn {
        /// Its epoch from now on.
        epoch: i64,
    },
    /// Turns the client away.
    Refuse(Refusal),
}

/// What the database has of a producer.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) standing: Standing,
    /// Whether it belongs to the domain that asks.
    pub(crate) is_of_domain: bool,
}

/// A producer as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// The last batch that is committed.
    pub sequence: i64,
    /// Whether it is an insert worker of a server.
    pub is_worker: bool,
    /// When it was opened or stored something, in microseconds since 1970-01-01 UTC.
    pub last_seen_micros: i64,
    /// How much was accepted from it.
    pub accepted: i64,
    /// How much it said to have dropped.
    pub dropped: i64,
    /// How far its client has come; empty if it never said so.
    pub checkpoint: Vec<u8>,
    /// When it said so, in microseconds since 1970-01-01 UTC.
    pub checkpoint_micros: Option<i64>,
}

// === impl Refusal ===

impl Refusal {
    /// What it means to the client.
    pub fn kind(&self) -> Kind {
        match self {
            Self::InUse | Self::OtherDomain { .. } => Kind::AlreadyExists,
            Self::Forgotten | Self::TakenOver => Kind::FailedPrecondition,
            Self::TooMany { .. } | Self::TooManyShared { .. } => Kind::ResourceExhausted,
        }
    }

    /// What the client can tell apart, beside the code.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InUse | Self::OtherDomain { .. } => reason::PRODUCER_IN_USE,
            Self::TakenOver => reason::PRODUCER_TAKEN_OVER,
            Self::Forgotten => reason::PRODUCER_FORGOTTEN,
            Self::TooMany { .. } | Self::TooManyShared { .. } => reason::TOO_MANY_PRODUCERS,
        }
    }

    /// For debugging only: a client comes back as often as it likes.
    pub(crate) fn tell(&self, producer: Uuid) {
        let (producer, reason) = (short_id(producer), self.reason());
        tracing::debug!(producer, reason, "a producer is refused");
    }
}

// === impl Opening ===

impl Opening {
    /// The claim of the process that asks.
    pub fn claim(&self) -> i64 {
        *self.claims.last().expect("a client has a claim: this is checked when it asks")
    }

    /// What a new producer must find room in: whether only shared ones count, how many there may be, and
    /// what it is told otherwise. Shared ones stay for long, so they leave half of the places to others.
    pub(crate) fn room(&self, max: u32) -> impl Iterator<Item = (bool, u32, Refusal)> + use<> {
        let half = max / 2;
        let all = (false, max, Refusal::TooMany { max });
        let shared = (true, half, Refusal::TooManyShared { max: half });
        std::iter::once(all).chain(self.take_over.then_some(shared))
    }

    /// Where a producer stands that is new.
    pub(crate) fn first_standing(&self, last_seen_micros: i64) -> Standing {
        let (epoch, claim, is_shared) = (self.next_epoch, self.claim(), self.take_over);
        Standing { epoch, claim, sequence: 0, last_seen_micros, is_shared, checkpoint: Vec::new() }
    }

    /// Where a producer stands that goes on.
    pub(crate) fn next_standing(
        &self,
        epoch: i64,
        last_seen_micros: i64,
        standing: Standing,
    ) -> Standing {
        Standing { epoch, claim: self.claim(), last_seen_micros, ..standing }
    }

    /// What to do, and what to note as missing, given what the database has of the producer.
    pub(crate) fn decide(
        &self,
        domain: &'static str,
        found: Option<&Found>,
    ) -> (Step, Option<Setback>) {
        if found.is_some_and(|found| !found.is_of_domain) {
            return (Step::Refuse(Refusal::OtherDomain { domain }), None);
        }
        let step = self.step(found.map(|found| &found.standing));
        // Another client's word says nothing about this producer. One that is shared may be missing
        // because the process that took it over is done with it.
        let is_told_by_another = matches!(step, Step::Refuse(Refusal::InUse | Refusal::TakenOver))
            || (self.take_over && found.is_none());
        let told = self.told.filter(|_| !is_told_by_another);
        (step, told.and_then(|told| told.setback(self.id, &self.name, found)))
    }

    /// What opening does to a producer that stands here. No lost answer locks a client out:
    ///
    /// - The process that opened it last may open it again, any number of times; nothing changes.
    /// - Any other process must know the epoch, or the claim that led to it, which a process notes
    ///   before it asks. The epoch then changes, so that only one of two clients that know the same
    ///   goes on. Both numbers are random: knowing an id does not help to guess them.
    /// - A process that has never had it may take it over, if it is shared. One that has had it may
    ///   not: otherwise two processes that reconnect would take it from each other for ever.
    pub fn step(&self, standing: Option<&Standing>) -> Step {
        let Some(&Standing { epoch, claim, is_shared, .. }) = standing else {
            return if self.may_be_new { Step::Add } else { Step::Refuse(Refusal::Forgotten) };
        };
        let is_client = epoch > 0;
        let takes_over = is_shared && self.take_over;
        if is_client && claim == self.claim() {
            Step::GoOn { epoch }
        } else if is_client
            && (epoch == self.epoch
                || self.claims.contains(&claim)
                || (takes_over && self.epoch == 0))
        {
            Step::GoOn { epoch: self.next_epoch }
        } else if takes_over {
            Step::Refuse(Refusal::TakenOver)
        } else {
            Step::Refuse(Refusal::InUse)
        }
    }
}

// === impl Producer ===

impl Producer {
    /// A person has forgotten it.
    pub(crate) fn tell_forgotten(&self) {
        tracing::warn!(
            producer = short_id(self.id),
            name = self.name,
            sequence = self.sequence,
            accepted = self.accepted,
            "a producer was forgotten on request: its client must begin again under a new id"
        );
    }
}

impl From<Producer> for proto::Producer {
    fn from(producer: Producer) -> Self {
        Self {
            short_id: short_id(producer.id),
            name: producer.name,
            sequence: producer.sequence.unsigned_abs(),
            last_seen: Some(timestamp(producer.last_seen_micros)),
            accepted: producer.accepted,
            dropped: producer.dropped,
            is_worker: producer.is_worker,
            checkpoint: producer.checkpoint,
            checkpoint_at: producer.checkpoint_micros.map(timestamp),
        }
    }
}

/// An epoch, 1 to 2^63-1. It is random, so that no client guesses it, and that it differs from the
/// one before and from those of a database that went back.
pub fn draw_epoch() -> i64 {
    (random::number() >> 1).cast_signed().max(1)
}

/// For debugging only: short-lived clients are many.
pub(crate) fn tell_forgotten(producer: Uuid, accepted: i64) {
    tracing::debug!(producer = short_id(producer), accepted, "a producer is forgotten");
}

/// What people see of an id: its random end only, because the id is half of what opens a producer.
pub fn short_id(id: Uuid) -> String {
    let [.., a, b, c, d] = id.into_bytes();
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests;
