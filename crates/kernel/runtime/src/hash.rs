//! Hashes that stand in the database for what they are of.

use siphasher::sip128::{Hasher128 as _, SipHasher24};
use uuid::Uuid;

/// A hash of 128 bits over these parts, the same in every process and on every machine. Its key is no
/// secret: whoever makes two things collide on purpose does so within what is their own.
#[must_use]
pub fn of(parts: &[&[u8]]) -> Uuid {
    use std::hash::Hasher as _;
    let mut hasher = SipHasher24::new();
    for part in parts {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part);
    }
    Uuid::from_u128(hasher.finish128().as_u128())
}

/// The first half of it, as a number that a database has.
#[must_use]
pub fn short(parts: &[&[u8]]) -> i64 {
    i64::from_be_bytes(of(parts).as_u64_pair().0.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a", b"b"]));
        assert_ne!(of(&[b"ab"]), of(&[b"a", b"b"]));
        assert_ne!(of(&[b"a", b""]), of(&[b"a"]));
        assert_ne!(short(&[b"a"]), short(&[b"b"]));
    }
}
