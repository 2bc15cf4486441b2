//! A year by a stepped clock: every total by hour, day, week and month in several time zones, held
//! against a list of all requests.
//!
//! It is a leap year in which two servers count, one of them with a clock that is an hour ahead. Late
//! requests come after their day's roll-up, folds come at any time, and for a week nothing is rolled
//! up. The list is summed here with offsets that were looked up once, without a tz database.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use tally_requests::{Day, DayRange, EndpointId, Granularity};
use tally_runtime::{Clock as _, ManualClock};

use crate::backend::{Backend, Producer, ask, listed, query};

/// The paths of all requests.
const PATHS: [&str; 3] = ["/a", "/b", "/é"];

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// The days that the clock goes through.
const YEAR: RangeInclusive<Date> = date(2024, 1, 1)..=date(2024, 12, 31);

/// Days without a roll-up. New York's clock changes on one of them.
const WITHOUT_ROLL_UP: RangeInclusive<Date> = date(2024, 3, 6)..=date(2024, 3, 12);

/// What an import brings in the year: requests around the date that Apia has skipped.
const IMPORTED: RangeInclusive<Date> = date(2011, 12, 25)..=date(2012, 1, 3);

/// How many days apart the totals are compared, besides around the changes of clocks.
const CHECK_DAYS: i32 = 30;

/// A time zone: its name, and since when its clock is ahead of UTC by how much, both in seconds.
struct Zone {
    name: &'static str,
    offsets: &'static [(i64, i64)],
    /// The dates that are asked for.
    dates: RangeInclusive<Date>,
}

/// Printed by Python 3.11 with tzdata 2025b, from the moments at which the offset differs from the one
/// a quarter-hour before:
///
/// `python3 -c 'import datetime as d, zoneinfo
/// def offset(zone, t): return int(d.datetime.fromtimestamp(t, zone).utcoffset().total_seconds())
/// for name, first in [("America/New_York", 2024), ("Pacific/Apia", 2011)]:  # and so on
///   zone, last = zoneinfo.ZoneInfo(name), None
///   for t in range(int(d.datetime(first - 1, 12, 1).timestamp()), int(d.datetime(first + 1, 2, 1).timestamp()), 900):
///     if offset(zone, t) != last: last = offset(zone, t); print(name, t, last)'`
const ZONES: [Zone; 7] = [
    Zone { name: "UTC", offsets: &[(i64::MIN, 0)], dates: YEAR },
    Zone {
        name: "America/New_York",
        offsets: &[(i64::MIN, -18_000), (1_710_054_000, -14_400), (1_730_613_600, -18_000)],
        dates: YEAR,
    },
    Zone { name: "Asia/Kolkata", offsets: &[(i64::MIN, 19_800)], dates: YEAR },
    Zone { name: "Asia/Kathmandu", offsets: &[(i64::MIN, 20_700)], dates: YEAR },
    Zone {
        name: "Australia/Lord_Howe",
        offsets: &[(i64::MIN, 39_600), (1_712_415_600, 37_800), (1_728_142_200, 39_600)],
        dates: YEAR,
    },
    Zone {
        name: "America/St_Johns",
        offsets: &[(i64::MIN, -12_600), (1_710_048_600, -9_000), (1_730_608_200, -12_600)],
        dates: YEAR,
    },
    Zone {
        name: "Pacific/Apia",
        offsets: &[(i64::MIN, -36_000), (1_325_239_200, 50_400)],
        dates: date(2011, 12, 27)..=date(2012, 1, 2),
    },
];

/// What totals are summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Hour,
    Day,
    Week,
    Month,
}

/// A question about totals, by path.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) zone: &'static str,
    pub(crate) by: By,
    /// The first date in the zone, and the last one.
    pub(crate) dates: RangeInclusive<Date>,
    pub(crate) live: bool,
}

/// The totals of periods, in order. A period is called by its first date, even if the range begins
/// later; an hour by the local time at which it begins and the offset.
pub(crate) type Answer = BTreeMap<(String, usize), i64>;

/// What the simulated servers do.
pub(crate) trait Books {
    /// Sets a server's clock.
    fn set_clock(&mut self, server: usize, now: Timestamp);

    /// Stores requests: a position in [`PATHS`], and a time in microseconds.
    async fn count(&mut self, server: usize, requests: &[(usize, i64)]);

    /// Folds all rows. False if it does not fold except for a roll-up.
    async fn fold(&mut self, server: usize) -> bool;

    /// Folds all rows, and rolls the days up.
    async fn roll_up(&mut self, server: usize, first: Day, last: Day);

    /// `None` if it cannot answer such questions.
    async fn totals(&mut self, server: usize, question: &Question) -> Option<Answer>;
}

/// One request.
struct Noted {
    path: usize,
    micros: i64,
    is_folded: bool,
}

