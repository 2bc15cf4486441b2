//! Storing a batch in SQLite, where the domain's own statements follow in the same transaction.

use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use tally_ingest::{Batch, WriteError};
use tally_runtime::faults;
use tally_store::Error;
use tally_store::error::Step as _;
use tally_store::sqlite::{Database, begin};
use uuid::Uuid;

use crate::days::Counted;
use crate::once;
use crate::plan::{Place, Places, Plan, Whose};
use crate::run::{Content, Parcel};

/// Does something with a batch in a transaction of its own, and returns after the commit.
pub async fn transaction<C: Content, T: Send + 'static>(
    database: &Database,
    batch: &Batch<'_, Parcel<C>>,
    work: impl FnOnce(&Transaction<'_>, &Batch<'_, Parcel<C>>) -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    let Batch { producer, sequence, is_repeated, .. } = *batch;
    let chunks = batch.chunks.to_vec();
    let commit = move |connection: &mut Connection| {
        let batch = Batch { producer, sequence, is_repeated, chunks: &chunks };
        let transaction = begin(connection)?;
        let done = match work(&transaction, &batch) {
            Ok(done) => done,
            Err(error) => return Ok(Err(error)),
        };
        faults::blocking_point("append.before_commit");
        transaction.commit().step("commit")?;
        faults::blocking_point("append.committed");
        Ok(Ok(done))
    };
    database.write(commit).await?
}

/// Moves the producers of a batch, and counts what is new of it to its days. The caller stores the
/// content of the plan in the same transaction; after its commit the plan's fates are the batch's.
pub fn append<C: Content>(
    transaction: &Transaction<'_>,
    domain: &str,
    batch: &Batch<'_, Parcel<C>>,
) -> Result<Plan<C>, WriteError> {
    if batch.sequence == 1 {
        transaction
            .execute(include_str!("sqlite/begin_worker.sql"), (batch.producer.as_bytes(), domain))
            .step("begin as an insert worker")?;
    }
    let keys = once::sqlite::store(transaction, domain, batch)?;
    let plan = Plan::new(batch, places(transaction, batch)?, keys)?;
    for one in &plan.moves {
        transaction
            .prepare_cached(include_str!("sqlite/move_producer.sql"))
            .and_then(|mut statement| {
                let Counted { accepted, dropped } = one.brought;
                let (namespace, id) = one.whose;
                let (id, checkpoint) = (id.as_bytes(), &one.checkpoint);
                statement.execute((id, one.last, accepted, dropped, checkpoint, namespace.0))
            })
            .step("move a producer on")?;
    }
    count_days(transaction, domain, batch.producer, &plan).step("count the days of a batch")?;
    Ok(plan)
}

/// Counts the days, in a way that suits how many there are.
fn count_days<C: Content>(
    transaction: &Transaction<'_>,
    domain: &str,
    worker: Uuid,
    plan: &Plan<C>,
) -> rusqlite::Result<()> {
    if plan.has_many_days() {
        let sql = include_str!("sqlite/count_many_days.sql");
        let mut count = transaction.prepare_cached(sql)?;
        for ((namespace, day), Counted { accepted, dropped }) in &plan.days {
            count.execute((day.0, domain, namespace.0, accepted, dropped))?;
        }
    } else {
        let mut count = transaction.prepare_cached(include_str!("sqlite/count_day.sql"))?;
        for ((namespace, day), Counted { accepted, dropped }) in &plan.days {
            count.execute((worker.as_bytes(), day.0, domain, namespace.0, accepted, dropped))?;
        }
    }
    Ok(())
}

/// Where the producers of a batch stand.
fn places<C>(transaction: &Transaction<'_>, batch: &Batch<'_, Parcel<C>>) -> Result<Places, Error> {
    let mut places = Places::new();
    for whose in super::producers(batch) {
        if let Entry::Vacant(vacant) = places.entry(whose) {
            vacant.insert(place(transaction, whose)?);
        }
    }
    Ok(places)
}

fn place(transaction: &Transaction<'_>, whose: Whose) -> Result<Option<Place>, Error> {
    let (namespace, id) = whose;
    let place = |row: &Row<'_>| Ok(Place { epoch: row.get(0)?, sequence: row.get(1)? });
    transaction
        .prepare_cached(include_str!("sqlite/producer.sql"))
        .and_then(|mut statement| {
            statement.query_row((id.as_bytes(), namespace.0), place).optional()
        })
        .step("look where a producer stands")
}
