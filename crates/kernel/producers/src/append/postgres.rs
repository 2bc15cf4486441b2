//! Storing a batch in Postgres and CockroachDB.

use std::future::{Future, ready};

use tally_ingest::{Batch, WriteError};
use tally_runtime::{Day, Namespace, faults};
use tally_store::error::Step as _;
use tally_store::postgres::{Connection, Isolation, Transaction, commits_itself, fail};
use tally_store::{Error, Outcome};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::days::Counted;
use crate::once::{self, Keys};
use crate::plan::{Move, Place, Places, Plan};
use crate::run::{Content, Fate, Parcel};

/// Where the domain's part of a statement goes, and its condition.
const STORED: &str = "-- :stored";
const OPEN: &str = ":open";
/// The answer of a statement whose condition does not hold.
const CLOSED: i64 = -1;

/// The values of one column.
pub type Column = Box<dyn ToSql + Sync + Send>;

/// The statements that move producers, with a domain's INSERT in them.
#[derive(Debug)]
pub struct Statements {
    /// For batches of one producer.
    pub one: String,
    /// For batches of several.
    pub many: String,
}

/// How a domain stores the rows of one batch.
pub trait Table: Send {
    /// Its rows.
    type Content: Content;

    /// The domain's name.
    fn domain(&self) -> &'static str;

    /// Its statements.
    fn statements(&self) -> &Statements;

    /// The values that its INSERT takes, column by column.
    fn columns(&self, content: &[Self::Content]) -> Vec<Column>;

    /// Whether this many rows are copied: COPY costs about a millisecond before its first row, and
    /// less than an INSERT for each row after it.
    fn copies(&self, _rows: usize) -> bool {
        false
    }

    /// Copies rows, after the statement for none has moved the producers and locked the table.
    fn copy(
        &self,
        _transaction: &Transaction,
        _content: &[Self::Content],
    ) -> impl Future<Output = Result<(), Error>> + Send {
        ready(Ok(()))
    }

    /// Whether something is stored before the rows.
    fn has_more(&self) -> bool {
        false
    }

    /// Stores it, first in every transaction, so that two batches cannot deadlock.
    fn store_more(
        &mut self,
        _transaction: &Transaction,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        ready(Ok(()))
    }

    /// What is stored of these rows, once that is done.
    fn adapt(&self, content: Vec<Self::Content>) -> Vec<Self::Content> {
        content
    }
}

/// What became of a statement that moves producers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    All,
    /// Not all of them stand where the plan has them.
    Unfit,
    /// The domain's condition does not hold.
    Closed,
}

/// What the statements take, column by column.
#[derive(Debug, Default)]
struct Columns {
    ids: Vec<Uuid>,
    namespaces: Vec<i64>,
    epochs: Vec<i64>,
    before: Vec<i64>,
    last: Vec<i64>,
    brought: Vec<i64>,
    given_up: Vec<i64>,
    worker: Uuid,
    namespaces_of_days: Vec<i64>,
    days: Vec<i32>,
    accepted: Vec<i64>,
    dropped: Vec<i64>,
    checkpoints: Vec<Option<Vec<u8>>>,
}

/// Stores a batch once, or nothing if the [condition](Statements::new) does not hold. Fails also if the
/// batch's number does not fit.
///
/// It first assumes that all of the batch is new, and stores it in one statement or one COPY. If some
/// of it is stored already or cannot be, a transaction locks the producers, looks where they stand,
/// and stores the rest.
pub async fn append<T: Table>(
    mut connection: Connection,
    batch: &Batch<'_, Parcel<T::Content>>,
    table: &mut T,
) -> Result<Option<Vec<Fate>>, WriteError> {
    let mut plan = Plan::hopeful(batch, Keys::default())?;
    if batch.sequence == 1 {
        begin_worker(&connection, batch.producer, table.domain()).await?;
    }
    let has_more = table.has_more() || batch.chunks.iter().any(|chunk| chunk.once.is_some());
    if !has_more {
        adapt(table, &mut plan);
    }
    if table.copies(plan.row_count()) || has_more || plan.has_many_days() {
        let transaction;
        if has_more {
            let keys;
            (transaction, keys) = begin(connection, batch, table).await?;
            plan = Plan::hopeful(batch, keys)?;
            adapt(table, &mut plan);
        } else {
            transaction = connection.transaction(Isolation::Default).await?;
        }
        let moved = in_transaction(&transaction, batch, table, &mut plan).await?;
        if moved == Moved::All {
            commit(transaction).await?;
            return Ok(Some(plan.fates));
        }
        connection = transaction.rollback().await?;
        if moved == Moved::Closed {
            connection.release();
            return Ok(None);
        }
    } else {
        fail(&connection).await?;
        let moved = in_one(&connection, batch, table, &plan, commits_itself).await?;
        faults::point("append.small.committed").await;
        if moved != Moved::Unfit {
            connection.release();
            return Ok((moved == Moved::All).then_some(plan.fates));
        }
    }
    what_is_new(connection, batch, table).await
}

