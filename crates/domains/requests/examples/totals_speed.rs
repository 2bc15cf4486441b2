//! Fills a new database with 36 months of totals and some rows, asks for their totals in each form,
//! and prints how long an answer takes:
//!
//! `cargo run --release -p tally-requests --example totals_speed -- DATABASE_URL [SERIES] [DAYS]`
//!
//! The last DAYS days are not pruned: they have all 96 quarters of each series.

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::error::Error;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use tally_requests::model::Quarter;
use tally_requests::periods::{Granularity, QuarterRange, Zone};
use tally_requests::store::{self, Store};
use tally_requests::{Day, DayRange, Filter, GroupBy, MIGRATIONS, Query, TooMany};
use tally_runtime::chain;
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// 2023-01-01.
const FIRST: Day = Day(19_358);
const MONTHS: i32 = 36;
/// How many rows are not folded.
const ROWS: i32 = 1_000_000;
/// How often each query is asked, after a warm-up.
const TIMES: usize = 5;

const SQLITE: [&str; 5] = [
    include_str!("totals_speed/sqlite/series.sql"),
    include_str!("totals_speed/sqlite/calendar.sql"),
    include_str!("totals_speed/sqlite/months.sql"),
    include_str!("totals_speed/sqlite/days.sql"),
    include_str!("totals_speed/sqlite/rows.sql"),
];
const POSTGRES: [&str; 6] = [
    include_str!("totals_speed/postgres/series.sql"),
    include_str!("totals_speed/postgres/calendar.sql"),
    include_str!("totals_speed/postgres/months.sql"),
    include_str!("totals_speed/postgres/days.sql"),
    include_str!("totals_speed/postgres/rows.sql"),
    include_str!("totals_speed/postgres/analyze.sql"),
];

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url: DatabaseUrl = arguments.next().ok_or("give a database URL")?.parse()?;
    let series: i32 = arguments.next().map_or(Ok(5_000), |one| one.parse())?;
    let days: i32 = arguments.next().map_or(Ok(400), |one| one.parse())?;
    let database = Database::open(&url, Settings::default()).await?;
    tally_producers::MIGRATIONS.run(&database).await?;
    MIGRATIONS.run(&database).await?;
    let start = Instant::now();
    let size = Size { series, days };
    match &database {
        Database::Sqlite(database) => {
            let sql = size.sql(&SQLITE.join(";"));
            database
                .write(move |connection| {
                    connection.execute_batch(&sql).expect("the tables are new");
                    Ok(())
                })
                .await?;
        }
        Database::Postgres(database) => {
            let sql = size.sql(&POSTGRES.join(";"));
            database.connection().await?.script("fill the tables", &sql).await?;
        }
    }
    println!("filled in {:.0} s; median of {TIMES}, in ms", start.elapsed().as_secs_f64());
    let store = store::open(&database);
    for (name, query) in size.queries()? {
        println!("{}", line(&store, &name, &query).await?);
    }
    Ok(())
}

struct Size {
    series: i32,
    days: i32,
}

// === impl Size ===

impl Size {
    /// The last day, and the first one whose quarters are kept.
    fn ends(&self) -> (Day, Day) {
        let last = FIRST.date().checked_add(jiff::Span::new().months(MONTHS)).expect("a date");
        let last = Day::from(last).plus(-1);
        (last, last.plus(1 - self.days))
    }

    fn sql(&self, sql: &str) -> String {
        let (last, kept) = self.ends();
        [
            ("{series}", self.series),
            ("{first}", FIRST.0),
            ("{last}", last.0),
            ("{kept}", kept.0),
            ("{rows}", ROWS),
        ]
        .iter()
        .fold(sql.to_owned(), |sql, (name, value)| sql.replace(name, &value.to_string()))
    }

    fn queries(&self) -> Result<Vec<(String, Query)>> {
        let (last, kept) = self.ends();
        let (all, kept) = (DayRange { first: FIRST, last }, DayRange { first: kept.plus(2), last });
        let end = |days: i32| DayRange { first: last.plus(1 - days), last };
        let (default, status) =
            (vec![GroupBy::Method, GroupBy::Path], vec![GroupBy::Service, GroupBy::StatusClass]);
        let customer = Filter { customers: ["customer 7".to_owned()].into(), ..Filter::default() };
        let everything = Filter::default();
        let utc = "UTC";
        let mut queries = Vec::new();
        for (days, granularity, zone, groups, filter) in [
            (all, Granularity::Whole, utc, &default, &everything),
            (all, Granularity::Year, utc, &default, &everything),
            (all, Granularity::Month, utc, &default, &everything),
            (end(100), Granularity::Week, utc, &default, &everything),
            (end(100), Granularity::Day, utc, &default, &everything),
            (end(7), Granularity::Hour, utc, &default, &everything),
            (all, Granularity::Day, utc, &status, &everything),
            (all, Granularity::Week, utc, &status, &everything),
            (all, Granularity::Day, utc, &default, &customer),
            (end(31), Granularity::Hour, utc, &status, &everything),
            (kept, Granularity::Hour, utc, &default, &customer),
            (kept, Granularity::Whole, "Asia/Kolkata", &default, &everything),
            (kept, Granularity::Month, "Asia/Kolkata", &default, &everything),
            (end(31), Granularity::Day, "Asia/Kolkata", &default, &everything),
            (kept, Granularity::Day, "Asia/Kolkata", &status, &everything),
            (kept, Granularity::Week, "America/New_York", &status, &everything),
            (kept, Granularity::Hour, "America/New_York", &status, &everything),
        ] {
            let zone = Zone::named(zone)?;
            let dates: [Option<Date>; 2] = [days.first, days.last].map(|day| Some(day.date()));
            let name = format!(
                "{:>4} days by {granularity:?} in {}, {}{}",
                days.last.0 - days.first.0 + 1,
                zone.name(),
                if groups == &default { "method, path" } else { "service, class" },
                if filter.is_empty() { "" } else { ", one customer" },
            );
            for live in [false, true] {
                let query = Query {
                    range: QuarterRange::of_dates(dates[0], dates[1], &zone)?,
                    granularity,
                    zone: zone.clone(),
                    filter: filter.clone(),
                    group_by: groups.clone(),
                    live,
                    sum: false,
                    totals_max: 1_000_000,
                    limit: None,
                };
                queries.push((format!("{name}{}", if live { ", live" } else { "" }), query));
            }
        }
        let now = Quarter(Quarter::first_of(last.plus(1)).0 - 1);
        let range = QuarterRange { start: Quarter(now.0 - 95), end: Quarter(now.0 + 1) };
        let (_, whole) = queries[1].clone();
        queries.push(("the last day, live".to_owned(), Query { range, ..whole }));
        Ok(queries)
    }
}

/// How long an answer takes, in the median.
async fn line(store: &Store, name: &str, query: &Query) -> Result<String> {
    let mut took: Vec<Duration> = Vec::new();
    let mut what = String::new();
    for _ in 0..=TIMES {
        let start = Instant::now();
        what = match store.totals(query).await {
            Ok(totals) => {
                let totals = totals.periods.iter().map(|period| period.counts.len()).sum::<usize>();
                format!("{totals} totals")
            }
            Err(error) if error.find::<TooMany>().is_some() => "too many".to_owned(),
            Err(error) => chain(&error),
        };
        took.push(start.elapsed());
        if took[0] > Duration::from_secs(3) {
            break;
        }
    }
    took.sort_unstable();
    let ms = took[took.len() / 2].as_secs_f64() * 1e3;
    Ok(format!("{ms:>8.1}  {name}: {what}"))
}
