//! What is missing: listed and cleared.

use tally_store::Error;
use tally_store::postgres::{Database, commits_itself};
use tally_store::retry::Policy;
use tokio_postgres::Row;

use super::micros;
use crate::setback::Setback;
use crate::store::Owner;

pub(crate) async fn setbacks(database: &Database, owner: Owner) -> Result<Vec<Setback>, Error> {
    let step = "list what is missing";
    let once = async || {
        let sql = include_str!("list_setbacks.sql");
        let rows = database.rows(step, sql, &[&owner.domain, &owner.namespace.0]).await?;
        Ok(rows.iter().map(setback).collect())
    };
    Policy::short(step).run(once).await
}

/// Clears setbacks. Once only: repeated after a lost answer, it would not say what it cleared.
pub(crate) async fn clear_setbacks(
    database: &Database,
    owner: Owner,
    short_id: &str,
) -> Result<Vec<Setback>, Error> {
    let step = "clear setbacks";
    let once = async || {
        let connection = database.writer().await?;
        let sql = include_str!("clear_setbacks.sql");
        let rows = commits_itself(
            step,
            connection.query(sql, &[&owner.domain, &owner.namespace.0, &short_id]).await,
        )?;
        connection.release();
        Ok(rows.iter().map(setback).collect())
    };
    Policy { attempts_max: 1, ..Policy::short(step) }.run(once).await
}

fn setback(row: &Row) -> Setback {
    Setback {
        producer: row.get(0),
        name: row.get(1),
        noticed_micros: micros(row, 2),
        since_micros: micros(row, 3),
        producers: row.get(4),
        batches: row.get(5),
    }
}
