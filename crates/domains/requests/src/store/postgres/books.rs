//! Days, months and the calendar: adding to them, rolling days up, and pruning them.

use std::time::Duration;

use hashbrown::HashMap;
use tally_runtime::faults;
use tally_store::Dialect;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;

use super::super::Result;
use super::super::advance::Advance;
use super::changes;
use crate::books::{self, Fold, Folded, Level, Posting, Present, STEP_ROWS, Sql, Stage, Sum};
use crate::model::{Day, DayRange, SeriesId};

/// How many days are looked up at once.
pub(crate) const LISTED_DAYS: i64 = 10_000;

pub(super) const STAGES: &str = include_str!("stages.sql");

fn sql(level: Level) -> Sql {
    match level {
        Level::Days => {
            Sql { find: include_str!("find_days.sql"), put: include_str!("put_days.sql") }
        }
        Level::Months => {
            Sql { find: include_str!("find_months.sql"), put: include_str!("put_months.sql") }
        }
    }
}

/// Begins a transaction that is the only one to change the books. CockroachDB's isolation needs no lock
/// for that.
pub(crate) async fn begin(database: &Database) -> Result<Transaction> {
    let transaction = database.begin(Isolation::Default).await?;
    lock(&transaction, database.dialect()).await?;
    Ok(transaction)
}

async fn lock(transaction: &Transaction, dialect: Dialect) -> Result<()> {
    if dialect == Dialect::Postgres && !faults::is_on("books.unlocked") {
        transaction.script("lock the books", include_str!("lock_books.sql")).await?;
    }
    Ok(())
}

/// Adds what was counted to where the days are.
pub(crate) async fn fold(transaction: &Transaction, postings: Vec<Posting>) -> Result<Folded> {
    fold_by(transaction, STAGES, postings).await
}

/// The same, with a statement that says where they are.
pub(crate) async fn fold_by(
    transaction: &Transaction,
    stages_sql: &'static str,
    mut postings: Vec<Posting>,
) -> Result<Folded> {
    let requests = books::requests(&postings);
    changes::follow(transaction, &mut postings).await?;
    let stages = stages(transaction, stages_sql, &postings).await?;
    let fold = Fold::of(postings, &stages);
    add(transaction, Level::Days, &fold.days).await?;
    add(transaction, Level::Months, &fold.months).await?;
    Ok(fold.folded(requests))
}

/// How far the days of these postings have come. New ones are noted in the calendar.
pub(super) async fn stages(
    transaction: &Transaction,
    sql: &'static str,
    postings: &[Posting],
) -> Result<HashMap<Day, Stage>> {
    let step = "look days up in the calendar";
    let days = numbers(&books::days(postings));
    let mut stages = HashMap::new();
    for days in days.chunks(STEP_ROWS) {
        for row in transaction.rows(step, sql, &[&days]).await? {
            let stage = match (row.get(1), row.get(2), row.get(3)) {
                (_, true, _) => Stage::Pruned,
                (true, false, None) => Stage::RolledUp,
                (true, false, Some(reached)) => Stage::RolledUpTo(reached),
                (false, false, _) => Stage::Open,
            };
            stages.insert(Day(row.get(0)), stage);
        }
    }
    Ok(stages)
}

/// Adds sorted postings to days or months.
pub(crate) async fn add(
    transaction: &Transaction,
    level: Level,
    postings: &[Posting],
) -> Result<()> {
    let (step, sql) = ("add to days and months", sql(level));
    for postings in books::steps(postings) {
        let (periods, series): (Vec<i32>, Vec<SeriesId>) =
            books::keys(postings).map(|(period, series)| (period.0, series)).unzip();
        let rows = transaction.rows(step, sql.find, &[&periods, &series]).await?;
        let present: Present = rows
            .iter()
            .map(|row| ((Day(row.get(0)), row.get(1)), (row.get(2), row.get(3))))
            .collect();
        let sums = books::add(level, postings, &present)?;
        let totals: Vec<i64> = sums.iter().map(|sum| sum.total).collect();
        let slots: Vec<&str> = sums.iter().map(|Sum { slots, .. }| &**slots).collect();
        transaction.write(step, sql.put, &[&periods, &series, &totals, &slots]).await?;
    }
    Ok(())
}

/// Rolls up every day of the range that is in the calendar. Returns how many requests.
pub(crate) async fn roll_up(database: &Database, range: DayRange) -> Result<u64> {
    let mut requests = 0;
    loop {
        let open = open_days(database, range).await?;
        if open.is_empty() {
            return Ok(requests);
        }
        for days in books::day_groups(&open) {
            let rolled_up = Policy::long("roll days up").run(|| in_one(database, &days)).await?;
            requests = u64::saturating_add(requests, rolled_up);
        }
    }
}

