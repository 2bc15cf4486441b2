//! Totals of months, days and rows that were put into the tables at random: each form of a query is
//! held against a sum over the same requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tally_requests::model::Quarter;
use tally_requests::periods::{Granularity, Label, QuarterRange, Zone};
use tally_requests::{Day, Filter, Group, GroupBy, Query, TooMany, Totals};
use tally_runtime::{Kind, chain};

use crate::backend::{Backend, ask, day, query};
use crate::conformance::on_every_backend;

on_every_backend!(crate::totals:
    every_form_of_a_query_is_exact,
    pruned_days_have_no_hours,
    a_text_that_is_no_count_names_its_column,
    an_empty_database_has_an_empty_answer,
);

const SEEDS: [u64; 3] = [1, 2, 3];
const QUERIES: usize = 150;
const ZONES: [&str; 6] = [
    "UTC",
    "Asia/Kolkata",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
];
const GRANULARITIES: [Granularity; 6] = [
    Granularity::Hour,
    Granularity::Day,
    Granularity::Week,
    Granularity::Month,
    Granularity::Year,
    Granularity::Whole,
];
const FIELDS: [GroupBy; 6] = [
    GroupBy::Service,
    GroupBy::Method,
    GroupBy::Path,
    GroupBy::Status,
    GroupBy::StatusClass,
    GroupBy::Customer,
];

/// Numbers that look random (xorshift64*).
struct Random(u64);

/// A series of the dictionary; without a group if its name is lost.
struct Series {
    id: i64,
    namespace: i64,
    group: Option<Group>,
}

/// Requests of a series in a quarter.
#[derive(Clone, Copy)]
struct Requests {
    quarter: Quarter,
    series: usize,
    count: i64,
    /// Whether a query that is not live sees them.
    is_rolled_up: bool,
}

/// What is in the tables.
struct Books {
    series: Vec<Series>,
    requests: Vec<Requests>,
    /// Days whose quarters are gone.
    pruned: BTreeSet<Day>,
}

/// SQL for one kind of database.
struct Script {
    is_sqlite: bool,
    sql: String,
}

/// What a total is of.
type Key = (Quarter, Vec<String>);

// === impl Random ===

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    fn is_one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Some of them, and sometimes none.
    fn some<T: Clone>(&mut self, all: &[T]) -> Vec<T> {
        all.iter().filter(|_| self.is_one_in(3)).cloned().collect()
    }
}

fn first_of_month(day: Day) -> Day {
    day.date().first_of_month().into()
}

/// Counts of slots as the tables have them.
fn packed(counts: &BTreeMap<usize, i64>) -> String {
    let Some(first) = counts.keys().next() else { return "[]".to_owned() };
    let mut text = format!("[{first}");
    for slot in *first..=*counts.keys().last().unwrap() {
        write!(text, ",{}", counts.get(&slot).unwrap_or(&0)).unwrap();
    }
    text + "]"
}

// === impl Script ===

impl Script {
    fn date(&self, day: Day) -> String {
        if self.is_sqlite { day.0.to_string() } else { format!("DATE '{day}'") }
    }

    fn time(&self, micros: i64) -> String {
        let time = Timestamp::from_microsecond(micros).unwrap();
        if self.is_sqlite { micros.to_string() } else { format!("TIMESTAMPTZ '{time}'") }
    }

    fn insert(&mut self, table: &str, values: &str) {
        writeln!(self.sql, "INSERT INTO tally_request_{table} VALUES ({values});").unwrap();
    }
}

// === impl Books ===

impl Books {
    fn random(random: &mut Random) -> Self {
        let mut series = Vec::new();
        for n in 0..40 {
            let method = *random.of(&["", "GET", "POST", "GRPC", "42", "PROPFIND"]);
            let group = Group {
                service: (*random.of(&["", "shop", "pay"])).into(),
                method: method.into(),
                path: (*random.of(&["/", "/a", "/a/b", "/é", "/A", "/_%", "_unknown"])).into(),
                status: *random.of(&[0, 5, 13, 200, 204, 404, 503, 999]),
                status_class: 0,
                customer: (*random.of(&["", "acme", "o'neil", "日本"])).into(),
            };
            let namespace = i64::from(n % 10 == 9);
            let is_known = series.iter().any(|one: &Series| {
                one.group.as_ref() == Some(&group) && one.namespace == namespace
            });
            if !is_known {
                series.push(Series { id: 100 + n, namespace, group: Some(group) });
            }
        }
        series.extend([7, i64::MAX].map(|id| Series { id, namespace: 0, group: None }));
        Self { series, requests: Vec::new(), pruned: BTreeSet::new() }
    }

