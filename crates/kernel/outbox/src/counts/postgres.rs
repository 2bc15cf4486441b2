//! Requests to be counted in Postgres and CockroachDB.

use jiff::Timestamp;
use tally_runtime::{Namespace, random};
use tally_store::Error;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Count, Counts, new_producer};

/// Adds requests. They are counted if the transaction commits.
///
/// # Errors
/// When the database fails.
pub async fn append_counts(transaction: &Transaction, counts: &[Count]) -> Result<(), Error> {
    if counts.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = counts.iter().map(|count| random::id(count.at)).collect();
    let namespaces: Vec<i64> = counts.iter().map(|count| count.namespace.0).collect();
    let services: Vec<&str> = counts.iter().map(|count| &*count.service).collect();
    let methods: Vec<&str> = counts.iter().map(|count| &*count.method).collect();
    let paths: Vec<&str> = counts.iter().map(|count| &*count.path).collect();
    let statuses: Vec<i64> = counts.iter().map(|count| count.status.into()).collect();
    let times: Vec<Timestamp> = counts.iter().map(|count| count.at).collect();
    let values: [&(dyn ToSql + Sync); 7] =
        [&ids, &namespaces, &services, &methods, &paths, &statuses, &times];
    let sql = include_str!("../postgres/append_counts.sql");
    transaction.write("write requests to count", sql, &values).await.map(drop)
}

pub(super) async fn next(database: &Database, limit: u32) -> Result<Option<Counts>, Error> {
    let step = "take requests to count";
    let sql = include_str!("../postgres/has_counts.sql");
    let waiting = Policy::short(step).run(async || database.rows(step, sql, &[]).await).await?;
    if waiting.is_empty() {
        return Ok(None);
    }
    Policy::short(step).run(async || take(database, limit).await).await
}

/// Safe to repeat: a batch that was taken is found again.
async fn take(database: &Database, limit: u32) -> Result<Option<Counts>, Error> {
    let step = "take requests to count";
    let transaction = database.begin(Isolation::Default).await?;
    let new = new_producer();
    let sql = include_str!("../postgres/begin_counter.sql");
    transaction.write(step, sql, &[&new]).await?;
    let sql = include_str!("../postgres/lock_counter.sql");
    let row = transaction.row(step, sql, &[]).await?;
    let (producer, last): (Uuid, i64) = (row.get(0), row.get(1));
    let mut sequence = last;
    let mut counts = Vec::new();
    if last > 0 {
        counts = of_batch(&transaction, last).await?;
    }
    if counts.is_empty() {
        sequence = last + 1;
        let sql = include_str!("../postgres/take_counts.sql");
        if transaction.write(step, sql, &[&sequence, &i64::from(limit)]).await? == 0 {
            transaction.abandon().await?;
            return Ok(None);
        }
        let sql = include_str!("../postgres/next_batch.sql");
        transaction.write(step, sql, &[&sequence]).await?;
        counts = of_batch(&transaction, sequence).await?;
    }
    transaction.commit().await?;
    Ok(Some(Counts { producer, sequence, counts }))
}

async fn of_batch(transaction: &Transaction, batch: i64) -> Result<Vec<Count>, Error> {
    let (step, sql) = ("read a batch to count", include_str!("../postgres/counts_of_batch.sql"));
    let count = |row: &Row| Count {
        namespace: Namespace(row.get(0)),
        service: row.get(1),
        method: row.get(2),
        path: row.get(3),
        status: u16::try_from(row.get::<_, i64>(4)).unwrap_or_default(),
        at: row.get(5),
    };
    Ok(transaction.rows(step, sql, &[&batch]).await?.iter().map(count).collect())
}

pub(super) async fn remove(database: &Database, batch: i64) -> Result<(), Error> {
    let (step, sql) = ("remove what is counted", include_str!("../postgres/remove_counts.sql"));
    let once = async || database.commit_rows(step, sql, &[&batch]).await.map(drop);
    Policy::short(step).run(once).await
}
