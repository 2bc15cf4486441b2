//! The message that opens a producer, held against the rules.

use jiff::Timestamp;
use tally_proto::tally::producers::v1 as proto;
use tally_proto::wire::{self, CLAIMS_MAX, NAME_BYTES_MAX};
use uuid::Uuid;

use crate::lease::{Opening, draw_epoch};
use crate::setback::Told;

/// A day.
const DAY_SECONDS: i64 = 86_400;

/// Which clients a domain takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How many at most, of each namespace.
    pub producers_max: u32,
    /// How many days it remembers one that stores nothing.
    pub retention_days: u32,
}

/// Why a producer cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOpen {
    /// Not a UUID.
    #[error("producer_id has {0} bytes, and a UUID has 16")]
    IdLength(usize),
    /// It stands for the producers that were forgotten.
    #[error("producer_id is the nil UUID")]
    IdNil,
    /// An epoch that no producer has.
    #[error("epoch is beyond 2^63-1")]
    Epoch,
    /// A batch that no producer has.
    #[error("acknowledged_sequence is beyond 2^63-1")]
    Acknowledged,
    /// None, or too many.
    #[error("claims has {0} entries, and 1 to {CLAIMS_MAX} are allowed")]
    Claims(usize),
    /// Not a claim.
    #[error("claims, position {0}: 0 is not a claim")]
    ClaimZero(usize),
    /// A long name.
    #[error("name has {0} bytes, and at most {NAME_BYTES_MAX} are allowed")]
    NameTooLong(usize),
    /// A name that no database takes.
    #[error("name contains a NUL byte")]
    NameNul,
}

// === impl Opening ===

impl Opening {
    /// Reads the first message of a stream, by the rules at its fields.
    pub fn read(open: proto::Open, terms: Terms, now: Timestamp) -> Result<Self, InvalidOpen> {
        let proto::Open {
            producer_id,
            epoch,
            claims,
            name,
            acknowledged_sequence,
            acknowledged_at,
            take_over,
        } = open;
        let id =
            Uuid::from_slice(&producer_id).map_err(|_| InvalidOpen::IdLength(producer_id.len()))?;
        if id.is_nil() {
            return Err(InvalidOpen::IdNil);
        }
        let epoch = i64::try_from(epoch).map_err(|_| InvalidOpen::Epoch)?;
        if !(1..=CLAIMS_MAX).contains(&claims.len()) {
            return Err(InvalidOpen::Claims(claims.len()));
        }
        if let Some(at) = claims.iter().position(|claim| *claim == 0) {
            return Err(InvalidOpen::ClaimZero(at + 1));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(InvalidOpen::NameTooLong(name.len()));
        }
        if name.contains('\0') {
            return Err(InvalidOpen::NameNul);
        }
        let acknowledged = acknowledged_sequence.map(i64::try_from).transpose();
        let acknowledged = acknowledged.map_err(|_| InvalidOpen::Acknowledged)?;
        let told = acknowledged.filter(|sequence| *sequence > 0).map(|sequence| Told {
            sequence,
            at_micros: acknowledged_at.and_then(wire::micros),
            is_recent: acknowledged_at.is_some_and(|at| terms.remember(at.seconds, now)),
            now_micros: now.as_microsecond(),
        });
        Ok(Self {
            id,
            epoch,
            // The database has no unsigned numbers; the bits stay the same.
            claims: claims.into_iter().map(u64::cast_signed).collect(),
            name,
            // A shared producer that is missing may have stored batches for another process, which was
            // then done with it.
            may_be_new: epoch == 0
                || (!take_over && acknowledged == Some(0) && terms.is_young(id, now)),
            take_over,
            told,
            next_epoch: draw_epoch(),
        })
    }
}

// === impl Terms ===

impl Terms {
    /// Whether an id is too young for its producer to have stored something and been forgotten. Then its
    /// client may begin again under it.
    pub(crate) fn is_young(self, id: Uuid, now: Timestamp) -> bool {
        // Other versions say it in other ways, or not at all.
        let drawn = id.get_timestamp().filter(|_| id.get_version_num() == 7);
        let drawn = drawn.and_then(|drawn| i64::try_from(drawn.to_unix().0).ok());
        drawn.is_some_and(|seconds| self.remember(seconds, now))
    }

    /// Whether a producer that stored something at this time is remembered now.
    fn remember(self, seconds: i64, now: Timestamp) -> bool {
        let age = now.as_second().saturating_sub(seconds);
        // Clocks differ by at most a day; a time further ahead would be recent for ever.
        (-DAY_SECONDS..(i64::from(self.retention_days) - 1) * DAY_SECONDS).contains(&age)
    }
}
