//! Storing a batch, by COPY or by unnest.

use std::error::Error as StdError;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, pin_mut};
use hashbrown::HashMap;
use tally_ingest::{Batch, WriteError};
use tally_store::error::Step as _;
use tally_store::postgres::{
    Connection, Database, GenericClient, Isolation, Transaction, commits_itself,
};
use tally_store::{Error, Outcome};
use tokio_postgres::Row;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::super::plan::{Move, Place, Places, Plan};
use super::super::{Appended, Names, Result};
use super::endpoints;
use crate::model::EndpointId;
use crate::rows::{POSTGRES_EPOCH_MICROS, Rows};

/// COPY costs about a millisecond before its first row, and less for each row after it:
/// below this many rows, one INSERT from arrays is faster.
const COPY_ROWS_MIN: usize = 2_000;
/// The signature, flags and extension length of Postgres's binary COPY format.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Its end: a field count of -1.
const COPY_TRAILER: &[u8] = b"\xff\xff";

/// A time as Postgres keeps it, from microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Micros(pub(crate) i64);

/// How a batch is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// The statement for small batches of one producer.
    pub(crate) one: &'static str,
    /// The statement for small batches of several.
    pub(crate) small: &'static str,
    /// From how many rows on COPY is used, if there is a COPY.
    pub(crate) copy_rows_min: Option<usize>,
}

/// What the statements take, column by column.
#[derive(Debug, Default)]
struct Columns {
    ids: Vec<Uuid>,
    epochs: Vec<i64>,
    before: Vec<i64>,
    last: Vec<i64>,
    day_ids: Vec<Uuid>,
    days: Vec<i32>,
    accepted: Vec<i64>,
    dropped: Vec<i64>,
}

/// Postgres's way.
pub(super) const COPIES: Way = Way {
    one: include_str!("append_one.sql"),
    small: include_str!("append_small.sql"),
    copy_rows_min: Some(COPY_ROWS_MIN),
};

/// Stores a batch once.
///
/// It is tried as if all of it were new, in one statement or one COPY. If that does not fit,
/// since some of it is stored already or cannot be, a transaction holds the producers, looks
/// where they stand, and stores the rest.
pub(crate) async fn append(
    database: &Database,
    batch: &Batch<'_, Rows>,
    names: &Names,
    way: Way,
) -> std::result::Result<Appended, WriteError> {
    let mut plan = Plan::hopeful(batch)?;
    let mut connection = database.writer().await?;
    if database.writers_made() != names.state {
        connection.release();
        return Ok(Appended::Stale);
    }
    if batch.sequence == 1 {
        begin_worker(&connection, batch.producer).await?;
    }
    let copies = way.copies(&plan);
    let mut moved = HashMap::new();
    let is_stored = if copies || !names.new.is_empty() {
        let transaction = connection.begin(Isolation::Default).await?;
        moved = endpoints::add(&transaction, &names.new).await?;
        plan = plan.moved(&names.moved_with(&moved));
        let fits = in_transaction(&transaction, &plan, way).await?;
        if fits {
            commit(transaction).await?;
        } else {
            transaction.rollback().await?;
        }
        fits
    } else {
        plan = plan.moved(&names.moved);
        tally_store::postgres::fail(&*connection).await?;
        let fits = by_unnest(&*connection, &plan, way, commits_itself).await?;
        tally_runtime::faults::point("append.small.committed").await;
        fits
    };
    if !is_stored {
        (plan, moved) = what_is_new(&mut connection, batch, names, way).await?;
    }
    connection.release();
    Ok(Appended::Stored { fates: plan.fates, moved })
}

/// Stores a row, takes it back, and commits.
pub(crate) async fn try_write(database: &Database, row: &str) -> Result<()> {
    let mut connection = database.probe().await?;
    let transaction = connection.begin(Isolation::Default).await?;
    transaction.try_out(row).await?;
    transaction.commit().await?;
    connection.release();
    Ok(())
}

/// Stores what of a batch is not stored yet.
async fn what_is_new(
    connection: &mut Connection,
    batch: &Batch<'_, Rows>,
    names: &Names,
    way: Way,
) -> std::result::Result<(Plan, HashMap<EndpointId, EndpointId>), WriteError> {
    let transaction = connection.begin(Isolation::Default).await?;
    // Before the producers are locked, as everywhere: two batches cannot deadlock.
    let moved = endpoints::add(&transaction, &names.new).await?;
    let plan = Plan::new(batch, places(&transaction, batch).await?)?;
    let plan = plan.moved(&names.moved_with(&moved));
    if !plan.moves.is_empty() && !in_transaction(&transaction, &plan, way).await? {
        // They are locked: only another isolation than is asked for makes this happen.
        let step = "move producers that are locked";
        return Err(Error::transient(step, Outcome::Determinate).into());
    }
    commit(transaction).await?;
    Ok((plan, moved))
}

/// Whether all of it fitted; if not, nothing happened.
async fn in_transaction(transaction: &Transaction<'_>, plan: &Plan, way: Way) -> Result<bool> {
    if way.copies(plan) {
        copy(transaction, plan).await
    } else {
        by_unnest(&***transaction, plan, way, |step, result| result.step(step)).await
    }
}

