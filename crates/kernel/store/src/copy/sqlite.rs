//! One end of a copy that is a SQLite file.

use rusqlite::{Connection, params_from_iter};
use tally_runtime::Kind;
use tokio::sync::mpsc::{Receiver, Sender};

use super::table::{Column, Table};
use super::value::{Line, Piece, Sums, Value};
use crate::error::Step as _;
use crate::sqlite::{Database, rows};
use crate::{Error, error};

/// How much of the target is in memory, so that rows that do not come in the order of a key wait for no
/// disk, in KiB.
const CACHE_KIB: i64 = 64 << 10;

/// A transaction: one snapshot of the source, or all that is written to the target.
#[derive(Debug)]
pub(super) struct Session {
    database: Database,
    is_target: bool,
}

// === impl Session ===

impl Session {
    pub(super) async fn read_from(database: &Database) -> Result<Self, Error> {
        let session = Self { database: database.clone(), is_target: false };
        session.script("begin a snapshot", include_str!("sqlite/begin_snapshot.sql")).await?;
        session.tables().await?;
        Ok(session)
    }

    pub(super) async fn write_to(database: &Database) -> Result<Self, Error> {
        let session = Self { database: database.clone(), is_target: true };
        let step = "begin to write";
        session
            .run(move |file| file.pragma_update(None, "cache_size", -CACHE_KIB).step(step))
            .await?;
        session.script(step, include_str!("sqlite/begin.sql")).await?;
        Ok(session)
    }

    pub(super) async fn tables(&self) -> Result<Vec<String>, Error> {
        let sql = include_str!("sqlite/tables.sql");
        self.run(move |file| rows(file, "list the tables", sql, [], |row| row.get(0))).await
    }

    pub(super) async fn columns(&self, sql: String) -> Result<Vec<Column>, Error> {
        let columns = move |file: &mut Connection| {
            let statement = file.prepare(&sql).step("list the columns")?;
            let names = statement.column_names().map(str::to_owned);
            Ok(names.map(|name| Column { name, ty: None }).collect())
        };
        self.run(columns).await
    }

    pub(super) async fn is_true(&self, sql: String) -> Result<bool, Error> {
        let ask = move |file: &mut Connection| {
            file.query_row(&sql, [], |row| row.get(0)).step("look for rows")
        };
        self.run(ask).await
    }

    pub(super) async fn read(
        &self,
        sql: String,
        to: Option<Sender<Vec<Line>>>,
    ) -> Result<Sums, Error> {
        self.run(move |file| read(file, &sql, to.as_ref())).await
    }

    pub(super) async fn write(
        &self,
        table: &Table,
        mut from: Receiver<Vec<Line>>,
    ) -> Result<(), Error> {
        let step = "write rows";
        let values: Vec<_> = (1..=table.columns.len()).map(|at| format!("?{at}")).collect();
        let sql = table.writing(include_str!("insert_one.sql"), &values);
        let write = move |file: &mut Connection| {
            let mut statement = file.prepare(&sql).step(step)?;
            while let Some(lines) = from.blocking_recv() {
                for line in &lines {
                    statement.execute(params_from_iter(line)).step(step)?;
                }
            }
            Ok(())
        };
        self.run(write).await
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        let commit = |file: &mut Connection| {
            let done = file.execute_batch(include_str!("../postgres/commit.sql"));
            done.map_err(|error| error::sqlite("commit", error))
        };
        self.run(commit).await
    }

    pub(super) async fn abandon(self) -> Result<(), Error> {
        self.script("roll back", include_str!("../postgres/rollback.sql")).await
    }

    async fn script(&self, step: &'static str, sql: &'static str) -> Result<(), Error> {
        self.run(move |file| file.execute_batch(sql).step(step)).await
    }

    async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        match self.is_target {
            true => self.database.write(work).await,
            false => self.database.read_long(work).await,
        }
    }
}

/// Reads rows, and sends them on if somebody wants them.
fn read(file: &Connection, sql: &str, to: Option<&Sender<Vec<Line>>>) -> Result<Sums, Error> {
    let step = "read rows";
    let (mut sums, mut piece) = (Sums::default(), Piece::default());
    let mut statement = file.prepare(sql).step(step)?;
    let columns = statement.column_count();
    let mut rows = statement.query([]).step(step)?;
    while let Some(row) = rows.next().step(step)? {
        let value = |at| {
            let value = Value::of_sqlite(row.get_ref(at).step(step)?);
            value.map_err(|wrong| Error::permanent(step, Kind::Internal).because(wrong))
        };
        let line = (0..columns).map(value).collect::<Result<Line, Error>>()?;
        sums.add(&line);
        let Some(to) = to else { continue };
        if let Some(full) = piece.add(line)
            && to.blocking_send(full).is_err()
        {
            return Ok(sums); // The other end has failed, and says why.
        }
    }
    if let (Some(to), Some(rest)) = (to, piece.rest()) {
        let _ = to.blocking_send(rest);
    }
    Ok(sums)
}
