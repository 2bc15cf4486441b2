//! What upto's clients send is read, in all its forms, and nothing else.

use proptest::prelude::*;

use super::*;

const START: &str = "86a7636f6e74657874a3776562a46e616d65aa64622e6d696772617465a47479706500a474696d65c70c05\
                     00000000696851280ee6b280a4686f7374a0a66175746f4950c2";
const NEW: &str = "86a7636f6e74657874a3776562a46e616d65a0a47479706503a474696d65c70c05fffffff1886e0900\
                   00000000a4686f7374a0a66175746f4950c2";
const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    digits.chunks(2).map(|pair| byte(pair).expect("hex")).collect()
}

fn start() -> Written {
    Written {
        kind: Kind::Start,
        context: "web".to_owned(),
        name: "db.migrate".to_owned(),
        time: Some(Timestamp::new(1_768_444_200, 250_000_000).expect("a time")),
        ..Written::default()
    }
}

/// A map of pairs that are written already.
fn map(pairs: &[&[u8]]) -> Vec<u8> {
    let head = [0x80 | u8::try_from(pairs.len()).expect("few")];
    [&head[..], &pairs.concat()].concat()
}

fn read_map(pairs: &[&[u8]]) -> Result<Written, Garbage> {
    read(&map(pairs), FROM)
}

const CONTEXT: &[u8] = b"\xa7context\xa3web";

#[test]
fn the_bytes_of_the_original_client_are_read() {
    assert_eq!((bytes(START).len(), bytes(NEW).len()), (69, 59));
    assert_eq!(read(&bytes(START), FROM), Ok(start()));
    let new = Written { kind: Kind::New, context: "web".to_owned(), ..Written::default() };
    assert_eq!(read(&bytes(NEW), FROM), Ok(new));
}

/// Clients up to July 2015 send the parts of a name as an array; the first ones do not know `autoIP`.
#[test]
fn older_clients_send_parts_and_five_keys() {
    let time = b"\xa4time\xc7\x0c\x05\0\0\0\0\x69\x68\x51\x28\x0e\xe6\xb2\x80";
    let parts = b"\xa4name\x92\xa2db\xa7migrate";
    let (kind, host) = (b"\xa4type\x00", b"\xa4host\xa0");
    assert_eq!(read_map(&[CONTEXT, parts, kind, time, host]), Ok(start()));
    let six = read_map(&[CONTEXT, parts, kind, time, host, b"\xa6autoIP\xc2"]);
    assert_eq!(six, Ok(start()));
    assert_eq!(read_map(&[b"\xa4name\x90"]).map(|said| said.name), Ok(String::new()));
}

#[test]
fn any_order_any_width_and_other_keys_are_read() {
    let said = read_map(&[
        b"\xa6autoIP\xc3",
        b"\xd9\x04host\xda\x00\x02h1",
        b"\xa5other\x82\xa1a\x92\x01\xc0\x07\xcb\0\0\0\0\0\0\0\0",
        b"\xa4type\xd3\0\0\0\0\0\0\0\x01",
        b"\xa4name\xdb\0\0\0\x01a",
        CONTEXT,
    ]);
    let expected = Written {
        kind: Kind::End,
        context: "web".to_owned(),
        name: "a".to_owned(),
        host: "192.0.2.7".to_owned(),
        ..Written::default()
    };
    assert_eq!(said, Ok(expected));
    let mapped = "::ffff:192.0.2.8".parse().expect("an address");
    let said = read(&map(&[b"\xa6autoIP\xc3"]), mapped).expect("a message");
    assert_eq!((said.host.as_str(), said.kind), ("192.0.2.8", Kind::Start));
    let nothing = read_map(&[b"\xa4name\xc0", b"\xa4time\xc0", b"\xa4type\xc0", b"\xa6autoIP\xc0"]);
    assert_eq!(nothing, Ok(Written { kind: Kind::Start, ..Written::default() }));
}

#[test]
fn both_forms_of_a_time_are_read() {
    let at = |time: &[u8]| read(&[b"\x81\xa4time", time].concat(), FROM).map(|said| said.time);
    let half = |second| Ok(Some(Timestamp::new(second, 500_000_000).expect("a time")));
    assert_eq!(at(b"\xd6\xff\0\0\0\x02"), Ok(Timestamp::from_second(2).ok()));
    assert_eq!(at(b"\xd7\xff\x77\x35\x94\x00\0\0\0\x02"), half(2));
    assert_eq!(at(b"\xc7\x0c\xff\x1d\xcd\x65\x00\xff\xff\xff\xff\xff\xff\xff\xfe"), half(-2));
    assert_eq!(at(b"\xc8\0\x0c\x05\xff\xff\xff\xff\xff\xff\xff\xfe\x1d\xcd\x65\x00"), half(-2));
    for wrong in [
        &b"\xc7\x0c\x05\0\0\0\0\0\0\0\0\x3b\x9a\xca\x00"[..],
        b"\xc7\x0c\x05\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
        b"\xc7\x0c\x05\x7f\0\0\0\0\0\0\0\0\0\0\0",
        b"\xc7\x0c\x06\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\xd7\x05\0\0\0\0\0\0\0\0",
        b"\xc7\x03\xff\0\0\0",
        b"\x07",
    ] {
        assert_eq!(at(wrong), Err(Garbage::WrongType("time")), "{wrong:02x?}");
    }
}

#[test]
fn what_is_no_message_is_refused_by_why() {
    let start = bytes(START);
    for end in 0..start.len() {
        assert_eq!(read(&start[..end], FROM), Err(Garbage::CutShort), "{end}");
    }
    for (datagram, why) in [
        (&b"GET / HTTP/1.1\r\n"[..], Garbage::NoMap),
        (b"\xc1", Garbage::WrongType("a value")),
        (b"\x81\x01\x02", Garbage::WrongType("a key")),
        (b"\x81\xa4type\x04", Garbage::WrongType("type")),
        (b"\x81\xa4type\xff", Garbage::WrongType("type")),
        (b"\x81\xa4name\x01", Garbage::WrongType("name")),
        (b"\x81\xa4name\x91\x01", Garbage::WrongType("name")),
        (b"\x81\xa4host\xc4\x00", Garbage::WrongType("host")),
        (b"\x81\xa6autoIP\x01", Garbage::WrongType("autoIP")),
        (b"\x81\xa4host\xa1\xff", Garbage::NoText),
        (b"\x80\x80", Garbage::Trailing),
        // As many parts, and pairs, as no datagram has.
        (b"\x81\xa4name\xdd\xff\xff\xff\xff\xa1a", Garbage::CutShort),
        (b"\xdf\xff\xff\xff\xff\xa1a\xc0", Garbage::CutShort),
    ] {
        assert_eq!(read(datagram, FROM), Err(why), "{datagram:02x?}");
    }
}

proptest! {
    /// Random bytes, and messages with random changes, are read or refused.
    #[test]
    fn nothing_that_comes_is_a_panic(
        random in prop::collection::vec(any::<u8>(), 0..1_025),
        changes in prop::collection::vec((0_usize..69, any::<u8>()), 0..4),
    ) {
        let _ = read(&random, FROM);
        let _ = read(&[&[0x86][..], &random].concat(), FROM);
        let mut start = bytes(START);
        changes.iter().for_each(|(at, byte)| start[*at] = *byte);
        let _ = read(&start, FROM);
    }
}
