//! Corrections of totals.

use jiff::Timestamp;
use tally_store::postgres::{Database, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::Result;
use super::books;
use crate::books::{Posting, Stage, on_day};
use crate::corrections::{Balance, Corrected, Correction, unknown};
use crate::error::refused;
use crate::model::{Day, DayRange, Namespace, Series, SeriesId};

const STEP: &str = "correct a total";

/// Stores a correction, unless that would leave less than nothing.
pub(crate) async fn correct(
    database: &Database,
    correction: &Correction,
    is_dry_run: bool,
) -> Result<Balance> {
    let once = || async {
        // The books are locked: nothing else changes totals, corrections or moves meanwhile.
        let transaction = books::begin(database).await?;
        match in_one(&transaction, correction).await {
            Ok(balance) if is_dry_run => transaction.abandon().await.map(|()| balance),
            Ok(balance) => transaction.commit().await.map(|()| balance),
            Err(error) => Err(transaction.failed(error).await),
        }
    };
    Policy::short(STEP).run(once).await
}

async fn in_one(transaction: &Transaction, correction: &Correction) -> Result<Balance> {
    let Correction { id, day, requests, reason, author, .. } = correction;
    let namespace = correction.series.namespace.0;
    let sql = include_str!("find_correction.sql");
    let before = transaction.rows(STEP, sql, &[&namespace, id]).await?;
    if let Some(row) = before.first() {
        let (day, series) = (Day(row.get(0)), row.get(1));
        let same = correction.check_repeated((day, row.get(2), row.get(3), row.get(4)));
        same.map_err(refused(STEP))?;
        let (total, corrections) = balance(transaction, day, series).await?;
        return Ok(Balance { total, corrections, is_repeated: true });
    }
    let series = series_id(transaction, &correction.series).await?;
    let (total, corrections) = balance(transaction, *day, series).await?;
    let balance = correction.balance(total, corrections).map_err(refused(STEP))?;
    let sql = include_str!("magnitude_of_corrections.sql");
    let all = transaction.row(STEP, sql, &[&namespace]).await?.get(0);
    correction.check_room(all).map_err(refused(STEP))?;
    let values: [&(dyn ToSql + Sync); 7] =
        [id, &day.0, &series, requests, reason, author, &namespace];
    transaction.write(STEP, include_str!("add_correction.sql"), &values).await?;
    Ok(balance)
}

async fn series_id(transaction: &Transaction, series: &Series) -> Result<SeriesId> {
    let Series { namespace, service, method, path, status, customer } = series;
    let [service, method, path, customer] =
        [service, method, path, customer].map(|text| vec![&**text]);
    let (namespaces, statuses) = (vec![namespace.0], vec![i64::from(*status)]);
    let values: [&(dyn ToSql + Sync); 6] =
        [&namespaces, &service, &method, &path, &statuses, &customer];
    let rows = transaction.rows(STEP, include_str!("stored_series.sql"), &values).await?;
    let id = rows.first().and_then(|row| row.get::<_, Option<SeriesId>>(1));
    id.ok_or_else(|| refused(STEP)(unknown(series)))
}

/// The total of a day and a series, and the sum of its corrections. The day is in the calendar then.
async fn balance(transaction: &Transaction, day: Day, series: SeriesId) -> Result<(i64, i64)> {
    let of_day = [Posting { period: day, series, slot: 0, requests: 0 }];
    let stage = books::stages(transaction, books::STAGES, &of_day).await?.get(&day).copied();
    // A new day is not seen by the statement that adds it.
    let total = match stage.unwrap_or(Stage::Open) {
        Stage::Open | Stage::RolledUp | Stage::RolledUpTo(_) => {
            let sql = include_str!("total_of_day.sql");
            let rows = transaction.rows(STEP, sql, &[&day.0, &series]).await?;
            rows.iter().map(|row| row.get::<_, i64>(0)).fold(0, i64::saturating_add)
        }
        Stage::Pruned => {
            let month = Posting::of_day(day, series, 0).period;
            let sql = include_str!("days_of_month.sql");
            let rows = transaction.rows(STEP, sql, &[&month.0, &series]).await?;
            on_day(day, rows.iter().map(|row| row.get(0)))?
        }
    };
    let sql = include_str!("corrections_of_day.sql");
    let corrections = transaction.row(STEP, sql, &[&day.0, &series]).await?.get(0);
    Ok((total, corrections))
}

/// The first corrections of these days, in order.
pub(crate) async fn list(
    database: &Database,
    namespace: Namespace,
    days: DayRange,
    limit: usize,
) -> Result<Vec<Corrected>> {
    let (step, sql) = ("list corrections", include_str!("list_corrections.sql"));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (first, last) = (days.first.0, days.last.0);
    let once = || async { database.rows(step, sql, &[&first, &last, &limit, &namespace.0]).await };
    let rows = Policy::short(step).run(once).await?;
    let corrected = |row: &Row| {
        let text = |at| Box::from(row.get::<_, &str>(at));
        let series = Series {
            namespace: Namespace(row.get(6)),
            service: text(7),
            method: text(8),
            path: text(9),
            status: u16::try_from(row.get::<_, i64>(10)).unwrap_or_default(),
            customer: text(11),
        };
        let correction = Correction {
            id: row.get(0),
            day: Day(row.get(1)),
            series,
            requests: row.get(2),
            reason: row.get(3),
            author: row.get(4),
        };
        Corrected { correction, micros: row.get::<_, Timestamp>(5).as_microsecond() }
    };
    Ok(rows.iter().map(corrected).collect())
}
