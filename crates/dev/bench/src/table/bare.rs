//! SQLite's own limit: a bare loop of inserts with the settings, the table and the sizes of the server.

use std::time::Instant;

use anyhow::Context as _;
use rusqlite::Connection;
use tally_runtime::{Clock as _, SystemClock};

use super::copy::SERIES;
use super::figures::{Figures, Metric};
use super::{Measured, Run};
use crate::arguments::Backend;
use crate::mix::Series;
use crate::server::Server;

/// Rows of a statement, and of a transaction.
const INSERT_ROWS: usize = 100;
const COMMIT_ROWS: u64 = 100_000;

pub(super) fn measure(run: &Run<'_>) -> anyhow::Result<Measured> {
    let place = run.place(Backend::Sqlite)?;
    // It makes the file, with its page size and its write-ahead log, and the tables.
    Server::start(run.arguments, &place)?.stop()?;
    let mut connection = Connection::open(place.file().context("a file")?)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let ids: Vec<i64> = (0..SERIES).map(|n| Series::nth(n).stored().id(0)).collect();
    let mut rows = ids.iter().cycle().zip(SystemClock.now().as_microsecond()..);
    let values = vec!["(?, ?)"; INSERT_ROWS].join(", ");
    let insert =
        format!("INSERT OR FAIL INTO tally_requests_0 (series_id, requested_at) VALUES {values}");
    let (mut left, start) = (run.sizes.rows, Instant::now());
    while left > 0 {
        let of_commit = left.min(COMMIT_ROWS);
        let transaction = connection.transaction()?;
        let mut statement = transaction.prepare_cached(&insert)?;
        for _ in 0..of_commit.div_ceil(INSERT_ROWS as u64) {
            for (at, (id, micros)) in (1..).step_by(2).zip(rows.by_ref().take(INSERT_ROWS)) {
                statement.raw_bind_parameter(at, id)?;
                statement.raw_bind_parameter(at + 1, micros)?;
            }
            statement.raw_execute()?;
        }
        drop(statement);
        transaction.commit()?;
        left -= of_commit;
    }
    let took = start.elapsed();
    let mut figures = Figures::default();
    figures.set(Metric::Rate, run.sizes.rows as f64 / took.as_secs_f64());
    let counted = connection
        .query_row("SELECT count(*) FROM tally_requests", [], |row| row.get::<_, i64>(0))?;
    let mut measured = Measured::of(figures);
    measured.expect("rows", counted.unsigned_abs(), run.sizes.rows);
    Ok(measured)
}
