//! What clients and servers agree on besides the messages: rules, limits, trailers and reasons.

use std::ops::RangeInclusive;

use prost_types::Timestamp;
use tonic::Status;

use crate::count::v1::Method;

/// The path that requests are counted under whose own path has no room or cannot be stored.
pub const OTHER_PATH: &str = "_other";

/// The path of totals whose rows have no name in the database.
pub const UNKNOWN_PATH: &str = "_unknown";

/// What stands in place of a service, path or customer that was forgotten.
pub const FORGOTTEN: &str = "_forgotten";

/// Whether a name is Tally's own: requests of several series count under it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    [OTHER_PATH, UNKNOWN_PATH, FORGOTTEN].contains(&name)
}

/// How long a path may be, in bytes, unless the server is set otherwise.
pub const PATH_BYTES_MAX: usize = 2_048;

/// How long the service of a series may be, in bytes.
pub const SERVICE_BYTES_MAX: usize = 128;

/// How long the method of a series may be, in bytes.
pub const METHOD_BYTES_MAX: usize = 32;

/// How long the customer of a series may be, in bytes.
pub const CUSTOMER_BYTES_MAX: usize = 256;

/// The highest status of a series.
pub const STATUS_MAX: u16 = 999;

/// How many merges and forgets a database follows, because a server goes through all of them for each
/// series that it does not know. What is asked for beyond them is done for the series that there are.
pub const RENAMINGS_MAX: usize = 1_000;

/// How many of these may be by a regex.
pub const REGEXES_MAX: usize = 16;

/// How many claims a producer may have.
pub const CLAIMS_MAX: usize = 64;

/// How long the name of a producer may be, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// How long the checkpoint of a producer may be, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 256;

/// How many days one batch may report drops for.
pub const DROP_DAYS_MAX: usize = 1_000;

/// How many requests one entry of a batch may stand for.
pub const ENTRY_REQUESTS_MAX: u32 = 1_000_000;

/// How large a batch may be, in bytes, unless the server says otherwise.
pub const BATCH_BYTES_MAX: u32 = 1 << 20;

/// The times that a request can have, in microseconds since 1970-01-01 UTC: from
/// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z, as `google.protobuf.Timestamp` has it.
pub const MICROS: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// A day in microseconds.
pub const DAY_MICROS: i64 = 24 * 60 * 60 * SECOND_MICROS;

/// The days of [`MICROS`], counted from 1970-01-01.
pub const DAYS: RangeInclusive<i32> = -719_162..=2_932_896;

/// How far a request's time may be ahead of the server's clock, in microseconds: 24 hours.
pub const AHEAD_MICROS_MAX: i64 = DAY_MICROS;

/// The methods that count, as HTTP/2 has them.
pub const ADD_METHOD: &str = "/count.v1.CountService/Add";
/// See [`ADD_METHOD`].
pub const RECORD_METHOD: &str = "/tally.requests.v1.RequestService/Record";

/// The trailer of a failed `Add`: the stream is decided up to this number of requests. All of these
/// are committed but those that were refused for their times; none after them is.
pub const COUNTED_TRAILER: &str = "tally-counted";
/// The trailer beside it: how many of these were refused for their times. Absent: none.
pub const REFUSED_TRAILER: &str = "tally-refused";

/// The trailer of a failed call: what a client can tell apart, beside the code; see [`mod@reason`].
pub const REASON_TRAILER: &str = "tally-reason";
/// The trailer of a failed `Record`: every batch up to this one is committed, and none after it
/// that this stream brought ever will be. Absent: that is not known.
pub const COMMITTED_TRAILER: &str = "tally-committed";

/// A second in microseconds.
const SECOND_MICROS: i64 = 1_000_000;

/// The values of [`REASON_TRAILER`].
#[allow(missing_docs, reason = "the protos say what they mean")]
pub mod reason {
    pub const INVALID_BATCH: &str = "INVALID_BATCH";
    pub const INVALID_MESSAGE: &str = "INVALID_MESSAGE";
    pub const INVALID_OPEN: &str = "INVALID_OPEN";
    /// Why a call is refused before it is read, for who makes it: it has no key.
    pub const KEY_MISSING: &str = "KEY_MISSING";
    /// It has something that is not a key that there is.
    pub const KEY_UNKNOWN: &str = "KEY_UNKNOWN";
    /// Its key is revoked. A stream whose key is revoked ends so, too.
    pub const KEY_REVOKED: &str = "KEY_REVOKED";
    /// The time of its key is over.
    pub const KEY_EXPIRED: &str = "KEY_EXPIRED";
    /// Its key cannot be checked, because the database does not answer.
    pub const KEY_UNCHECKED: &str = "KEY_UNCHECKED";
    /// Its browser is not logged in any more.
    pub const SESSION_OVER: &str = "SESSION_OVER";
    /// Too many wrong keys came from its address.
    pub const TOO_MANY_ATTEMPTS: &str = "TOO_MANY_ATTEMPTS";
    /// Its key has another scope than it needs.
    pub const SCOPE: &str = "SCOPE";
    /// It concerns all namespaces, and its key is not of the namespace `default`.
    pub const NAMESPACE: &str = "NAMESPACE";
    /// No key is asked for, and it came through a proxy.
    pub const PROXIED: &str = "PROXIED";
    pub const LIMIT: &str = "LIMIT";
    pub const OUT_OF_SEQUENCE: &str = "OUT_OF_SEQUENCE";
    pub const PRODUCER_FORGOTTEN: &str = "PRODUCER_FORGOTTEN";
    pub const PRODUCER_IN_USE: &str = "PRODUCER_IN_USE";
    pub const PRODUCER_TAKEN_OVER: &str = "PRODUCER_TAKEN_OVER";
    pub const TIME_AHEAD: &str = "TIME_AHEAD";
    pub const TOO_MANY_BATCHES: &str = "TOO_MANY_BATCHES";
    pub const TOO_MANY_PRODUCERS: &str = "TOO_MANY_PRODUCERS";
    /// Something else was stored under the idempotency key.
    pub const KEY_CONTENT: &str = "KEY_CONTENT";
    /// An answer of one message would be too large. A roll-up is done all the same.
    pub const ANSWER_TOO_LARGE: &str = "ANSWER_TOO_LARGE";
}

