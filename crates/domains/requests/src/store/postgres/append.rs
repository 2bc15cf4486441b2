//! Storing a batch, by COPY or by unnest.

use std::error::Error as StdError;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, pin_mut};
use tally_ingest::Batch;
use tally_store::error::Step as _;
use tally_store::postgres::{Connection, Database, Isolation, commits_itself};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::super::{Result, gap};
use crate::model::Rows;

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

/// Stores a batch once.
pub(super) async fn append(database: &Database, batch: &Batch<'_, Rows>) -> Result<()> {
    if batch.rows() < COPY_ROWS_MIN {
        by_unnest(database, batch, include_str!("append_small.sql")).await
    } else {
        by_copy(database, batch).await
    }
}

/// One statement, which is its own transaction.
pub(crate) async fn by_unnest(
    database: &Database,
    batch: &Batch<'_, Rows>,
    sql: &'static str,
) -> Result<()> {
    let step = "insert the rows of a batch";
    let rows = batch.chunks.iter().flat_map(Rows::iter);
    let (endpoints, times): (Vec<i64>, Vec<Micros>) =
        rows.map(|(endpoint, micros)| (endpoint, Micros(micros))).unzip();
    let connection = database.connection().await?;
    let statement = connection.prepare_cached(sql).await.step(step)?;
    let stored = connection
        .execute(&statement, &[&batch.producer, &batch.sequence, &endpoints, &times])
        .await;
    if commits_itself(step, stored)? == 0 && !endpoints.is_empty() {
        already_stored(&connection, batch).await?;
    }
    connection.release();
    Ok(())
}

async fn by_copy(database: &Database, batch: &Batch<'_, Rows>) -> Result<()> {
    let step = "copy the rows of a batch";
    let mut connection = database.connection().await?;
    let transaction = connection.begin(Isolation::Default).await?;
    let statement =
        transaction.prepare_cached(include_str!("move_producer.sql")).await.step(step)?;
    let moved =
        transaction.execute(&statement, &[&batch.producer, &batch.sequence]).await.step(step)?;
    if moved == 0 {
        drop(transaction);
        already_stored(&connection, batch).await?;
        return Ok(());
    }
    let copy = transaction.copy_in::<_, Bytes>(include_str!("append_copy.sql")).await.step(step)?;
    pin_mut!(copy);
    copy.feed(Bytes::from_static(COPY_HEADER)).await.step(step)?;
    for chunk in batch.chunks {
        copy.feed(chunk.copy_bytes()).await.step(step)?;
    }
    copy.feed(Bytes::from_static(COPY_TRAILER)).await.step(step)?;
    copy.finish().await.step(step)?;
    tally_store::faults::point("append.before_commit").await;
    transaction.commit().await?;
    tally_store::faults::point("append.committed").await;
    connection.release();
    Ok(())
}

/// The producer did not move: that is fine if it is there already.
async fn already_stored(connection: &Connection, batch: &Batch<'_, Rows>) -> Result<()> {
    let step = "read a producer's sequence";
    let row =
        connection.query_opt(include_str!("producer.sql"), &[&batch.producer]).await.step(step)?;
    let stored = row.map_or(0, |row| row.get(0));
    if stored >= batch.sequence { Ok(()) } else { Err(gap(stored, batch.sequence)) }
}

// === impl Micros ===

impl ToSql for Micros {
    fn to_sql(
        &self,
        _ty: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        // Postgres counts from 2000-01-01.
        out.put_i64(self.0 - 946_684_800_000_000);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}
