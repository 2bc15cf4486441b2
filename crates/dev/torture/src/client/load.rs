//! The requests a client records. The seed decides them, so a parcel can be made again.

use std::collections::BTreeMap;

use tally_client::{self as client, Method, SeriesKey};

use crate::journal::{Key, Parcel, Series};
use crate::random::Random;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// 2015-05-17, and how many days from it on are used, all of that year: new ones come during the whole
/// run, so that there are always some to roll up.
pub(crate) const LONG_AGO_DAY: i32 = 16_572;
const LONG_AGO_DAYS: u64 = 200;

/// The beginning of the paths that all clients share.
pub(crate) const SHARED_PATHS: &str = "/shared";

/// Series of this client only, and of all clients: three for each path.
const OWN_SERIES: u64 = 36;
const SHARED_SERIES: u64 = 12;

/// A service that clients count for.
pub(super) const SERVICE: &str = "shop";

/// The services, statuses and customers of each path.
const KINDS: [(&str, u16, &str); 3] = [("", 0, ""), (SERVICE, 200, "acme"), (SERVICE, 503, "")];

/// Rows of a large parcel: enough for the server to store it by COPY.
pub(crate) const LARGE_ROWS: u64 = 3_000;

/// The first parcels are large, and later every multiple of this.
pub(crate) const FIRST_LARGE: u64 = 4;
const LARGE_EVERY: u64 = 16;

/// How far apart the times of successive requests are: many in one step of each length, a few, or none.
const SPACINGS: [i64; 3] = [1, SECOND / 4, SECOND];

/// How many requests an entry stands for at most.
const ENTRY_REQUESTS: u64 = 100;

/// A client's parcels.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    /// The client's name.
    pub(crate) client: String,
    /// The number of its namespace.
    pub(crate) namespace: i64,
    /// What only this client counts under.
    pub(crate) own_series: Vec<Series>,
    /// The time of its first parcel, in microseconds.
    pub(crate) base_micros: i64,
    /// Maximum rows of a parcel, unless it is a large one.
    pub(crate) rows_max: u64,
    /// Whether it records some requests under paths shared with other clients.
    pub(crate) shares: bool,
    /// Whether it sometimes reports drops.
    pub(crate) drops: bool,
    /// Whether it sometimes merges requests by itself.
    pub(crate) merges: bool,
}

/// What the entries of a parcel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entries {
    /// Requests.
    Single,
    /// The same, and each says so.
    SaidSingle,
    /// Several requests, most of them.
    Several,
}

/// One request, or several of a series at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// An index of [`Load::series`].
    pub(crate) series: usize,
    pub(crate) micros: i64,
    pub(crate) requests: u32,
}

// === impl Load ===

impl Load {
    /// Every series: this client's own, then the shared ones.
    pub(crate) fn series(&self) -> Vec<Series> {
        let shared = (0..SHARED_SERIES).map(|n| series(SHARED_PATHS, n));
        let of = |series| Series { namespace: self.namespace, ..series };
        self.own_series.iter().cloned().chain(shared).map(of).collect()
    }

    /// What the entries of a parcel are. The second one is acknowledged in every run.
    pub(crate) fn entries(&self, number: u64) -> Entries {
        match number % 4 {
            2 if self.merges => Entries::Several,
            3 if self.merges => Entries::SaidSingle,
            _ => Entries::Single,
        }
    }

    /// How many requests a parcel has.
    pub(crate) fn requests(&self, number: u64) -> u64 {
        self.rows(number).iter().map(|row| u64::from(row.requests)).sum()
    }

    /// How many of them count for the pace: none of the first parcels, because scenes wait for these.
    pub(super) fn paced(&self, number: u64) -> u64 {
        if number <= FIRST_LARGE { 0 } else { self.requests(number) }
    }

    /// The rows of a parcel, from one to three clocks that disagree.
    pub(crate) fn rows(&self, number: u64) -> Vec<Row> {
        let mut random = Random::derived(self.seed, &self.client, number);
        let several = self.entries(number) == Entries::Several;
        let large = number <= FIRST_LARGE || number.is_multiple_of(LARGE_EVERY);
        let rows = if large { LARGE_ROWS } else { random.within(1, self.rows_max) };
        let groups = random.within(1, 3);
        let mut all = Vec::new();
        for _ in 0..groups {
            let shared = if self.shares { SHARED_SERIES } else { 0 };
            let shared = usize::try_from(shared).expect("a few");
            let series = random.index(self.own_series.len() + shared);
            let start = clock(&mut random, self.base_micros + i64::try_from(number).unwrap_or(0));
            let spacing = SPACINGS[random.index(SPACINGS.len())];
            let (mut micros, mut left) = (start, rows.div_ceil(groups));
            while left > 0 {
                let most = if several { left.min(ENTRY_REQUESTS) } else { 1 };
                let requests = u32::try_from(random.within(1, most)).expect("a few");
                all.push(Row { series, micros, requests });
                left -= u64::from(requests);
                // Backwards, so that no time is in the future.
                micros -= spacing;
            }
        }
        all
    }

