//! Messages come whole wherever frames end, and are read as prost reads them.

use proptest::prelude::*;

use super::*;

const MAX: usize = 300;

fn prefixed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap();
    [&[0], &len.to_be_bytes()[..], message].concat()
}

/// All messages, and how it ended.
fn read(frames: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), Error>) {
    let mut framing = Framing::new(MAX);
    let mut messages = Vec::new();
    for frame in frames {
        framing.put(Bytes::copy_from_slice(frame));
        loop {
            match framing.next() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    assert_eq!(framing.position(), messages.len() as u64);
    (messages, framing.end())
}

#[test]
fn messages_come_whole_wherever_frames_end() {
    let sent = [&b"first"[..], b"", &[7; MAX], b"last"].map(<[u8]>::to_vec);
    let bytes = sent.each_ref().map(|message| prefixed(message)).concat();
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let frames = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            let (messages, end) = read(&frames);
            assert_eq!(messages, sent, "{first} {second}");
            end.expect("it ends between two messages");
        }
    }
    let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&bytewise).0, sent);
}

#[test]
fn what_ends_within_a_message_is_broken() {
    let bytes = [prefixed(b"one"), prefixed(b"two")].concat();
    for end in 0..bytes.len() {
        let (messages, ended) = read(&[&bytes[..end]]);
        assert_eq!(messages.len(), end / 8, "{end}");
        assert_eq!(ended.is_err(), ![0, 8].contains(&end), "{end}");
    }
}

#[test]
fn a_prefix_that_no_message_can_have_ends_it() {
    let good = prefixed(b"good");
    let large = u32::try_from(MAX + 1).unwrap().to_be_bytes();
    for (prefix, is_too_large) in
        [([&[0], &large[..]].concat(), true), (vec![1, 0, 0, 0, 0], false), (vec![9; 5], false)]
    {
        let bytes = [&good, &*prefix, &good].concat();
        for cut in 0..bytes.len() {
            let (messages, end) = read(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(messages, [b"good"]);
            let error = end.expect_err("no message");
            let is_it = error.to_string().contains("has 301 bytes, and may have at most 300");
            assert_eq!(is_it, is_too_large, "{error}");
            assert!(error.to_string().contains(" 2 "), "{error}");
        }
    }
}

proptest! {
    #[test]
    fn any_messages_in_any_frames(
        sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..MAX), 0..20),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = sent.iter().flat_map(|message| prefixed(message)).collect::<Vec<_>>();
        let mut ends: Vec<_> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut start = 0;
        let frames: Vec<_> =
            ends.iter().map(|end| &bytes[std::mem::replace(&mut start, *end)..*end]).collect();
        let (messages, end) = read(&frames);
        prop_assert_eq!(messages, sent);
        prop_assert!(end.is_ok());
    }
}

fn is_read_like_the_others(bytes: &[u8]) -> Result<(), TestCaseError> {
    let AddRequest { method, path, request_timestamp: time } =
        AddRequest::decode(bytes).expect("it never fails");
    prop_assert_eq!(
        Message::read(bytes, Plain::read(bytes)),
        Message { method, path: Cow::Owned(path), time }
    );
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
        let plain = Plain::read(&bytes).expect("nothing unusual");
        assert!(matches!(Message::read(&bytes, Some(plain)).path, Cow::Borrowed(_)));
        let time = time.map(|(seconds, nanos)| Timestamp { seconds, nanos });
        assert_eq!(plain, Plain { method, path: path.as_bytes(), time });
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
