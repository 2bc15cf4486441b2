//! Acknowledged batches that the database no longer has, because it went back to an earlier state.

use jiff::Timestamp;
use tally_proto::tally::producers::v1 as proto;
use tally_proto::wire::timestamp;
use uuid::Uuid;

use crate::lease::{Found, Standing, short_id};

/// What people call an insert worker.
const WORKER_NAME: &str = "tally serve";

/// The last acknowledgement that a client received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The last batch that was acknowledged, from 1.
    pub sequence: i64,
    /// When the client received it, in microseconds since 1970-01-01 UTC, if it says so.
    pub at_micros: Option<i64>,
    /// Whether this is too recent for the producer to have been forgotten.
    pub is_recent: bool,
    /// Now, in microseconds since 1970-01-01 UTC.
    pub now_micros: i64,
}

/// Batches of a producer that were acknowledged and are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    /// Whose they are; nil for several producers that are added up.
    pub producer: Uuid,
    /// What people call it.
    pub name: String,
    /// When this was noticed, in microseconds since 1970-01-01 UTC.
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
    /// What a producer has lost, given what the database has of it.
    pub(crate) fn setback(
        &self,
        producer: Uuid,
        name: &str,
        found: Option<&Found>,
    ) -> Option<Setback> {
        let (batches, since_micros) = match found {
            Some(found) => {
                let Standing { sequence, last_seen_micros, .. } = found.standing;
                (self.sequence - sequence, last_seen_micros)
            }
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

    /// The same for an insert worker of a server.
    pub(crate) fn of_worker(&self, worker: Uuid, found: Option<&Found>) -> Option<Setback> {
        self.setback(worker, WORKER_NAME, found)
    }

    /// When a producer began that the database lacks.
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
    /// Tells the operator, who alone can find out why.
    pub(crate) fn tell(&self) {
        tracing::error!(
            producer = short_id(self.producer),
            name = self.name,
            batches = self.batches,
            since = time(self.since_micros),
            noticed = time(self.noticed_micros),
            "acknowledged batches are missing: the database went back to an earlier state, or this \
             producer has stored batches in another one; the days from then on are reported as \
             incomplete"
        );
    }

    /// A person has cleared it.
    pub(crate) fn tell_cleared(&self) {
        tracing::warn!(
            producer = short_id(self.producer),
            name = self.name,
            batches = self.batches,
            since = time(self.since_micros),
            noticed = time(self.noticed_micros),
            "a setback was cleared: it no longer makes the days between these times incomplete"
        );
    }
}

impl From<Setback> for proto::Setback {
    fn from(setback: Setback) -> Self {
        Self {
            short_id: short_id(setback.producer),
            name: setback.name,
            since: Some(timestamp(setback.since_micros)),
            noticed_at: Some(timestamp(setback.noticed_micros)),
            batches: setback.batches,
            producers: setback.producers,
        }
    }
}

fn time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31 as the milliseconds of a version-7 id.
    const BORN_MICROS: i64 = 1_769_817_600_000_000;

    #[test]
    fn a_setback_is_what_was_acknowledged_and_is_missing() {
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
            let found = stored.map(|(sequence, last_seen_micros)| Found {
                standing: Standing {
                    epoch: 1,
                    claim: 1,
                    sequence,
                    last_seen_micros,
                    is_shared: false,
                    checkpoint: Vec::new(),
                },
                is_of_domain: true,
            });
            let setback = told.setback(id, "shop", found.as_ref());
            let found = setback.map(|one| (one.batches, one.since_micros));
            assert_eq!(found, missing, "{told:?} {stored:?}");
        }
        let other = Told { at_micros: Some(5), ..told }.setback(Uuid::from_u128(7), "", None);
        assert_eq!(other.map(|one| one.since_micros), Some(5));
    }
}