/// The first days of the range that are not rolled up, with the number of their rows.
pub(crate) async fn open_days(database: &Database, range: DayRange) -> Result<Vec<(Day, i64)>> {
    let (step, sql) = ("find the days to roll up", include_str!("open_days.sql"));
    let list =
        || async { database.rows(step, sql, &[&range.first.0, &range.last.0, &LISTED_DAYS]).await };
    Ok(counted(&Policy::short(step).run(list).await?))
}

/// Rolls up some days in one transaction.
async fn in_one(database: &Database, days: &[Day]) -> Result<u64> {
    let transaction = begin(database).await?;
    faults::point("roll_up.begun").await;
    let requests = roll_up_days(&transaction, days).await?;
    faults::point("roll_up.before_commit").await;
    transaction.commit().await?;
    faults::point("roll_up.committed").await;
    Ok(requests)
}

/// Adds those of these days that are open to their months.
async fn roll_up_days(transaction: &Transaction, days: &[Day]) -> Result<u64> {
    let step = "roll days up";
    let open = transaction.rows(step, include_str!("still_open.sql"), &[&numbers(days)]).await?;
    let open: Vec<i32> = open.iter().map(|row| row.get(0)).collect();
    let rows = transaction.rows(step, include_str!("totals_of_days.sql"), &[&open]).await?;
    let posting = |row: &Row| Posting::of_day(Day(row.get(0)), row.get(1), row.get(2));
    let mut postings: Vec<_> = rows.iter().map(posting).collect();
    postings.sort_unstable();
    add(transaction, Level::Months, &postings).await?;
    faults::point("roll_up.added").await;
    transaction.write(step, include_str!("mark_rolled_up.sql"), &[&open]).await?;
    Ok(books::requests(&postings))
}

/// The last day that has totals, or on which one was rolled up.
pub(crate) async fn newest_day(database: &Database) -> Result<Option<Day>> {
    let (step, sql) = ("find the newest day", include_str!("newest_day.sql"));
    let rows = Policy::short(step).run(|| database.rows(step, sql, &[])).await?;
    Ok(rows.first().and_then(|row| row.get::<_, Option<i32>>(0)).map(Day))
}

/// How far the calendar has come, of the days up to this one.
pub(crate) async fn advance(database: &Database, last: Day) -> Result<Advance> {
    let (step, sql) = ("look how far the days have come", include_str!("advance.sql"));
    let rows = database.rows(step, sql, &[&last.0]).await?;
    Ok(rows.first().map_or_else(Advance::default, |row| Advance {
        rolled_up_at: row.get(0),
        rolled_up_through: row.get::<_, Option<i32>>(1).map(Day),
        days_open: row.get(2),
        first_open: row.get::<_, Option<i32>>(3).map(Day),
        unfolded: None,
    }))
}

/// Deletes the quarters of days before this one that were rolled up this long ago. Returns how many days.
pub(crate) async fn prune(
    database: &Database,
    before: Day,
    rolled_up_for: Duration,
) -> Result<usize> {
    let (step, sql) = ("find the days to prune", include_str!("prunable_days.sql"));
    let mut pruned = 0;
    loop {
        let list = || async {
            database.rows(step, sql, &[&before.0, &rolled_up_for.as_secs_f64(), &LISTED_DAYS]).await
        };
        let days = counted(&Policy::short(step).run(list).await?);
        if days.is_empty() {
            return Ok(pruned);
        }
        for days in books::day_groups(&days) {
            let once = || async {
                let transaction = begin(database).await?;
                prune_days(&transaction, &days).await?;
                faults::point("prune.before_commit").await;
                transaction.commit().await
            };
            Policy::long("prune days").run(once).await?;
            pruned += days.len();
        }
    }
}

async fn prune_days(transaction: &Transaction, days: &[Day]) -> Result<()> {
    let (step, days) = ("prune days", numbers(days));
    transaction.write(step, include_str!("mark_pruned.sql"), &[&days]).await?;
    transaction.write(step, include_str!("delete_days.sql"), &[&days]).await?;
    Ok(())
}

/// Adds the totals of whole days, whose quarters are not known.
pub(super) async fn import(
    transaction: &Transaction,
    totals: &[Posting],
    days: &[Day],
) -> Result<()> {
    lock(transaction, Dialect::Postgres).await?;
    let of_days: Vec<_> =
        days.iter().map(|day| Posting { period: *day, series: 0, slot: 0, requests: 0 }).collect();
    stages(transaction, STAGES, &of_days).await?;
    for days in days.chunks(STEP_ROWS) {
        roll_up_days(transaction, days).await?;
        prune_days(transaction, days).await?;
    }
    add(transaction, Level::Months, totals).await
}

pub(crate) fn numbers(days: &[Day]) -> Vec<i32> {
    days.iter().map(|day| day.0).collect()
}

pub(crate) fn counted(rows: &[Row]) -> Vec<(Day, i64)> {
    rows.iter().map(|row| (Day(row.get(0)), row.get(1))).collect()
}
