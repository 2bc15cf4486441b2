//! Fills new databases with rolled-up days, asks for their totals, and prints how long an answer
//! takes:
//!
//! `cargo run --release -p tally-requests --example totals_speed`

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tally_ingest::Batch;
use tally_requests::store::{self, Appended, Names, Store};
use tally_requests::{Day, DayRange, Filter, Granularity, MIGRATIONS, Named, Query, Rows, Series};
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl};
use tally_testkit::TestDatabase;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// 2023-01-01.
const FIRST: Day = Day(19_358);
/// How many days, and how many endpoints, each of which has a total on each day.
const SIZES: [(i32, usize); 2] = [(30, 200), (365, 1_000)];
/// How often each query is asked, after a warm-up.
const TIMES: usize = 11;

#[tokio::main]
async fn main() -> Result<()> {
    println!("median of {TIMES}, in ms");
    for (days, endpoints) in SIZES {
        let folder = tempfile::tempdir()?;
        let postgres = TestDatabase::create("totals_speed");
        let sqlite = format!("sqlite:{}", folder.path().join("tally.db").display());
        for (name, url) in [("postgres", postgres.url()), ("sqlite", sqlite)] {
            let url: DatabaseUrl = url.parse()?;
            let database = Database::open(&url, Settings::default()).await?;
            MIGRATIONS.run(&database).await?;
            let store = store::open(&database);
            fill(&store, days, endpoints).await?;
            print!("{name:<8} {days:>3} days × {endpoints:>4} endpoints");
            for granularity in [Granularity::Day, Granularity::Month, Granularity::Whole] {
                for live in [false, true] {
                    let ms = ask(&store, days, granularity, live).await?.as_secs_f64() * 1e3;
                    print!("  {granularity:?}{} {ms:.1}", if live { " live" } else { "" });
                }
            }
            println!();
        }
    }
    Ok(())
}

/// Stores a request of each day and endpoint, and rolls them up.
async fn fill(store: &Store, days: i32, endpoints: usize) -> Result<()> {
    let names =
        (0..endpoints).map(|n| Series::of_endpoint(3, &format!("/some/path/to/something/{n}")));
    let mut names: Vec<_> = names.map(|one| Arc::new(Named::new(one.id(0), one))).collect();
    names.sort_unstable_by_key(|named| named.id);
    let producer = Uuid::now_v7();
    for day in 0..days {
        let micros = FIRST.plus(day).start_micros();
        let rows: Rows = names.iter().map(|named| (named.id, micros)).collect();
        let chunks = [rows.into()];
        let sequence = i64::from(day) + 1;
        let batch = Batch { producer, sequence, is_repeated: false, chunks: &chunks };
        let append = async || store.append(&batch, &Names::new(names.clone(), store.state())).await;
        while append().await? == Appended::Stale {}
    }
    store.roll_up(DayRange::ALL).await?;
    Ok(())
}

/// How long an answer takes, in the median.
async fn ask(store: &Store, days: i32, granularity: Granularity, live: bool) -> Result<Duration> {
    let days = DayRange { first: FIRST, last: FIRST.plus(days - 1) };
    let (filter, totals_max, limit) = (Filter::default(), 1_000_000, None);
    let query = Query { days, granularity, filter, live, sum: false, totals_max, limit };
    let mut took = Vec::new();
    for _ in 0..TIMES + 2 {
        let start = Instant::now();
        store.totals(&query).await?;
        took.push(start.elapsed());
    }
    let took = &mut took[2..];
    took.sort_unstable();
    Ok(took[TIMES / 2])
}
