//! Watches: since when something is looked at without a gap, by whichever server. Before that, clients may
//! have had no server to send to, so that their silence says nothing.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};
use tally_runtime::Error;

use crate::error::Step as _;
use crate::retry::Policy;
use crate::{Database, postgres};

const UNTIL: &str = "look when somebody watched last";

/// One watch of a database whose kernel has its tables. Clones are the same watch.
#[derive(Debug, Clone)]
pub struct Watch {
    database: Database,
    name: &'static str,
    gap_max: Duration,
}

// === impl Watch ===

impl Watch {
    /// The watch of this name. A time without a note that is longer than this is a gap.
    #[must_use]
    pub fn new(database: Database, name: &'static str, gap_max: Duration) -> Self {
        Self { database, name, gap_max }
    }

    /// Notes that it is looked at now, and returns since when that is so without a gap. Safe to repeat.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note(&self, now: Timestamp) -> Result<Timestamp, Error> {
        let step = "note that somebody watches";
        match &self.database {
            Database::Postgres(database) => {
                let gap_max = self.gap_max.as_secs_f64();
                let sql = include_str!("watch/note_postgres.sql");
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                    [&self.name, &now, &gap_max];
                let once = || async { database.commit_rows(step, sql, &values).await };
                Ok(Policy::short(step).run(once).await?.first().map_or(now, |row| row.get(0)))
            }
            Database::Sqlite(database) => {
                let gap_max = i64::try_from(self.gap_max.as_micros()).unwrap_or(i64::MAX);
                let values = (self.name, now.as_microsecond(), gap_max);
                let sql = include_str!("watch/note_sqlite.sql");
                let note = move |connection: &mut Connection| {
                    connection.query_row(sql, values, |row| row.get(0)).map(time).step(step)
                };
                database.write(note).await
            }
        }
    }

    /// Since when it is looked at without a gap, as far as it is noted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn since(&self) -> Result<Option<Timestamp>, Error> {
        let (step, sql) = ("look since when somebody watches", include_str!("watch/since.sql"));
        let name = self.name;
        match &self.database {
            Database::Postgres(database) => {
                let once = || async { database.rows(step, sql, &[&name]).await };
                Ok(Policy::short(step).run(once).await?.first().map(|row| row.get(0)))
            }
            Database::Sqlite(database) => {
                let since = move |connection: &mut Connection| {
                    let since = connection.query_row(sql, [name], |row| row.get(0)).optional();
                    Ok(since.step(step)?.map(time))
                };
                database.read(since).await
            }
        }
    }
}

/// When it was last looked at, by the transaction of whoever must know whether there is a gap before now.
///
/// # Errors
/// When the database fails.
pub async fn until(
    connection: &postgres::Connection,
    name: &'static str,
) -> Result<Option<Timestamp>, Error> {
    let rows = connection.rows(UNTIL, include_str!("watch/until.sql"), &[&name]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// The same in SQLite.
///
/// # Errors
/// When the database fails.
pub fn until_in_sqlite(
    connection: &Connection,
    name: &'static str,
) -> Result<Option<Timestamp>, Error> {
    let mut statement = connection.prepare_cached(include_str!("watch/until.sql")).step(UNTIL)?;
    Ok(statement.query_row([name], |row| row.get(0)).optional().step(UNTIL)?.map(time))
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
