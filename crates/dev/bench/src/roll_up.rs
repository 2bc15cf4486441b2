//! `roll-up`: a day's roll-up against the bare aggregate of its rows.
//!
//! It uses the store itself, because a server would fold the rows meanwhile.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_ingest::Batch;
use tally_requests::store::{Appended, Names, Store};
use tally_requests::{DayRange, Named, Rows};
use tally_runtime::{Clock as _, Day, SystemClock};
use tally_store::Database;
use uuid::Uuid;

use crate::arguments::{self, Arguments};
use crate::mix::{Mix, mixed, within};
use crate::place::{Place, megabytes};
use crate::samples::{Samples, ms, per_second};

/// How many rows are stored at once.
const BATCH_ROWS: u64 = 100_000;

/// How often the rows are counted by the bare statement.
const COUNTS: usize = 3;

/// The statement that a roll-up is held against, by the day's beginning and end.
const POSTGRES_COUNT: &str = "SELECT series_id, count(*) FROM tally_requests \
     WHERE requested_at >= to_timestamp($1::BIGINT) AND requested_at < to_timestamp($2::BIGINT) \
     GROUP BY series_id";
/// What the view is made of: unlike a scan of the view, this one is parallel.
const POSTGRES_TRAYS: &str = "( \
         SELECT * FROM tally_requests_0 UNION ALL SELECT * FROM tally_requests_1 UNION ALL \
         SELECT * FROM tally_requests_2 UNION ALL SELECT * FROM tally_requests_3 \
     ) AS r";
const SQLITE_COUNT: &str = "SELECT series_id, count(*) FROM tally_requests \
     WHERE requested_at >= ?1 AND requested_at < ?2 GROUP BY series_id";

/// Rows that a day is filled with.
pub(crate) struct Filling {
    pub(crate) mix: Mix,
    pub(crate) day: Day,
    pub(crate) rows: u64,
    pub(crate) is_shuffled: bool,
}

pub(crate) async fn run(
    arguments: &Arguments,
    asked: &arguments::RollUp,
    place: &Place,
) -> anyhow::Result<bool> {
    let rows = arguments.size(asked.rows, 10_000_000, 50_000);
    let rounds = arguments.size(asked.rounds, 3, 2);
    place.print_settings().await?;
    let (database, store) = place.open().await?;
    let day = Day::of(SystemClock.now());
    let mix = Mix::new(asked.series, false, arguments.seed);
    let filling = Filling { mix, day, rows, is_shuffled: asked.shuffled };
    let (mut bare, mut parallel) = (Samples::default(), Samples::default());
    let (mut rolled_up, mut is_right) = (Samples::default(), true);
    for round in 1..=rounds {
        let took = filling.store(&store, u64::from(round)).await?;
        let stored = per_second(rows, took);
        let (mut counts, mut line) = ([Samples::default(), Samples::default()], Vec::new());
        for (samples, is_parallel) in counts.iter_mut().zip([false, true]) {
            if is_parallel && !matches!(database, Database::Postgres(_)) {
                break;
            }
            for _ in 0..COUNTS {
                let (counted, took) = count(&database, place, day, is_parallel).await?;
                anyhow::ensure!(counted == rows, "{counted} of {rows} rows are there");
                line.push(ms(took));
                samples.add(took);
            }
        }
        let start = Instant::now();
        let moved = store.roll_up(DayRange::one(day)).await?;
        let took = start.elapsed();
        is_right &= moved == rows;
        // Deletes what the rows have left, as a server's duty does.
        store.fold().await?;
        println!(
            "round {round}: {rows} rows stored at {stored}; bare {} ms; roll-up {} ms, {moved} rows; \
             size {}",
            line.join(", "),
            ms(took),
            megabytes(place.bytes().await?)
        );
        let [of_view, of_trays] = counts;
        bare.add(of_view.median());
        parallel.add(of_trays.median());
        rolled_up.add(took);
    }
    let (bare, parallel, rolled_up) = (bare.median(), parallel.median(), rolled_up.median());
    let ratio = |to: Duration| rolled_up.as_secs_f64() / to.as_secs_f64();
    println!(
        "medians: bare {} ms, roll-up {} ms, ratio {:.2} (target: 1.5); {}",
        ms(bare),
        ms(rolled_up),
        ratio(bare),
        if is_right { "PASS" } else { "FAIL" }
    );
    if matches!(database, Database::Postgres(_)) {
        println!(
            "bare on the trays that the view is made of, where Postgres scans in parallel: {} ms, ratio {:.2}",
            ms(parallel),
            ratio(parallel)
        );
    }
    Ok(is_right)
}

