//! Rolling partitions up, and the default partition.

use std::time::Duration;

use tally_runtime::faults;
use tally_store::error::Step as _;
use tally_store::postgres::{Database, Isolation};
use tally_store::retry::Policy;
use tokio_postgres::Row;

use super::super::Result;
use super::partitions::{self, Partition};
use crate::model::DayRange;
use crate::rows::Micros;

/// Blocks of the default partition per transaction: 16 MiB, some 370,000 rows.
const STEP_BLOCKS: i64 = 2_048;

/// Waiting for an exclusive lock holds up later inserts. So a roll-up waits briefly, and lets
/// inserts pass between two attempts.
const LOCKING: Policy = Policy {
    attempts_max: 300,
    pause_min: Duration::from_millis(100),
    ..Policy::long("roll a day up")
};

/// Rolls up every row of the days that is committed now. Returns how many.
pub(crate) async fn roll_up(database: &Database, days: DayRange) -> Result<u64> {
    let mut rows = 0;
    for partition in partitions::list(database, days).await? {
        rows += LOCKING.run(|| one_day(database, partition)).await?;
    }
    // Rows that are committed now are within these blocks, and stay there.
    let (step, sql) = ("measure the default partition", include_str!("default_blocks.sql"));
    let measured = Policy::short(step).run(|| database.rows(step, sql, &[])).await?;
    let blocks: i64 = measured.first().map_or(0, |row| row.get(0));
    let mut first = 0;
    while first < blocks {
        let step = Policy::long("roll late rows up");
        rows += step.run(|| late_rows(database, days, first)).await?;
        first += STEP_BLOCKS;
    }
    if blocks > 0 {
        reclaim(database).await;
    }
    Ok(rows)
}

/// One transaction: lock the partition, which waits for batches in progress; count; add; empty it.
async fn one_day(database: &Database, partition: Partition) -> Result<u64> {
    let connection = database.connection().await?;
    // Committed rows are visible without a lock, and an empty partition needs none.
    if !partitions::has_rows(&connection, partition).await? {
        connection.release();
        return Ok(0);
    }
    let transaction = connection.transaction(Isolation::Default).await?;
    faults::point("roll_up.begun").await;
    transaction.script("limit the wait for a lock", include_str!("wait_briefly.sql")).await?;
    let sql = partition.sql(include_str!("lock_partition.sql"));
    match transaction.script("lock the day's partition", &sql).await {
        // Another server has rolled it up and dropped it.
        Err(error) if partitions::is_undefined_table(&error) => return Ok(0),
        locked => locked?,
    }
    faults::point("roll_up.locked").await;
    let sql = partition.sql(include_str!("roll_up_partition.sql"));
    let row = transaction.query_one(&sql, &[&partition.day.0]).await.step("add a day's rows up")?;
    faults::point("roll_up.added").await;
    let sql = partition.sql(include_str!("empty_partition.sql"));
    transaction.script("empty the day's partition", &sql).await?;
    faults::point("roll_up.before_commit").await;
    transaction.commit().await?;
    faults::point("roll_up.committed").await;
    Ok(u64_of(&row))
}

/// One statement: delete the days' rows from some blocks, and add them up.
async fn late_rows(database: &Database, days: DayRange, first: i64) -> Result<u64> {
    let transaction = database.begin(Isolation::Default).await?;
    faults::point("roll_up.late.begun").await;
    let (step, sql) = ("add late rows up", include_str!("roll_up_late_rows.sql"));
    let range = days.micros();
    let (from, to) = (Micros(range.start), Micros(range.end));
    let [begin, end] = [first, first + STEP_BLOCKS].map(|block| format!("({block},0)"));
    let row = transaction.row(step, sql, &[&begin, &end, &from, &to]).await?;
    faults::point("roll_up.late.added").await;
    transaction.commit().await?;
    faults::point("roll_up.late.committed").await;
    Ok(u64_of(&row))
}

/// Gives the default partition's space back, if it is empty and not in use. Otherwise the next
/// roll-up or VACUUM does it.
async fn reclaim(database: &Database) {
    let attempt = async {
        let step = "give the default partition's space back";
        let transaction = database.begin(Isolation::Default).await?;
        transaction.script(step, include_str!("lock_default_now.sql")).await?;
        let row = transaction.row(step, include_str!("default_has_rows.sql"), &[]).await?;
        if !row.get::<_, bool>(0) {
            transaction.script(step, include_str!("empty_default.sql")).await?;
        }
        transaction.commit().await
    };
    if let Err(error) = attempt.await {
        tracing::debug!(error = tally_runtime::chain(&error), "left the default partition's space");
    }
}

fn u64_of(row: &Row) -> u64 {
    u64::try_from(row.get::<_, i64>(0)).unwrap_or_default()
}
