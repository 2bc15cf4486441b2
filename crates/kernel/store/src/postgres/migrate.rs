//! Running migrations on Postgres and CockroachDB, one server at a time.

use refinery::{Migration, Runner};
use tally_runtime::Kind;
use tokio_postgres::Client;
use tokio_postgres::error::{DbError, SqlState};

use super::Database;
use crate::error::{self, Step as _, words_of};
use crate::migrate::{self, Migrations, Schema};
use crate::retry::Policy;
use crate::{Dialect, Error, Outcome};

/// Said when Postgres does not know CockroachDB's setting.
const NOT_COCKROACH: &str = "this is PostgreSQL, not CockroachDB: write postgres:// in the URL, and \
    pgx if MIGRATION_DRIVER is set";

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
        // It ignores advisory locks. Its migrations are idempotent, one statement each, and the
        // history's primary key lets only one server note each: the other fails, and tries again.
        client.batch_execute(include_str!("autocommit_ddl.sql")).await.map_err(
            |error| match error.code() {
                Some(&SqlState::UNDEFINED_OBJECT) => {
                    Error::permanent(format!("open {}", database.url), Kind::FailedPrecondition)
                        .because(NOT_COCKROACH)
                }
                _ => error::statement("prepare to migrate", error),
            },
        )?;
    } else {
        client
            .batch_execute(include_str!("limit_lock_wait.sql"))
            .await
            .step("prepare to migrate")?;
        client
            .query(include_str!("lock_migrations.sql"), &[&migrations.history_table()])
            .await
            .step("wait for another server's migration")?;
        client.batch_execute(include_str!("stand_back.sql")).await.step("prepare to migrate")?;
    }
    let applied = applied(migrations, runner, &mut client).await?;
    let before = migrations.compare(runner, &applied)?;
    if before.pending.is_empty() {
        return Ok(before);
    }
    runner.run_async(&mut client).await.map_err(|error| failed(database, &error))?;
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
        .map_err(|error| Error::permanent(step, Kind::Internal).because(words(&error)))
}

fn failed(database: &Database, error: &refinery::Error) -> Error {
    let step = "migrate the database";
    // Harmless to repeat: see above for CockroachDB, and on Postgres each migration is a transaction.
    let is_transient = database.dialect == Dialect::Cockroach
        || cause(error).is_some_and(error::postgres_is_transient);
    let failed = if is_transient {
        Error::transient(step, Outcome::Indeterminate)
    } else {
        Error::permanent(step, Kind::FailedPrecondition)
    };
    let advice = said(error).and_then(|said| advice(database, said));
    failed.because(advice.unwrap_or_else(|| words(error)))
}

/// The driver's error, if the database or the way to it failed.
fn cause(error: &refinery::Error) -> Option<&tokio_postgres::Error> {
    let refinery::error::Kind::Connection(_, cause) = error.kind() else { return None };
    cause.downcast_ref()
}

/// What the database said, if that is what failed.
fn said(error: &refinery::Error) -> Option<&DbError> {
    cause(error)?.as_db_error()
}

fn words(error: &refinery::Error) -> String {
    said(error).map_or_else(|| migrate::words(error), words_of)
}

/// What to do about a database that is not ready for tables, or whose tables somebody holds.
fn advice(database: &Database, said: &DbError) -> Option<String> {
    if *said.code() == SqlState::LOCK_NOT_AVAILABLE {
        let words =
            "another session holds a table that changes: let it end (pg_stat_activity lists them)";
        return Some(words.to_owned());
    }
    let config = &database.url.config;
    let user = config.get_user().unwrap_or("USER");
    if *said.code() == SqlState::INSUFFICIENT_PRIVILEGE {
        let schema = said.message().strip_prefix("permission denied for schema ")?;
        let name = config.get_dbname().unwrap_or(user);
        return Some(format!(
            "{user} may not make tables in the schema {schema}: make {user} the owner of the \
             database (CREATE DATABASE {name} OWNER {user}, or ALTER DATABASE {name} OWNER TO {user})"
        ));
    }
    let is_missing = *said.code() == SqlState::INVALID_SCHEMA_NAME;
    let options = config.get_options().filter(|_| is_missing)?;
    let schema = options.split("search_path=").nth(1)?.split([',', ' ', '\\']).next()?;
    Some(format!("the schema {schema} does not exist: CREATE SCHEMA {schema} AUTHORIZATION {user}"))
}
