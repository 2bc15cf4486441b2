//! Opening, listing and forgetting producers. CockroachDB uses it too.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tally_store::error::Step as _;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;
use tally_store::{Error, Outcome};
use uuid::Uuid;

use super::super::plan::Counted;
use super::super::{Opened, ProducerRetention, Result};
use crate::model::DayRange;
use crate::producer::{Opening, Producer, Refusal, Standing, Step};

/// How often opening is tried before the client is told to come back: others wait for its place.
const OPEN_ATTEMPTS: u32 = 4;

/// How many producers one transaction forgets.
const FORGET_MAX: i64 = 1_000;

/// Opens a producer. After a lost answer it is tried again, and finds its own claim.
pub(crate) async fn open(database: &Database, opening: &Opening) -> Result<Opened> {
    let policy = Policy { attempts_max: OPEN_ATTEMPTS, ..Policy::short("open a producer") };
    policy.run(|| open_once(database, opening)).await
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

/// Forgets producers that stored nothing for a long time.
pub(crate) async fn forget(database: &Database, retention: ProducerRetention) -> Result<()> {
    loop {
        let forgotten =
            Policy::short("forget old producers").run(|| forget_some(database, retention)).await?;
        if forgotten < FORGET_MAX {
            return Ok(());
        }
    }
}

/// How many requests of the days were dropped.
pub(crate) async fn dropped(transaction: &Transaction<'_>, days: DayRange) -> Result<i64> {
    let step = "read how much was dropped";
    let statement = transaction.prepare_cached(include_str!("dropped.sql")).await.step(step)?;
    let row = transaction.query_one(&statement, &[&days.first.0, &days.last.0]).await.step(step)?;
    Ok(row.get(0))
}

async fn open_once(database: &Database, opening: &Opening) -> Result<Opened> {
    let step = "open a producer";
    let mut connection = database.writer().await?;
    let transaction = connection.begin(Isolation::Default).await?;
    transaction.batch_execute(include_str!("wait_for_producer.sql")).await.step(step)?;
    let row = transaction
        .query_opt(include_str!("find_producer.sql"), &[&opening.id])
        .await
        .step(step)?;
    let standing =
        row.map(|row| Standing { epoch: row.get(0), claim: row.get(1), sequence: row.get(2) });
    let (claim, name) = (opening.claim(), &opening.name);
    let opened = match opening.step(standing) {
        Step::Refuse(refusal) => Err(refusal),
        Step::Add => {
            let max = opening.producers_max;
            let sql = include_str!("count_producers.sql");
            let producers: i64 = transaction.query_one(sql, &[&max]).await.step(step)?.get(0);
            if producers >= max {
                Err(Refusal::TooMany { max })
            } else {
                let sql = include_str!("add_producer.sql");
                let added =
                    transaction.execute(sql, &[&opening.id, &claim, name]).await.step(step)?;
                if added == 0 {
                    let step = "add a producer: another server was faster";
                    return Err(Error::transient(step, Outcome::Determinate));
                }
                Ok(Standing { epoch: 1, claim, sequence: 0 })
            }
        }
        Step::Move { epoch } => {
            let sql = include_str!("open_producer.sql");
            transaction.execute(sql, &[&opening.id, &epoch, &claim, name]).await.step(step)?;
            let sequence = standing.map_or(0, |standing| standing.sequence);
            Ok(Standing { epoch, claim, sequence })
        }
    };
    transaction.commit().await?;
    connection.release();
    Ok(opened)
}

/// One transaction. Repeated after a lost answer, it finds the next ones.
async fn forget_some(database: &Database, retention: ProducerRetention) -> Result<i64> {
    let step = "forget old producers";
    let mut connection = database.connection().await?;
    let transaction = connection.begin(Isolation::Default).await?;
    let (days, max) = (f64::from(retention), FORGET_MAX);
    let gone =
        transaction.query(include_str!("forget_producers.sql"), &[&days, &max]).await.step(step)?;
    let ids: Vec<Uuid> = gone.iter().map(|row| row.get(0)).collect();
    if !ids.is_empty() {
        let mut kept: BTreeMap<i32, Counted> = BTreeMap::new();
        let sql = include_str!("forget_days.sql");
        for row in transaction.query(sql, &[&ids]).await.step(step)? {
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
        tally_store::faults::point("forget.before_commit").await;
    }
    transaction.commit().await?;
    connection.release();
    Ok(i64::try_from(ids.len()).unwrap_or(FORGET_MAX))
}
