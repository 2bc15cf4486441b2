//! Clients that number their batches: opening them, and what became of their batches.

use uuid::Uuid;

use crate::counted::CountedFile;
use crate::model::Day;
use crate::setback::{Setback, Told};

/// Opens a producer, for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Its id; not nil.
    pub id: Uuid,
    /// The epoch of the last answer that the client has received, or 0.
    pub epoch: i64,
    /// Those with which it was opened since then, and last the claim of the process itself.
    pub claims: Vec<i64>,
    /// What people call it.
    pub name: String,
    /// Whether it may begin if it is not there: the client has not opened it before, or nothing
    /// that it sent can be stored.
    pub may_be_new: bool,
    /// What the client was told last, if it was told of a batch.
    pub told: Option<Told>,
    /// Its epoch from now on, if it is new or changes hands: see [`draw_epoch`].
    pub next_epoch: i64,
    /// How many producers there may be.
    pub producers_max: i64,
}

/// Where a producer stands in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// A number that its client was told when it changed hands last; 0 for an insert worker of a
    /// server.
    pub epoch: i64,
    /// The claim of the process that opened it last.
    pub claim: i64,
    /// The last batch that is committed.
    pub sequence: i64,
}

/// A producer that is to be forgotten, if it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Its id.
    pub id: Uuid,
    /// Its epoch.
    pub epoch: i64,
    /// The last batch that is committed.
    pub sequence: i64,
    /// What it has counted as a whole, each fingerprint once.
    pub files: Vec<CountedFile>,
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
    /// It is not there any more.
    #[error(
        "the server no longer knows this producer, because it was silent for too long or the \
         database was restored: begin again under a new id"
    )]
    Forgotten,
    /// There are enough.
    #[error("the server knows {max} producers already, and does not take a new one")]
    TooMany {
        /// The limit.
        max: i64,
    },
}

/// What becomes of a producer that is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is new.
    Add,
    /// It goes on, at this epoch.
    GoOn {
        /// The epoch from now on.
        epoch: i64,
    },
    /// Not this client.
    Refuse(Refusal),
}

/// Batches of one producer, which follow each other.
#[derive(Debug)]
pub struct Run {
    /// Whose batches these are.
    pub producer: Uuid,
    /// The epoch under which the producer was opened. It is another one for each process, and also
    /// when the producer was forgotten meanwhile: what a stream of then has left is not stored.
    pub epoch: i64,
    /// The number of the first batch.
    pub first: i64,
    /// The batches, from the first on.
    pub batches: Vec<BatchEnd>,
}

/// One batch of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchEnd {
    /// How many rows of the run there are up to its end.
    pub rows: usize,
    /// How many requests of a day the client has dropped before it.
    pub drops: Vec<(Day, i64)>,
}

/// What became of a chunk whose transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All of it is committed, now or before.
    Stored {
        /// The last batch of the run's producer that is committed; 0 for rows without numbers.
        committed: i64,
    },
    /// None is stored: it does not begin after the producer's last batch.
    Gap {
        /// The producer's last batch that is committed.
        committed: i64,
    },
    /// None is stored: the producer may not go on.
    Refused(Refusal),
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
    /// How many requests were accepted from it.
    pub accepted: i64,
    /// How many requests it said to have dropped.
    pub dropped: i64,
}

// === impl Opening ===

impl Opening {
    /// The claim of the process that asks.
    #[must_use]
    pub fn claim(&self) -> i64 {
        *self.claims.last().expect("a client has a claim: this is checked when it asks")
    }

    /// What is missing of a producer, by how many batches the database has of it and when it stored
    /// the last one.
    pub(crate) fn setback(&self, stored: Option<(i64, i64)>) -> Option<Setback> {
        self.told?.setback(self.id, &self.name, stored)
    }

    /// What becomes of a producer that stands there. The rules, and why a lost answer locks
    /// nobody out:
    ///
    /// - A process that opened it last may do so again; nothing changes. So it does not matter
    ///   how often it reconnects, and which of the answers it gets.
    /// - Otherwise the client must know the epoch, or the claim that brought it about, which a
    ///   process notes before it asks. Then there is a new epoch, so that of two clients that know
    ///   the same only one goes on. Both are random numbers, so a client that only knows an id
    ///   has nothing to guess them by.
    pub(crate) fn step(&self, standing: Option<Standing>) -> Step {
        let Some(Standing { epoch, claim, .. }) = standing else {
            return if self.may_be_new { Step::Add } else { Step::Refuse(Refusal::Forgotten) };
        };
        let is_client = epoch > 0;
        if is_client && claim == self.claim() {
            Step::GoOn { epoch }
        } else if is_client && (epoch == self.epoch || self.claims.contains(&claim)) {
            Step::GoOn { epoch: self.next_epoch }
        } else {
            Step::Refuse(Refusal::InUse)
        }
    }
}

/// An epoch, 1 to 2^63-1: random, so that it is told to one client and guessed by none, and so that
/// it is not the one before, nor one of a database that went back.
#[must_use]
pub fn draw_epoch() -> i64 {
    // The bits that version 4 fixes in one half are random in the other.
    let (high, low) = Uuid::new_v4().as_u64_pair();
    ((high ^ low) >> 1).cast_signed().max(1)
}