    /// The drops reported with a parcel.
    pub(crate) fn drops_of(&self, number: u64) -> BTreeMap<i32, u64> {
        let mut random = Random::derived(self.seed, "drops", number);
        if !self.drops || !random.percent(5) {
            return BTreeMap::new();
        }
        let start = clock(&mut random, self.base_micros);
        BTreeMap::from([(day(start), random.within(1, 9))])
    }

    /// A parcel as the journal records it.
    pub(crate) fn parcel(&self, number: u64) -> Parcel {
        let series = self.series();
        let mut parcel = Parcel { requests: BTreeMap::new(), drops: self.drops_of(number) };
        for Row { series: at, micros, requests } in self.rows(number) {
            let key = Key::at(micros, series[at].clone());
            *parcel.requests.entry(key).or_default() += u64::from(requests);
        }
        parcel
    }
}

// === impl Row ===

impl Row {
    /// As the client library takes it.
    pub(super) fn of(&self, series: client::Series) -> client::Row {
        client::Row { requests: self.requests, ..client::Row::one(series, self.micros) }
    }
}

/// The series of a client that chooses them freely, below this prefix.
pub(super) fn own_series(prefix: &str) -> Vec<Series> {
    (0..OWN_SERIES).map(|n| series(prefix, n)).collect()
}

/// The `n`th series below this prefix. Those of a path differ in service, status and customer.
fn series(prefix: &str, n: u64) -> Series {
    let (path, kind) = (n / KINDS.len() as u64, n % KINDS.len() as u64);
    let (service, status, customer) = KINDS[usize::try_from(kind).expect("a few")];
    Series {
        path: format!("{prefix}/{path}"),
        method: method(path),
        service: service.to_owned(),
        status,
        customer: customer.to_owned(),
        ..Series::default()
    }
}

/// As the client library takes it.
pub(super) fn as_key(series: &Series) -> SeriesKey<'_> {
    let Series { path, method, service, status, customer, .. } = series;
    SeriesKey { service, method: Method(*method), path, status: *status, customer }
}

/// The UTC day of a time, in days since 1970-01-01.
pub(crate) fn day(micros: i64) -> i32 {
    i32::try_from(micros.div_euclid(DAY)).expect("the day fits i32")
}

/// The time on a clock that may be wrong.
pub(crate) fn clock(random: &mut Random, now: i64) -> i64 {
    match random.within(0, 9) {
        0..=4 => now,
        5 => now - DAY,
        // Another quarter, which begins another hour of some time zones.
        6 => now - DAY - 6 * 900 * SECOND,
        7 => now - 3 * DAY,
        8 => now + 20 * 3_600 * SECOND,
        _ => {
            let day = i64::from(LONG_AGO_DAY) + random.within(0, LONG_AGO_DAYS - 1).cast_signed();
            day * DAY + now.rem_euclid(DAY)
        }
    }
}

/// A method of each kind, and an unknown one.
fn method(number: u64) -> i32 {
    const METHODS: [i32; 6] = [3, 6, 7, 9, 100, 4_711];
    METHODS[usize::try_from(number).expect("a few") % METHODS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(client: &str) -> Load {
        let base_micros = 20_000 * DAY;
        let (client, own_series) = (client.to_owned(), own_series(&format!("/{client}")));
        let (shares, drops, merges) = (true, true, true);
        Load {
            seed: 1,
            client,
            namespace: 0,
            own_series,
            base_micros,
            rows_max: 50,
            shares,
            drops,
            merges,
        }
    }

    #[test]
    fn a_parcel_depends_on_its_number_and_its_client_only() {
        for number in [1, 5, 16, 1_000_003] {
            assert_eq!(load("a").rows(number), load("a").rows(number));
            assert_eq!(load("a").parcel(number), load("a").parcel(number));
            assert_ne!(load("a").parcel(number), load("b").parcel(number));
        }
    }

    #[test]
    fn a_parcel_counts_its_rows() {
        for number in 1..50 {
            let (load, rows) = (load("a"), load("a").rows(number));
            let requests = load.requests(number);
            assert_eq!(load.parcel(number).requests.values().sum::<u64>(), requests);
            assert_eq!(requests >= LARGE_ROWS, number <= FIRST_LARGE || number % LARGE_EVERY == 0);
            let is_single = rows.iter().all(|row| row.requests == 1);
            assert!(is_single || load.entries(number) == Entries::Several, "{number}");
        }
        assert!(load("a").rows(2).iter().any(|row| row.requests > 1));
        assert!((1..200).any(|number| !load("a").drops_of(number).is_empty()));
    }
}
