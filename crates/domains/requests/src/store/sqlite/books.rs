//! Days, months and the calendar: adding to them, rolling days up, and pruning them. Only the writer's
//! thread changes them.

use std::time::Duration;

use hashbrown::HashMap;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Transaction};
use tally_runtime::faults::blocking_point;
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};

use super::super::Result;
use super::super::advance::Advance;
use super::changes;
use crate::books::{self, Fold, Folded, Level, Posting, Present, Sql, Stage};
use crate::model::{Day, DayRange};

/// How many days are looked up at once. Each transaction looks anew and takes the first group of them, so
/// more than in Postgres would cost more than they save.
const LISTED_DAYS: i64 = 1_000;

fn sql(level: Level) -> Sql {
    match level {
        Level::Days => Sql { find: include_str!("find_day.sql"), put: include_str!("put_day.sql") },
        Level::Months => {
            Sql { find: include_str!("find_month.sql"), put: include_str!("put_month.sql") }
        }
    }
}

/// Adds what a fold has counted to where the days are.
pub(super) fn fold(transaction: &Transaction<'_>, mut postings: Vec<Posting>) -> Result<Folded> {
    let requests = books::requests(&postings);
    changes::follow(transaction, &mut postings)?;
    let stages = stages(transaction, &books::days(&postings))?;
    let fold = Fold::of(postings, &stages);
    add(transaction, Level::Days, &fold.days)?;
    add(transaction, Level::Months, &fold.months)?;
    Ok(fold.folded(requests))
}

/// How far these days have come. New ones are noted in the calendar.
pub(super) fn stages(transaction: &Transaction<'_>, days: &[Day]) -> Result<HashMap<Day, Stage>> {
    let step = "look days up in the calendar";
    let mut find = transaction.prepare_cached(include_str!("stage.sql")).step(step)?;
    let mut note = transaction.prepare_cached(include_str!("note_day.sql")).step(step)?;
    let mut stages = HashMap::new();
    for day in days {
        let found = find.query_row([day.0], |row| Ok((row.get(0)?, row.get(1)?)));
        let stage = match found.optional().step(step)? {
            Some((_, true)) => Stage::Pruned,
            Some((true, false)) => Stage::RolledUp,
            Some((false, false)) => Stage::Open,
            None => {
                note.execute([day.0]).step(step)?;
                Stage::Open
            }
        };
        stages.insert(*day, stage);
    }
    Ok(stages)
}

/// Adds sorted postings to days or months.
pub(super) fn add(transaction: &Transaction<'_>, level: Level, postings: &[Posting]) -> Result<()> {
    let (step, sql) = ("add to days and months", sql(level));
    let mut find = transaction.prepare_cached(sql.find).step(step)?;
    let mut put = transaction.prepare_cached(sql.put).step(step)?;
    for postings in books::steps(postings) {
        let mut present = Present::new();
        for (period, series) in books::keys(postings) {
            let row = find.query_row((period.0, series), |row| Ok((row.get(0)?, row.get(1)?)));
            if let Some(row) = row.optional().step(step)? {
                present.insert((period, series), row);
            }
        }
        for sum in books::add(level, postings, &present)? {
            put.execute((sum.period.0, sum.series, sum.total, sum.slots)).step(step)?;
        }
    }
    if level == Level::Days { stamp(transaction, &books::days(postings)) } else { Ok(()) }
}

/// Gives days new stamps, because their rows change.
pub(super) fn stamp(transaction: &Transaction<'_>, days: &[Day]) -> Result<()> {
    let step = "stamp days";
    let mut stamp = transaction.prepare_cached(include_str!("stamp_day.sql")).step(step)?;
    days.iter().try_for_each(|day| stamp.execute([day.0]).map(drop).step(step))
}

/// Rolls up the first open days of the range, and returns how many requests; `None` if there were none.
pub(crate) fn roll_up(connection: &mut Connection, range: DayRange) -> Result<Option<u64>> {
    let transaction = begin(connection)?;
    blocking_point("roll_up.begun");
    let (step, sql) = ("find the days to roll up", include_str!("open_days.sql"));
    let days = first_group(&transaction, step, sql, (range.first.0, range.last.0, LISTED_DAYS))?;
    if days.is_empty() {
        return Ok(None);
    }
    let requests = roll_up_days(&transaction, &days)?;
    blocking_point("roll_up.before_commit");
    transaction.commit().step("commit")?;
    blocking_point("roll_up.committed");
    Ok(Some(requests))
}