/// Everything that was counted, and how far the books have come.
#[derive(Default)]
struct Ledger {
    requests: Vec<Noted>,
    rolled_up: BTreeSet<Day>,
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

/// A year on some books.
struct Simulation<'a, B> {
    books: &'a mut B,
    ledger: Ledger,
    random: Random,
    /// Requests that are not sent yet, by when that is due.
    due: BTreeMap<i64, Vec<(usize, i64)>>,
    /// The first day that no roll-up has been asked for.
    open: Day,
    answered: usize,
}

// === impl Zone ===

impl Zone {
    fn of(name: &str) -> &'static Zone {
        ZONES.iter().find(|zone| zone.name == name).expect("one of ours")
    }

    /// Since when the clock has been ahead of UTC by how much, in microseconds.
    fn offset(&self, micros: i64) -> (i64, i64) {
        let is_reached = |(since, _): &&(i64, i64)| since.saturating_mul(SECOND) <= micros;
        let (since, offset) =
            self.offsets.iter().rfind(is_reached).expect("the first holds always");
        (since.saturating_mul(SECOND), offset * SECOND)
    }

    /// The date on the clock.
    fn date(&self, micros: i64) -> Date {
        Day::of_micros(micros + self.offset(micros).1).date()
    }

    /// When the period of a time begins, on the clock, in microseconds, and the offset of an hour.
    fn period(&self, by: By, micros: i64) -> (i64, i64) {
        let (since, offset) = self.offset(micros);
        let local = micros + offset;
        let day = Day::of_micros(local);
        let first = match by {
            // An hour begins anew when the clock changes.
            By::Hour => {
                return (
                    (local - local.rem_euclid(HOUR)).max(since.saturating_add(offset)),
                    offset,
                );
            }
            By::Day => day,
            // 1970-01-01 was a Thursday.
            By::Week => day.plus(-(day.0 + 3).rem_euclid(7)),
            By::Month => day.plus(1 - i32::from(day.date().day())),
        };
        (first.start_micros(), 0)
    }

    /// The moments at which its clock shows midnight or changes, on a day of UTC.
    fn moments(&self, day: Day) -> Vec<i64> {
        let changes = self.offsets[1..].iter().flat_map(|(since, _)| {
            [-HOUR, -HOUR / 2, 0, HOUR / 2, HOUR].map(|beside| since * SECOND + beside)
        });
        let midnight = (day.start_micros()..)
            .step_by(900_000_000)
            .find(|micros| (micros + self.offset(*micros).1).rem_euclid(DAY) == 0);
        let moments = changes.chain(midnight);
        moments.filter(|micros| day.micros().contains(micros)).collect()
    }

    fn changes_on(&self, date: Date) -> bool {
        self.offsets[1..].iter().any(|(since, _)| Day::of_micros(since * SECOND) == Day::from(date))
    }
}

// === impl Ledger ===

impl Ledger {
    fn fold(&mut self) {
        self.requests.iter_mut().for_each(|request| request.is_folded = true);
    }

    /// Only days that have totals are rolled up.
    fn roll_up(&mut self, first: Day, last: Day) {
        self.fold();
        let days = self.requests.iter().map(|request| Day::of_micros(request.micros));
        self.rolled_up.extend(days.filter(|day| (first..=last).contains(day)));
    }

    fn totals(&self, question: &Question) -> Answer {
        let zone = Zone::of(question.zone);
        let mut sums: BTreeMap<((i64, i64), usize), i64> = BTreeMap::new();
        for Noted { path, micros, is_folded } in &self.requests {
            let is_seen = *is_folded && self.rolled_up.contains(&Day::of_micros(*micros));
            if (is_seen || question.live) && question.dates.contains(&zone.date(*micros)) {
                *sums.entry((zone.period(question.by, *micros), *path)).or_default() += 1;
            }
        }
        let called = |(start, offset)| match question.by {
            By::Hour => hour_label(start, offset),
            _ => Day::of_micros(start).to_string(),
        };
        sums.into_iter().map(|((period, path), count)| ((called(period), path), count)).collect()
    }
}

/// Such as `2024-03-10T01:30:00+05:30`.
fn hour_label(local: i64, offset: i64) -> String {
    let day = Day::of_micros(local);
    let (seconds, minutes) = ((local - day.start_micros()) / SECOND, offset / SECOND / 60);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let sign = if minutes < 0 { '-' } else { '+' };
    let (ahead_hours, ahead_minutes) = (minutes.abs() / 60, minutes.abs() % 60);
    format!("{day}T{hour:02}:{minute:02}:{second:02}{sign}{ahead_hours:02}:{ahead_minutes:02}")
}

// === impl Random ===

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.unsigned_abs()).cast_signed()
    }
}

// === impl Simulation ===

