//! Identifies a text by what it begins with, whatever its name and its compression are.

use std::hash::Hasher as _;
use std::io::{self, Read};

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::parse::w3c;

/// How much of a text identifies it.
pub(crate) const HEAD_BYTES: usize = 4096;

/// A line with at least this many digits has a time.
const DIGITS_MIN: usize = 8;

/// The key of the hash. The producers that keep positions are named by it, so it never changes.
const KEY: (u64, u64) = (0x7461_6c6c_792e_6669, 0x6c65_732e_3130_3031);

/// A producer's id.
pub(crate) type Id = [u8; 16];

/// By which producers a text may be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// By its first [`HEAD_BYTES`], if it has that many.
    pub(crate) long: Option<Id>,
    /// By its first line with a time, which is all that is there to know a shorter text by: its other
    /// lines are not complete, or still to come. `None` if that line is not complete.
    pub(crate) short: Option<Id>,
}

// === impl Identity ===

impl Identity {
    /// Reads the beginning of a text. If it is `final`, its last line needs no end.
    pub(crate) fn read(text: &mut impl Read, is_final: bool) -> io::Result<Self> {
        let head = head(text)?;
        let is_long = head.len() == HEAD_BYTES;
        let mut lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
        if is_long || !is_final {
            lines.pop();
        }
        let lines = lines.into_iter().map(<[u8]>::trim_ascii);
        let mut lines = lines.filter(|line| !line.is_empty() && !w3c::is_directive(line));
        let digits = |line: &[u8]| line.iter().filter(|byte| byte.is_ascii_digit()).count();
        let first = lines.clone().next();
        let line = lines.find(|line| digits(line) >= DIGITS_MIN).or(first);
        Ok(Self {
            long: is_long.then(|| id(b"head", &head)),
            short: line.map(|line| id(b"line", line)),
        })
    }
}

/// The first bytes of a text, without NULs in front of it: a writer that goes on at its old place in a
/// truncated file leaves as many of them as it had written.
fn head(text: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut piece = [0; HEAD_BYTES];
    while head.len() < HEAD_BYTES {
        let bytes = match text.read(&mut piece) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let mut read = &piece[..bytes];
        if head.is_empty() {
            let nuls = read.iter().take_while(|byte| **byte == 0).count();
            read = &read[nuls..];
        }
        head.extend(&read[..read.len().min(HEAD_BYTES - head.len())]);
    }
    Ok(head)
}

fn id(of: &[u8], bytes: &[u8]) -> Id {
    let mut hasher = SipHasher24::new_with_keys(KEY.0, KEY.1);
    hasher.write(of);
    hasher.write(bytes);
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> Identity {
        Identity::read(&mut { text }, false).expect("memory is readable")
    }

    #[test]
    fn a_text_is_known_by_the_same_when_it_grows() {
        let line =
            |number: usize| format!("h - - [17/May/2015:10:05:03 +0000] \"GET /{number}\"\n");
        let text: String = (0..200).map(line).collect();
        let (first, whole) = (of(line(0).as_bytes()), of(text.as_bytes()));
        for bytes in line(0).len()..text.len() {
            let part = of(&text.as_bytes()[..bytes]);
            assert_eq!(part.short, first.short, "{bytes}");
            assert_eq!(part.long, whole.long.filter(|_| bytes >= HEAD_BYTES), "{bytes}");
        }
        let other = of(format!("{}{}", line(0), line(7).repeat(200)).as_bytes());
        assert!(other.short == first.short && other.long.is_some() && other.long != whole.long);
        let nuls = [&vec![0; 70_000], text.as_bytes()].concat();
        assert_eq!(of(&nuls), whole);
    }

    #[test]
    fn the_first_line_with_a_time_tells_short_texts_apart() {
        let known = of(b"10:05:03 2015 a\r\n");
        assert!(known.short.is_some() && known.long.is_none());
        for same in [
            "\n\n10:05:03 2015 a\nmore",
            "started\n10:05:03 2015 a\n",
            "#Date: 2015-05-17 10:05:03\n10:05:03 2015 a\n",
        ] {
            assert_eq!(of(same.as_bytes()), known, "{same}");
        }
        assert_ne!(of(b"10:05:04 2015 a\n"), known);
        assert_ne!(of(b"started\n").short, None);
        for none in ["", "\n \n", "10:05:03 2015 a", "#Fields: x\n"] {
            assert_eq!(of(none.as_bytes()), Identity { long: None, short: None }, "{none}");
        }
        let last = Identity::read(&mut &b"10:05:03 2015 a"[..], true).expect("readable");
        assert_eq!(last, known);
    }

    /// Ids are in databases.
    #[test]
    fn an_id_never_changes() {
        let hex = |id: Option<Id>| id.map(|id| format!("{:032x}", u128::from_be_bytes(id)));
        let identity = of("10:05:03 2015 a\n".repeat(300).as_bytes());
        assert_eq!(hex(identity.short).as_deref(), Some("150973a869fcf4cc66a32807866c8fb7"));
        assert_eq!(hex(identity.long).as_deref(), Some("001aac6a725201ce63663dd6993f608d"));
    }
}
