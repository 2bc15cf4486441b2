//! The outbox in Postgres and CockroachDB.

use jiff::Timestamp;
use tally_store::Error;
use tally_store::postgres::{Database, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::Event;
pub use crate::counts::postgres::append_counts;
use crate::store::{Attempted, Delivery, Due, State};

/// Adds events, by one statement. They are delivered if the transaction commits; then call
/// [`Outbox::notice`](crate::Outbox::notice).
///
/// # Errors
/// When the database fails, or if a subject has an event of this number.
pub async fn append(transaction: &Transaction, events: &[Event]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let domains: Vec<&str> = events.iter().map(|event| event.about.domain).collect();
    let subjects: Vec<Uuid> = events.iter().map(|event| event.about.subject).collect();
    let numbers: Vec<i64> = events.iter().map(|event| event.about.number).collect();
    let origins: Vec<String> = events.iter().map(|event| event.receiver.origin()).collect();
    let urls: Vec<String> = events.iter().map(|event| event.receiver.url()).collect();
    let bodies: Vec<&str> = events.iter().map(|event| &*event.body).collect();
    let times: Vec<Timestamp> = events.iter().map(|event| event.at).collect();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&ids, &domains, &subjects, &numbers, &origins, &urls, &bodies, &times];
    let sql = include_str!("postgres/append.sql");
    transaction.write("write events", sql, &values).await.map(drop)
}

/// Removes the events of a subject, those that are not delivered as well.
///
/// # Errors
/// When the database fails.
pub async fn remove(
    transaction: &Transaction,
    domain: &'static str,
    subject: Uuid,
) -> Result<(), Error> {
    let sql = include_str!("postgres/remove.sql");
    transaction.write("remove events", sql, &[&domain, &subject]).await.map(drop)
}

pub(crate) async fn deliveries(
    database: &Database,
    domain: &'static str,
    subject: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<Delivery>, Error> {
    let (step, sql) = ("list events", include_str!("postgres/deliveries.sql"));
    let limit = i64::from(limit);
    let once = async || database.rows(step, sql, &[&domain, &subject, &before, &limit]).await;
    let rows = Policy::short(step).run(once).await?;
    let delivery = |row: &Row| Delivery {
        id: row.get(0),
        number: row.get(1),
        receiver: row.get(2),
        body: row.get(3),
        created: row.get(4),
        state: State::of(row.get(5), row.get(6), row.get(7), row.get(10)),
        attempts: row.get(8),
        answer: row.get(9),
    };
    Ok(rows.iter().map(delivery).collect())
}

pub(crate) async fn due(
    database: &Database,
    now: Timestamp,
    of_receiver: u32,
    limit: u32,
) -> Result<Vec<Due>, Error> {
    let (step, sql) = ("look which events are due", include_str!("postgres/due.sql"));
    let (of_receiver, limit) = (i64::from(of_receiver), i64::from(limit));
    let rows = database.rows(step, sql, &[&now, &of_receiver, &limit]).await?;
    let due = |row: &Row| Due {
        id: row.get(0),
        receiver: row.get(1),
        url: row.get(2),
        body: row.get(3),
        created: row.get(4),
        attempts: row.get(5),
    };
    Ok(rows.iter().map(due).collect())
}

/// Once only: repeated after a lost answer, it would not know whose attempt it is.
pub(crate) async fn take(
    database: &Database,
    id: Uuid,
    attempts: i64,
    next: Timestamp,
) -> Result<bool, Error> {
    let (step, sql) = ("take an event", include_str!("postgres/take.sql"));
    match database.commit_rows(step, sql, &[&id, &attempts, &next]).await {
        Ok(rows) => Ok(!rows.is_empty()),
        // Another server takes it at the same moment.
        Err(error) if error.sqlstate() == Some(SqlState::T_R_SERIALIZATION_FAILURE.code()) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn note(database: &Database, attempted: &Attempted) -> Result<(), Error> {
    let (step, sql) = ("note what became of an event", include_str!("postgres/note.sql"));
    let Attempted { id, attempt, due, now, is_delivered, answer } = attempted;
    let once = async || {
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [id, attempt, due, now, is_delivered, answer];
        database.commit_rows(step, sql, &values).await.map(drop)
    };
    Policy::short(step).run(once).await
}

pub(crate) async fn prune(
    database: &Database,
    before: Timestamp,
    limit: u32,
) -> Result<u64, Error> {
    let (step, sql) = ("remove old events", include_str!("postgres/prune.sql"));
    let gone = database.commit_rows(step, sql, &[&before, &i64::from(limit)]).await?;
    Ok(gone.len() as u64)
}