/// Counts the rows of the day by series, on a connection with the same settings; returns their sum,
/// and how long that took.
pub(crate) async fn count(
    database: &Database,
    place: &Place,
    day: Day,
    is_parallel: bool,
) -> anyhow::Result<(u64, Duration)> {
    let micros = day.micros();
    let (sum, took): (i64, Duration) = match database {
        Database::Postgres(_) => {
            let client = place.postgres().await.context("Postgres")?;
            let sql = match is_parallel {
                true => POSTGRES_COUNT.replace("tally_requests", POSTGRES_TRAYS),
                false => POSTGRES_COUNT.to_owned(),
            };
            let statement = client.prepare(&sql).await?;
            let (first, end) = (micros.start / 1_000_000, micros.end / 1_000_000);
            let start = Instant::now();
            let rows = client.query(&statement, &[&first, &end]).await?;
            (rows.iter().map(|row| row.get::<_, i64>(1)).sum(), start.elapsed())
        }
        Database::Sqlite(database) => {
            let counted = database.read(move |connection| {
                let start = Instant::now();
                let sum = || {
                    let mut statement = connection.prepare(SQLITE_COUNT)?;
                    let range = [micros.start, micros.end];
                    let counts = statement.query_map(range, |row| row.get::<_, i64>(1))?;
                    counts.sum::<rusqlite::Result<i64>>()
                };
                Ok(sum().map(|sum| (sum, start.elapsed())))
            });
            counted.await??
        }
    };
    Ok((sum.unsigned_abs(), took))
}

// === impl Filling ===

impl Filling {
    /// Stores rows of the day, as an insert worker does.
    pub(crate) async fn store(&self, store: &Store, round: u64) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let names = self.mix.series.iter().map(|one| {
            let series = one.stored();
            Arc::new(Named::new(series.id(0), series))
        });
        let all: Vec<Arc<Named>> = names.collect();
        let producer = Uuid::now_v7();
        let mut sequence = 0;
        for first in (0..self.rows).step_by(usize::try_from(BATCH_ROWS)?) {
            sequence += 1;
            let range = first..self.rows.min(first + BATCH_ROWS);
            let micros = self.micros(&range);
            let row = |n| {
                let id = all[self.mix.pick(round, n) as usize].id;
                (id, within(mixed(3, round, n), &micros))
            };
            let chunk: Rows = range.map(row).collect();
            let chunks = [chunk.into()];
            let batch = Batch { producer, sequence, is_repeated: false, chunks: &chunks };
            let names = if sequence == 1 { all.clone() } else { Vec::new() };
            let append = async || {
                let names = Names::new(names.clone(), store.state());
                store.append(&batch, &names, SystemClock.now()).await
            };
            while append().await? == Appended::Stale {}
        }
        Ok(start.elapsed())
    }

    /// When the rows of a batch happened: in their part of the day, or anywhere in it.
    fn micros(&self, batch: &Range<u64>) -> Range<i64> {
        let day = self.day.micros();
        if self.is_shuffled {
            return day;
        }
        let length = i128::from(day.end - day.start);
        let at = |n: u64| day.start + (length * i128::from(n) / i128::from(self.rows)) as i64;
        at(batch.start)..at(batch.end)
    }
}