    /// Fills the tables.
    async fn fill(&mut self, backend: &Backend, random: &mut Random) {
        let is_sqlite = backend.database_name() == "main";
        let mut script = Script { is_sqlite, sql: String::new() };
        for Series { id, namespace, group } in &self.series {
            let Some(group) = group else { continue };
            let Group { service, method, path, status, customer, .. } = group;
            let customer = customer.replace('\'', "''");
            script.insert(
                "series",
                &format!(
                    "{id}, {namespace}, '{service}', '{method}', '{path}', {status}, '{customer}'"
                ),
            );
        }
        let mut months: BTreeMap<(Day, usize), BTreeMap<usize, i64>> = BTreeMap::new();
        // Around a year's end and two changes of clocks, and a few days far away.
        let near = day("2023-10-25").0..day("2024-04-10").0;
        let mut days: BTreeSet<Day> = near.map(Day).filter(|_| !random.is_one_in(4)).collect();
        days.extend(["2021-07-31", "2021-08-01", "2025-01-01"].map(day));
        let pruned_until = day("2023-11-10").plus(i32::try_from(random.below(40)).unwrap());
        for of in days {
            let is_rolled_up = !random.is_one_in(4);
            let is_pruned = is_rolled_up && of <= pruned_until;
            let now = script.time(of.start_micros());
            let at = |is: bool| if is { &*now } else { "NULL" };
            let of_calendar = script.date(of);
            script.insert(
                "calendar",
                &format!("{of_calendar}, {}, {}", at(is_rolled_up), at(is_pruned)),
            );
            if is_pruned {
                self.pruned.insert(of);
            }
            let totals = self.add_day(of, is_rolled_up, random, &mut script);
            if is_rolled_up {
                let slot = usize::try_from(of.0 - first_of_month(of).0).unwrap();
                for (series, total) in totals {
                    months.entry((first_of_month(of), series)).or_default().insert(slot, total);
                }
            }
        }
        for ((month, series), days) in &months {
            let (month, id) = (script.date(*month), self.series[*series].id);
            let (total, text) = (days.values().sum::<i64>(), packed(days));
            script.insert("months", &format!("{month}, {id}, {total}, '{text}'"));
        }
        self.add_rows(backend.tray(), random, &mut script);
        backend.execute(&script.sql).await;
    }

    /// Requests of some series on a day that is folded. Returns the series' totals.
    fn add_day(
        &mut self,
        of: Day,
        is_rolled_up: bool,
        random: &mut Random,
        script: &mut Script,
    ) -> BTreeMap<usize, i64> {
        let mut totals = BTreeMap::new();
        for series in 0..self.series.len() {
            if !random.is_one_in(5) {
                continue;
            }
            let mut quarters = BTreeMap::new();
            for _ in 0..=random.below(6) {
                let count = i64::try_from(random.below(1_000)).unwrap() + 1;
                *quarters.entry(random.below(96)).or_default() += count;
            }
            let total: i64 = quarters.values().sum();
            totals.insert(series, total);
            for (slot, count) in &quarters {
                let quarter = Quarter(Quarter::first_of(of).0 + i32::try_from(*slot).unwrap());
                self.requests.push(Requests { quarter, series, count: *count, is_rolled_up });
            }
            // What is left of a pruned day does not count.
            if !self.pruned.contains(&of) || random.is_one_in(2) {
                let (date, id, text) = (script.date(of), self.series[series].id, packed(&quarters));
                script.insert("days", &format!("{date}, {id}, {total}, '{text}'"));
            }
        }
        totals
    }

    /// Rows that are not folded, of any day.
    fn add_rows(&mut self, rows: &str, random: &mut Random, script: &mut Script) {
        for _ in 0..400 {
            let of = match random.below(20) {
                0 => day("2023-06-30"),
                1 => day("2020-02-29"),
                _ => day("2023-10-20").plus(i32::try_from(random.below(180)).unwrap()),
            };
            // Also the first and the last microsecond of quarters.
            let offset = i64::try_from(random.below(96)).unwrap() * Quarter::MICROS
                + [0, 1, 450_000_000, Quarter::MICROS - 1][random.below(4)];
            let micros = of.start_micros() + offset;
            let count = [1, 1, 1, 5][random.below(4)];
            let requests = if count == 1 { "NULL".to_owned() } else { count.to_string() };
            let series = random.below(self.series.len());
            let quarter = Quarter::of_micros(micros);
            self.requests.push(Requests { quarter, series, count, is_rolled_up: false });
            let (id, at) = (self.series[series].id, script.time(micros));
            writeln!(
                script.sql,
                "INSERT INTO {rows} (series_id, requested_at, requests) \
                 VALUES ({id}, {at}, {requests});"
            )
            .unwrap();
        }
    }

