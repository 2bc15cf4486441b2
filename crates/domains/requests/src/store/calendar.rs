//! How far the days have come: what scrapes are told.

use jiff::Timestamp;
use rusqlite::Connection;
use tally_store::Database;
use tally_store::error::Step as _;

use super::{Result, Store};
use crate::metrics::Calendar;
use crate::model::Day;

const STEP: &str = "look at the calendar";

// === impl Store ===

/// Fails when the database does.
impl Store {
    /// The first day that is not rolled up, and when one was last rolled up.
    pub(crate) async fn calendar(&self) -> Result<Calendar> {
        match &self.database {
            Database::Postgres(database) => {
                let sql = include_str!("postgres/calendar_progress.sql");
                let rows = database.rows(STEP, sql, &[]).await?;
                let of = rows.first().map(|row| (row.get::<_, Option<i32>>(0), row.get(1)));
                let (first_open, rolled_up_at) = of.unwrap_or_default();
                Ok(Calendar { first_open: first_open.map(Day), rolled_up_at })
            }
            Database::Sqlite(database) => database.read(|connection| read(connection)).await,
        }
    }
}

fn read(connection: &Connection) -> Result<Calendar> {
    let sql = include_str!("sqlite/calendar_progress.sql");
    let row = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (first_open, micros): (Option<i32>, Option<i64>) = row.step(STEP)?;
    let rolled_up_at = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    Ok(Calendar { first_open: first_open.map(Day), rolled_up_at })
}
