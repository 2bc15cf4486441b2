//! The outbox in SQLite.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction};
use tally_store::Error;
use tally_store::error::Step as _;
use tally_store::sqlite::rows;
use uuid::Uuid;

use crate::Event;
pub use crate::counts::sqlite::append_counts;
use crate::store::{Attempted, Delivery, Due, State};

/// Adds events. They are delivered if the transaction commits; then call
/// [`Outbox::notice`](crate::Outbox::notice).
///
/// # Errors
/// When the database fails, or if a subject has an event of this number.
pub fn append(transaction: &Transaction<'_>, events: &[Event]) -> Result<(), Error> {
    let step = "write events";
    let sql = include_str!("sqlite/append.sql");
    let mut statement = transaction.prepare_cached(sql).step(step)?;
    for Event { id, about, receiver, at, body } in events {
        let (id, subject) = (id.as_bytes(), about.subject.as_bytes());
        let (origin, url, at) = (receiver.origin(), receiver.url(), at.as_microsecond());
        let values = (id, about.domain, subject, about.number, origin, url, body, at);
        statement.execute(values).step(step)?;
    }
    Ok(())
}

/// Removes the events of a subject, those that are not delivered as well.
///
/// # Errors
/// When the database fails.
pub fn remove(
    transaction: &Transaction<'_>,
    domain: &'static str,
    subject: Uuid,
) -> Result<(), Error> {
    let sql = include_str!("sqlite/remove.sql");
    transaction.execute(sql, (domain, subject.as_bytes())).step("remove events").map(drop)
}

pub(crate) fn deliveries(
    connection: &Connection,
    domain: &'static str,
    subject: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<Delivery>, Error> {
    let delivery = |row: &Row<'_>| {
        Ok(Delivery {
            id: Uuid::from_bytes(row.get(0)?),
            number: row.get(1)?,
            receiver: row.get(2)?,
            body: row.get(3)?,
            created: time(row.get(4)?),
            state: State::of(
                row.get::<_, Option<_>>(5)?.map(time),
                row.get::<_, Option<_>>(6)?.map(time),
                row.get(7)?,
                row.get(10)?,
            ),
            attempts: row.get(8)?,
            answer: row.get(9)?,
        })
    };
    let sql = include_str!("sqlite/deliveries.sql");
    rows(connection, "list events", sql, (domain, subject.as_bytes(), before, limit), delivery)
}

pub(crate) fn due(
    connection: &Connection,
    now: Timestamp,
    of_receiver: u32,
    limit: u32,
) -> Result<Vec<Due>, Error> {
    let due = |row: &Row<'_>| {
        Ok(Due {
            id: Uuid::from_bytes(row.get(0)?),
            receiver: row.get(1)?,
            url: row.get(2)?,
            body: row.get(3)?,
            created: time(row.get(4)?),
            attempts: row.get(5)?,
        })
    };
    let (step, sql) = ("look which events are due", include_str!("sqlite/due.sql"));
    rows(connection, step, sql, (now.as_microsecond(), of_receiver, limit), due)
}

pub(crate) fn take(
    connection: &Connection,
    id: Uuid,
    attempts: i64,
    next: Timestamp,
) -> Result<bool, Error> {
    let values = (id.as_bytes(), attempts, next.as_microsecond());
    let taken = connection.execute(include_str!("sqlite/take.sql"), values);
    Ok(taken.step("take an event")? > 0)
}

pub(crate) fn note(connection: &Connection, attempted: &Attempted) -> Result<(), Error> {
    let Attempted { id, attempt, due, now, is_delivered, answer } = attempted;
    let due = due.map(Timestamp::as_microsecond);
    let values = (id.as_bytes(), attempt, due, now.as_microsecond(), is_delivered, answer);
    let done = connection.execute(include_str!("sqlite/note.sql"), values);
    done.step("note what became of an event").map(drop)
}

pub(crate) fn prune(connection: &Connection, before: Timestamp, limit: u32) -> Result<u64, Error> {
    let sql = include_str!("sqlite/prune.sql");
    let gone = connection.execute(sql, (before.as_microsecond(), limit));
    Ok(gone.step("remove old events")? as u64)
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
