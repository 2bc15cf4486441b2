//! A year by a stepped clock: every total by hour, day, week, month, year and as a whole in several
//! time zones, held against a list of all requests.
//!
//! It is a leap year in which two servers count and do the duties by turns, one of them with a clock
//! that is an hour ahead. On SQLite it is one server whose clock is set. Late requests come after their
//! day's roll-up, people fold and roll up at any time, and for a week no server does its duties.
//!
//! | file | what it owns |
//! |---|---|
//! | `ledger.rs` | the list of all requests, and what is asked of it |
//! | `zone.rs` | the clocks of time zones, without a tz database |

mod ledger;
mod zone;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use tally_outbox::{Outbox, Webhooks};
use tally_producers::Fate;
use tally_requests::periods::{Granularity as By, QuarterRange, Zone as Named};
use tally_requests::store::{Appended, Names, Store};
use tally_requests::{Day, DayRange, Query, Rows, Service, Settings};
use tally_runtime::{Clock as _, Drain, Kind, ManualClock, Tasks, chain};
use tally_serve::Parts;
use tally_store::Database;

use self::ledger::{Answer, Ledger, Question, Request, position};
use self::zone::{ZONES, hour_label};
use crate::backend::{Backend, Producer, named, query};
use crate::conformance::on_every_backend;
use crate::server::settings;

on_every_backend!(crate::year:
    a_year_is_exact,
    a_year_is_exact_while_quarters_are_pruned,
);

/// The paths of all requests.
const PATHS: [&str; 3] = ["/a", "/b", "/é"];

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// A quarter-hour, to step by.
const QUARTER: usize = 900_000_000;

/// The days that the clock goes through.
const YEAR: RangeInclusive<Date> = date(2024, 1, 1)..=date(2024, 12, 31);

/// Days on which no server does its duties. New York's clock changes on one of them.
const UNATTENDED: RangeInclusive<Date> = date(2024, 3, 6)..=date(2024, 3, 12);

/// What imports bring in the year: requests around the date that Apia has skipped.
const IMPORTED: RangeInclusive<Date> = date(2011, 12, 25)..=date(2012, 1, 3);
/// When.
const IMPORTS: [Date; 2] = [date(2024, 2, 10), date(2024, 7, 20)];

/// How many days apart the totals are compared, besides around the changes of clocks.
const CHECK_DAYS: i32 = 61;

/// For how many days quarters are kept in the second year.
const RETENTION_DAYS: u32 = 100;

const BY: [By; 6] = [By::Hour, By::Day, By::Week, By::Month, By::Year, By::Whole];

/// When a server rolls up, in microseconds after midnight.
const ROLL_UP_AT: i64 = 600 * SECOND;

/// A server: its own connections, clock and duties.
struct Server {
    service: Service,
    clock: Arc<ManualClock>,
    producer: Producer,
    /// How far ahead its clock is, in microseconds.
    ahead: i64,
    /// When it last rolled up by itself, and deleted quarters, by its clock.
    rolled_up: Option<i64>,
    kept_house: Option<i64>,
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

/// A year on a database.
struct Simulation {
    backend: Backend,
    servers: Vec<Server>,
    ledger: Ledger,
    random: Random,
    now: i64,
    /// Requests that are not sent yet, by when that is due.
    due: BTreeMap<i64, Vec<Request>>,
    retention_days: u32,
    seen: Seen,
}

/// What the comparisons came across.
#[derive(Debug, Default)]
struct Seen {
    /// Answers with totals.
    answers: usize,
    /// Of them, those that some rows were not folded for.
    unfolded: usize,
    refusals: usize,
}

async fn a_year_is_exact(backend: Backend) {
    let seen = simulate(backend, 0).await;
    assert!(seen.answers > 500 && seen.unfolded > 100 && seen.refusals == 0, "{seen:?}");
}

async fn a_year_is_exact_while_quarters_are_pruned(backend: Backend) {
    let seen = simulate(backend, RETENTION_DAYS).await;
    assert!(seen.answers > 500 && seen.unfolded > 100 && seen.refusals > 100, "{seen:?}");
}

/// Goes through the year.
async fn simulate(backend: Backend, retention_days: u32) -> Seen {
    let mut servers = vec![Server::start(&backend.database, retention_days, 0).await];
    if backend.database_name() != "main" {
        servers.push(Server::start(&backend.second_database, retention_days, HOUR).await);
    }
    let mut simulation = Simulation {
        backend,
        servers,
        ledger: Ledger::default(),
        random: Random(2_024),
        now: 0,
        due: BTreeMap::new(),
        retention_days,
        seen: Seen::default(),
    };
    simulation.run().await;
    simulation.seen
}

// === impl Server ===

impl Server {
    async fn start(database: &Database, quarter_retention_days: u32, ahead: i64) -> Self {
        let (clock, drain) = (Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)), Drain::new());
        // Its duties are done when the year says so, not each second.
        drain.begin();
        let parts = Parts {
            database: database.clone(),
            clock: Arc::clone(&clock) as _,
            drain,
            tasks: Tasks::new(),
            outbox: Outbox::new(database.clone(), Webhooks::default()),
        };
        let roll_up_at = "00:10".parse().expect("a time of day");
        let settings = Settings { roll_up_at, quarter_retention_days, ..settings() };
        let service = Service::start(parts, settings).await.expect("the service starts");
        let producer = Producer::new();
        Self { service, clock, producer, ahead, rolled_up: None, kept_house: None }
    }

    fn store(&self) -> Arc<Store> {
        self.service.store()
    }

    fn now(&self) -> i64 {
        self.clock.now().as_microsecond()
    }

    fn set_clock(&self, now: i64) {
        let now = Timestamp::from_microsecond(now + self.ahead).expect("a time of the year");
        self.clock.set(now);
    }

    async fn count(&mut self, requests: &[Request]) {
        let names = PATHS.map(|path| named(3, path));
        let rows: Rows = requests.iter().map(|&(path, at)| (names[path].id, at)).collect();
        let chunks = [rows.into()];
        let batch = self.producer.next(&chunks);
        let store = self.store();
        let stored = async || {
            let names = Names::new(names.to_vec(), store.state());
            store.append(&batch, &names, self.clock.now()).await.expect("a batch")
        };
        let mut appended = stored().await;
        if appended == Appended::Stale {
            appended = stored().await;
        }
        let fates = match appended {
            Appended::Stored { fates, .. } => fates,
            other => panic!("the store never stays in one state: {other:?}"),
        };
        assert!(matches!(fates[..], [Fate::Stored { .. }]), "{fates:?}");
    }
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

    fn is_one_in(&mut self, of: i64) -> bool {
        self.below(of) == 0
    }
}