    /// The answer, or that a day which a period cuts is pruned.
    fn answer(&self, query: &Query) -> Option<BTreeMap<Key, i64>> {
        let calendar = Calendar::of(query);
        let is_cut = |day: &Day| {
            let first = Quarter::first_of(*day).0;
            let periods: BTreeSet<_> =
                (0..96).map(|n| calendar.period(Quarter(first + n))).collect();
            periods.len() > 1
        };
        if self.pruned.iter().any(is_cut) {
            return None;
        }
        let mut totals: BTreeMap<Key, i64> = BTreeMap::new();
        for one in &self.requests {
            let Some(period) = calendar.period(one.quarter) else { continue };
            let series = &self.series[one.series];
            if (query.live || one.is_rolled_up)
                && let Some(group) = grouped(series, query)
            {
                *totals.entry((period, group)).or_default() += one.count;
            }
        }
        Some(totals)
    }
}

/// Periods as the clock on the wall has them, quarter by quarter.
struct Calendar<'a> {
    query: &'a Query,
    zone: TimeZone,
}

impl<'a> Calendar<'a> {
    fn of(query: &'a Query) -> Self {
        Self { query, zone: TimeZone::get(query.zone.name()).unwrap() }
    }

    /// What names the quarter's period: for hours the quarter that it begins with, otherwise its first
    /// day.
    fn period(&self, quarter: Quarter) -> Option<Quarter> {
        let QuarterRange { start, end } = self.query.range;
        if quarter < start || end <= quarter {
            return None;
        }
        let shown = |quarter: Quarter| {
            let time = Timestamp::from_microsecond(quarter.start_micros()).unwrap();
            let offset = self.zone.to_offset(time);
            (offset.to_datetime(time), offset)
        };
        let (time, offset) = shown(quarter);
        let mut date = time.date();
        match self.query.granularity {
            Granularity::Hour => {
                let is_same = |one: Quarter| {
                    let (before, other) = shown(one);
                    other == offset && before.date() == date && before.hour() == time.hour()
                };
                let mut first = quarter;
                while is_same(Quarter(first.0 - 1)) {
                    first = Quarter(first.0 - 1);
                }
                return Some(first);
            }
            Granularity::Day => {}
            Granularity::Week => {
                while date.weekday() != jiff::civil::Weekday::Monday {
                    date = date.yesterday().unwrap();
                }
            }
            Granularity::Month => date = date.first_of_month(),
            Granularity::Year => date = date.first_of_year(),
            Granularity::Whole => return Some(Quarter(0)),
        }
        Some(Quarter::first_of(date.into()))
    }

    fn name(&self, label: Label) -> Quarter {
        match self.query.granularity {
            Granularity::Hour => label.start,
            Granularity::Whole => Quarter(0),
            _ => Quarter::first_of(label.date.into()),
        }
    }
}

fn class(group: &Group) -> u8 {
    let http = match (&*group.method, group.status) {
        ("GRPC", 5) => 404,
        ("GRPC", 13) => 500,
        (_, status) => status,
    };
    if (100..600).contains(&http) { u8::try_from(http / 100).unwrap() } else { 0 }
}

/// The texts of what the query groups by, unless the filter keeps the series out.
fn grouped(series: &Series, query: &Query) -> Option<Vec<String>> {
    let filter = &query.filter;
    let unknown = Group { path: "_unknown".into(), ..Group::default() };
    let group = series.group.as_ref().unwrap_or(&unknown);
    let lets = |of: &hashbrown::HashSet<String>, text: &str| of.is_empty() || of.contains(text);
    let (no_statuses, no_classes) = (filter.statuses.is_empty(), filter.status_classes.is_empty());
    let is_in = series.namespace == filter.namespace
        && (series.group.is_some() || (filter.is_empty() && filter.namespace == 0))
        && lets(&filter.services, &group.service)
        && lets(&filter.methods, &group.method)
        && lets(&filter.paths, &group.path)
        && lets(&filter.customers, &group.customer)
        && group.path.starts_with(&filter.path_prefix)
        && ((no_statuses && no_classes)
            || filter.statuses.contains(&group.status)
            || filter.status_classes.contains(&class(group)));
    if !is_in || query.sum {
        return is_in.then(Vec::new);
    }
    let text = |by: &GroupBy| match by {
        GroupBy::Service => group.service.to_string(),
        GroupBy::Method => group.method.to_string(),
        GroupBy::Path => group.path.to_string(),
        GroupBy::Status => group.status.to_string(),
        GroupBy::StatusClass => class(group).to_string(),
        GroupBy::Customer => group.customer.to_string(),
    };
    Some(query.group_by.iter().map(text).collect())
}

