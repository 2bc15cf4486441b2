//! Opening, listing and forgetting producers. CockroachDB uses it too.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tally_store::error::Step as _;
use tally_store::postgres::{Database, Isolation, Transaction, commits_itself};
use tally_store::retry::Policy;
use tally_store::{Error, Outcome};
use tokio::sync::Semaphore;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::plan::Counted;
use super::super::{Opened, ProducerRetention, Result, WORKER_NAME};
use super::append::Micros;
use super::files;
use crate::model::DayRange;
use crate::producer::{Leaving, Opening, Producer, Refusal, Standing, Step};
use crate::setback::{Setback, Told};

/// How many producers one transaction forgets.
const FORGET_MAX: i64 = 1_000;

/// Opens a producer. After a lost answer it is tried again, and finds its own claim. Others have its
/// place while it waits for that.
pub(crate) async fn open(
    database: &Database,
    places: &Semaphore,
    opening: &Opening,
) -> Result<Opened> {
    let policy = Policy::short("register the client");
    let once = async || {
        let _place = places.acquire().await;
        open_once(database, opening).await
    };
    policy.run(once).await
}

/// Every producer, those first that were seen last.
pub(crate) async fn list(database: &Database, with_workers: bool) -> Result<Vec<Producer>> {
    let step = "list producers";
    Policy::short(step)
        .run(|| async {
            let connection = database.connection().await?;
            let sql = include_str!("list_producers.sql");
            let rows = connection.query(sql, &[&with_workers]).await.step(step)?;
            connection.release();
            let producer = |row: &tokio_postgres::Row| Producer {
                id: row.get(0),
                name: row.get(1),
                sequence: row.get(2),
                is_worker: row.get(3),
                last_seen_micros: row.get::<_, Timestamp>(4).as_microsecond(),
                accepted: row.get(5),
                dropped: row.get(6),
            };
            Ok(rows.iter().map(producer).collect())
        })
        .await
}

/// Forgets producers that were silent for too long.
pub(crate) async fn forget(database: &Database, retention: ProducerRetention) -> Result<()> {
    let (sql, days) = (include_str!("forget_producers.sql"), f64::from(retention));
    let policy = Policy::short("forget old producers");
    loop {
        let once = async || forget_some(database, sql, &[&days, &FORGET_MAX], None).await;
        if policy.run(once).await? < FORGET_MAX {
            return Ok(());
        }
    }
}

/// Forgets one producer, if it stands there.
pub(crate) async fn forget_one(
    database: &Database,
    places: &Semaphore,
    leaving: &Leaving,
) -> Result<()> {
    let sql = include_str!("forget_producer.sql");
    let Leaving { id, epoch, sequence, .. } = leaving;
    let policy = Policy::short("forget a producer");
    let once = async || {
        let _place = places.acquire().await;
        forget_some(database, sql, &[id, epoch, sequence], Some(leaving)).await
    };
    policy.run(once).await.map(|_| ())
}

/// How many requests of the days were dropped.
pub(crate) async fn dropped(transaction: &Transaction<'_>, days: DayRange) -> Result<i64> {
    let step = "read how much was dropped";
    let statement = transaction.prepare_cached(include_str!("dropped.sql")).await.step(step)?;
    let row = transaction.query_one(&statement, &[&days.first.0, &days.last.0]).await.step(step)?;
    Ok(row.get(0))
}

async fn open_once(database: &Database, opening: &Opening) -> Result<Opened> {
    let step = "register the client";
    let mut connection = database.writer().await?;
    let transaction = connection.begin(Isolation::Default).await?;
    transaction.batch_execute(include_str!("wait_hardly_for_producer.sql")).await.step(step)?;
    let found = find(&transaction, opening.id).await?;
    let standing = found.map(|(standing, _)| standing);
    let (claim, name) = (opening.claim(), &opening.name);
    let next = opening.step(standing);
    let setback = match next {
        Step::Refuse(Refusal::InUse) => None,
        _ => opening.setback(stored(found)),
    };
    let setback = note(&transaction, setback).await?;
    let opened = match next {
        Step::Refuse(refusal) => Err(refusal),
        Step::Add => {
            let max = opening.producers_max;
            let sql = include_str!("count_producers.sql");
            let producers: i64 = transaction.query_one(sql, &[&max]).await.step(step)?.get(0);
            if producers >= max {
                Err(Refusal::TooMany { max })
            } else {
                let (sql, epoch) = (include_str!("add_producer.sql"), opening.next_epoch);
                let values: [&(dyn ToSql + Sync); 4] = [&opening.id, &epoch, &claim, name];
                let added = transaction.execute(sql, &values).await.step(step)?;
                if added == 0 {
                    let step = "add a producer: another server was faster";
                    return Err(Error::transient(step, Outcome::Determinate));
                }
                Ok(Standing { epoch, claim, sequence: 0 })
            }
        }
        Step::GoOn { epoch } => {
            let sql = include_str!("open_producer.sql");
            transaction.execute(sql, &[&opening.id, &epoch, &claim, name]).await.step(step)?;
            let sequence = standing.map_or(0, |standing| standing.sequence);
            Ok(Standing { epoch, claim, sequence })
        }
    };
    transaction.commit().await?;
    connection.release();
    setback.iter().for_each(Setback::tell);
    Ok(opened)
}

