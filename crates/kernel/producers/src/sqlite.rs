//! Producers in SQLite.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Transaction};
use tally_runtime::Namespace;
use tally_store::Error;
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};
use uuid::Uuid;

use crate::days::{Counted, Days};
use crate::lease::{Found, Leaving, Opening, Producer, Refusal, Standing, Step, tell_forgotten};
use crate::setback::{Setback, Told};
use crate::store::{Owner, Shown, Summary};

/// How many days of batches one transaction adds up: batches wait for it, some 0.2 s for days at random.
const GATHER_MAX: u32 = 4_000;

pub(crate) fn open(
    connection: &mut Connection,
    owner: Owner,
    max: u32,
    opening: &Opening,
) -> Result<Result<Standing, Refusal>, Error> {
    let step = "register the client";
    let transaction = begin(connection)?;
    let found = find(&transaction, owner, opening.id)?;
    let (next, setback) = opening.decide(owner.domain, found.as_ref());
    let setback = note(&transaction, owner, setback)?;
    let (id, name, claim) = (opening.id.as_bytes(), &opening.name, opening.claim());
    let opened = match next {
        Step::Refuse(refusal) => Err(refusal),
        Step::Add => {
            let mut refusal = None;
            for (is_shared, max, too_many) in opening.room(max) {
                let sql = include_str!("sqlite/count_producers.sql");
                let values = (owner.domain, max, is_shared, owner.namespace.0);
                let count = transaction.query_row(sql, values, |row| row.get::<_, u32>(0));
                if count.step(step)? >= max {
                    refusal = refusal.or(Some(too_many));
                }
            }
            if let Some(refusal) = refusal {
                Err(refusal)
            } else {
                let (sql, epoch) = (include_str!("sqlite/add_producer.sql"), opening.next_epoch);
                let values =
                    (id, owner.domain, owner.namespace.0, epoch, claim, name, opening.take_over);
                let seen = transaction.query_row(sql, values, |row| row.get(0)).step(step)?;
                Ok(opening.first_standing(seen))
            }
        }
        Step::GoOn { epoch } => {
            let sql = include_str!("sqlite/open_producer.sql");
            let values = (id, epoch, claim, name, owner.namespace.0);
            let seen = transaction.query_row(sql, values, |row| row.get(0)).step(step)?;
            let found = found.expect("only a producer that is there goes on");
            Ok(opening.next_standing(epoch, seen, found.standing))
        }
    };
    commit(transaction, setback.as_ref())?;
    Ok(opened)
}

pub(crate) fn forget(
    connection: &mut Connection,
    owner: Owner,
    leaving: Leaving,
) -> Result<(), Error> {
    let Leaving { id, epoch, sequence, last_seen_micros } = leaving;
    let values =
        (owner.domain, owner.namespace.0, id.as_bytes(), epoch, sequence, last_seen_micros);
    forget_some(connection, include_str!("sqlite/forget_producer.sql"), values)
}

pub(crate) fn forget_silent(
    connection: &mut Connection,
    domain: &str,
    retention_days: u32,
) -> Result<(), Error> {
    let values = (domain, retention_days);
    forget_some(connection, include_str!("sqlite/forget_producers.sql"), values)
}

pub(crate) fn list(
    connection: &Connection,
    owner: Owner,
    with_workers: bool,
) -> Result<Vec<Producer>, Error> {
    let sql = include_str!("sqlite/list_producers.sql");
    let values = (owner.domain, owner.namespace.0, with_workers);
    rows(connection, "list producers", sql, values, producer)
}

/// Forgets the one producer that is shown by this id; if there are several, none. Returns those that there
/// are.
pub(crate) fn forget_shown(
    connection: &mut Connection,
    owner: Owner,
    shown: &Shown,
) -> Result<Vec<Producer>, Error> {
    let transaction = begin(connection)?;
    let sql = include_str!("sqlite/forget_shown.sql");
    let id = shown.id.as_ref().map(Uuid::as_bytes);
    let values = (owner.domain, owner.namespace.0, id, &shown.short_id);
    let gone = rows(&transaction, "forget a producer", sql, values, producer)?;
    if gone.len() == 1 {
        transaction.commit().step("commit")?;
    }
    Ok(gone)
}