/// The first days that a statement lists, few enough for one transaction.
fn first_group(
    transaction: &Transaction<'_>,
    step: &'static str,
    sql: &str,
    values: impl Params,
) -> Result<Vec<Day>> {
    let days = rows(transaction, step, sql, values, |row| Ok((Day(row.get(0)?), row.get(1)?)))?;
    Ok(books::day_groups(&days).into_iter().next().unwrap_or_default())
}

/// Adds open days to their months.
fn roll_up_days(transaction: &Transaction<'_>, days: &[Day]) -> Result<u64> {
    let step = "roll days up";
    let mut postings = Vec::new();
    {
        let sql = include_str!("day_totals.sql");
        let mut statement = transaction.prepare_cached(sql).step(step)?;
        let mut mark = transaction.prepare_cached(include_str!("mark_rolled_up.sql")).step(step)?;
        for day in days {
            let mut rows = statement.query([day.0]).step(step)?;
            while let Some(row) = rows.next().step(step)? {
                let (series, total) = (row.get(0).step(step)?, row.get(1).step(step)?);
                postings.push(Posting::of_day(*day, series, total));
            }
            mark.execute([day.0]).step(step)?;
        }
    }
    postings.sort_unstable();
    add(transaction, Level::Months, &postings)?;
    blocking_point("roll_up.added");
    Ok(books::requests(&postings))
}

/// The last day that has totals, or on which one was rolled up.
pub(crate) fn newest_day(connection: &Connection) -> Result<Option<Day>> {
    let newest = connection
        .query_row(include_str!("newest_day.sql"), [], |row| row.get::<_, Option<i32>>(0))
        .step("find the newest day")?;
    Ok(newest.map(Day))
}

/// How far the calendar has come, of the days up to this one.
pub(crate) fn advance(connection: &Connection, last: Day) -> Result<Advance> {
    let read = |row: &Row<'_>| {
        let rolled_up_at = row.get::<_, Option<i64>>(0)?;
        Ok(Advance {
            rolled_up_at: rolled_up_at.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
            rolled_up_through: row.get::<_, Option<i32>>(1)?.map(Day),
            days_open: row.get(2)?,
            first_open: row.get::<_, Option<i32>>(3)?.map(Day),
            unfolded: None,
        })
    };
    let found = connection.query_row(include_str!("advance.sql"), [last.0], read);
    found.step("look how far the days have come")
}

/// Deletes the quarters of the first days before this one that were rolled up this long ago. Returns how
/// many days.
pub(crate) fn prune(
    connection: &mut Connection,
    before: Day,
    rolled_up_for: Duration,
) -> Result<usize> {
    let transaction = begin(connection)?;
    let rolled_up_for_micros = i64::try_from(rolled_up_for.as_micros()).unwrap_or(i64::MAX);
    let (step, sql) = ("find the days to prune", include_str!("prunable_days.sql"));
    let days = first_group(&transaction, step, sql, (before.0, rolled_up_for_micros, LISTED_DAYS))?;
    prune_days(&transaction, &days)?;
    blocking_point("prune.before_commit");
    transaction.commit().step("commit")?;
    Ok(days.len())
}

fn prune_days(transaction: &Transaction<'_>, days: &[Day]) -> Result<()> {
    let step = "prune days";
    let mut mark = transaction.prepare_cached(include_str!("mark_pruned.sql")).step(step)?;
    let mut delete = transaction.prepare_cached(include_str!("delete_day.sql")).step(step)?;
    for day in days {
        mark.execute([day.0]).step(step)?;
        delete.execute([day.0]).step(step)?;
    }
    Ok(())
}

/// Adds the totals of whole days, whose quarters are not known.
pub(super) fn import(
    transaction: &Transaction<'_>,
    totals: &[Posting],
    days: &[Day],
) -> Result<()> {
    let stages = stages(transaction, days)?;
    let is_open = |day: &&Day| stages.get(*day) == Some(&Stage::Open);
    let open: Vec<Day> = days.iter().filter(is_open).copied().collect();
    roll_up_days(transaction, &open)?;
    prune_days(transaction, days)?;
    add(transaction, Level::Months, totals)
}
