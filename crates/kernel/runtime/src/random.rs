//! Random numbers and ids: the only place that draws them.

use jiff::Timestamp;
use uuid::{NoContext, Uuid};

/// A number of 64 random bits, from the operating system's source for secrets.
pub fn number() -> u64 {
    // The bits that version 4 fixes in one half are random in the other.
    let (high, low) = Uuid::new_v4().as_u64_pair();
    high ^ low
}

/// A new id, UUID version 7 (RFC 9562): the time is `now`, the rest is random.
pub fn id(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_random() {
        let drawn: Vec<u64> = (0..200).map(|_| number()).collect();
        let (all, any) = drawn.iter().fold((u64::MAX, 0), |(all, any), one| (all & one, any | one));
        assert_eq!((all, any), (0, u64::MAX));
    }

    #[test]
    fn an_id_says_when_it_was_drawn() {
        let now = "2026-01-31T12:00:00.25Z".parse().unwrap();
        let (one, other) = (id(now), id(now));
        assert_ne!(one, other);
        let drawn = one.get_timestamp().map(|drawn| drawn.to_unix());
        assert_eq!(drawn, Some((1_769_860_800, 250_000_000)));
    }
}
