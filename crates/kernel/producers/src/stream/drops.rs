//! What a client says that it has dropped.

use tally_proto::tally::producers::v1 as proto;
use tally_proto::wire::DROP_DAYS_MAX;
use tally_runtime::Day;

/// Why drops cannot be noted. Positions are from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDrops {
    /// Too many days.
    #[error("drops has {len} entries, and at most {DROP_DAYS_MAX} are allowed")]
    TooMany {
        /// How many.
        len: usize,
    },
    /// A day that nothing can have.
    #[error("drops, position {position}: day {day} is not between 0001-01-01 and 9999-12-31")]
    Day {
        /// Which.
        position: usize,
        /// Days since 1970-01-01.
        day: i32,
    },
    /// Not a number of drops.
    #[error("drops, position {position}: count is {count}, and must be from 1 to 2^63-1")]
    Count {
        /// Which.
        position: usize,
        /// The number.
        count: u64,
    },
}

/// How much of each day a client says that it has dropped. Any day counts, even from a wrong clock,
/// because drops are told only once.
pub fn read_drops(drops: &[proto::Drops]) -> Result<Vec<(Day, i64)>, InvalidDrops> {
    let len = drops.len();
    if len > DROP_DAYS_MAX {
        return Err(InvalidDrops::TooMany { len });
    }
    let days = Day::MIN..=Day::MAX;
    (1..)
        .zip(drops)
        .map(|(position, drops)| {
            let (day, count) = (Day(drops.day), drops.count);
            if !days.contains(&day) {
                return Err(InvalidDrops::Day { position, day: day.0 });
            }
            let valid = i64::try_from(count).ok().filter(|count| *count > 0);
            let count = valid.ok_or(InvalidDrops::Count { position, count })?;
            Ok((day, count))
        })
        .collect()
}