// === impl Simulation ===

impl Simulation {
    async fn run(&mut self) {
        let (first, last) = (Day::from(*YEAR.start()), Day::from(*YEAR.end()));
        for day in (first.0..=last.0).map(Day) {
            self.plan(day);
            if let Some(nth) = IMPORTS.iter().position(|date| *date == day.date()) {
                self.import(nth).await;
                self.check(day).await;
            }
            for hour in [0, 23] {
                // At 00:10 something is due; at 23:10 only by a clock that is ahead.
                let seconds = [599, 600, 601, 602, self.random.below(3_600)];
                let second = seconds[self.random.below(5).unsigned_abs() as usize];
                self.step(day.start_micros() + hour * HOUR + second * SECOND).await;
            }
            self.arrive(day.micros().end - 1).await;
            let has_changed = ZONES.iter().any(|zone| zone.changes_on(day.plus(-1).date()));
            if has_changed || (day.0 - first.0) % CHECK_DAYS == 0 || day == last {
                self.check(day).await;
            }
            self.attend().await;
        }
        self.step(last.plus(9).start_micros()).await;
        for server in 0..self.servers.len() {
            self.tick(server).await;
        }
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
        // Midnight finds one of a rolled-up day in the rows.
        let midnight = self.due.entry(day.micros().end - 1).or_default();
        midnight.extend(
            [0, 2].map(|days| (days % PATHS.len(), day.plus(-(days as i32)).start_micros())),
        );
        for micros in times {
            let late = if self.random.is_one_in(10) { self.random.below(3 * DAY) } else { 0 };
            let path = self.random.below(3).unsigned_abs() as usize;
            self.due.entry(micros + late).or_default().push((path, micros));
        }
    }

    async fn step(&mut self, now: i64) {
        self.arrive(now).await;
        self.attend().await;
    }

    /// Lets the time come: what is due is sent to a server.
    async fn arrive(&mut self, now: i64) {
        self.now = now;
        self.set_clocks();
        let later = self.due.split_off(&(now + 1));
        let due = std::mem::replace(&mut self.due, later);
        let requests: Vec<Request> = due.into_values().flatten().collect();
        if !requests.is_empty() {
            let server = self.server();
            self.count(server, &requests).await;
        }
    }

    /// Servers do their duties, or people the same by hand.
    async fn attend(&mut self) {
        let today = Day::of_micros(self.now);
        let is_attended = !UNATTENDED.contains(&today.date());
        let server = self.server();
        if is_attended {
            self.tick(server).await;
        }
        if is_attended && self.random.is_one_in(10) {
            // The lease is lost at once.
            let server = self.server();
            self.tick(server).await;
        }
        if self.random.is_one_in(20) {
            self.servers[server].store().fold().await.expect("a fold");
        }
        if is_attended && self.random.is_one_in(20) {
            let days = DayRange { first: today.plus(-4), last: today };
            self.servers[server].store().roll_up(days).await.expect("a roll-up");
            self.ledger.roll_up(days.first, days.last);
        }
    }

    /// One of them.
    fn server(&mut self) -> usize {
        let servers = self.servers.len() as i64;
        self.random.below(servers).unsigned_abs() as usize
    }

    /// The only server's clock is right at times, and an hour ahead at others.
    fn set_clocks(&mut self) {
        if self.servers.len() == 1 && self.random.is_one_in(3) {
            self.servers[0].ahead = HOUR - self.servers[0].ahead;
        }
        for server in &self.servers {
            server.set_clock(self.now);
        }
    }