pub(crate) fn note_setback(
    connection: &mut Connection,
    owner: Owner,
    noting: &[Owner],
    worker: Uuid,
    told: Told,
) -> Result<(), Error> {
    let transaction = begin(connection)?;
    let found = find(&transaction, owner, worker)?;
    let lost = told.of_worker(worker, found.as_ref());
    let mut setback = None;
    for owner in noting {
        setback = note(&transaction, *owner, lost.clone())?.or(setback);
    }
    commit(transaction, setback.as_ref())
}

pub(crate) fn setbacks(connection: &Connection, owner: Owner) -> Result<Vec<Setback>, Error> {
    let sql = include_str!("sqlite/list_setbacks.sql");
    let values = (owner.domain, owner.namespace.0);
    rows(connection, "list what is missing", sql, values, setback)
}

pub(crate) fn clear_setbacks(
    connection: &mut Connection,
    owner: Owner,
    short_id: &str,
) -> Result<Vec<Setback>, Error> {
    let transaction = begin(connection)?;
    let sql = include_str!("sqlite/clear_setbacks.sql");
    let values = (owner.domain, owner.namespace.0, short_id);
    let cleared = rows(&transaction, "clear setbacks", sql, values, setback)?;
    transaction.commit().step("commit")?;
    Ok(cleared)
}

/// Adds up some of the days of batches that have many. Returns whether there may be more.
pub(crate) fn gather_days(connection: &mut Connection) -> Result<bool, Error> {
    let step = "add up the days of batches";
    let transaction = begin(connection)?;
    let days =
        transaction.execute(include_str!("sqlite/gather_days.sql"), [GATHER_MAX]).step(step)?;
    let sql = include_str!("sqlite/remove_gathered_days.sql");
    transaction.execute(sql, [GATHER_MAX]).step(step)?;
    transaction.commit().step("commit")?;
    Ok(days == GATHER_MAX as usize)
}

/// Strikes drops of these days, which are added up.
pub(crate) fn strike_drops(
    connection: &mut Connection,
    owner: Owner,
    first: i32,
    last: i32,
) -> Result<i64, Error> {
    let Owner { domain, namespace } = owner;
    let transaction = begin(connection)?;
    let struck = dropped(&transaction, domain, namespace, first, last)?;
    let sql = include_str!("sqlite/strike_drops.sql");
    transaction.execute(sql, (domain, namespace.0, first, last)).step("strike drops")?;
    transaction.commit().step("commit")?;
    Ok(struck)
}

/// The clients in few words.
pub(crate) fn summary(connection: &Connection, owner: Owner) -> Result<Summary, Error> {
    let Owner { domain, namespace } = owner;
    let sql = include_str!("sqlite/summary.sql");
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?));
    let counted = connection.query_row(sql, (domain, namespace.0), read);
    let (clients, last_seen) = counted.step("sum the producers up")?;
    Ok(Summary {
        clients,
        last_seen: last_seen.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
        dropped: dropped(connection, domain, namespace, i32::MIN, i32::MAX)?,
        setbacks: setbacks(connection, owner)?.iter().map(|one| one.producers).sum(),
    })
}

/// How much of these days was dropped, by all clients of a domain together.
pub fn dropped(
    connection: &Connection,
    domain: &str,
    namespace: Namespace,
    first: i32,
    last: i32,
) -> Result<i64, Error> {
    let (step, sql) = ("read how much was dropped", include_str!("sqlite/dropped.sql"));
    let values = (domain, namespace.0, first, last);
    let counts = rows(connection, step, sql, values, |row| row.get(0))?;
    Ok(counts.into_iter().fold(0, i64::saturating_add))
}

