//! One request of an `Add` stream, parsed in place.

use std::borrow::Cow;

use prost::Message as _;
use prost_types::Timestamp;
use tally_proto::count::v1::AddRequest;

/// An [`AddRequest`]. A message as clients write it is not copied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) method: i32,
    pub(crate) path: Cow<'a, str>,
    pub(crate) time: Option<Timestamp>,
}

// === impl Message ===

impl<'a> Message<'a> {
    /// Any bytes are a request; see [`AddRequest`].
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        Self::read_plain(bytes).unwrap_or_else(|| {
            let AddRequest { method, path, request_timestamp } =
                AddRequest::decode(bytes).unwrap_or_default();
            Self { method, path: Cow::Owned(path), time: request_timestamp }
        })
    }

    /// `None` if anything is unusual, valid or not.
    #[inline]
    fn read_plain(mut bytes: &'a [u8]) -> Option<Self> {
        let mut message = Self { method: 0, path: Cow::Borrowed(""), time: None };
        while let Some((key, rest)) = bytes.split_first() {
            bytes = rest;
            // A field's number and wire type: a varint (0), or bytes after their length (2).
            match key {
                0o10 => message.method = low_half(varint(&mut bytes)?),
                0o22 => {
                    message.path = Cow::Borrowed(str::from_utf8(field(&mut bytes)?).ok()?);
                }
                // A second timestamp merges with the first.
                0o32 if message.time.is_none() => {
                    message.time = Some(timestamp(field(&mut bytes)?)?);
                }
                _ => return None,
            }
        }
        Some(message)
    }
}

fn timestamp(mut bytes: &[u8]) -> Option<Timestamp> {
    let mut time = Timestamp::default();
    while let Some((key, rest)) = bytes.split_first() {
        bytes = rest;
        match key {
            0o10 => time.seconds = varint(&mut bytes)?.cast_signed(),
            0o20 => time.nanos = low_half(varint(&mut bytes)?),
            _ => return None,
        }
    }
    Some(time)
}

/// Takes a field with its length.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint(bytes)?).ok()?;
    let (field, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(field)
}

/// Takes a number of up to 63 bits.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

/// The low 32 bits, which are all that count.
#[allow(clippy::cast_possible_truncation, reason = "as protobuf has it")]
fn low_half(number: u64) -> i32 {
    number as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_read_like_the_others(bytes: &[u8]) -> Result<(), TestCaseError> {
        let AddRequest { method, path, request_timestamp: time } =
            AddRequest::decode(bytes).expect("it never fails");
        prop_assert_eq!(Message::read(bytes), Message { method, path: Cow::Owned(path), time });
        Ok(())
    }

    fn written(method: i32, path: &str, time: Option<(i64, i32)>) -> Vec<u8> {
        let request_timestamp = time.map(|(seconds, nanos)| Timestamp { seconds, nanos });
        AddRequest { method, path: path.to_owned(), request_timestamp }.encode_to_vec()
    }

    #[test]
    fn what_clients_write_is_not_copied() {
        for (method, path, time) in [
            (3, "/path/1", Some((1_900_000_000, 999_999_000))),
            (100, "/\u{e4}", Some((0, 0))),
            (0, "", None),
            (i32::MAX, &"x".repeat(2_048), Some((i64::MAX, i32::MAX))),
        ] {
            let bytes = written(method, path, time);
            let plain = Message::read_plain(&bytes).expect("nothing unusual");
            assert!(matches!(plain.path, Cow::Borrowed(_)));
            let time = time.map(|(seconds, nanos)| Timestamp { seconds, nanos });
            assert_eq!(plain, Message { method, path: Cow::Borrowed(path), time });
        }
    }

    proptest! {
        #[test]
        fn any_request_is_read_as_it_was_written(
            method: i32, path in ".{0,20}", time: Option<(i64, i32)>,
        ) {
            is_read_like_the_others(&written(method, &path, time))?;
        }

        #[test]
        fn any_bytes_are_read_as_prost_reads_them(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            is_read_like_the_others(&bytes)?;
        }

        /// Bytes of which most are keys and lengths of the fields that there are.
        #[test]
        fn any_fields_are_read_as_prost_reads_them(
            bytes in prop::collection::vec(prop::sample::select(
                vec![0, 1, 2, 3, 0o10, 0o12, 0o20, 0o22, 0o32, 0o40, 0o42, 0x80, 0xff, b'/']
            ), 0..24)
        ) {
            is_read_like_the_others(&bytes)?;
        }

        #[test]
        fn a_request_with_changed_bytes_is_read_as_prost_reads_it(
            method: i32, path in ".{0,20}", time: Option<(i64, i32)>,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            twice: bool, end: prop::sample::Index,
        ) {
            let mut bytes = written(method, &path, time);
            if twice {
                bytes.extend(written(7, "/second", Some((8, 9))));
            }
            for (at, value) in changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = value;
                }
            }
            is_read_like_the_others(&bytes)?;
            is_read_like_the_others(&bytes[..end.index(bytes.len() + 1)])?;
        }
    }
}