    async fn count(&mut self, server: usize, requests: &[Request]) {
        self.servers[server].count(requests).await;
        self.ledger.requests.extend(requests);
    }

    /// What a server does by itself.
    async fn tick(&mut self, server: usize) {
        let server = &mut self.servers[server];
        server.service.keeper().tick().await.expect("the duties");
        let now = server.now();
        let schedules = |micros: i64| (micros - ROLL_UP_AT).div_euclid(DAY);
        if server.rolled_up.is_none_or(|last| now < last || schedules(last) < schedules(now)) {
            server.rolled_up = Some(now);
            self.ledger.roll_up(Day::MIN, Day::of_micros(now).plus(-1));
        }
        if server.kept_house.is_none_or(|last| now < last || last + HOUR <= now) {
            server.kept_house = Some(now);
            if let Ok(days @ 1..) = i32::try_from(self.retention_days) {
                self.ledger.prune(Day::of_micros(now).plus(-days));
            }
        }
    }

    /// Imports old requests, each quarter-hour and beside it: every other one at each time.
    async fn import(&mut self, nth: usize) {
        let (first, last) = (Day::from(*IMPORTED.start()), Day::from(*IMPORTED.end()));
        let quarters = (first.start_micros()..last.micros().end).step_by(QUARTER);
        let times = quarters.flat_map(|at| [at, at + QUARTER as i64 - 1]);
        let requests = times.enumerate().filter(|(n, _)| n % IMPORTS.len() == nth);
        let requests: Vec<_> = requests.map(|(n, micros)| (n % 3, micros)).collect();
        self.count(0, &requests).await;
        let server = self.server();
        let days = DayRange { first, last };
        self.servers[server].store().roll_up(days).await.expect("a roll-up");
        self.ledger.roll_up(first, last);
    }

    /// Compares all totals.
    async fn check(&mut self, day: Day) {
        let of = PATHS.map(|path| named(3, path).id);
        let path = |id| of.iter().position(|one| *one == id).expect("one of ours");
        let rows = self.backend.rows().await;
        let unfolded: Vec<Request> = rows.into_iter().map(|(id, at)| (path(id), at)).collect();
        // Before the imports, nothing is there in Apia's year.
        let is_imported = day.date() >= IMPORTS[0];
        for zone in ZONES.iter().filter(|zone| is_imported || *zone.dates.end() == *YEAR.end()) {
            let end = day.date().min(*zone.dates.end());
            let week = Day::from(end).plus(-8).date();
            for by in BY {
                let start = if by == By::Hour { week } else { *zone.dates.start() };
                // Both, or to save time one of them.
                let either = [self.random.is_one_in(2)];
                let live =
                    if matches!(by, By::Hour | By::Day) { &[false, true][..] } else { &either };
                for &live in live {
                    let dates = start.min(end)..=end;
                    let mut question = Question { zone: zone.name, by, dates, live };
                    if let Some(first) = self.ledger.refuses(&question) {
                        let server = self.server();
                        let error = self.ask(server, &question).await.expect_err("no quarters");
                        let words = format!("ask for {first} and later");
                        assert!(error.contains(&words), "{error}: {question:?} on {day}");
                        self.seen.refusals += 1;
                        if first > end {
                            continue;
                        }
                        question.dates = first..=end;
                    }
                    self.compare(&question, &unfolded, day).await;
                }
            }
        }
    }

    async fn compare(&mut self, question: &Question, unfolded: &[Request], day: Day) {
        let server = self.server();
        let answer = self.ask(server, question).await;
        let answer = answer.unwrap_or_else(|error| panic!("{error}: {question:?} on {day}"));
        let expected = self.ledger.totals(question, unfolded);
        assert_eq!(answer, expected, "{question:?} on {day}");
        self.seen.answers += usize::from(!answer.is_empty());
        self.seen.unfolded += usize::from(!answer.is_empty() && !unfolded.is_empty());
    }

    /// Asks a server. Fails if what it needs is pruned.
    async fn ask(&self, server: usize, question: &Question) -> Result<Answer, String> {
        let zone = Named::named(question.zone).expect("a zone");
        let (first, last) = (Some(*question.dates.start()), Some(*question.dates.end()));
        let range = QuarterRange::of_dates(first, last, &zone).expect("quarters");
        let query = Query { range, zone, ..query(question.by, question.live) };
        let totals = match self.servers[server].store().totals(&query).await {
            Ok(totals) => totals,
            Err(error) if error.kind() == Kind::FailedPrecondition => return Err(chain(&error)),
            Err(error) => panic!("{}", chain(&error)),
        };
        let mut answer = Answer::new();
        for period in &totals.periods {
            let (label, offset) =
                (period.label, i64::from(period.label.utc_offset_seconds) * SECOND);
            let called = match question.by {
                By::Hour => hour_label(label.start.start_micros() + offset, offset),
                By::Whole => String::new(),
                _ => label.date.to_string(),
            };
            for (group, count) in &period.counts {
                let path = position(&totals.groups[*group as usize].path);
                let twice = answer.insert((called.clone(), path), *count);
                assert_eq!(twice, None, "{question:?}");
            }
        }
        Ok(answer)
    }
}
