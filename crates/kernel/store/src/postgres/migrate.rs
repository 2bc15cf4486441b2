//! Running migrations on Postgres and CockroachDB, one server at a time.

use refinery::{Migration, Runner};
use tally_runtime::Kind;
use tokio_postgres::Client;

use super::Database;
use crate::error::Step as _;
use crate::migrate::{Migrations, Schema};
use crate::retry::Policy;
use crate::{Dialect, Error};

/// Applies what is missing.
pub(crate) async fn run(migrations: &Migrations, database: &Database) -> Result<Schema, Error> {
    let runner = migrations.runner(database.dialect);
    // Waiting for another server's migration is part of an attempt.
    Policy::long("migrate").run(|| run_once(migrations, &runner, database)).await
}

/// Says what is missing.
pub(crate) async fn check(migrations: &Migrations, database: &Database) -> Result<Schema, Error> {
    let mut client = database.private_connection().await?;
    let runner = migrations.runner(database.dialect);
    let applied = applied(migrations, &runner, &mut client).await?;
    migrations.compare(&runner, &applied)
}

async fn run_once(
    migrations: &Migrations,
    runner: &Runner,
    database: &Database,
) -> Result<Schema, Error> {
    let mut client = database.private_connection().await?;
    if database.dialect == Dialect::Cockroach {
        // Advisory locks do nothing there. Its migrations are idempotent, one statement
        // each, and the history's primary key lets only one server note each of them: the
        // other one fails, and tries again.
        client
            .batch_execute(include_str!("autocommit_ddl.sql"))
            .await
            .step("prepare to migrate")?;
    } else {
        client
            .batch_execute(include_str!("limit_lock_wait.sql"))
            .await
            .step("prepare to migrate")?;
        client
            .query(include_str!("lock_migrations.sql"), &[&migrations.history_table()])
            .await
            .step("wait for another server's migration")?;
    }
    let applied = applied(migrations, runner, &mut client).await?;
    let before = migrations.compare(runner, &applied)?;
    if before.pending.is_empty() {
        return Ok(before);
    }
    runner.run_async(&mut client).await.map_err(|error| failed(database.dialect, error))?;
    Ok(before)
}

/// The migrations that the database has.
async fn applied(
    migrations: &Migrations,
    runner: &Runner,
    client: &mut Client,
) -> Result<Vec<Migration>, Error> {
    let step = "read the history of migrations";
    let row = client
        .query_one(include_str!("find_table.sql"), &[&migrations.history_table()])
        .await
        .step(step)?;
    if row.get::<_, i64>(0) == 0 {
        return Ok(Vec::new());
    }
    runner
        .get_applied_migrations_async(client)
        .await
        .map_err(|error| Error::permanent(step, Kind::Internal).because(error))
}

fn failed(dialect: Dialect, error: refinery::Error) -> Error {
    let step = "migrate the database";
    match dialect {
        // Harmless to repeat, see above.
        Dialect::Cockroach => Error::transient(step, crate::Outcome::Indeterminate).because(error),
        _ => Error::permanent(step, Kind::FailedPrecondition).because(error),
    }
}
