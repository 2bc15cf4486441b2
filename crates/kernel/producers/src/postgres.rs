//! Producers in Postgres and CockroachDB.

mod setbacks;

use jiff::Timestamp;
use tally_runtime::{Kind, Namespace};
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;
use tally_store::{Error, Outcome};
use tokio::sync::Semaphore;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub(crate) use self::setbacks::{clear_setbacks, setbacks};
use crate::days::Days;
use crate::lease::{Found, Leaving, Opening, Producer, Refusal, Standing, Step, tell_forgotten};
use crate::setback::{Setback, Told};
use crate::store::{Owner, Shown, Summary};

/// How many producers one transaction forgets.
const FORGET_MAX: i64 = 1_000;
/// Of how many batches, each of some 16,000 days at most, one transaction adds up the days.
const GATHER_MAX: i64 = 2;

/// Opens a producer. After a lost answer this tries again and finds its own claim. Between attempts
/// others have its place.
pub(crate) async fn open(
    database: &Database,
    places: &Semaphore,
    owner: Owner,
    producers_max: u32,
    opening: &Opening,
) -> Result<Result<Standing, Refusal>, Error> {
    let once = async || {
        let _place = places.acquire().await;
        open_once(database, owner, producers_max, opening).await
    };
    Policy::short("register the client").run(once).await
}

/// Forgets one producer, if it stands there.
pub(crate) async fn forget(
    database: &Database,
    places: &Semaphore,
    owner: Owner,
    leaving: Leaving,
) -> Result<(), Error> {
    let sql = include_str!("postgres/forget_producer.sql");
    let Leaving { id, epoch, sequence, last_seen_micros } = leaving;
    let last_seen = last_seen_micros.map(time);
    let values: [&(dyn ToSql + Sync); 6] =
        [&owner.domain, &owner.namespace.0, &id, &epoch, &sequence, &last_seen];
    let once = async || {
        let _place = places.acquire().await;
        forget_some(database, sql, &values, true).await
    };
    Policy::short("forget a producer").run(once).await.map(|_| ())
}

/// Forgets the producers that were silent for too long.
pub(crate) async fn forget_silent(
    database: &Database,
    domain: &str,
    retention_days: u32,
) -> Result<(), Error> {
    let (sql, days) = (include_str!("postgres/forget_producers.sql"), f64::from(retention_days));
    let policy = Policy::short("forget old producers");
    loop {
        let values: [&(dyn ToSql + Sync); 3] = [&domain, &days, &FORGET_MAX];
        let once = async || forget_some(database, sql, &values, false).await;
        if policy.run(once).await? < FORGET_MAX {
            return Ok(());
        }
    }
}

pub(crate) async fn list(
    database: &Database,
    owner: Owner,
    with_workers: bool,
) -> Result<Vec<Producer>, Error> {
    let step = "list producers";
    let once = async || {
        let sql = include_str!("postgres/list_producers.sql");
        let rows =
            database.rows(step, sql, &[&owner.domain, &owner.namespace.0, &with_workers]).await?;
        Ok(rows.iter().map(producer).collect())
    };
    Policy::short(step).run(once).await
}

/// Forgets the one producer that is shown by this id; if there are several, none. Returns those that there
/// are. Once only: repeated after a lost answer, it would not say what it forgot.
pub(crate) async fn forget_shown(
    database: &Database,
    places: &Semaphore,
    owner: Owner,
    shown: &Shown,
) -> Result<Vec<Producer>, Error> {
    let step = "forget a producer";
    let once = async || {
        let _place = places.acquire().await;
        let transaction = database.writer().await?.transaction(Isolation::Default).await?;
        limit_wait(&transaction).await?;
        let sql = include_str!("postgres/forget_shown.sql");
        let values: [&(dyn ToSql + Sync); 4] =
            [&owner.domain, &owner.namespace.0, &shown.id, &shown.short_id];
        let gone: Vec<_> = match transaction.rows(step, sql, &values).await {
            Ok(gone) => gone.iter().map(producer).collect(),
            Err(error) => return Err(transaction.failed(error).await),
        };
        if gone.len() == 1 {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?.release();
        }
        Ok(gone)
    };
    Policy { attempts_max: 1, ..Policy::short(step) }.run(once).await
}

/// Notes what is missing of a worker's batches.
pub(crate) async fn note_setback(
    database: &Database,
    owner: Owner,
    noting: &[Owner],
    worker: Uuid,
    told: Told,
) -> Result<(), Error> {
    let once = async || {
        let transaction = database.writer().await?.transaction(Isolation::Default).await?;
        let found = find(&transaction, owner, worker).await?;
        let lost = told.of_worker(worker, found.as_ref());
        let mut setback = None;
        for owner in noting {
            setback = note(&transaction, *owner, lost.clone()).await?.or(setback);
        }
        transaction.commit().await?;
        setback.iter().for_each(Setback::tell);
        Ok(())
    };
    Policy::short("note what is missing").run(once).await
}