/// Where the producers of a batch stand, and stay until the transaction ends.
async fn places(transaction: &Transaction<'_>, batch: &Batch<'_, Rows>) -> Result<Places> {
    let step = "look where producers stand";
    let runs = batch.chunks.iter().filter_map(Rows::run).map(|run| run.producer);
    let mut places: Places = runs.chain([batch.producer]).map(|id| (id, None)).collect();
    let ids: Vec<Uuid> = places.keys().copied().collect();
    let statement =
        transaction.prepare_cached(include_str!("lock_producers.sql")).await.step(step)?;
    for row in transaction.query(&statement, &[&ids]).await.step(step)? {
        places.insert(row.get(0), Some(Place { epoch: row.get(1), sequence: row.get(2) }));
    }
    Ok(places)
}

async fn begin_worker(connection: &Connection, worker: Uuid) -> Result<()> {
    let done = connection.execute(include_str!("begin_worker.sql"), &[&worker]).await;
    commits_itself("begin as an insert worker", done).map(|_| ())
}

/// One statement. Whether all of it fitted; if not, nothing happened.
async fn by_unnest<C, E>(client: &C, plan: &Plan, way: Way, classify: E) -> Result<bool>
where
    C: GenericClient + Sync,
    E: FnOnce(&'static str, std::result::Result<Row, tokio_postgres::Error>) -> Result<Row>,
{
    let step = "insert the rows of a batch";
    let columns = Columns::of(plan);
    let rows = plan.rows.iter().flat_map(Rows::iter);
    let (endpoints, times): (Vec<i64>, Vec<Micros>) =
        rows.map(|(endpoint, micros)| (endpoint, Micros(micros))).unzip();
    let (sql, mut parameters) = match &*plan.moves {
        [one] => (way.one, columns.parameters_of(one)),
        _ => (way.small, columns.parameters()),
    };
    let statement = client.prepare_cached(sql).await.step(step)?;
    parameters.extend([&endpoints as &(dyn ToSql + Sync), &times]);
    let row = classify(step, client.query_one(&statement, &parameters).await)?;
    Ok(row.get::<_, i64>(0) > 0)
}

/// Whether all of it fitted; if not, nothing happened.
async fn copy(transaction: &Transaction<'_>, plan: &Plan) -> Result<bool> {
    let step = "copy the rows of a batch";
    let columns = Columns::of(plan);
    let statement =
        transaction.prepare_cached(include_str!("move_producers.sql")).await.step(step)?;
    let row = transaction.query_one(&statement, &columns.parameters()).await.step(step)?;
    if row.get::<_, i64>(0) == 0 {
        return Ok(false);
    }
    copy_rows(transaction, &plan.rows).await?;
    Ok(true)
}

/// Stores rows, whoever has counted them.
pub(super) async fn copy_rows(transaction: &Transaction<'_>, rows: &[Rows]) -> Result<()> {
    let step = "copy rows";
    let copy = transaction.copy_in::<_, Bytes>(include_str!("append_copy.sql")).await.step(step)?;
    pin_mut!(copy);
    copy.feed(Bytes::from_static(COPY_HEADER)).await.step(step)?;
    for rows in rows {
        copy.feed(rows.copy_bytes()).await.step(step)?;
    }
    copy.feed(Bytes::from_static(COPY_TRAILER)).await.step(step)?;
    copy.finish().await.step(step)?;
    Ok(())
}

async fn commit(transaction: Transaction<'_>) -> Result<()> {
    tally_runtime::faults::point("append.before_commit").await;
    transaction.commit().await?;
    tally_runtime::faults::point("append.committed").await;
    Ok(())
}

// === impl Way ===

impl Way {
    fn copies(self, plan: &Plan) -> bool {
        self.copy_rows_min.is_some_and(|min| plan.row_count() >= min)
    }
}

// === impl Columns ===

impl Columns {
    fn of(plan: &Plan) -> Self {
        let mut columns = Self::default();
        for one in &plan.moves {
            columns.ids.push(one.id);
            columns.epochs.push(one.epoch);
            columns.before.push(one.before);
            columns.last.push(one.last);
        }
        for ((producer, day), counted) in &plan.days {
            columns.day_ids.push(*producer);
            columns.days.push(day.0);
            columns.accepted.push(counted.accepted);
            columns.dropped.push(counted.dropped);
        }
        columns
    }

    /// Those of one producer, whose days all of them are.
    fn parameters_of<'a>(&'a self, one: &'a Move) -> Vec<&'a (dyn ToSql + Sync)> {
        let Move { id, epoch, before, last } = one;
        vec![id, epoch, before, last, &self.days, &self.accepted, &self.dropped]
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.ids,
            &self.epochs,
            &self.before,
            &self.last,
            &self.day_ids,
            &self.days,
            &self.accepted,
            &self.dropped,
        ]
    }
}

// === impl Micros ===

impl ToSql for Micros {
    fn to_sql(
        &self,
        _ty: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        // Postgres counts from 2000-01-01.
        out.put_i64(self.0 - POSTGRES_EPOCH_MICROS);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}