/// Notes what is missing of a worker's batches.
pub(crate) async fn note_setback(database: &Database, worker: Uuid, told: Told) -> Result<()> {
    let once = async || {
        let mut connection = database.writer().await?;
        let transaction = connection.begin(Isolation::Default).await?;
        let stored = stored(find(&transaction, worker).await?);
        let setback = note(&transaction, told.setback(worker, WORKER_NAME, stored)).await?;
        transaction.commit().await?;
        connection.release();
        setback.iter().for_each(Setback::tell);
        Ok(())
    };
    Policy::short("note what is missing").run(once).await
}

/// What was acknowledged and is missing.
pub(crate) async fn setbacks(database: &Database) -> Result<Vec<Setback>> {
    let step = "list what is missing";
    let once = async || {
        let connection = database.connection().await?;
        let rows = connection.query(include_str!("list_setbacks.sql"), &[]).await.step(step)?;
        connection.release();
        Ok(rows.iter().map(setback).collect())
    };
    Policy::short(step).run(once).await
}

/// Clears setbacks. A statement that is repeated after a lost answer would not say what.
pub(crate) async fn clear_setbacks(database: &Database, short_id: &str) -> Result<Vec<Setback>> {
    let step = "clear setbacks";
    let once = async || {
        let connection = database.writer().await?;
        let sql = include_str!("clear_setbacks.sql");
        let rows = commits_itself(step, connection.query(sql, &[&short_id]).await)?;
        connection.release();
        Ok(rows.iter().map(setback).collect())
    };
    Policy { attempts_max: 1, ..Policy::short(step) }.run(once).await
}

fn setback(row: &tokio_postgres::Row) -> Setback {
    Setback {
        producer: row.get(0),
        name: row.get(1),
        noticed_micros: row.get::<_, Timestamp>(2).as_microsecond(),
        since_micros: row.get::<_, Timestamp>(3).as_microsecond(),
        producers: row.get(4),
        batches: row.get(5),
    }
}

/// Where a producer stands, and since when. It is locked.
async fn find(transaction: &Transaction<'_>, id: Uuid) -> Result<Option<(Standing, i64)>> {
    let row = transaction.query_opt(include_str!("find_producer.sql"), &[&id]).await;
    let found = row.step("look where a producer stands")?.map(|row| {
        let (epoch, claim, sequence) = (row.get(0), row.get(1), row.get(2));
        let last_seen = row.get::<_, Timestamp>(3).as_microsecond();
        (Standing { epoch, claim, sequence }, last_seen)
    });
    Ok(found)
}

fn stored(found: Option<(Standing, i64)>) -> Option<(i64, i64)> {
    found.map(|(standing, last_seen)| (standing.sequence, last_seen))
}

/// Notes what is missing. It is given back if it is to be logged.
async fn note(transaction: &Transaction<'_>, setback: Option<Setback>) -> Result<Option<Setback>> {
    let Some(setback) = setback else { return Ok(None) };
    let Setback { producer, name, noticed_micros, since_micros, batches, .. } = &setback;
    let (noticed, since) = (Micros(*noticed_micros), Micros(*since_micros));
    let sql = include_str!("note_setback.sql");
    let noted = transaction.query_opt(sql, &[producer, name, &noticed, &since, batches]).await;
    let noted = noted.step("note what is missing")?;
    Ok(noted.is_some_and(|row| row.get(0)).then_some(setback))
}

/// One transaction, in which a statement deletes producers. The answer is how many. Repeated after a
/// lost answer, it finds the next ones, or none. If a client waits for it, it waits for locks only
/// briefly itself, and remembers the files that the client has counted.
async fn forget_some(
    database: &Database,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
    leaving: Option<&Leaving>,
) -> Result<i64> {
    let step = "forget producers";
    let mut connection =
        if leaving.is_some() { database.writer().await? } else { database.connection().await? };
    let transaction = connection.begin(Isolation::Default).await?;
    if leaving.is_some() {
        transaction.batch_execute(include_str!("wait_hardly_for_producer.sql")).await.step(step)?;
    }
    let gone = transaction.query(sql, values).await.step(step)?;
    let ids: Vec<Uuid> = gone.iter().map(|row| row.get(0)).collect();
    if !ids.is_empty() {
        let accepted = keep_days(&transaction, &ids).await?;
        let files = leaving.map_or(&[][..], |leaving| leaving.files_within(accepted));
        files::note(&transaction, files).await?;
        tally_runtime::faults::point("forget.before_commit").await;
    }
    transaction.commit().await?;
    connection.release();
    Ok(i64::try_from(ids.len()).unwrap_or(FORGET_MAX))
}

/// What producers that are gone brought stays known. The answer is how many requests were accepted
/// of them.
async fn keep_days(transaction: &Transaction<'_>, gone: &[Uuid]) -> Result<i64> {
    let step = "keep what forgotten producers brought";
    let mut kept: BTreeMap<i32, Counted> = BTreeMap::new();
    for row in transaction.query(include_str!("forget_days.sql"), &[&gone]).await.step(step)? {
        let (accepted, dropped): (i64, i64) = (row.get(1), row.get(2));
        let counted = kept.entry(row.get(0)).or_default();
        counted.accepted += accepted;
        counted.dropped = counted.dropped.saturating_add(dropped);
    }
    let days: Vec<i32> = kept.keys().copied().collect();
    let (accepted, dropped): (Vec<i64>, Vec<i64>) =
        kept.values().map(|counted| (counted.accepted, counted.dropped)).unzip();
    let sql = include_str!("keep_days.sql");
    transaction.execute(sql, &[&days, &accepted, &dropped]).await.step(step)?;
    Ok(accepted.into_iter().fold(0, i64::saturating_add))
}