/// What people are shown of an id: its end, which is random, and not all of it, since the whole id is
/// half of what opens a producer.
#[must_use]
pub fn short_id(id: Uuid) -> String {
    let [.., a, b, c, d] = id.into_bytes();
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

// === impl Leaving ===

impl Leaving {
    /// Of one that has counted no file as a whole.
    #[must_use]
    pub fn new(id: Uuid, epoch: i64, sequence: i64) -> Self {
        Self { id, epoch, sequence, files: Vec::new() }
    }

    /// The files that are remembered, if so many requests were accepted of the producer. One that
    /// names more than it has brought has not counted them, whatever it says.
    pub(crate) fn files_within(&self, accepted: i64) -> &[CountedFile] {
        let requests = self.files.iter().fold(0_i64, |sum, file| sum.saturating_add(file.requests));
        if requests <= accepted {
            return &self.files;
        }
        let (producer, files) = (short_id(self.id), self.files.len());
        tracing::warn!(
            producer,
            files,
            requests,
            accepted,
            "files are not remembered: they have more requests than the producer has stored"
        );
        &[]
    }
}

// === impl Run ===

impl Run {
    /// How many days with drops its batches have.
    #[must_use]
    pub fn drops(&self) -> usize {
        self.batches.iter().map(|batch| batch.drops.len()).sum()
    }

    /// The number of the last batch.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.first - 1 + i64::try_from(self.batches.len()).expect("batches fit into memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The epoch that was drawn for an opening.
    const NEXT: i64 = 1 << 62;

    fn opening(epoch: i64, claims: &[i64]) -> Opening {
        let (id, name) = (Uuid::from_u128(1), String::new());
        let (claims, may_be_new) = (claims.to_vec(), epoch == 0);
        let (told, next_epoch) = (None, NEXT);
        Opening { id, epoch, claims, name, may_be_new, told, next_epoch, producers_max: 1 }
    }

    fn at(epoch: i64, claim: i64) -> Option<Standing> {
        Some(Standing { epoch, claim, sequence: 7 })
    }

    #[test]
    fn an_epoch_is_drawn_from_all_that_there_are() {
        let drawn: Vec<i64> = (0..200).map(|_| draw_epoch()).collect();
        assert!(drawn.iter().all(|epoch| *epoch > 0));
        // Each of its 63 bits is set in some, and not in others.
        let (all, any) = drawn.iter().fold((-1, 0), |(all, any), one| (all & one, any | one));
        assert_eq!((all, any), (0, i64::MAX));
    }

    #[test]
    fn the_rules_of_opening() {
        let (in_use, forgotten) = (Step::Refuse(Refusal::InUse), Step::Refuse(Refusal::Forgotten));
        for (opening, standing, step) in [
            (opening(0, &[5]), None, Step::Add),
            (opening(3, &[5]), None, forgotten),
            (Opening { may_be_new: true, ..opening(3, &[5]) }, None, Step::Add),
            // The answer to the first one was lost, or the connection was.
            (opening(0, &[5]), at(70, 5), Step::GoOn { epoch: 70 }),
            (opening(70, &[5]), at(70, 5), Step::GoOn { epoch: 70 }),
            (opening(70, &[5]), at(30, 5), Step::GoOn { epoch: 30 }),
            // The next process, which knows the epoch, or a claim that was not answered.
            (opening(70, &[6]), at(70, 5), Step::GoOn { epoch: NEXT }),
            (opening(0, &[5, 6]), at(70, 5), Step::GoOn { epoch: NEXT }),
            (opening(70, &[6, 7, 8]), at(30, 7), Step::GoOn { epoch: NEXT }),
            // Another client with the same id, or with a copy of an old file.
            (opening(0, &[6]), at(70, 5), in_use),
            (opening(1, &[6]), at(70, 5), in_use),
            (opening(70, &[6]), at(30, 5), in_use),
            (opening(69, &[6]), at(70, 5), in_use),
            // A server's own worker.
            (opening(0, &[6]), at(0, 0), in_use),
        ] {
            assert_eq!(opening.step(standing), step, "{opening:?} at {standing:?}");
        }
    }

    /// Whatever answers are lost and whenever the process is killed, the client that notes its
    /// claims before it asks is let in; one that shares nothing with it never is.
    #[test]
    fn no_lost_answer_locks_the_client_out() {
        for lost in 0..64_u32 {
            let (mut standing, mut epoch, mut noted) = (None, 0, Vec::new());
            for (attempt, claim) in (0..6).zip([1, 1, 2, 3, 3, 4]) {
                if noted.last() != Some(&claim) {
                    noted.push(claim);
                }
                let opening = Opening { next_epoch: draw_epoch(), ..opening(epoch, &noted) };
                let now = match opening.step(standing) {
                    Step::Add => opening.next_epoch,
                    Step::GoOn { epoch } => epoch,
                    Step::Refuse(refusal) => panic!("{lost:b}: {refusal}"),
                };
                standing = at(now, claim);
                if lost & (1 << attempt) == 0 {
                    (epoch, noted) = (now, vec![claim]);
                }
                for guess in 0..8 {
                    let other = Opening { epoch: guess, claims: vec![99], ..opening.clone() };
                    assert_eq!(other.step(standing), Step::Refuse(Refusal::InUse));
                }
            }
        }
    }
}