impl<B: Books> Simulation<'_, B> {
    async fn run(&mut self) {
        let (first, last) = (Day::from(*YEAR.start()), Day::from(*YEAR.end()));
        for day in (first.0..=last.0).map(Day) {
            self.plan(day);
            if day == first.plus(40) {
                self.import().await;
            }
            // The duties are with one server or the other.
            let server = self.server();
            let rolls_up = !WITHOUT_ROLL_UP.contains(&day.date());
            // Its clock is an hour ahead: the day is not over.
            self.step(day.start_micros() + 23 * HOUR + 600 * SECOND).await;
            if server == 1 && rolls_up {
                self.roll_up(server, day).await;
            }
            self.step(day.micros().end - 1).await;
            let is_near_a_change = ZONES
                .iter()
                .any(|zone| zone.changes_on(day.date()) || zone.changes_on(day.plus(-2).date()));
            if is_near_a_change || (day.0 - first.0) % CHECK_DAYS == 0 || day == last {
                self.check(day).await;
            }
            self.step(day.micros().end + 600 * SECOND).await;
            if server == 0 && rolls_up {
                self.roll_up(server, day).await;
            }
        }
        self.step(last.plus(9).start_micros()).await;
        self.roll_up(0, last).await;
        self.check(last).await;
    }

    /// What is requested on a day, and when each request is sent: some of them come days late.
    fn plan(&mut self, day: Day) {
        let mut times: Vec<i64> =
            (0..3).map(|_| day.start_micros() + self.random.below(DAY)).collect();
        let is_near_a_change =
            ZONES.iter().any(|zone| (-2..=2).any(|days| zone.changes_on(day.plus(days).date())));
        for (n, zone) in ZONES.iter().enumerate() {
            if is_near_a_change || day.0 as usize % ZONES.len() == n {
                times.extend(zone.moments(day).iter().flat_map(|at| [at - 1, *at, at + 1]));
            }
        }
        for micros in times {
            let is_late = self.random.below(10) == 0;
            let late = if is_late { self.random.below(3 * DAY) } else { 0 };
            let path = self.random.below(3).unsigned_abs() as usize;
            self.due.entry(micros + late).or_default().push((path, micros));
        }
    }

    /// Lets the time come: what is due is sent to a server, and sometimes it is folded.
    async fn step(&mut self, now: i64) {
        self.set_clocks(now);
        let later = self.due.split_off(&(now + 1));
        let due = std::mem::replace(&mut self.due, later);
        let requests: Vec<_> = due.into_values().flatten().collect();
        let server = self.server();
        self.count(server, &requests).await;
        if self.random.below(2) == 0 {
            let server = self.server();
            if self.books.fold(server).await {
                self.ledger.fold();
            }
        }
    }

    /// One of the two.
    fn server(&mut self) -> usize {
        usize::from(self.random.below(2) == 1)
    }

    fn set_clocks(&mut self, now: i64) {
        for (server, wrong) in [0, HOUR].into_iter().enumerate() {
            let now = Timestamp::from_microsecond(now + wrong).expect("a time of the year");
            self.books.set_clock(server, now);
        }
    }

    async fn count(&mut self, server: usize, requests: &[(usize, i64)]) {
        if !requests.is_empty() {
            self.books.count(server, requests).await;
        }
        let noted = requests.iter().map(|&(path, micros)| Noted { path, micros, is_folded: false });
        self.ledger.requests.extend(noted);
    }

    /// Imports old requests, each quarter-hour and beside it.
    async fn import(&mut self) {
        let (first, last) = (Day::from(*IMPORTED.start()), Day::from(*IMPORTED.end()));
        let quarters = (first.start_micros()..last.micros().end).step_by(900_000_000);
        let times = quarters.flat_map(|at| [at, at + 899_999_999]);
        let requests: Vec<_> = times.enumerate().map(|(n, micros)| (n % 3, micros)).collect();
        self.count(1, &requests).await;
        self.books.roll_up(0, first, last).await;
        self.ledger.roll_up(first, last);
    }

    /// Rolls up what is over by the server's clock, as the schedule does: missed days too. Sometimes
    /// somebody rolls the days before it up as well.
    async fn roll_up(&mut self, server: usize, last: Day) {
        let again = self.random.below(4);
        let first = self.open.plus(if again == 0 { -4 } else { 0 }).min(last);
        self.books.roll_up(server, first, last).await;
        self.ledger.roll_up(first, last);
        self.open = last.plus(1);
    }

    /// Compares all totals.
    async fn check(&mut self, day: Day) {
        for zone in &ZONES {
            for by in [By::Hour, By::Day, By::Week, By::Month] {
                for live in [false, true] {
                    let end = day.date().min(*zone.dates.end());
                    let week = Day::from(end).plus(-8).date();
                    let start = if by == By::Hour { week } else { *zone.dates.start() };
                    let question =
                        Question { zone: zone.name, by, dates: start.min(end)..=end, live };
                    let server = self.server();
                    let Some(answer) = self.books.totals(server, &question).await else { continue };
                    let expected = self.ledger.totals(&question);
                    assert_eq!(answer, expected, "{question:?} on {}", day.date());
                    self.answered += usize::from(!answer.is_empty());
                }
            }
        }
    }
}

