//! SQLite: one table of rows, written by one thread.
//!
//! | file | what it owns |
//! |---|---|
//! | `roll_up.rs` | rolling rows up: one scan, counted here |
//! | `totals.rs` | answering queries |

mod roll_up;
mod totals;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{
    Connection, OptionalExtension as _, Transaction, TransactionBehavior, params_from_iter,
};
use tally_ingest::Batch;
use tally_store::error::Step as _;
use tally_store::faults;
use tally_store::sqlite::Database;

use super::kept::KeptDays;
use super::{PRODUCER_RETENTION_DAYS, Result, Store, gap};
use crate::model::{DayRange, Endpoint, EndpointId, Rows};
use crate::totals::{Query, TooMany, Totals};

/// How many rows one INSERT takes: more is hardly faster, and SQLite allows 32,766 values.
const INSERT_ROWS: usize = 100;

/// Requests in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    database: Database,
    kept: Arc<KeptDays>,
}

// === impl SqliteStore ===

impl SqliteStore {
    /// On a database whose migrations are applied; keeps so many totals in memory.
    #[must_use]
    pub fn new(database: Database, kept_totals_max: usize) -> Self {
        Self { database, kept: Arc::new(KeptDays::new(kept_totals_max)) }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn endpoints(&self) -> Result<Vec<(EndpointId, Endpoint)>> {
        self.database.read(|connection| list_endpoints(connection)).await
    }

    async fn resolve(&self, endpoints: &[Endpoint]) -> Result<Vec<EndpointId>> {
        let endpoints = endpoints.to_vec();
        self.database.write(move |connection| resolve(connection, &endpoints)).await
    }

    async fn append(&self, batch: &Batch<'_, Rows>) -> Result<()> {
        let (producer, sequence) = (batch.producer, batch.sequence);
        let chunks = batch.chunks.to_vec();
        self.database
            .write(move |connection| append(connection, producer.as_bytes(), sequence, &chunks))
            .await
    }

    async fn roll_up(&self, days: DayRange) -> Result<u64> {
        self.database.write(move |connection| roll_up::roll_up(connection, days)).await
    }

    async fn totals(&self, query: &Query) -> Result<std::result::Result<Totals, TooMany>> {
        let (query, kept) = (query.clone(), Arc::clone(&self.kept));
        self.database.read(move |connection| totals::read(connection, &query, &kept)).await
    }

    fn kept_totals_max(&self) -> usize {
        self.kept.totals_max()
    }

    async fn maintain(&self, _now: Timestamp) -> Result<()> {
        self.database
            .write(move |connection| {
                let sql = include_str!("sqlite/forget_producers.sql");
                connection.execute(sql, [PRODUCER_RETENTION_DAYS]).step("forget old producers")?;
                totals::stamp_days(connection)
            })
            .await
    }
}

/// A transaction that writes, and so takes the write lock at once.
fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).step("begin a transaction")
}

fn list_endpoints(connection: &Connection) -> Result<Vec<(EndpointId, Endpoint)>> {
    let step = "list endpoints";
    let mut statement =
        connection.prepare_cached(include_str!("sqlite/endpoints.sql")).step(step)?;
    let rows = statement
        .query_map([], |row| {
            Ok((row.get(0)?, Endpoint::new(row.get(1)?, row.get::<_, String>(2)?)))
        })
        .step(step)?;
    rows.collect::<rusqlite::Result<_>>().step(step)
}

fn resolve(connection: &mut Connection, endpoints: &[Endpoint]) -> Result<Vec<EndpointId>> {
    let step = "look endpoints up";
    let transaction = begin(connection)?;
    let ids = {
        let mut add =
            transaction.prepare_cached(include_str!("sqlite/add_endpoint.sql")).step(step)?;
        let mut find =
            transaction.prepare_cached(include_str!("sqlite/find_endpoint.sql")).step(step)?;
        let one = |endpoint: &Endpoint| {
            let key = (endpoint.method, &*endpoint.path);
            add.execute(key)?;
            find.query_row(key, |row| row.get(0))
        };
        endpoints.iter().map(one).collect::<rusqlite::Result<_>>().step(step)?
    };
    transaction.commit().step("commit")?;
    Ok(ids)
}

fn append(
    connection: &mut Connection,
    producer: &[u8; 16],
    sequence: i64,
    chunks: &[Rows],
) -> Result<()> {
    let step = "insert the rows of a batch";
    let transaction = begin(connection)?;
    let stored: Option<i64> = transaction
        .prepare_cached(include_str!("sqlite/producer.sql"))
        .and_then(|mut statement| statement.query_row([producer], |row| row.get(0)).optional())
        .step("read a producer's sequence")?;
    match stored.unwrap_or(0) {
        stored if stored >= sequence => return Ok(()),
        stored if stored < sequence - 1 => return Err(gap(stored, sequence)),
        _ => {}
    }
    let rows: Vec<i64> = chunks.iter().flat_map(Rows::iter).flat_map(<[i64; 2]>::from).collect();
    transaction
        .prepare_cached(include_str!("sqlite/move_producer.sql"))
        .and_then(|mut statement| statement.execute((producer, sequence)))
        .step("move a producer on")?;
    let (many, rest) = rows.as_chunks::<{ 2 * INSERT_ROWS }>();
    let insert = |sql: &str, values: &[i64]| {
        transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params_from_iter(values)))
            .step(step)
    };
    let insert_many = insert_sql(INSERT_ROWS);
    for values in many {
        insert(&insert_many, values)?;
    }
    if !rest.is_empty() {
        insert(&insert_sql(rest.len() / 2), rest)?;
    }
    faults::blocking_point("append.before_commit");
    transaction.commit().step("commit")?;
    faults::blocking_point("append.committed");
    Ok(())
}

/// An INSERT of so many rows.
fn insert_sql(rows: usize) -> String {
    let values = vec!["(?, ?)"; rows].join(", ");
    format!("{} {values}", include_str!("sqlite/append.sql").trim_end())
}
