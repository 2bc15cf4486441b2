//! Made-up requests, and the tables that have them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;
use tally_requests::model::Quarter;
use tally_requests::{Day, Group};

use crate::backend::{Backend, day};

/// Numbers that look random (xorshift64*).
pub(super) struct Random(pub(super) u64);

/// A series of the dictionary; without a group if its name is lost.
pub(super) struct Series {
    pub(super) id: i64,
    pub(super) namespace: i64,
    pub(super) group: Option<Group>,
}

/// Requests of a series in a quarter.
#[derive(Clone, Copy)]
pub(super) struct Requests {
    pub(super) quarter: Quarter,
    pub(super) series: usize,
    pub(super) count: i64,
    /// Whether a query that is not live sees them.
    pub(super) is_rolled_up: bool,
}

/// What is in the tables.
pub(super) struct Books {
    pub(super) series: Vec<Series>,
    pub(super) requests: Vec<Requests>,
    /// Days whose quarters are gone.
    pub(super) pruned: BTreeSet<Day>,
}

/// SQL for one kind of database.
struct Script {
    is_sqlite: bool,
    sql: String,
}

// === impl Random ===

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    pub(super) fn is_one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Some of them, and sometimes none.
    pub(super) fn some<T: Clone>(&mut self, all: &[T]) -> Vec<T> {
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
    pub(super) fn random(random: &mut Random) -> Self {
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
    pub(super) async fn fill(&mut self, backend: &Backend, random: &mut Random) {
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
            // On CockroachDB some days are being rolled up: their months have series up to this one.
            let is_begun = is_rolled_up && !is_pruned && backend.is_cockroach();
            let reached =
                Some(random.below(self.series.len())).filter(|one| is_begun && one % 3 > 0);
            let reached = reached.map(|one| self.series[one].id);
            let (rolled_up, pruned) = (at(is_rolled_up), at(is_pruned));
            match reached {
                Some(reached) => script.insert(
                    "calendar (day, rolled_up_at, pruned_at, reached)",
                    &format!("{of_calendar}, {rolled_up}, {pruned}, {reached}"),
                ),
                None => script.insert(
                    "calendar (day, rolled_up_at, pruned_at)",
                    &format!("{of_calendar}, {rolled_up}, {pruned}"),
                ),
            }
            if is_pruned {
                self.pruned.insert(of);
            }
            let totals = self.add_day(of, is_rolled_up, random, &mut script);
            if is_rolled_up {
                let slot = usize::try_from(of.0 - first_of_month(of).0).unwrap();
                for (series, total) in totals {
                    if reached.is_some_and(|reached| self.series[series].id > reached) {
                        continue;
                    }
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
}
