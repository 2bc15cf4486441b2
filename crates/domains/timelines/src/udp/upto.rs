//! upto's messages: one datagram is one map with texts as keys, in any order.
//!
//! | key | value | becomes |
//! |---|---|---|
//! | `context` | text | the context |
//! | `name` | text, or an array of texts, which are the parts | the name |
//! | `type` | 0, 1, 2, 3 | a start, an end, a point, a new timeline |
//! | `time` | extension 5 of 12 bytes: seconds and nanoseconds; extension −1: MessagePack's own | the sender's time |
//! | `host` | text | the host |
//! | `autoIP` | true or false | true: the host is the sender's address |
//!
//! What is missing, or nil, has its zero value; other keys are passed over. A time of zero, as Go has it, is none.
//! Source: <https://github.com/Redundancy/upto>, and the clients before July 2015 that it replaced.

use std::net::IpAddr;

use jiff::Timestamp;

use super::msgpack::{Garbage, Reader, Value};
use crate::message::{Kind, Written};

/// The extension that is a time of Go, and that of MessagePack.
const GO_TIME: i8 = 5;
const TIME: i8 = -1;
/// The first second of the year 1: what Go has where no time was set.
const GO_ZERO: i64 = -62_135_596_800;
const NANOS: i64 = 1_000_000_000;

/// Reads a datagram that came from this address.
pub(super) fn read(datagram: &[u8], from: IpAddr) -> Result<Written, Garbage> {
    let mut reader = Reader::new(datagram);
    let Value::Map(pairs) = reader.next()? else { return Err(Garbage::NoMap) };
    let mut said = Written { kind: Kind::Start, ..Written::default() };
    let mut is_by_address = false;
    for _ in 0..pairs {
        let Value::Text(key) = reader.next()? else { return Err(Garbage::WrongType("a key")) };
        match key {
            "context" => said.context = text(reader.next()?, "context")?.to_owned(),
            "name" => said.name = name(&mut reader)?,
            "type" => said.kind = kind(reader.next()?)?,
            "time" => said.time = time(reader.next()?)?,
            "host" => said.host = text(reader.next()?, "host")?.to_owned(),
            "autoIP" => {
                is_by_address = match reader.next()? {
                    Value::Bool(is) => is,
                    Value::Nil => false,
                    _ => return Err(Garbage::WrongType("autoIP")),
                };
            }
            _ => reader.skip()?,
        }
    }
    if !reader.is_at_end() {
        return Err(Garbage::Trailing);
    }
    if is_by_address {
        said.host = from.to_canonical().to_string();
    }
    Ok(said)
}

fn text<'a>(value: Value<'a>, key: &'static str) -> Result<&'a str, Garbage> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Nil => Ok(""),
        _ => Err(Garbage::WrongType(key)),
    }
}

fn name(reader: &mut Reader<'_>) -> Result<String, Garbage> {
    let Value::Array(parts) = reader.clone().next()? else {
        return text(reader.next()?, "name").map(str::to_owned);
    };
    reader.next()?;
    let mut name = String::new();
    for part in 0..parts {
        if part > 0 {
            name.push('.');
        }
        name.push_str(text(reader.next()?, "name")?);
    }
    Ok(name)
}

fn kind(value: Value<'_>) -> Result<Kind, Garbage> {
    match value {
        Value::Nil | Value::Int(0) => Ok(Kind::Start),
        Value::Int(1) => Ok(Kind::End),
        Value::Int(2) => Ok(Kind::Point),
        Value::Int(3) => Ok(Kind::New),
        _ => Err(Garbage::WrongType("type")),
    }
}

/// A time; none where none was set.
fn time(value: Value<'_>) -> Result<Option<Timestamp>, Garbage> {
    let wrong = Garbage::WrongType("time");
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (seconds, nanos) = match value {
        Value::Nil => return Ok(None),
        Value::Extension(GO_TIME, bytes) if bytes.len() == 12 => {
            let (seconds, nanos) = bytes.split_at(8);
            (number(seconds).cast_signed(), number(nanos).cast_signed())
        }
        Value::Extension(TIME, bytes) => match bytes.len() {
            4 => (number(bytes).cast_signed(), 0),
            // 30 bits of nanoseconds, and 34 of seconds.
            8 => {
                let both = number(bytes);
                ((both & ((1 << 34) - 1)).cast_signed(), (both >> 34).cast_signed())
            }
            12 => {
                let (nanos, seconds) = bytes.split_at(4);
                (number(seconds).cast_signed(), number(nanos).cast_signed())
            }
            _ => return Err(wrong),
        },
        _ => return Err(wrong),
    };
    if (seconds, nanos) == (GO_ZERO, 0) {
        return Ok(None);
    }
    let nanos = i32::try_from(nanos).ok().filter(|_| (0..NANOS).contains(&nanos)).ok_or(wrong)?;
    Timestamp::new(seconds, nanos).map(Some).map_err(|_| wrong)
}

#[cfg(test)]
mod tests;