/// Adds up the days of batches that have many, in bounded steps. A step that is repeated after a lost
/// answer takes the next ones.
pub(crate) async fn gather_days(database: &Database) -> Result<(), Error> {
    let (step, sql) = ("add up the days of batches", include_str!("postgres/gather_days.sql"));
    let once = async || {
        let transaction = database.begin(Isolation::Default).await?;
        let batches = transaction.row(step, sql, &[&GATHER_MAX]).await?.get::<_, i64>(0);
        transaction.commit().await?;
        Ok(batches)
    };
    let policy = Policy::short(step);
    while policy.run(once).await? == GATHER_MAX {}
    Ok(())
}

/// Strikes drops of these days. Once only: repeated after a lost answer, it would not say what it struck.
pub(crate) async fn strike_drops(
    database: &Database,
    owner: Owner,
    first: i32,
    last: i32,
) -> Result<i64, Error> {
    let (step, sql) = ("strike drops", include_str!("postgres/strike_drops.sql"));
    let values: [&(dyn ToSql + Sync); 4] = [&owner.domain, &owner.namespace.0, &first, &last];
    let once = async || {
        let transaction = database.begin(Isolation::Default).await?;
        let struck = transaction.row(step, sql, &values).await?.get(0);
        transaction.commit().await?;
        Ok(struck)
    };
    Policy { attempts_max: 1, ..Policy::short(step) }.run(once).await
}

/// The clients in few words.
pub(crate) async fn summary(database: &Database, owner: Owner) -> Result<Summary, Error> {
    let (step, sql) = ("sum the producers up", include_str!("postgres/summary.sql"));
    let rows = database.rows(step, sql, &[&owner.domain, &owner.namespace.0]).await?;
    let row = rows.first().ok_or_else(|| Error::permanent(step, Kind::Internal))?;
    let (clients, last_seen, dropped, setbacks) = (row.get(0), row.get(1), row.get(2), row.get(3));
    Ok(Summary { clients, last_seen, dropped, setbacks })
}

/// How much of these days was dropped, by all clients of a domain together.
pub async fn dropped(
    transaction: &Transaction,
    domain: &str,
    namespace: Namespace,
    first: i32,
    last: i32,
) -> Result<i64, Error> {
    let step = "read how much was dropped";
    let sql = include_str!("postgres/dropped.sql");
    Ok(transaction.row(step, sql, &[&domain, &namespace.0, &first, &last]).await?.get(0))
}

/// Adds to a domain's days what forgotten producers brought, or something without a number.
pub async fn add_days(
    transaction: &Transaction,
    domain: &str,
    namespace: Namespace,
    days: &Days,
) -> Result<(), Error> {
    let (accepted, dropped): (Vec<i64>, Vec<i64>) =
        days.values().map(|counted| (counted.accepted, counted.dropped)).unzip();
    let days: Vec<i32> = days.keys().copied().collect();
    let sql = include_str!("postgres/add_days.sql");
    let values: [&(dyn ToSql + Sync); 5] = [&domain, &namespace.0, &days, &accepted, &dropped];
    transaction.write("add to the days of a domain", sql, &values).await?;
    Ok(())
}

async fn open_once(
    database: &Database,
    owner: Owner,
    producers_max: u32,
    opening: &Opening,
) -> Result<Result<Standing, Refusal>, Error> {
    let step = "register the client";
    let transaction = database.writer().await?.transaction(Isolation::Default).await?;
    limit_wait(&transaction).await?;
    let found = match find(&transaction, owner, opening.id).await {
        Ok(found) => found,
        Err(error) => return Err(transaction.failed(error).await),
    };
    let (next, setback) = opening.decide(owner.domain, found.as_ref());
    let setback = note(&transaction, owner, setback).await?;
    let (id, name, claim) = (&opening.id, &opening.name, opening.claim());
    let opened = match next {
        Step::Refuse(refusal) => Err(refusal),
        Step::Add => {
            let mut refusal = None;
            for (is_shared, max, too_many) in opening.room(producers_max) {
                let (sql, max) = (include_str!("postgres/count_producers.sql"), i64::from(max));
                let values: [&(dyn ToSql + Sync); 4] =
                    [&owner.domain, &max, &is_shared, &owner.namespace.0];
                let row = transaction.row(step, sql, &values).await?;
                if row.get::<_, i64>(0) >= max {
                    refusal = refusal.or(Some(too_many));
                }
            }
            if let Some(refusal) = refusal {
                // Another process may have added it since this one looked, and then it is counted too.
                if find(&transaction, owner, opening.id).await?.is_some() {
                    return Err(overtaken());
                }
                Err(refusal)
            } else {
                let (sql, epoch) = (include_str!("postgres/add_producer.sql"), opening.next_epoch);
                let values: [&(dyn ToSql + Sync); 7] = [
                    id,
                    &owner.domain,
                    &owner.namespace.0,
                    &epoch,
                    &claim,
                    name,
                    &opening.take_over,
                ];
                let added = transaction.rows(step, sql, &values).await?;
                let seen = added.first().map(|row| micros(row, 0)).ok_or_else(overtaken)?;
                Ok(opening.first_standing(seen))
            }
        }
        Step::GoOn { epoch } => {
            let sql = include_str!("postgres/open_producer.sql");
            let values: [&(dyn ToSql + Sync); 5] = [id, &epoch, &claim, name, &owner.namespace.0];
            let row = transaction.row(step, sql, &values).await?;
            let found = found.expect("only a producer that is there goes on");
            Ok(opening.next_standing(epoch, micros(&row, 0), found.standing))
        }
    };
    transaction.commit().await?;
    setback.iter().for_each(Setback::tell);
    Ok(opened)
}

