//! Endpoint, day, period.

use std::fmt;
use std::hash::Hasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::Date;
use siphasher::sip::SipHasher24;
use tally_proto::wire::method_order;
pub use tally_runtime::{Day, Namespace};

/// The key of the hash that makes ids. It never changes, because ids are in every database.
const ID_KEY: (u64, u64) = (0x7461_6c6c_792e_7265, 0x7175_6573_7473_2e31);

/// An endpoint's id: see [`Endpoint::id`].
pub type EndpointId = i64;

/// A series' id: see [`Series::id`].
pub type SeriesId = i64;

/// What is counted: a method and a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A number of `count.v1.Method`, or any other.
    pub method: i32,
    /// The path, of 1 to 2,048 bytes by default.
    pub path: Box<str>,
}

/// A namespace's number.
pub type NamespaceId = i64;

/// The namespace `default`.
pub const DEFAULT_NAMESPACE: NamespaceId = Namespace::DEFAULT.0;

/// What a row refers to: an endpoint with who served it, with what result, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Series {
    /// Whose books it is in.
    pub namespace: NamespaceId,
    /// Who served it; may be empty.
    pub service: Box<str>,
    /// The method's name, or the digits of a number of `count.v1.Method` that has none; empty for
    /// `METHOD_UNSPECIFIED`.
    pub method: Box<str>,
    /// The path, of 1 to 2,048 bytes by default.
    pub path: Box<str>,
    /// The HTTP status, or the gRPC code; 0 if it is not known.
    pub status: u16,
    /// On whose behalf; may be empty.
    pub customer: Box<str>,
}

/// A quarter-hour of UTC, as the number of quarter-hours since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quarter(pub i32);

/// An endpoint and the id of its rows in this process.
#[derive(Debug)]
pub struct Named {
    /// Unique within this process.
    pub id: EndpointId,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The belief under which the database has this name; see `endpoints.rs`.
    confirmed: AtomicU64,
}

/// Days from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRange {
    /// The first day.
    pub first: Day,
    /// The last day.
    pub last: Day,
}

/// A whole year, month or day, of the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    Year(i16),
    Month(i16, i8),
    Day(Date),
}

// === impl Endpoint ===

impl Endpoint {
    /// From a method's number and a path.
    #[must_use]
    pub fn new(method: i32, path: impl Into<Box<str>>) -> Self {
        Self { method, path: path.into() }
    }

    /// A function of the method and the path, so that an id means the same in every database, and
    /// after a restored backup: 63 bits of SipHash-2-4 over the method (32 bits, little-endian) and
    /// the path. `salt` is 0, unless another endpoint had the id first; see `docs/exactly-once.md`.
    #[must_use]
    pub fn id(&self, salt: u32) -> EndpointId {
        let mut hasher = SipHasher24::new_with_keys(ID_KEY.0, ID_KEY.1);
        hasher.write(&self.method.to_le_bytes());
        hasher.write(self.path.as_bytes());
        if salt > 0 {
            // No path has a NUL, so no other endpoint hashes the same bytes.
            hasher.write(&[0]);
            hasher.write(&salt.to_le_bytes());
        }
        (hasher.finish() >> 1).cast_signed()
    }
}

/// By path, byte by byte, then by the method's name: the order of all totals.
impl Ord for Endpoint {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let by_method = || method_order(self.method).cmp(&method_order(other.method));
        self.path.cmp(&other.path).then_with(by_method)
    }
}

impl PartialOrd for Endpoint {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

// === impl Series ===

impl Series {
    /// A function of all fields, so that an id means the same in every database, and after a restored
    /// backup: 63 bits of SipHash-2-4 over the namespace (64 bits, little-endian), the status (16
    /// bits), and the texts, each with a NUL behind it. `salt` is 0, unless another series had the id
    /// first; see `docs/exactly-once.md`.
    #[must_use]
    pub fn id(&self, salt: u32) -> SeriesId {
        let mut hasher = SipHasher24::new_with_keys(ID_KEY.0, ID_KEY.1);
        hasher.write(&self.namespace.to_le_bytes());
        hasher.write(&self.status.to_le_bytes());
        // No text has a NUL, so no other series hashes the same bytes.
        for text in [&self.service, &self.method, &self.path, &self.customer] {
            hasher.write(text.as_bytes());
            hasher.write(&[0]);
        }
        if salt > 0 {
            hasher.write(&salt.to_le_bytes());
        }
        (hasher.finish() >> 1).cast_signed()
    }
}

// === impl Quarter ===

impl Quarter {
    /// How many a day has.
    pub const PER_DAY: i32 = 96;
    /// A quarter-hour in microseconds.
    pub const MICROS: i64 = 900_000_000;