/// Goes through the year, and returns how many answers were compared that had totals.
pub(crate) async fn simulate(books: &mut impl Books) -> usize {
    let mut simulation = Simulation {
        books,
        ledger: Ledger::default(),
        random: Random(2_024),
        due: BTreeMap::new(),
        open: Day::from(*YEAR.start()),
        answered: 0,
    };
    simulation.run().await;
    simulation.answered
}

/// A store, as two servers use it.
struct Stored {
    backend: Backend,
    producers: [Producer; 2],
    ids: Vec<EndpointId>,
    clocks: [ManualClock; 2],
}

impl Books for Stored {
    fn set_clock(&mut self, server: usize, now: Timestamp) {
        self.clocks[server].set(now);
    }

    async fn count(&mut self, server: usize, requests: &[(usize, i64)]) {
        let store = if server == 0 { &self.backend.store } else { &self.backend.second };
        let rows: Vec<_> = requests.iter().map(|&(path, at)| (self.ids[path], at)).collect();
        self.producers[server].append(store, self.backend.is_cockroach(), rows).await;
    }

    async fn fold(&mut self, _server: usize) -> bool {
        false
    }

    async fn roll_up(&mut self, server: usize, _first: Day, last: Day) {
        let store = if server == 0 { &self.backend.store } else { &self.backend.second };
        // A roll-up that folds all rows needs no earlier first day.
        let days = DayRange { first: Day::MIN, last };
        store.roll_up(days).await.unwrap();
        if last.0 % 10 == 0 {
            store.maintain(self.clocks[server].now()).await.unwrap();
        }
    }

    async fn totals(&mut self, server: usize, question: &Question) -> Option<Answer> {
        let granularity = match question.by {
            By::Day => Granularity::Day,
            By::Month => Granularity::Month,
            By::Hour | By::Week => return None,
        };
        if question.zone != "UTC" {
            return None;
        }
        let store = if server == 0 { &self.backend.store } else { &self.backend.second };
        let mut query = query(granularity, question.live);
        let (first, last) = (*question.dates.start(), *question.dates.end());
        query.days = DayRange { first: first.into(), last: last.into() };
        let totals = listed(&ask(store, &query).await.unwrap());
        let of = |path: &str| PATHS.iter().position(|one| *one == path).unwrap();
        Some(totals.into_iter().map(|(day, _, path, count)| ((day, of(&path)), count)).collect())
    }
}

async fn on(backend: Backend) {
    let mut ids = Vec::new();
    for path in PATHS {
        ids.push(backend.id(3, path).await);
    }
    let clocks = [0, 1].map(|_| ManualClock::new(Timestamp::UNIX_EPOCH));
    let producers = [Producer::new(), Producer::new()];
    let answered = simulate(&mut Stored { backend, producers, ids, clocks }).await;
    assert!(answered > 50, "{answered}");
}

#[tokio::test]
async fn a_year_on_sqlite_is_exact() {
    on(Backend::sqlite("year").await.unwrap()).await;
}

#[tokio::test]
async fn a_year_on_postgres_is_exact() {
    if let Some(backend) = Backend::postgres("year").await {
        on(backend).await;
    }
}

/// The list of offsets above is no copy of what a server uses, but it must not be wrong either.
#[test]
fn the_offsets_are_those_of_a_tz_database() {
    for zone in &ZONES {
        let known = TimeZone::get(zone.name).unwrap();
        let (first, last) = (Day::from(*zone.dates.start()), Day::from(*zone.dates.end()));
        for micros in (first.start_micros()..last.micros().end).step_by(900_000_000) {
            let offset = known.to_offset(Timestamp::from_microsecond(micros).unwrap());
            let expected = i64::from(offset.seconds()) * SECOND;
            assert_eq!(zone.offset(micros).1, expected, "{} at {micros}", zone.name);
        }
    }
}

#[test]
fn hours_begin_when_the_clock_changes() {
    let zone = Zone::of("Australia/Lord_Howe");
    let change = 1_712_415_600 * SECOND;
    for (at, label) in [
        (change - 1, "2024-04-07T01:00:00+11:00"),
        (change, "2024-04-07T01:30:00+10:30"),
        (change + HOUR / 2, "2024-04-07T02:00:00+10:30"),
    ] {
        let (start, offset) = zone.period(By::Hour, at);
        assert_eq!(hour_label(start, offset), label);
    }
}