/// The next attempt finds the producer.
fn overtaken() -> Error {
    Error::transient("add a producer: another server was faster", Outcome::Determinate)
}

/// A producer is locked while its batch is stored. Waiting for that takes one of few places, so it
/// gives up soon and comes back later.
async fn limit_wait(transaction: &Transaction) -> Result<(), Error> {
    let sql = include_str!("postgres/lock_timeout_50_ms.sql");
    transaction.script("limit the wait for a producer", sql).await
}

/// Where a producer stands, and since when. This locks it.
async fn find(transaction: &Transaction, owner: Owner, id: Uuid) -> Result<Option<Found>, Error> {
    let sql = include_str!("postgres/find_producer.sql");
    let rows = transaction
        .rows("look where a producer stands", sql, &[&id, &owner.domain, &owner.namespace.0])
        .await?;
    Ok(rows.first().map(|row| Found {
        standing: Standing {
            epoch: row.get(0),
            claim: row.get(1),
            sequence: row.get(2),
            is_shared: row.get(3),
            checkpoint: row.get::<_, Option<_>>(4).unwrap_or_default(),
            last_seen_micros: micros(row, 5),
        },
        is_of_domain: row.get(6),
    }))
}

/// Notes what is missing. Returns it if it is to be logged.
async fn note(
    transaction: &Transaction,
    owner: Owner,
    setback: Option<Setback>,
) -> Result<Option<Setback>, Error> {
    let Some(setback) = setback else { return Ok(None) };
    let Setback { producer, name, noticed_micros, since_micros, batches, .. } = &setback;
    let (noticed, since) = (time(*noticed_micros), time(*since_micros));
    let sql = include_str!("postgres/note_setback.sql");
    let values: [&(dyn ToSql + Sync); 7] =
        [&owner.domain, &owner.namespace.0, producer, name, &noticed, &since, batches];
    let noted = transaction.rows("note what is missing", sql, &values).await?;
    Ok(noted.first().is_some_and(|row| row.get(0)).then_some(setback))
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}

fn micros(row: &Row, column: usize) -> i64 {
    row.get::<_, Timestamp>(column).as_microsecond()
}

fn producer(row: &Row) -> Producer {
    Producer {
        id: row.get(0),
        name: row.get(1),
        sequence: row.get(2),
        is_worker: row.get(3),
        last_seen_micros: micros(row, 4),
        accepted: row.get(5),
        dropped: row.get(6),
        checkpoint: row.get::<_, Option<_>>(7).unwrap_or_default(),
        checkpoint_micros: row.get::<_, Option<Timestamp>>(8).map(Timestamp::as_microsecond),
    }
}

/// Deletes producers by one statement, keeps what they brought, and returns how many they were.
/// Repeated after a lost answer, it finds the next ones, or none. If a client waits, this
/// waits for locks only briefly.
async fn forget_some(
    database: &Database,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
    client_waits: bool,
) -> Result<i64, Error> {
    let step = "forget producers";
    let connection =
        if client_waits { database.writer().await? } else { database.connection().await? };
    let transaction = connection.transaction(Isolation::Default).await?;
    if client_waits {
        limit_wait(&transaction).await?;
    }
    let gone = match transaction.rows(step, sql, values).await {
        Ok(gone) => gone,
        Err(error) => return Err(transaction.failed(error).await),
    };
    let workers = gone.iter().filter(|row| row.get(1)).map(|row| row.get(0));
    let workers: Vec<Uuid> = workers.collect();
    if !workers.is_empty() {
        transaction.write(step, include_str!("postgres/forget_days.sql"), &[&workers]).await?;
        transaction.write(step, include_str!("postgres/remove_days.sql"), &[&workers]).await?;
    }
    if !gone.is_empty() {
        tally_runtime::faults::point("forget.before_commit").await;
    }
    transaction.commit().await?;
    for row in &gone {
        tell_forgotten(row.get(0), row.get(2));
    }
    Ok(i64::try_from(gone.len()).unwrap_or(FORGET_MAX))
}
