//! Acknowledged batches that are no longer in the database, because it went back to an earlier
//! state: who noticed it, and what is missing.

use uuid::Uuid;

use crate::model::{Day, DayRange};
use crate::producer::short_id;

/// What a client was told last of its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The last batch that was acknowledged, from 1.
    pub sequence: i64,
    /// When the client heard of it, in microseconds since 1970-01-01 UTC, if it says so.
    pub at_micros: Option<i64>,
    /// Whether this is so short ago that the producer cannot be forgotten for its silence.
    pub is_recent: bool,
    /// What time it is, in microseconds since 1970-01-01 UTC.
    pub now_micros: i64,
}

/// Batches of a producer that were acknowledged and are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    /// Whose they are; nil for several that are not told apart any more.
    pub producer: Uuid,
    /// What people call it.
    pub name: String,
    /// When it was noticed, in microseconds since 1970-01-01 UTC.
    pub noticed_micros: i64,
    /// When the first of them may have been stored.
    pub since_micros: i64,
    /// How many producers this is about.
    pub producers: i64,
    /// How many batches are missing at least.
    pub batches: i64,
}

// === impl Told ===

impl Told {
    /// What is missing of a producer, by how many batches the database has of it and when it stored
    /// the last one; or of one that it does not have.
    pub(crate) fn setback(
        &self,
        producer: Uuid,
        name: &str,
        stored: Option<(i64, i64)>,
    ) -> Option<Setback> {
        let (batches, since_micros) = match stored {
            Some((sequence, last_seen)) => (self.sequence - sequence, last_seen),
            None if self.is_recent => (self.sequence, self.born(producer)),
            None => return None,
        };
        (batches > 0).then(|| Setback {
            producer,
            name: name.to_owned(),
            noticed_micros: self.now_micros,
            since_micros: since_micros.min(self.now_micros),
            producers: 1,
            batches,
        })
    }

    /// When a producer began that is not there any more.
    fn born(&self, producer: Uuid) -> i64 {
        let born = producer.get_timestamp().map(|drawn| {
            let (seconds, nanos) = drawn.to_unix();
            let micros = seconds.saturating_mul(1_000_000).saturating_add(u64::from(nanos) / 1_000);
            i64::try_from(micros).unwrap_or(i64::MAX)
        });
        born.or(self.at_micros).unwrap_or(self.now_micros)
    }
}

// === impl Setback ===

impl Setback {
    /// The days whose requests may be missing.
    #[must_use]
    pub fn days(&self) -> DayRange {
        let (first, last) = (self.since_micros, self.noticed_micros);
        DayRange { first: Day::of_micros(first), last: Day::of_micros(last) }
    }

    /// Tells the operator, who alone can find out why.
    pub(crate) fn tell(&self) {
        let days = self.days();
        tracing::error!(
            producer = short_id(self.producer),
            name = self.name,
            batches = self.batches,
            %days,
            "acknowledged batches are missing: the database went back to an earlier state, or this \
             producer has counted into another one; totals of these days are reported as \
             incomplete"
        );
    }

    /// A person has cleared it.
    pub(crate) fn tell_cleared(&self) {
        let days = self.days();
        tracing::warn!(
            producer = short_id(self.producer),
            name = self.name,
            batches = self.batches,
            %days,
            "a setback was cleared: totals of these days are no longer reported as incomplete for it"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31 as the milliseconds of a version-7 id.
    const BORN_MICROS: i64 = 1_769_817_600_000_000;

    #[test]
    fn what_is_missing_is_what_was_acknowledged_and_is_not_there() {
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_769_817_600, 0));
        let now_micros = BORN_MICROS + 500;
        let told =
            Told { sequence: 7, at_micros: Some(now_micros - 1), is_recent: true, now_micros };
        let old = Told { is_recent: false, ..told };
        for (told, stored, missing) in [
            (told, Some((7, now_micros - 9)), None),
            (told, Some((9, now_micros - 9)), None),
            (told, Some((4, now_micros - 9)), Some((3, now_micros - 9))),
            (old, Some((4, now_micros - 9)), Some((3, now_micros - 9))),
            // A database's clock that is ahead.
            (told, Some((4, now_micros + 9)), Some((3, now_micros))),
            (told, None, Some((7, BORN_MICROS))),
            (old, None, None),
        ] {
            let setback = told.setback(id, "shop", stored);
            let found = setback.map(|one| (one.batches, one.since_micros));
            assert_eq!(found, missing, "{told:?} {stored:?}");
        }
        let other = Told { at_micros: Some(5), ..told }.setback(Uuid::from_u128(7), "", None);
        assert_eq!(other.map(|one| one.since_micros), Some(5));
    }
}