fn random_filter(random: &mut Random) -> Filter {
    let mut filter = Filter::default();
    let texts =
        |random: &mut Random, of: &[&str]| random.some(of).into_iter().map(str::to_owned).collect();
    match random.below(9) {
        0 => filter.services = texts(random, &["", "shop", "nobody"]),
        1 => filter.methods = texts(random, &["", "GET", "GRPC", "42"]),
        2 => filter.paths = texts(random, &["/", "/é", "/_%", "_unknown"]),
        3 => filter.path_prefix = (*random.of(&["/", "/a", "/_", "é", "/é"])).to_owned(),
        4 => filter.statuses = random.some(&[0, 200, 404]).into_iter().collect(),
        5 => {
            filter.status_classes = random.some(&[2, 4, 5]).into_iter().collect();
            filter.statuses = random.some(&[0, 200, 13]).into_iter().collect();
        }
        6 => filter.customers = texts(random, &["", "o'neil", "日本"]),
        7 => filter.namespace = 1,
        _ => {}
    }
    if random.is_one_in(6) {
        filter.services = texts(random, &["", "shop"]);
    }
    filter
}

fn random_query(random: &mut Random) -> Query {
    let zone = Zone::named(random.of::<&str>(&ZONES)).unwrap();
    let date = |random: &mut Random| {
        Some(day("2023-10-20").plus(i32::try_from(random.below(180)).unwrap()).date())
    };
    let range = match random.below(5) {
        0 => QuarterRange::ALL,
        1 => QuarterRange::of_dates(date(random), None, &zone).unwrap(),
        2 => {
            // Within days.
            let first = Quarter::first_of(day("2023-11-20")).0;
            let start = first + i32::try_from(random.below(10_000)).unwrap();
            let end = start + i32::try_from(random.below(2_000)).unwrap();
            QuarterRange { start: Quarter(start), end: Quarter(end) }
        }
        _ => {
            let (a, b) = (date(random), date(random));
            QuarterRange::of_dates(a.min(b), a.max(b), &zone).unwrap()
        }
    };
    Query {
        range,
        granularity: *random.of(&GRANULARITIES),
        zone,
        filter: random_filter(random),
        group_by: match random.below(3) {
            0 => vec![GroupBy::Method, GroupBy::Path],
            _ => random.some(&FIELDS),
        },
        live: random.is_one_in(2),
        sum: random.is_one_in(5),
        totals_max: if random.is_one_in(8) { random.below(300) } else { 1_000_000 },
        with_corrections: false,
        limit: None,
    }
}

/// An answer in the form of the expected one; it checks the order.
fn listed(totals: &Totals, query: &Query) -> BTreeMap<Key, i64> {
    let starts: Vec<_> = totals.periods.iter().map(|period| period.label.start).collect();
    assert!(starts.is_sorted() && totals.groups.is_sorted(), "{query:?}");
    let calendar = Calendar::of(query);
    let mut listed = BTreeMap::new();
    for period in &totals.periods {
        assert!(period.counts.iter().is_sorted_by(|a, b| a.0 < b.0), "{query:?}");
        for (group, count) in &period.counts {
            let group = totals.groups.get(*group as usize);
            assert_eq!(group.is_none(), query.sum);
            let texts = group.map(|one| Series { id: 0, namespace: 0, group: Some(one.clone()) });
            let name = |one: &Series| {
                let group = one.group.as_ref().unwrap();
                let text = |by: &GroupBy| match by {
                    GroupBy::StatusClass => group.status_class.to_string(),
                    by => {
                        let by = Query {
                            group_by: vec![*by],
                            filter: Filter::default(),
                            ..query.clone()
                        };
                        grouped(one, &by).unwrap().remove(0)
                    }
                };
                query.group_by.iter().map(text).collect()
            };
            let key = (calendar.name(period.label), texts.as_ref().map(name).unwrap_or_default());
            assert_eq!(listed.insert(key, *count), None, "{query:?}");
        }
    }
    listed
}

