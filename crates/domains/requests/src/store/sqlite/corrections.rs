//! Corrections of totals.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};
use uuid::Uuid;

use super::super::Result;
use super::books;
use crate::books::{Posting, Stage, on_day};
use crate::corrections::{Balance, Corrected, Correction, unknown};
use crate::error::refused;
use crate::model::{Day, DayRange, Namespace, Series, SeriesId};

const STEP: &str = "correct a total";

/// Stores a correction, unless that would leave less than nothing.
pub(crate) fn correct(
    connection: &mut Connection,
    correction: &Correction,
    is_dry_run: bool,
) -> Result<Balance> {
    let transaction = begin(connection)?;
    let namespace = correction.series.namespace.0;
    let values = (namespace, correction.id.as_bytes());
    let before = transaction
        .query_row(include_str!("find_correction.sql"), values, |row| {
            let told: (String, String) = (row.get(3)?, row.get(4)?);
            Ok((Day(row.get(0)?), row.get::<_, SeriesId>(1)?, row.get::<_, i64>(2)?, told))
        })
        .optional()
        .step(STEP)?;
    if let Some((day, series, requests, (reason, author))) = before {
        correction.check_repeated((day, requests, &reason, &author)).map_err(refused(STEP))?;
        let (total, corrections) = balance(&transaction, day, series)?;
        return Ok(Balance { total, corrections, is_repeated: true });
    }
    let Correction { day, requests, reason, author, .. } = correction;
    let id = series_id(&transaction, &correction.series)?;
    let (total, corrections) = balance(&transaction, *day, id)?;
    let balance = correction.balance(total, corrections).map_err(refused(STEP))?;
    let sql = include_str!("magnitude_of_corrections.sql");
    let all = transaction.query_row(sql, [namespace], |row| row.get(0)).step(STEP)?;
    correction.check_room(all).map_err(refused(STEP))?;
    if is_dry_run {
        return Ok(balance);
    }
    let values = (correction.id.as_bytes(), day.0, id, requests, reason, author, namespace);
    transaction.execute(include_str!("add_correction.sql"), values).step(STEP)?;
    transaction.commit().step("commit")?;
    Ok(balance)
}

fn series_id(transaction: &Transaction<'_>, series: &Series) -> Result<SeriesId> {
    let Series { namespace, service, method, path, status, customer } = series;
    let fields = (namespace.0, service, method, path, status, customer);
    let row =
        transaction.query_row(include_str!("find_series.sql"), fields, |row| row.get(0)).optional();
    row.step(STEP)?.ok_or_else(|| refused(STEP)(unknown(series)))
}

/// The total of a day and a series, and the sum of its corrections. The day is in the calendar then.
fn balance(transaction: &Transaction<'_>, day: Day, id: SeriesId) -> Result<(i64, i64)> {
    let total = match books::stages(transaction, &[day])?[&day] {
        Stage::Open | Stage::RolledUp | Stage::RolledUpTo(_) => {
            let sql = include_str!("total_of_day.sql");
            let totals = rows(transaction, STEP, sql, (day.0, id), |row| row.get::<_, i64>(0))?;
            totals.into_iter().fold(0, i64::saturating_add)
        }
        Stage::Pruned => {
            let (sql, month) =
                (include_str!("days_of_month.sql"), Posting::of_day(day, id, 0).period);
            let months =
                rows(transaction, STEP, sql, (month.0, id), |row| row.get::<_, String>(0))?;
            on_day(day, months.iter().map(String::as_str))?
        }
    };
    let corrections = transaction
        .query_row(include_str!("corrections_of_day.sql"), (day.0, id), |row| row.get(0))
        .step(STEP)?;
    Ok((total, corrections))
}

/// The first corrections of these days, in order.
pub(crate) fn list(
    connection: &Connection,
    namespace: Namespace,
    days: DayRange,
    limit: usize,
) -> Result<Vec<Corrected>> {
    let text =
        |row: &Row<'_>, at| Ok::<Box<str>, rusqlite::Error>(row.get::<_, String>(at)?.into());
    let corrected = |row: &Row<'_>| {
        let series = Series {
            namespace: Namespace(row.get(6)?),
            service: text(row, 7)?,
            method: text(row, 8)?,
            path: text(row, 9)?,
            status: row.get(10)?,
            customer: text(row, 11)?,
        };
        let correction = Correction {
            id: Uuid::from_bytes(row.get(0)?),
            day: Day(row.get(1)?),
            series,
            requests: row.get(2)?,
            reason: row.get(3)?,
            author: row.get(4)?,
        };
        Ok(Corrected { correction, micros: row.get(5)? })
    };
    let (step, sql) = ("list corrections", include_str!("list_corrections.sql"));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    rows(connection, step, sql, (days.first.0, days.last.0, limit, namespace.0), corrected)
}
