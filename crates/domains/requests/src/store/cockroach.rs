//! CockroachDB: one table of rows, whose key is led by a hash of the day.

use std::sync::LazyLock;

use tally_producers::append::postgres::Statements;
use tally_store::postgres::Database;
use tally_store::retry::Policy;
use tokio_postgres::types::ToSql;

use super::Result;
use super::postgres::append::Way;
use crate::model::DayRange;

/// Rows per step of a roll-up: CockroachDB advises against larger transactions.
const STEP_ROWS: i64 = 10_000;

/// CockroachDB lacks the form of COPY that the driver uses.
pub(super) static WAY: LazyLock<Way> = LazyLock::new(|| Way {
    statements: Statements::new(include_str!("cockroach/append.sql")),
    copy_rows_min: None,
    try_row: include_str!("cockroach/try_row.sql"),
});

/// Moves rows into totals, step by step. A repeated step finds only the rows that are left.
pub(super) async fn roll_up(database: &Database, days: DayRange) -> Result<u64> {
    let (step, sql) = ("move rows into totals", include_str!("cockroach/roll_up.sql"));
    let values: [&(dyn ToSql + Sync); 3] = [&days.first.0, &days.last.0, &STEP_ROWS];
    let mut rows = 0;
    loop {
        let once = || database.commit_rows(step, sql, &values);
        let moved = Policy::long("roll rows up").run(once).await?;
        let moved: i64 = moved.first().map_or(0, |row| row.get(0));
        if moved == 0 {
            return Ok(rows);
        }
        rows += moved.unsigned_abs();
    }
}
