//! What answers: which database, how old, how it commits, and whether a pooler is in between.

use tally_runtime::Kind;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::{Connection, Database, Isolation};
use crate::error::{POOLED, Step as _};
use crate::{Dialect, Error};

/// The oldest Postgres that Tally is tested with, as `server_version_num` counts.
const SERVER_VERSION_MIN: i64 = 140_000;

/// Says which SQL the database understands, or why it cannot be used.
pub(super) async fn examine(database: &Database) -> Result<Dialect, Error> {
    let step = "ask the database for its version";
    let refused = |reason: String| {
        let step = format!("open {}: {reason}", database.url);
        Err(Error::permanent(step, Kind::FailedPrecondition))
    };
    let connection = database.connection().await?;
    // Every pooler carries simple queries.
    let answer = connection.simple_query(include_str!("version.sql")).await.step(step)?;
    let text = |at: usize| first_row(&answer).and_then(|row| row.get(at)).unwrap_or_default();
    if text(0).contains("CockroachDB") {
        connection.release();
        return Ok(Dialect::Cockroach);
    }
    if is_pooled(database, &connection).await? {
        return refused(POOLED.to_owned());
    }
    connection.release();
    let (number, version, sync, encoding) = (text(1), text(2), text(3), text(4));
    if number.parse().unwrap_or(0) < SERVER_VERSION_MIN {
        return refused(format!("it is Postgres {version}, and Tally needs 14 or newer"));
    }
    if encoding != "UTF8" {
        return refused(format!("its encoding is {encoding}, and paths need UTF8"));
    }
    if sync == "off" {
        tracing::warn!(
            "the database has synchronous_commit = off: a crash of it can lose the last \
             moments of what Tally acknowledged"
        );
    }
    Ok(database.dialect)
}

/// Whether sessions do not last: both connections have one session, or the first has another one once
/// the second is in a transaction.
async fn is_pooled(database: &Database, one: &Connection) -> Result<bool, Error> {
    let (sql, step) = (include_str!("session_id.sql"), "ask the database for the session's id");
    let id = |answer: &[SimpleQueryMessage]| {
        first_row(answer).and_then(|row| row.get(0)).unwrap_or_default().to_owned()
    };
    let other = database.probe().await?;
    let first = id(&one.simple_query(sql).await.step(step)?);
    let transaction = other.transaction(Isolation::Default).await?;
    let second = id(&transaction.simple_query(sql).await.step(step)?);
    let again = id(&one.simple_query(sql).await.step(step)?);
    transaction.abandon().await?;
    Ok(first == second || first != again)
}

fn first_row(answer: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}
