//! keys and secrets of sessions as their holders have them, and what is stored of them.

use std::fmt;

use ring::digest::{SHA256, digest};
use tally_runtime::random;

use crate::Scope;

/// Digits, upper and lower case: a key is one word everywhere, and a double click selects all of it.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How many random characters a secret has: 178 bits.
const RANDOM_CHARS: usize = 30;
/// How many characters its checksum has.
const CHECKSUM_CHARS: usize = 6;
/// What stands in place of the scope in the secret of a session.
const SESSION: &str = "session";

/// A key, or the secret of a session. It never shows itself by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The SHA-256 of a secret, which is stored in its place and finds it. A secret has so many random bits
/// that no slower hash is needed, and the time that finding takes tells only of digests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

// === impl Secret ===

impl Secret {
    /// A new key: `tally_<scope>_`, 30 random characters, and a CRC-32, so that what looks for leaked
    /// keys, and this server, can tell one from other words without asking.
    #[must_use]
    pub fn of_key(scope: Scope) -> Self {
        Self::draw(scope.name())
    }

    /// A new secret of a session.
    pub(crate) fn of_session() -> Self {
        Self::draw(SESSION)
    }

    fn draw(kind: &str) -> Self {
        let mut text = format!("tally_{kind}_");
        let end = text.len() + RANDOM_CHARS;
        while text.len() < end {
            let drawn = random::number().to_le_bytes();
            // Of 64 values, two stand for nothing.
            let letters = drawn.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
            text.extend(letters.map(|letter| char::from(*letter)).take(end - text.len()));
        }
        let checksum = checksum(&text);
        Self(text + &checksum)
    }

    /// Reads a key or a secret of a session that somebody presents.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        is_whole(text).then(|| Self(text.to_owned()))
    }

    /// The scope, if it is a key.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        Scope::of(self.0.split('_').nth(1)?)
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let digest = digest(&SHA256, self.0.as_bytes());
        Digest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

// === impl Digest ===

impl Digest {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn of_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The beginning, by which people tell keys of one name apart.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

fn is_whole(text: &str) -> bool {
    let Some((rest, checksum)) =
        text.len().checked_sub(CHECKSUM_CHARS).and_then(|at| text.split_at_checked(at))
    else {
        return false;
    };
    let mut parts = rest.splitn(3, '_');
    let (issuer, kind, random) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    issuer == Some("tally")
        && kind.is_some_and(|kind| kind == SESSION || Scope::of(kind).is_some())
        && random.len() == RANDOM_CHARS
        && random.bytes().all(|byte| ALPHABET.contains(&byte))
        && self::checksum(rest) == checksum
}

/// The CRC-32 of a text (ISO 3309, as in zlib), in base 62.
fn checksum(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut rest = !crc;
    let mut letters = [b'0'; CHECKSUM_CHARS];
    for letter in letters.iter_mut().rev() {
        *letter = ALPHABET[rest as usize % ALPHABET.len()];
        rest /= 62;
    }
    letters.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_key_says_its_scope_and_has_a_checksum() {
        let keys: BTreeSet<_> =
            (0..100).map(|_| Secret::of_key(Scope::Ingest).reveal().to_owned()).collect();
        assert_eq!(keys.len(), 100);
        for scope in Scope::ALL {
            let key = Secret::of_key(scope);
            let text = key.reveal();
            assert!(text.starts_with(&format!("tally_{scope}_")), "{text}");
            assert_eq!(text.len(), "tally__".len() + scope.name().len() + 36, "{text}");
            let read = Secret::read(text).expect("it is whole");
            assert_eq!((read.scope(), read.digest()), (Some(scope), key.digest()));
        }
        assert_eq!(Secret::of_session().scope(), None);
        let all: BTreeSet<_> = keys.iter().flat_map(|key| key[13..43].chars()).collect();
        assert_eq!(all.len(), 62, "every letter is drawn");
    }

    #[test]
    fn what_is_not_whole_is_none() {
        let key = Secret::of_key(Scope::Read);
        let text = key.reveal();
        for at in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            let wrong = String::from_utf8(wrong).expect("letters");
            assert_eq!(Secret::read(&wrong), None, "{wrong}");
        }
        for wrong in ["", "tally_read_", "ä", "tally_read_ääääää", &text[1..], &format!("{text}a")]
        {
            assert_eq!(Secret::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn secrets_and_digests_do_not_show() {
        let key = Secret::of_key(Scope::Read);
        assert_eq!(format!("{key:?}"), "Secret");
        assert_eq!(format!("{:?}", key.digest()).len(), 8);
    }

    #[test]
    fn checksums_and_digests_are_those_of_the_standards() {
        // CRC-32 of "123456789" is cbf43926.
        let value = |letter: u8| ALPHABET.iter().position(|one| *one == letter).expect("a letter");
        let crc = checksum("123456789").bytes().fold(0, |sum, letter| sum * 62 + value(letter));
        assert_eq!(crc, 0xcbf4_3926);
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_hex(hex), Some(Secret("abc".to_owned()).digest()));
        assert!(
            Digest::of_hex(&hex[1..]).is_none() && Digest::of_hex(&hex.replace('b', "g")).is_none()
        );
    }
}
