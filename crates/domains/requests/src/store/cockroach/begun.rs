//! Roll-ups under way: what they have left, for those who read totals or move series meanwhile.

use jiff::civil::Date;
use tally_store::postgres::Transaction;

use super::super::Result;
use crate::model::{Day, DayRange, SeriesId};
use crate::totals::Collector;

/// Adds what roll-ups have left of days that are not cut.
pub(in super::super) async fn read_left(
    transaction: &Transaction,
    days: DayRange,
    ids: Option<&[SeriesId]>,
    collector: &mut Collector,
) -> Result<()> {
    let step = "read totals";
    let (first, last) = (days.first.date(), days.last.date());
    let begun = transaction.rows(step, include_str!("begun_days.sql"), &[&first, &last]).await?;
    for row in begun {
        let (date, reached): (Date, SeriesId) = (row.get(0), row.get(1));
        let sql = include_str!("totals_left.sql");
        for row in transaction.rows(step, sql, &[&date, &reached, &ids]).await? {
            collector.add_day(date.into(), row.get(0), row.get(1))?;
        }
    }
    Ok(())
}

/// Whether a roll-up of some day of a month has some series left.
pub(in super::super) async fn is_under_way(transaction: &Transaction, month: Day) -> Result<bool> {
    let (step, sql) = ("look for roll-ups under way", include_str!("begun_days.sql"));
    let (first, last) = (month.date(), month.date().last_of_month());
    Ok(!transaction.rows(step, sql, &[&first, &last]).await?.is_empty())
}