/// Stores what of a batch is not stored yet.
async fn what_is_new<T: Table>(
    connection: Connection,
    batch: &Batch<'_, Parcel<T::Content>>,
    table: &mut T,
) -> Result<Option<Vec<Fate>>, WriteError> {
    let (transaction, keys) = begin(connection, batch, table).await?;
    let mut plan = Plan::new(batch, places(&transaction, batch).await?, keys)?;
    adapt(table, &mut plan);
    if !plan.moves.is_empty() {
        match in_transaction(&transaction, batch, table, &mut plan).await? {
            Moved::All => {}
            Moved::Closed => {
                transaction.abandon().await?;
                return Ok(None);
            }
            Moved::Unfit => {
                // They are locked: this happens only under another isolation level.
                let step = "move producers that are locked";
                return Err(Error::transient(step, Outcome::Determinate).into());
            }
        }
    }
    commit(transaction).await?;
    Ok(Some(plan.fates))
}

/// Begins a transaction, and stores what is stored before the rows: the keys first, because nothing that
/// others need is locked while one of them is waited for. Returns the keys that were used before.
async fn begin<T: Table>(
    connection: Connection,
    batch: &Batch<'_, Parcel<T::Content>>,
    table: &mut T,
) -> Result<(Transaction, Keys), Error> {
    let transaction = connection.transaction(Isolation::Default).await?;
    let keys = match once::postgres::store(&transaction, table.domain(), batch).await {
        Ok(keys) => keys,
        Err(error) => return Err(transaction.failed(error).await),
    };
    table.store_more(&transaction).await?;
    Ok((transaction, keys))
}

/// As [`in_one`], or by COPY.
async fn in_transaction<T: Table>(
    transaction: &Transaction,
    batch: &Batch<'_, Parcel<T::Content>>,
    table: &T,
    plan: &mut Plan<T::Content>,
) -> Result<Moved, Error> {
    let copied =
        if table.copies(plan.row_count()) { std::mem::take(&mut plan.content) } else { Vec::new() };
    let moved = in_one(transaction, batch, table, plan, |step, result| result.step(step)).await?;
    if moved != Moved::All {
        return Ok(moved);
    }
    if !copied.is_empty() {
        table.copy(transaction, &copied).await?;
    }
    if plan.has_many_days() {
        count_many_days(transaction, batch, table.domain(), plan).await?;
    }
    Ok(moved)
}

/// Counts the days in one row for each namespace, which are added up later.
async fn count_many_days<C>(
    transaction: &Transaction,
    batch: &Batch<'_, Parcel<C>>,
    domain: &str,
    plan: &Plan<C>,
) -> Result<(), Error> {
    let sql = include_str!("count_many_days.sql");
    let days: Vec<(&(Namespace, Day), &Counted)> = plan.days.iter().collect();
    for some in days.chunk_by(|one, next| one.0.0 == next.0.0) {
        let namespace = some.first().map_or(0, |((namespace, _), _)| namespace.0);
        let days: Vec<i32> = some.iter().map(|((_, day), _)| day.0).collect();
        let (accepted, dropped): (Vec<i64>, Vec<i64>) =
            some.iter().map(|(_, counted)| (counted.accepted, counted.dropped)).unzip();
        let values: [&(dyn ToSql + Sync); 7] =
            [&batch.producer, &batch.sequence, &domain, &namespace, &days, &accepted, &dropped];
        transaction.write("count the days of a batch", sql, &values).await?;
    }
    Ok(())
}

