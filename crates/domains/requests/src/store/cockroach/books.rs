//! Rolling days up and pruning them in steps, because a day can have more rows than a transaction should.
//!
//! What is under way is in the calendar's column `reached`, which is NULL otherwise. A roll-up's first
//! step makes the day a rolled-up one: what counts is its month for the series up to `reached`, and the
//! day itself for the others. Each step moves `reached` in the transaction that adds the series up to it
//! to the month. A day is marked as pruned first, from when on its rows do not count, and then emptied.
//! So whatever a snapshot sees between two steps adds up, and anybody can go on from there.

use std::time::Duration;

use jiff::civil::Date;
use tally_runtime::faults;
use tally_store::postgres::{Database, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;

use super::super::Result;
use super::super::postgres::books::{LISTED_DAYS, add, begin, counted, numbers, open_days};
use crate::books::{self, Level, Posting};
use crate::model::{Day, DayRange, SeriesId};

const ROLL_UP: &str = "roll days up";
const PRUNE: &str = "prune days";

/// Rolls up every day of the range that is in the calendar, and what earlier roll-ups have left. Returns
/// how many requests.
pub(crate) async fn roll_up(database: &Database, range: DayRange, step_rows: i64) -> Result<u64> {
    let list = async || {
        let (all, sql) = (DayRange::ALL, include_str!("begun_days.sql"));
        database.rows(ROLL_UP, sql, &[&all.first.date(), &all.last.date()]).await
    };
    let begun = Policy::short(ROLL_UP).run(list).await?;
    let begun: Vec<Day> = begun.iter().map(|row| row.get::<_, Date>(0).into()).collect();
    let mut requests = in_steps(database, &begun, step_rows).await?;
    loop {
        let open = open_days(database, range).await?;
        if open.is_empty() {
            return Ok(requests);
        }
        for days in books::day_groups(&open) {
            requests = requests.saturating_add(in_steps(database, &days, step_rows).await?);
        }
    }
}

/// Rolls up those of these days that are not, or not entirely. Returns how many requests.
async fn in_steps(database: &Database, days: &[Day], step_rows: i64) -> Result<u64> {
    if days.is_empty() {
        return Ok(0);
    }
    let (mut requests, days) = (0_u64, numbers(days));
    loop {
        let once = || roll_up_step(database, &days, step_rows);
        match Policy::long(ROLL_UP).run(once).await? {
            Some(some) => requests = requests.saturating_add(some),
            None => return Ok(requests),
        }
    }
}

/// One transaction: adds some totals to their months. Returns how many requests; `None` if no day is left.
async fn roll_up_step(database: &Database, days: &[i32], step_rows: i64) -> Result<Option<u64>> {
    let transaction = begin(database).await?;
    faults::point("roll_up.begun").await;
    let left = transaction.rows(ROLL_UP, include_str!("days_to_roll_up.sql"), &[&days]).await?;
    let mut left: Vec<(i32, Option<SeriesId>)> =
        left.iter().map(|row| (row.get(0), row.get(1))).collect();
    // One that is under way goes on alone, behind what its month has.
    if let Some(begun) = left.iter().find(|(_, reached)| reached.is_some()) {
        left = vec![*begun];
    }
    let Some((_, reached)) = left.first() else {
        return transaction.abandon().await.map(|()| None);
    };
    let (after, left): (SeriesId, Vec<i32>) =
        (reached.unwrap_or(SeriesId::MIN), left.iter().map(|(day, _)| *day).collect());
    let sql = include_str!("totals_of_step.sql");
    let rows = transaction.rows(ROLL_UP, sql, &[&left, &after, &step_rows]).await?;
    let posting = |row: &Row| Posting::of_day(Day(row.get(0)), row.get(1), row.get(2));
    let mut postings: Vec<_> = rows.iter().map(posting).collect();
    postings.sort_unstable();
    add(&transaction, Level::Months, &postings).await?;
    faults::point("roll_up.added").await;
    // If there are more, the last day's are not all there.
    let is_cut = i64::try_from(rows.len()).is_ok_and(|len| len >= step_rows);
    let cut = rows.last().filter(|_| is_cut).map(|row| (row.get(0), row.get(1)));
    mark(&transaction, &left, cut).await?;
    faults::point("roll_up.before_commit").await;
    transaction.commit().await?;
    faults::point("roll_up.committed").await;
    Ok(Some(books::requests(&postings)))
}

/// Marks days as rolled up: all of them, or those before one, and this up to a series.
async fn mark(transaction: &Transaction, days: &[i32], cut: Option<(i32, SeriesId)>) -> Result<()> {
    let sql = include_str!("mark_rolled_up.sql");
    let whole: Vec<i32> =
        days.iter().copied().filter(|day| cut.is_none_or(|(cut, _)| *day < cut)).collect();
    transaction.write(ROLL_UP, sql, &[&whole, &None::<SeriesId>]).await?;
    if let Some((day, series)) = cut {
        transaction.write(ROLL_UP, sql, &[&[day].as_slice(), &Some(series)]).await?;
    }
    Ok(())
}

/// Deletes the quarters of days before this one that were rolled up this long ago, and what earlier prunes
/// have left. Returns how many days.
pub(crate) async fn prune(
    database: &Database,
    before: Day,
    rolled_up_for: Duration,
    step_rows: i64,
) -> Result<usize> {
    let mut pruned = 0;
    empty(database, step_rows).await?;
    loop {
        let sql = include_str!("prunable_days.sql");
        let list = || async {
            database
                .rows(PRUNE, sql, &[&before.0, &rolled_up_for.as_secs_f64(), &LISTED_DAYS])
                .await
        };
        let days = counted(&Policy::short(PRUNE).run(list).await?);
        if days.is_empty() {
            return Ok(pruned);
        }
        for days in books::day_groups(&days) {
            let of_group = numbers(&days);
            let once = || async {
                let transaction = begin(database).await?;
                let sql = include_str!("mark_pruned.sql");
                transaction.write(PRUNE, sql, &[&of_group]).await?;
                transaction.commit().await
            };
            Policy::long(PRUNE).run(once).await?;
            empty(database, step_rows).await?;
            pruned += days.len();
        }
    }
}

/// Deletes what pruned days still have, step by step.
async fn empty(database: &Database, step_rows: i64) -> Result<()> {
    while Policy::long(PRUNE).run(|| empty_step(database, step_rows)).await? {}
    Ok(())
}

/// One transaction: deletes some rows of pruned days. Returns whether it found such days.
async fn empty_step(database: &Database, step_rows: i64) -> Result<bool> {
    let transaction = begin(database).await?;
    let days = transaction.rows(PRUNE, include_str!("days_to_empty.sql"), &[&LISTED_DAYS]).await?;
    if days.is_empty() {
        return transaction.abandon().await.map(|()| false);
    }
    let days: Vec<i32> = days.iter().map(|row| row.get(0)).collect();
    let sql = include_str!("delete_some.sql");
    let deleted = transaction.write(PRUNE, sql, &[&days, &step_rows]).await?;
    if i64::try_from(deleted).is_ok_and(|deleted| deleted < step_rows) {
        transaction.write(PRUNE, include_str!("mark_emptied.sql"), &[&days]).await?;
    }
    faults::point("prune.before_commit").await;
    transaction.commit().await?;
    Ok(true)
}
