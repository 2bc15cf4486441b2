//! One end of a copy that is in Postgres or CockroachDB.

use std::ops::Deref;
use std::pin::pin;

use futures_util::StreamExt as _;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::UNFINISHED;
use super::table::{Column, Plan, Table, refused};
use super::value::{Line, Piece, Sums, Value};
use crate::error::Step as _;
use crate::postgres::{Connection, Database, Isolation, Transaction};
use crate::retry::Policy;
use crate::{Dialect, Error};

/// A transaction: one snapshot of the source, or all that is written to the target. What is written to
/// CockroachDB is many.
pub(super) struct Session {
    database: Database,
    held: Held,
}

enum Held {
    Transaction(Transaction),
    Connection(Connection),
}

// === impl Session ===

impl Session {
    pub(super) async fn read_from(database: &Database) -> Result<Self, Error> {
        let held = Held::Transaction(database.begin(Isolation::Snapshot).await?);
        Ok(Self { database: database.clone(), held })
    }

    pub(super) async fn write_to(database: &Database) -> Result<Self, Error> {
        let held = match database.dialect() {
            Dialect::Cockroach => Held::Connection(database.connection().await?),
            _ => Held::Transaction(database.begin(Isolation::Default).await?),
        };
        Ok(Self { database: database.clone(), held })
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    /// Keeps others away from the tables. A server that uses them is refused, and so is what an earlier
    /// copy has left.
    pub(super) async fn reserve(&self, plan: &Plan) -> Result<(), Error> {
        if self.dialect() == Dialect::Postgres {
            let sql = include_str!("postgres/lock.sql").replace(":tables", &plan.into());
            let step = "lock the tables, which something else uses";
            self.script(step, include_str!("postgres/limit_lock_wait.sql")).await?;
            self.script(step, &sql).await?;
        }
        let sql = include_str!("postgres/users.sql");
        let row = self.row("look for servers", sql, &[&UNFINISHED]).await?;
        let (servers, copies): (i64, i64) = (row.get(0), row.get(1));
        if copies > 0 {
            return Err(unfinished());
        }
        if servers > 0 {
            return Err(refused(
                "write: a Tally server uses it, or was killed within the last 20 s; stop it"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Says that what is there is not complete, until the end.
    pub(super) async fn mark(&self) -> Result<(), Error> {
        if self.dialect() == Dialect::Cockroach {
            let sql = include_str!("cockroach/mark.sql");
            self.database.commit_rows("mark the copy", sql, &[&UNFINISHED]).await?;
        }
        Ok(())
    }

    pub(super) async fn tables(&self) -> Result<Vec<String>, Error> {
        let rows = self.rows("list the tables", include_str!("postgres/tables.sql"), &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub(super) async fn columns(&self, sql: &str) -> Result<Vec<Column>, Error> {
        let statement = self.prepare(sql).await.step("list the columns")?;
        let column = |column: &tokio_postgres::Column| Column {
            name: column.name().to_owned(),
            ty: Some(column.type_().clone()),
        };
        Ok(statement.columns().iter().map(column).collect())
    }

    pub(super) async fn is_true(&self, sql: &str) -> Result<bool, Error> {
        Ok(self.row("look for rows", sql, &[]).await?.get(0))
    }

    pub(super) async fn read(
        &self,
        sql: &str,
        to: Option<Sender<Vec<Line>>>,
    ) -> Result<Sums, Error> {
        let step = "read rows";
        let (mut sums, mut piece) = (Sums::default(), Piece::default());
        let mut rows = self.stream(step, sql, &[]).await?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let values = (0..row.len()).map(|at| row.try_get::<_, Value>(at));
            let line = values.collect::<Result<Line, _>>().step(step)?;
            sums.add(&line);
            let Some(to) = &to else { continue };
            if let Some(full) = piece.add(line)
                && to.send(full).await.is_err()
            {
                return Ok(sums); // The other end has failed, and says why.
            }
        }
        if let (Some(to), Some(rest)) = (&to, piece.rest()) {
            let _ = to.send(rest).await;
        }
        Ok(sums)
    }

    pub(super) async fn write(
        &self,
        table: &Table,
        mut from: Receiver<Vec<Line>>,
    ) -> Result<(), Error> {
        let step = "write rows";
        let types: Vec<Type> =
            table.columns.iter().filter_map(|column| column.ty.clone()).collect();
        if self.dialect() == Dialect::Cockroach {
            let value = |(at, ty): (usize, &Type)| format!("${}::{}[]", at + 1, ty.name());
            let values: Vec<_> = types.iter().enumerate().map(value).collect();
            let sql = table.writing(include_str!("cockroach/insert_many.sql"), &values);
            while let Some(lines) = from.recv().await {
                self.insert(&sql, types.len(), &lines).await?;
            }
            return Ok(());
        }
        let sql = table.writing(include_str!("postgres/copy_in.sql"), &[]);
        let sink = self.copy_in(&sql).await.step(step)?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        while let Some(lines) = from.recv().await {
            for line in &lines {
                let values: Vec<_> =
                    line.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
                writer.as_mut().write(&values).await.step(step)?;
            }
        }
        writer.finish().await.step(step)?;
        Ok(())
    }

    /// Rows that CockroachDB takes at once. If they were stored and nobody knows, a second time fails by
    /// their keys, or is noticed when the copy is compared.
    async fn insert(&self, sql: &str, columns: usize, lines: &[Line]) -> Result<(), Error> {
        let column = |at| lines.iter().map(|line| &line[at]).collect::<Vec<&Value>>();
        let columns: Vec<_> = (0..columns).map(column).collect();
        let values: Vec<_> = columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
        let step = "write rows";
        let insert = || self.database.commit_rows(step, sql, &values);
        Policy::short("copy rows").run(insert).await.map(drop)
    }

    /// What is done before the copy is compared.
    pub(super) async fn settle(&self, plan: &Plan) -> Result<(), Error> {
        if self.dialect() == Dialect::Cockroach {
            return Ok(());
        }
        let sql = include_str!("postgres/analyze.sql").replace(":tables", &plan.into());
        self.script("gather statistics", &sql).await
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        match self.held {
            Held::Transaction(transaction) => transaction.commit().await,
            Held::Connection(connection) => {
                connection.release();
                let sql = include_str!("cockroach/unmark.sql");
                self.database.commit_rows("end the copy", sql, &[&UNFINISHED]).await.map(drop)
            }
        }
    }

    pub(super) async fn abandon(self) -> Result<(), Error> {
        match self.held {
            Held::Transaction(transaction) => transaction.abandon().await,
            Held::Connection(connection) => {
                connection.release();
                Ok(())
            }
        }
    }
}

impl Deref for Session {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.held {
            Held::Transaction(transaction) => transaction,
            Held::Connection(connection) => connection,
        }
    }
}

/// Whether a copy into this database was begun, and has no end.
pub(super) async fn has_unfinished(database: &Database) -> Result<bool, Error> {
    let sql = include_str!("postgres/users.sql");
    let rows = database.rows("look for a copy", sql, &[&UNFINISHED]).await?;
    Ok(rows.iter().any(|row| row.get::<_, i64>(1) > 0))
}

pub(super) fn unfinished() -> Error {
    refused(
        "use this database: a copy into it is under way, or was killed. If none is, drop the database, make \
         it anew, and copy again"
            .to_owned(),
    )
}
