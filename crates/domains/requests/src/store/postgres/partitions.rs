//! Which partitions there are; making and dropping them.
//!
//! Nothing depends on a partition: the rows of a day without one are in the default partition,
//! where they are counted as exactly, only slower. So what fails here is left for the next time.

use jiff::Timestamp;
use jiff::civil::Date;
use tally_runtime::Said;
use tally_store::Error;
use tally_store::error::Step as _;
use tally_store::postgres::{Connection, Database, Isolation};
use tally_store::retry::Policy;
use tokio_postgres::error::SqlState;

use super::super::Result;
use crate::model::{Day, DayRange};

/// Make partitions for this many days ahead.
const DAYS_AHEAD: i32 = 7;
/// Make more only when fewer are left: Postgres reads the default partition for each new one, so
/// every few days is better than every day.
const DAYS_AHEAD_MIN: i32 = 3;
/// A day's partition has this name and the date.
const PREFIX: &str = "tally_requests_p";
/// The partition of the days that have none.
const DEFAULT: &str = "tally_requests_default";

/// The partition of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) day: Day,
}

// === impl Partition ===

impl Partition {
    pub(super) fn name(self) -> String {
        let date = self.day.date();
        format!("{PREFIX}{:04}{:02}{:02}", date.year(), date.month(), date.day())
    }

    /// A statement about this partition, whose name needs no quotes.
    pub(super) fn sql(self, template: &str) -> String {
        template
            .replace(":partition", &self.name())
            .replace(":from", &self.day.to_string())
            .replace(":to", &self.day.plus(1).to_string())
    }

    fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_prefix(PREFIX).filter(|digits| digits.len() == 8)?;
        let date = Date::strptime("%Y%m%d", digits).ok()?;
        Some(Self { day: date.into() })
    }
}

/// The partitions of the days.
pub(super) async fn list(database: &Database, days: DayRange) -> Result<Vec<Partition>> {
    let (step, sql) = ("list partitions", include_str!("partitions.sql"));
    let rows = Policy::short(step).run(|| database.rows(step, sql, &[])).await?;
    let partitions = rows.iter().filter_map(|row| Partition::parse(row.get(0)));
    let mut found: Vec<_> = partitions.filter(|one| days.contains(one.day)).collect();
    found.sort_unstable_by_key(|partition| partition.day);
    Ok(found)
}

/// Makes the partitions of today and the next days.
pub(crate) async fn make_ahead(database: &Database, now: Timestamp) -> Result<()> {
    let today = Day::of(now);
    let days = DayRange { first: today, last: today.plus(DAYS_AHEAD) };
    let there = list(database, days).await?;
    let is_there = |ahead| there.contains(&Partition { day: today.plus(ahead) });
    if (0..=DAYS_AHEAD_MIN).all(is_there) {
        return Ok(());
    }
    let missing = (0..=DAYS_AHEAD)
        .map(|ahead| Partition { day: today.plus(ahead) })
        .filter(|partition| !there.contains(partition));
    for partition in missing {
        if let Err(error) = make(database, partition).await {
            tracing::warn!(
                partition = partition.name(),
                error = tally_runtime::chain(&error),
                "could not make a partition; its rows go to the default partition meanwhile"
            );
        }
    }
    Ok(())
}

/// Drops the empty partitions of past days.
pub(crate) async fn drop_empty(database: &Database, now: Timestamp) -> Result<()> {
    let days = DayRange { first: Day::MIN, last: Day::of(now).plus(-1) };
    for partition in list(database, days).await? {
        if let Err(error) = drop_if_empty(database, partition).await {
            tracing::debug!(
                partition = partition.name(),
                error = tally_runtime::chain(&error),
                "could not drop an empty partition now"
            );
            // The table is in use, and the next attempt would hold it up again.
            return Ok(());
        }
    }
    Ok(())
}

async fn make(database: &Database, partition: Partition) -> Result<()> {
    let step = "make a partition";
    let transaction = database.begin(Isolation::Default).await?;
    transaction.script(step, include_str!("wait_briefly.sql")).await?;
    transaction.script(step, include_str!("lock_makers.sql")).await?;
    let rows = transaction.rows(step, include_str!("partitions.sql"), &[]).await?;
    // Another server may have made it in the meantime.
    if !rows.iter().any(|row| Partition::parse(row.get(0)) == Some(partition)) {
        transaction.script(step, &partition.sql(include_str!("make_partition.sql"))).await?;
        transaction.script(step, &partition.sql(include_str!("attach_partition.sql"))).await?;
    }
    transaction.commit().await
}

async fn drop_if_empty(database: &Database, partition: Partition) -> Result<()> {
    let connection = database.connection().await?;
    // No lock is needed to find most partitions that are not empty.
    if has_rows(&connection, partition).await? {
        connection.release();
        return Ok(());
    }
    let transaction = connection.transaction(Isolation::Default).await?;
    // The parent before the partition, as everywhere, so that there is no deadlock. The lock stops
    // all inserts, so the wait for it is short.
    let step = "lock the row table for a moment";
    transaction.script(step, include_str!("wait_hardly.sql")).await?;
    transaction.script(step, include_str!("lock_parent.sql")).await?;
    let sql = partition.sql(include_str!("has_rows.sql"));
    let step = "drop a partition";
    let has_rows: bool = transaction.query_one(&sql, &[]).await.step(step)?.get(0);
    if !has_rows {
        transaction.script(step, &partition.sql(include_str!("drop_partition.sql"))).await?;
        tally_runtime::faults::point("drop_partition.before_commit").await;
    }
    transaction.commit().await
}

/// Whether a partition has committed rows. Not prepared, because the name is in the statement.
pub(super) async fn has_rows(connection: &Connection, partition: Partition) -> Result<bool> {
    let sql = partition.sql(include_str!("has_rows.sql"));
    match connection.query_one(&sql, &[]).await.step("look into a partition") {
        Err(error) if is_undefined_table(&error) => Ok(false),
        row => Ok(row?.get(0)),
    }
}

/// Whether a row was refused because the partition of its day was made while the row was on its way
/// to the default partition. The next attempt uses the new one.
pub(super) fn was_just_made(error: &Error) -> bool {
    let is_partition = |said: &Said| {
        // Postgres names the partition as the table, and does not name its constraint.
        said.sqlstate == SqlState::CHECK_VIOLATION.code()
            && said.constraint.is_none()
            && said.table.as_deref() == Some(DEFAULT)
    };
    error.said().is_some_and(is_partition)
}

/// Another server has dropped it.
pub(super) fn is_undefined_table(error: &Error) -> bool {
    error.sqlstate() == Some(SqlState::UNDEFINED_TABLE.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partitions_name_is_its_day() {
        let partition = Partition { day: Day::from(Date::constant(2015, 5, 17)) };
        assert_eq!(partition.name(), "tally_requests_p20150517");
        assert_eq!(Partition::parse(&partition.name()), Some(partition));
        assert_eq!(Partition::parse("tally_requests_default"), None);
        assert_eq!(Partition::parse("tally_requests_p20150231"), None);
    }
}
