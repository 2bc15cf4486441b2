//! Series, endpoint, day.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip::SipHasher24;
use tally_proto::methods;
use tally_proto::wire::method_order;
pub use tally_runtime::{Day, Namespace};

/// The key of the hash that makes ids. It never changes, because ids are in every database.
const ID_KEY: (u64, u64) = (0x7461_6c6c_792e_7265, 0x7175_6573_7473_2e31);

/// A series' id: see [`Series::id`].
pub type SeriesId = i64;

/// A method and a path: what count.v1 knows of a series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A number of `count.v1.Method`, or any other.
    pub method: i32,
    /// The path.
    pub path: Box<str>,
}

/// What a row refers to: an endpoint with who served it, with what result, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Series {
    /// Whose books it is in.
    pub namespace: Namespace,
    /// Who served it; may be empty.
    pub service: Box<str>,
    /// The method's name, or the digits of a number of `count.v1.Method` that has none; empty for
    /// `METHOD_UNSPECIFIED`.
    pub method: Box<str>,
    /// The path, of 1 to 2,048 bytes by default.
    pub path: Box<str>,
    /// The HTTP status, or the gRPC code, whose OK is 200; 0 if it is not known.
    pub status: u16,
    /// On whose behalf; may be empty.
    pub customer: Box<str>,
}

/// The fields of a series that another value has: what is looked up, without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesRef<'a> {
    pub(crate) namespace: Namespace,
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) customer: &'a str,
}

/// A quarter-hour of UTC, as the number of quarter-hours since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quarter(pub i32);

/// A series and the id of its rows in this process.
#[derive(Debug)]
pub struct Named {
    /// Unique within this process.
    pub id: SeriesId,
    /// The series.
    pub series: Series,
    /// The belief under which the database has this name; see `series.rs`.
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

// === impl Endpoint ===

impl Endpoint {
    /// From a method's number and a path.
    #[must_use]
    pub fn new(method: i32, path: impl Into<Box<str>>) -> Self {
        Self { method, path: path.into() }
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
    /// Of an endpoint, by its method's number: all that count.v1 says.
    #[must_use]
    pub fn of_endpoint(method: i32, path: &str) -> Self {
        SeriesRef::of_endpoint(&methods::text(method), path).to_owned()
    }

    /// Its method, by number, and its path.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(methods::number_of_text(&self.method), self.path.clone())
    }

    /// A function of all fields, so that an id means the same in every database, and after a restored
    /// backup: 63 bits of SipHash-2-4 over the namespace (64 bits, little-endian), the status (16
    /// bits), and the texts, each with a NUL behind it. `salt` is 0, unless another series had the id
    /// first; see `docs/exactly-once.md`.
    #[must_use]
    pub fn id(&self, salt: u32) -> SeriesId {
        let mut hasher = SipHasher24::new_with_keys(ID_KEY.0, ID_KEY.1);
        hasher.write(&self.namespace.0.to_le_bytes());
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

// === impl SeriesRef ===

impl<'a> SeriesRef<'a> {
    /// Whether it is this series. Empty texts are not compared: they have an address without memory, for which
    /// a `memcmp` of AVX-512 takes some 60 ns.
    #[inline]
    pub(crate) fn is(self, series: &Series) -> bool {
        let is_same =
            |one: &str, other: &str| one.len() == other.len() && (one.is_empty() || one == other);
        self.namespace == series.namespace
            && self.status == series.status
            && is_same(self.method, &series.method)
            && is_same(self.path, &series.path)
            && is_same(self.service, &series.service)
            && is_same(self.customer, &series.customer)
    }

    /// All that count.v1 says: a method's text and a path.
    pub(crate) fn of_endpoint(method: &'a str, path: &'a str) -> Self {
        let (namespace, status) = (Namespace::DEFAULT, 0);
        Self { namespace, service: "", method, path, status, customer: "" }
    }

    pub(crate) fn to_owned(self) -> Series {
        let Self { namespace, service, method, path, status, customer } = self;
        let (service, method) = (service.into(), method.into());
        Series { namespace, service, method, path: path.into(), status, customer: customer.into() }
    }

    /// How long its texts are.
    pub(crate) fn text_bytes(self) -> usize {
        self.service.len() + self.method.len() + self.path.len() + self.customer.len()
    }
}

/// All lengths at once: then texts need no ends, and empty ones cost nothing.
impl Hash for SeriesRef<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let texts = [self.method, self.path, self.service, self.customer];
        let lengths = texts.iter().fold(0, |all: usize, text| all.rotate_left(16) ^ text.len());
        state.write_usize(lengths);
        state.write_i64(self.namespace.0.rotate_left(16) ^ i64::from(self.status));
        texts.iter().filter(|text| !text.is_empty()).for_each(|text| state.write(text.as_bytes()));
    }
}

impl<'a> From<&'a Series> for SeriesRef<'a> {
    fn from(series: &'a Series) -> Self {
        let Series { namespace, service, method, path, status, customer } = series;
        let (namespace, status) = (*namespace, *status);
        Self { namespace, service, method, path, status, customer }
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
    pub fn new(id: SeriesId, series: Series) -> Self {
        Self { id, series, confirmed: AtomicU64::new(0) }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids are in databases: this is no test of the hash, but of its being the same for ever.
    #[test]
    fn ids_never_change() {
        let series = |service: &str, method: &str, path: &str, status, customer: &str| Series {
            namespace: Namespace::DEFAULT,
            service: service.into(),
            method: method.into(),
            path: path.into(),
            status,
            customer: customer.into(),
        };
        let ids = [
            Series::of_endpoint(3, "/").id(0),
            Series::of_endpoint(6, "/").id(0),
            Series::of_endpoint(3, "/users/é").id(0),
            Series::of_endpoint(3, "/").id(1),
            Series::of_endpoint(-1, "_other").id(0),
            series("shop", "GET", "/", 200, "acme").id(0),
            series("", "GET", "/", 0, "shop").id(0),
            Series { namespace: Namespace(1), ..series("", "GET", "/", 0, "") }.id(0),
        ];
        assert_eq!(
            ids,
            [
                1_137_433_166_799_261_932,
                3_194_976_980_771_869_663,
                5_020_459_821_039_462_279,
                3_478_705_944_851_258_280,
                8_034_052_272_967_671_416,
                8_286_095_680_328_433,
                1_490_573_823_520_282_918,
                6_980_708_797_978_759_509,
            ]
        );
    }

    #[test]
    fn every_field_makes_another_id() {
        let base = Series {
            namespace: Namespace(1),
            service: "a".into(),
            method: "b".into(),
            path: "c".into(),
            status: 4,
            customer: "d".into(),
        };
        let all = [
            base.clone(),
            Series { namespace: Namespace(2), ..base.clone() },
            Series { service: "ab".into(), method: "".into(), ..base.clone() },
            Series { service: "".into(), method: "ab".into(), ..base.clone() },
            Series { path: "".into(), customer: "cd".into(), ..base.clone() },
            Series { status: 5, ..base.clone() },
            Series { customer: "".into(), ..base.clone() },
        ];
        let ids: std::collections::HashSet<_> =
            all.iter().flat_map(|one| [one.id(0), one.id(1), one.id(2)]).collect();
        assert_eq!(ids.len(), 3 * all.len());
    }
}