async fn every_form_of_a_query_is_exact(backend: Backend) {
    let (mut refused, mut too_many, mut answered) = (0, 0, 0);
    for seed in SEEDS {
        backend.execute(&format!("DELETE FROM {}", backend.tray())).await;
        for table in ["series", "days", "months", "calendar"] {
            backend.execute(&format!("DELETE FROM tally_request_{table}")).await;
        }
        let mut random = Random(seed);
        let mut books = Books::random(&mut random);
        books.fill(&backend, &mut random).await;
        for _ in 0..QUERIES {
            let query = random_query(&mut random);
            let answer = backend.store.totals(&query).await;
            match (books.answer(&query), answer) {
                (None, Err(error)) => {
                    assert_eq!(error.kind(), Kind::FailedPrecondition, "{}", chain(&error));
                    refused += 1;
                }
                (Some(expected), Err(error)) => {
                    assert!(error.find::<TooMany>().is_some(), "{} {query:?}", chain(&error));
                    assert!(expected.len() > query.totals_max, "{query:?}");
                    too_many += 1;
                }
                (Some(expected), Ok(answer)) => {
                    assert!(expected.len() <= query.totals_max, "{query:?}");
                    assert_eq!(listed(&answer, &query), expected, "seed {seed}: {query:?}");
                    answered += usize::from(!expected.is_empty());
                }
                (None, Ok(_)) => panic!("a pruned day is cut: {query:?}"),
            }
        }
    }
    assert!(refused > 10 && too_many > 5 && answered > 100, "{refused} {too_many} {answered}");
}

async fn pruned_days_have_no_hours(backend: Backend) {
    let mut random = Random(4);
    let mut books = Books::random(&mut random);
    books.fill(&backend, &mut random).await;
    let last = *books.pruned.last().unwrap();
    let refused = async |query: &Query| {
        let error = backend.store.totals(query).await.expect_err("no quarters");
        assert_eq!(error.kind(), Kind::FailedPrecondition);
        chain(&error)
    };
    // A day of Kolkata begins 5.5 hours before that of UTC, and one of New York 5 hours after it.
    for (name, first) in [("Asia/Kolkata", 2), ("America/New_York", 1), ("UTC", 1)] {
        let zone = Zone::named(name).unwrap();
        let hours = Query { zone: zone.clone(), ..query(Granularity::Hour, true) };
        let (error, first) = (refused(&hours).await, last.plus(first).date());
        assert!(error.contains(&format!("{last} (UTC)")), "{error}");
        assert!(error.contains(&format!("ask for {first} and later")), "{error}");
        let range = QuarterRange::of_dates(Some(first), None, &zone).unwrap();
        let later = Query { range, ..hours.clone() };
        assert!(ask(&backend.store, &later).await.is_ok(), "it is the first one");
        let early = books.pruned.iter().next().map(|day| day.date());
        let range = QuarterRange::of_dates(early, early, &zone).unwrap();
        let error = refused(&Query { range, ..hours.clone() }).await;
        assert!(
            error.contains(&format!("ask for {first} and later")),
            "of a pruned range: {error}"
        );
        let before = Some(first.yesterday().unwrap());
        let range = QuarterRange::of_dates(before, before, &zone).unwrap();
        refused(&Query { range, ..hours }).await;
    }
    assert!(
        ask(&backend.store, &query(Granularity::Day, true)).await.is_ok(),
        "UTC's days are kept"
    );
}

async fn a_text_that_is_no_count_names_its_column(backend: Backend) {
    let date = if backend.database_name() == "main" { "19700" } else { "DATE '2023-12-01'" };
    let now = if backend.database_name() == "main" { "1" } else { "now()" };
    let sql = format!(
        "INSERT INTO tally_request_calendar VALUES ({date}, {now}, NULL); \
         INSERT INTO tally_request_months VALUES ({date}, 1, 5, '[0,5'); \
         INSERT INTO tally_request_days VALUES ({date}, 1, 5, '[96,5]')"
    );
    backend.execute(&sql.replace("19700", &day("2023-12-01").0.to_string())).await;
    for (granularity, column) in [
        (Granularity::Day, "tally_request_months.days"),
        (Granularity::Hour, "tally_request_days.quarters"),
    ] {
        let error = backend.store.totals(&query(granularity, true)).await.expect_err("no counts");
        assert!(chain(&error).contains(column), "{}", chain(&error));
    }
}

async fn an_empty_database_has_an_empty_answer(backend: Backend) {
    for granularity in GRANULARITIES {
        for live in [false, true] {
            let answer = ask(&backend.store, &query(granularity, live)).await.unwrap();
            assert_eq!(answer, Totals::default());
        }
    }
}