/// What a failed call says in one of these trailers.
#[must_use]
pub fn trailer<'a>(status: &'a Status, name: &str) -> Option<&'a str> {
    status.metadata().get(name)?.to_str().ok()
}

/// What a failed call says in a trailer that is a number.
#[must_use]
pub fn number(status: &Status, name: &str) -> Option<u64> {
    trailer(status, name)?.parse().ok()
}

/// The path that a request is counted under: its own, or [`OTHER_PATH`] if that is empty, longer
/// than `bytes_max`, or contains a NUL, which no database takes.
#[must_use]
pub fn path(path: &str, bytes_max: usize) -> &str {
    let can_be_stored = (1..=bytes_max).contains(&path.len()) && !path.as_bytes().contains(&0);
    if can_be_stored { path } else { OTHER_PATH }
}

/// The service or the customer that a request is counted under: its own, or [`OTHER_PATH`] if that
/// is longer than `bytes_max` or contains a NUL. It may be empty.
#[must_use]
pub fn text(text: &str, bytes_max: usize) -> &str {
    if text.is_empty() { text } else { path(text, bytes_max) }
}

/// A time in microseconds since 1970-01-01 UTC, cut off towards the past; `None` if it is not
/// within [`MICROS`] or the nanoseconds are not those of one second.
#[must_use]
pub fn micros(time: Timestamp) -> Option<i64> {
    let Timestamp { seconds, nanos } = time;
    let nanos = (0..1_000_000_000).contains(&nanos).then_some(nanos)?;
    let micros = seconds.checked_mul(SECOND_MICROS)?.checked_add(i64::from(nanos / 1_000))?;
    MICROS.contains(&micros).then_some(micros)
}

/// A time as a message has it.
#[must_use]
pub fn timestamp(micros: i64) -> Timestamp {
    let nanos = micros.rem_euclid(SECOND_MICROS) * 1_000;
    let nanos = i32::try_from(nanos).expect("below a second");
    Timestamp { seconds: micros.div_euclid(SECOND_MICROS), nanos }
}

/// What methods are ordered by in count.v1: its names, and after them all other numbers.
#[must_use]
pub fn method_order(method: i32) -> (bool, &'static str, i32) {
    match Method::try_from(method) {
        Ok(named) => (false, named.as_str_name(), method),
        Err(_) => (true, "", method),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_cannot_be_stored_is_other() {
        for good in ["/", "x", "no slash", "\u{1}", "0123456789"] {
            assert_eq!(path(good, 10), good);
        }
        for bad in ["", "0123456789a", "ééééé.", "/\0", "\0"] {
            assert_eq!(path(bad, 10), OTHER_PATH, "{bad:?}");
        }
        for (given, stored) in
            [("", ""), ("shop", "shop"), ("0123456789a", OTHER_PATH), ("\0", OTHER_PATH)]
        {
            assert_eq!(text(given, 10), stored);
        }
    }

    #[test]
    fn times_are_those_of_a_timestamp() {
        let at = |seconds, nanos| micros(Timestamp { seconds, nanos });
        assert_eq!(at(1, 999_999_999), Some(1_999_999));
        assert_eq!(at(-1, 999_999_999), Some(-1));
        assert_eq!(at(-62_135_596_800, 0), Some(*MICROS.start()));
        assert_eq!(at(253_402_300_799, 999_999_999), Some(*MICROS.end()));
        for (seconds, nanos) in [
            (-62_135_596_801, 999_999_999),
            (253_402_300_800, 0),
            (1, -1),
            (1, 1_000_000_000),
            (i64::MIN, i32::MIN),
            (i64::MAX, 0),
        ] {
            assert_eq!(at(seconds, nanos), None, "{seconds} {nanos}");
        }
        for time in [*MICROS.start(), -1, 0, 1, *MICROS.end()] {
            assert_eq!(micros(timestamp(time)), Some(time));
        }
    }

    #[test]
    fn days_are_those_of_the_times() {
        let days = [*MICROS.start(), *MICROS.end()].map(|micros| micros.div_euclid(DAY_MICROS));
        assert_eq!(days, [*DAYS.start(), *DAYS.end()].map(i64::from));
    }

    #[test]
    fn a_trailer_is_read_if_it_is_there() {
        let mut status = Status::unavailable("");
        status.metadata_mut().insert(COMMITTED_TRAILER, 12.into());
        status.metadata_mut().insert(REASON_TRAILER, reason::LIMIT.parse().unwrap());
        assert_eq!(number(&status, COMMITTED_TRAILER), Some(12));
        assert_eq!(trailer(&status, REASON_TRAILER), Some(reason::LIMIT));
        assert_eq!(
            (number(&status, REASON_TRAILER), trailer(&status, COUNTED_TRAILER)),
            (None, None)
        );
    }

    #[test]
    fn methods_are_ordered_by_name_and_then_by_number() {
        let mut methods = [100, 42, 6, 3, 0, 4, 9, 2, -5, 1];
        methods.sort_by_key(|method| method_order(*method));
        // CONNECT, DELETE, GET, GRPC, HEAD, METHOD_UNSPECIFIED, PATCH, POST.
        assert_eq!(methods, [1, 2, 3, 100, 4, 0, 9, 6, -5, 42]);
    }
}