/// Stores a plan in one statement, or nothing.
async fn in_one<T: Table>(
    connection: &Connection,
    batch: &Batch<'_, Parcel<T::Content>>,
    table: &T,
    plan: &Plan<T::Content>,
    classify: fn(&'static str, Result<Row, tokio_postgres::Error>) -> Result<Row, Error>,
) -> Result<Moved, Error> {
    let step = "insert the rows of a batch";
    let (columns, rows) = (Columns::of(plan, batch.producer), table.columns(&plan.content));
    let (sql, mut values) = match &*plan.moves {
        [one] => (&table.statements().one, columns.of_one(one)),
        _ => (&table.statements().many, columns.of_many()),
    };
    let statement = connection.prepare_cached(sql).await.step(step)?;
    values.extend(rows.iter().map(|column| &**column as &(dyn ToSql + Sync)));
    let row = classify(step, connection.query_one(&statement, &values).await)?;
    Ok(match row.get::<_, i64>(0) {
        CLOSED => Moved::Closed,
        producers if producers > 0 => Moved::All,
        _ => Moved::Unfit,
    })
}

/// Where the producers of a batch stand, and stay until the transaction ends.
async fn places<C>(
    transaction: &Transaction,
    batch: &Batch<'_, Parcel<C>>,
) -> Result<Places, Error> {
    let step = "look where producers stand";
    let mut places: Places = super::producers(batch).map(|whose| (whose, None)).collect();
    let ids: Vec<Uuid> = places.keys().map(|(_, id)| *id).collect();
    let sql = include_str!("lock_producers.sql");
    for row in transaction.rows(step, sql, &[&ids]).await? {
        let whose = (Namespace(row.get(1)), row.get(0));
        if let Some(place) = places.get_mut(&whose) {
            *place = Some(Place { epoch: row.get(2), sequence: row.get(3) });
        }
    }
    Ok(places)
}

async fn begin_worker(connection: &Connection, worker: Uuid, domain: &str) -> Result<(), Error> {
    let sql = include_str!("begin_worker.sql");
    let done = connection.execute(sql, &[&worker, &domain]).await;
    commits_itself("begin as an insert worker", done).map(|_| ())
}

fn adapt<T: Table>(table: &T, plan: &mut Plan<T::Content>) {
    plan.content = table.adapt(std::mem::take(&mut plan.content));
}

async fn commit(transaction: Transaction) -> Result<(), Error> {
    faults::point("append.before_commit").await;
    transaction.commit().await?;
    faults::point("append.committed").await;
    Ok(())
}

// === impl Statements ===

impl Statements {
    /// With a domain's part: `, stored AS (INSERT …)`, whose values begin at `$14`, and which stores
    /// nothing unless `moved` has rows; and a condition, without which nothing moves. The statement locks
    /// what `stored` inserts into before it looks at the condition.
    pub fn new(stored: &str, open: &str) -> Self {
        let with = |sql: &str| sql.replace(STORED, stored).replace(OPEN, open);
        Self { one: with(include_str!("move_one.sql")), many: with(include_str!("move_many.sql")) }
    }
}

// === impl Columns ===

impl Columns {
    /// Without the days, if there are many.
    fn of<C: Content>(plan: &Plan<C>, worker: Uuid) -> Self {
        let mut columns = Self { worker, ..Self::default() };
        for one in &plan.moves {
            let (namespace, id) = one.whose;
            columns.ids.push(id);
            columns.namespaces.push(namespace.0);
            columns.epochs.push(one.epoch);
            columns.before.push(one.before);
            columns.last.push(one.last);
            columns.brought.push(one.brought.accepted);
            columns.given_up.push(one.brought.dropped);
            columns.checkpoints.push(one.checkpoint.clone());
        }
        if plan.has_many_days() {
            return columns;
        }
        for ((namespace, day), counted) in &plan.days {
            columns.namespaces_of_days.push(namespace.0);
            columns.days.push(day.0);
            columns.accepted.push(counted.accepted);
            columns.dropped.push(counted.dropped);
        }
        columns
    }

    fn of_one<'a>(&'a self, one: &'a Move) -> Vec<&'a (dyn ToSql + Sync)> {
        let Move { whose, epoch, before, last, brought: Counted { accepted, dropped }, .. } = one;
        let (Namespace(namespace), id) = whose;
        let moves: [&(dyn ToSql + Sync); 7] =
            [id, namespace, epoch, before, last, accepted, dropped];
        let checkpoint: &(dyn ToSql + Sync) = &one.checkpoint;
        moves.into_iter().chain(self.of_days()).chain([checkpoint]).collect()
    }

    fn of_many(&self) -> Vec<&(dyn ToSql + Sync)> {
        let (ids, namespaces, epochs) = (&self.ids, &self.namespaces, &self.epochs);
        let moves: [&(dyn ToSql + Sync); 7] =
            [ids, namespaces, epochs, &self.before, &self.last, &self.brought, &self.given_up];
        let checkpoints: &(dyn ToSql + Sync) = &self.checkpoints;
        moves.into_iter().chain(self.of_days()).chain([checkpoints]).collect()
    }

    fn of_days(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.worker, &self.namespaces_of_days, &self.days, &self.accepted, &self.dropped]
    }
}
