//! Rolling partitions up, and the default partition.

use std::time::Duration;

use tally_runtime::faults;
use tally_store::error::Step as _;
use tally_store::postgres::{Database, Isolation};
use tally_store::retry::Policy;

use super::super::Result;
use super::append::Micros;
use super::partitions::{self, Partition};
use crate::model::DayRange;

/// How many blocks of the default partition one transaction walks: 16 MiB, some 370,000 rows.
const STEP_BLOCKS: i64 = 2_048;

/// Whoever waits for an exclusive lock holds up the inserts that come after it. So a roll-up
/// waits for it briefly, and lets the inserts pass between two attempts.
const LOCKING: Policy = Policy {
    attempts_max: 300,
    pause_min: Duration::from_millis(100),
    ..Policy::long("roll a day up")
};

/// Every row of the days that is committed now; returns how many.
pub(super) async fn roll_up(database: &Database, days: DayRange) -> Result<u64> {
    let mut rows = 0;
    for partition in partitions::list(database, days).await? {
        rows += LOCKING.run(|| one_day(database, partition)).await?;
    }
    let blocks = Policy::short("measure the default partition").run(|| blocks(database)).await?;
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

/// One transaction: lock the partition, which waits for the batches that are being stored in
/// it; count; add; empty it.
async fn one_day(database: &Database, partition: Partition) -> Result<u64> {
    let mut connection = database.connection().await?;
    // What is committed is seen without a lock; an empty partition needs none.
    if !partitions::has_rows(&connection, partition).await? {
        connection.release();
        return Ok(0);
    }
    let transaction = connection.begin(Isolation::Default).await?;
    faults::point("roll_up.begun").await;
    transaction
        .batch_execute(include_str!("wait_briefly.sql"))
        .await
        .step("limit the wait for a lock")?;
    let locked =
        transaction.batch_execute(&partition.sql(include_str!("lock_partition.sql"))).await;
    match locked {
        // Another server rolled it up, and dropped it.
        Err(error) if partitions::is_undefined_table(&error) => return Ok(0),
        locked => locked.step("lock the day's partition")?,
    }
    faults::point("roll_up.locked").await;
    let sql = partition.sql(include_str!("roll_up_partition.sql"));
    let row = transaction.query_one(&sql, &[&partition.day.0]).await.step("add a day's rows up")?;
    faults::point("roll_up.added").await;
    let sql = partition.sql(include_str!("empty_partition.sql"));
    transaction.batch_execute(&sql).await.step("empty the day's partition")?;
    faults::point("roll_up.before_commit").await;
    transaction.commit().await?;
    faults::point("roll_up.committed").await;
    connection.release();
    u64_of(row.get(0))
}

/// One statement: delete some blocks' rows of the days, and add them up.
async fn late_rows(database: &Database, days: DayRange, first: i64) -> Result<u64> {
    let mut connection = database.connection().await?;
    let transaction = connection.begin(Isolation::Default).await?;
    faults::point("roll_up.late.begun").await;
    let statement = transaction
        .prepare_cached(include_str!("roll_up_late_rows.sql"))
        .await
        .step("add late rows up")?;
    let range = days.micros();
    let (from, to) = (Micros(range.start), Micros(range.end));
    let blocks = [format!("({first},0)"), format!("({},0)", first + STEP_BLOCKS)];
    let row = transaction
        .query_one(&statement, &[&blocks[0], &blocks[1], &from, &to])
        .await
        .step("add late rows up")?;
    faults::point("roll_up.late.added").await;
    transaction.commit().await?;
    faults::point("roll_up.late.committed").await;
    connection.release();
    u64_of(row.get(0))
}

/// How many blocks the default partition has. Rows that are committed now lie within them,
/// and stay where they are.
async fn blocks(database: &Database) -> Result<i64> {
    let connection = database.connection().await?;
    let row = connection
        .query_one(include_str!("default_blocks.sql"), &[])
        .await
        .step("measure the default partition")?;
    connection.release();
    Ok(row.get(0))
}

/// Gives the default partition's space back if nothing is left in it, and if nobody uses it
/// right now; otherwise it waits for the next roll-up, or for VACUUM.
async fn reclaim(database: &Database) {
    let attempt = async {
        let step = "give the default partition's space back";
        let mut connection = database.connection().await?;
        let transaction = connection.begin(Isolation::Default).await?;
        transaction.batch_execute(include_str!("lock_default_now.sql")).await.step(step)?;
        let row =
            transaction.query_one(include_str!("default_has_rows.sql"), &[]).await.step(step)?;
        if !row.get::<_, bool>(0) {
            transaction.batch_execute(include_str!("empty_default.sql")).await.step(step)?;
        }
        transaction.commit().await?;
        connection.release();
        Result::Ok(())
    };
    if let Err(error) = attempt.await {
        tracing::debug!(error = tally_runtime::chain(&error), "left the default partition's space");
    }
}

fn u64_of(rows: i64) -> Result<u64> {
    Ok(u64::try_from(rows).unwrap_or_default())
}