    /// The quarter of a time in microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn of_micros(micros: i64) -> Self {
        Self(i32::try_from(micros.div_euclid(Self::MICROS)).expect("the years 1 to 9999"))
    }

    /// When it begins, in microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn start_micros(self) -> i64 {
        i64::from(self.0) * Self::MICROS
    }

    /// Its day.
    #[must_use]
    pub fn day(self) -> Day {
        Day(self.0.div_euclid(Self::PER_DAY))
    }

    /// Which of its day's quarters it is, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.rem_euclid(Self::PER_DAY).unsigned_abs() as usize
    }

    /// A day's first quarter.
    #[must_use]
    pub fn first_of(day: Day) -> Self {
        Self(day.0 * Self::PER_DAY)
    }
}

// === impl Named ===

impl Named {
    /// A name that no database is known to have.
    #[must_use]
    pub fn new(id: EndpointId, endpoint: Endpoint) -> Self {
        Self { id, endpoint, confirmed: AtomicU64::new(0) }
    }

    /// Whether the database has it, under this belief.
    pub(crate) fn is_confirmed(&self, belief: u64) -> bool {
        self.confirmed.load(Ordering::Acquire) == belief
    }

    /// The database has it.
    pub(crate) fn confirm(&self, belief: u64) {
        self.confirmed.store(belief, Ordering::Release);
    }
}

// === impl DayRange ===

impl DayRange {
    /// Every day that a request can have.
    pub const ALL: Self = Self { first: Day::MIN, last: Day::MAX };

    /// A range of one day.
    #[must_use]
    pub fn one(day: Day) -> Self {
        Self { first: day, last: day }
    }

    /// Whether the day is in it.
    #[must_use]
    pub fn contains(self, day: Day) -> bool {
        self.first <= day && day <= self.last
    }

    /// Its microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn micros(self) -> std::ops::Range<i64> {
        self.first.start_micros()..self.last.plus(1).start_micros()
    }
}

impl fmt::Display for DayRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}..{}", self.first, self.last)
    }
}

// === impl Period ===

impl Period {
    pub(crate) fn days(self) -> DayRange {
        let (first, last) = match self {
            Self::Year(year) => (Date::constant(year, 1, 1), Date::constant(year, 12, 31)),
            Self::Month(year, month) => {
                let first = Date::constant(year, month, 1);
                (first, first.last_of_month())
            }
            Self::Day(date) => (date, date),
        };
        DayRange { first: first.into(), last: last.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_their_days() {
        for (period, days) in [
            (Period::Month(2024, 2), "2024-02-01..2024-02-29"),
            (Period::Month(2023, 12), "2023-12-01..2023-12-31"),
            (Period::Year(9999), "9999-01-01..9999-12-31"),
            (Period::Day(Date::constant(2015, 5, 17)), "2015-05-17"),
        ] {
            assert_eq!(period.days().to_string(), days);
        }
    }

    /// Ids are in databases: this is no test of the hash, but of its being the same for ever.
    #[test]
    fn ids_never_change() {
        let ids = [(3, "/", 0), (6, "/", 0), (3, "/users/é", 0), (3, "/", 1), (-1, "_other", 0)];
        let ids = ids.map(|(method, path, salt)| Endpoint::new(method, path).id(salt));
        assert_eq!(
            ids,
            [
                2_981_967_654_293_335_488,
                3_774_244_281_563_177_833,
                2_962_437_979_650_391_323,
                365_108_588_445_895_805,
                6_198_225_270_497_175_446,
            ]
        );
    }
}
