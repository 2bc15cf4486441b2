//! Random numbers from the operating system: ids of producers, claims, and jitter.

use std::time::Duration;

pub(crate) type ProducerId = [u8; 16];

/// A UUID of version 7 (RFC 9562): 48 bits of milliseconds, then random bits.
pub(crate) fn producer_id(now_micros: i64) -> ProducerId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number().to_be_bytes());
    id[8..].copy_from_slice(&number().to_be_bytes());
    let millis = u64::try_from(now_micros / 1000).unwrap_or(0);
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    id[6] = 0x70 | (id[6] & 0x0f);
    id[8] = 0x80 | (id[8] & 0x3f);
    id
}

/// A number other than 0.
pub(crate) fn claim() -> u64 {
    number().max(1)
}

/// Between half of a duration and all of it.
pub(crate) fn jitter(whole: Duration) -> Duration {
    let half = whole / 2;
    // 53 bits are what a double holds.
    #[expect(clippy::cast_precision_loss, reason = "a jitter needs no more")]
    let part = (number() >> 11) as f64 / (1_u64 << 53) as f64;
    half + half.mul_f64(part)
}

/// A number that cannot be guessed outside of this process.
pub(crate) fn number() -> u64 {
    getrandom::u64().expect("the operating system has random numbers")
}

#[cfg(test)]
mod tests;
