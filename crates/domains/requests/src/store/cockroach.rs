//! CockroachDB: one table of rows, whose key is led by a hash and then the time.

pub(super) mod begun;
pub(super) mod books;

use std::sync::LazyLock;

use tally_producers::append::postgres::Statements;
use tally_runtime::faults;
use tally_store::postgres::Database;
use tally_store::retry::Policy;
use tokio_postgres::types::ToSql;

use super::Result;
use super::postgres::append::Way;
use super::postgres::books::{begin, fold_by};
use super::postgres::micros::Micros;
use crate::books::{Folded, Posting};
use crate::model::Quarter;

/// How many rows a step of a fold, a roll-up or a prune takes: CockroachDB advises against larger
/// transactions.
pub(super) const STEP_ROWS: i64 = 10_000;

/// CockroachDB lacks the form of COPY that the driver uses.
pub(super) static WAY: LazyLock<Way> = LazyLock::new(|| Way {
    statements: Statements::new(include_str!("cockroach/append.sql"), "TRUE"),
    copy: None,
    try_row: include_str!("cockroach/try_row.sql").to_owned(),
});

/// Folds the rows of these times, in microseconds since 1970-01-01 UTC, step by step. A repeated step
/// finds only the rows that are left.
pub(super) async fn fold(
    database: &Database,
    micros: std::ops::Range<i64>,
    step_rows: i64,
) -> Result<Folded> {
    let mut all = Folded::default();
    loop {
        let once = || step(database, &micros, step_rows);
        let (rows, folded) = Policy::long("fold rows").run(once).await?;
        all += folded;
        if rows < step_rows {
            return Ok(all);
        }
    }
}

/// One transaction: delete some rows, and add them. Returns how many rows.
async fn step(
    database: &Database,
    micros: &std::ops::Range<i64>,
    step_rows: i64,
) -> Result<(i64, Folded)> {
    let transaction = begin(database).await?;
    faults::point("fold.begun").await;
    let (from, to) = (Micros(micros.start), Micros(micros.end));
    let values: [&(dyn ToSql + Sync); 3] = [&from, &to, &step_rows];
    let sql = include_str!("cockroach/take_rows.sql");
    let rows = transaction.rows("take the rows of a fold", sql, &values).await?;
    let posting = |row: &tokio_postgres::Row| {
        let Micros(micros) = row.get(0);
        Posting::of_quarter(Quarter::of_micros(micros), row.get(1), row.get(2))
    };
    let folded = fold_by(
        &transaction,
        include_str!("cockroach/stages.sql"),
        rows.iter().map(posting).collect(),
    )
    .await?;
    faults::point("fold.before_commit").await;
    transaction.commit().await?;
    faults::point("fold.committed").await;
    Ok((i64::try_from(rows.len()).unwrap_or(i64::MAX), folded))
}