/// Adds to a domain's days what forgotten producers brought, or something without a number.
pub fn add_days(
    transaction: &Transaction<'_>,
    domain: &str,
    namespace: Namespace,
    days: &Days,
) -> Result<(), Error> {
    let step = "add to the days of a domain";
    let sql = include_str!("sqlite/add_days.sql");
    let mut count = transaction.prepare_cached(sql).step(step)?;
    for (day, Counted { accepted, dropped }) in days {
        count.execute((domain, namespace.0, day, accepted, dropped)).step(step)?;
    }
    Ok(())
}

/// Deletes producers by one statement and keeps what they brought, in one transaction.
fn forget_some(connection: &mut Connection, sql: &str, values: impl Params) -> Result<(), Error> {
    let step = "forget producers";
    let transaction = begin(connection)?;
    let producer = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let gone: Vec<([u8; 16], bool, i64)> = rows(&transaction, step, sql, values, producer)?;
    if gone.is_empty() {
        return Ok(());
    }
    for (id, is_worker, _) in &gone {
        if *is_worker {
            for sql in
                [include_str!("sqlite/forget_days.sql"), include_str!("sqlite/remove_days.sql")]
            {
                transaction.execute(sql, [id]).step(step)?;
            }
        }
    }
    tally_runtime::faults::blocking_point("forget.before_commit");
    transaction.commit().step("commit")?;
    for (id, _, accepted) in gone {
        tell_forgotten(Uuid::from_bytes(id), accepted);
    }
    Ok(())
}

/// Where a producer stands, and since when.
fn find(transaction: &Transaction<'_>, owner: Owner, id: Uuid) -> Result<Option<Found>, Error> {
    let sql = include_str!("sqlite/find_producer.sql");
    let found =
        transaction.query_row(sql, (id.as_bytes(), owner.domain, owner.namespace.0), |row| {
            Ok(Found {
                standing: Standing {
                    epoch: row.get(0)?,
                    claim: row.get(1)?,
                    sequence: row.get(2)?,
                    is_shared: row.get(3)?,
                    checkpoint: row.get::<_, Option<_>>(4)?.unwrap_or_default(),
                    last_seen_micros: row.get(5)?,
                },
                is_of_domain: row.get(6)?,
            })
        });
    found.optional().step("look where a producer stands")
}

/// Notes what is missing. Returns it if it is to be logged.
fn note(
    transaction: &Transaction<'_>,
    owner: Owner,
    setback: Option<Setback>,
) -> Result<Option<Setback>, Error> {
    let Some(setback) = setback else { return Ok(None) };
    let Setback { producer, name, noticed_micros, since_micros, batches, .. } = &setback;
    let values = (
        owner.domain,
        owner.namespace.0,
        producer.as_bytes(),
        name,
        noticed_micros,
        since_micros,
        batches,
    );
    let sql = include_str!("sqlite/note_setback.sql");
    let noted = transaction.query_row(sql, values, |row| row.get::<_, bool>(0)).optional();
    Ok(noted.step("note what is missing")?.unwrap_or_default().then_some(setback))
}

fn commit(transaction: Transaction<'_>, setback: Option<&Setback>) -> Result<(), Error> {
    transaction.commit().step("commit")?;
    setback.into_iter().for_each(Setback::tell);
    Ok(())
}

fn producer(row: &Row<'_>) -> rusqlite::Result<Producer> {
    Ok(Producer {
        id: Uuid::from_bytes(row.get(0)?),
        name: row.get(1)?,
        sequence: row.get(2)?,
        is_worker: row.get(3)?,
        last_seen_micros: row.get(4)?,
        accepted: row.get(5)?,
        dropped: row.get(6)?,
        checkpoint: row.get::<_, Option<_>>(7)?.unwrap_or_default(),
        checkpoint_micros: row.get(8)?,
    })
}

fn setback(row: &Row<'_>) -> rusqlite::Result<Setback> {
    Ok(Setback {
        producer: Uuid::from_bytes(row.get(0)?),
        name: row.get(1)?,
        noticed_micros: row.get(2)?,
        since_micros: row.get(3)?,
        producers: row.get(4)?,
        batches: row.get(5)?,
    })
}
