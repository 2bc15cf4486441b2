//! Running migrations on SQLite. The lock on the file keeps other servers away.

use refinery::{Migration, Runner};
use rusqlite::Connection;
use tally_runtime::Kind;

use super::Database;
use crate::error::Step as _;
use crate::migrate::{Migrations, Schema, words};
use crate::{Dialect, Error};

/// Says what is missing, and applies it if asked to.
pub(crate) async fn check(
    migrations: Migrations,
    database: &Database,
    applies: bool,
) -> Result<Schema, Error> {
    database
        .write(move |connection| {
            let runner = migrations.runner(Dialect::Sqlite);
            let applied = applied(&migrations, &runner, connection)?;
            let before = migrations.compare(&runner, &applied)?;
            if applies && !before.pending.is_empty() {
                runner.run(connection).map_err(|error| {
                    Error::permanent("migrate the database", Kind::FailedPrecondition)
                        .because(words(&error))
                })?;
            }
            Ok(before)
        })
        .await
}

fn applied(
    migrations: &Migrations,
    runner: &Runner,
    connection: &mut Connection,
) -> Result<Vec<Migration>, Error> {
    let step = "read the history of migrations";
    let tables: i64 = connection
        .query_row(include_str!("find_table.sql"), [migrations.history_table()], |row| row.get(0))
        .step(step)?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    runner
        .get_applied_migrations(connection)
        .map_err(|error| Error::permanent(step, Kind::Internal).because(words(&error)))
}
