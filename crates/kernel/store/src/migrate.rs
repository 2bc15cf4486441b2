//! Bringing a set of tables up to date.

use refinery::{Migration, Runner};
use tally_runtime::{Kind, chain};

use crate::copy::Copying;
use crate::{Database, Dialect, Error, postgres, sqlite};

/// The migrations of one set of tables, which has numbers of its own.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// The set's name. The table `tally_migrations_<set>` has its history.
    pub set: &'static str,
    /// For Postgres.
    pub postgres: fn() -> Runner,
    /// For CockroachDB: one idempotent statement in each file.
    pub cockroach: fn() -> Runner,
    /// For SQLite.
    pub sqlite: fn() -> Runner,
    /// How `tally copy` takes the tables.
    pub copying: Copying,
}

/// Where a database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The newest migration that the database has; 0 when it has none.
    pub current: i64,
    /// The newest migration that the program has.
    pub latest: i64,
    /// The names of those between.
    pub pending: Vec<String>,
}

// === impl Migrations ===

impl Migrations {
    /// Applies what is missing, and says where the database stood before. Several servers may do
    /// this at once. A database that is newer than the program is refused, and one whose migrations are
    /// others.
    pub async fn run(&self, database: &Database) -> Result<Schema, Error> {
        match database {
            Database::Postgres(database) => postgres::migrate::run(self, database).await,
            Database::Sqlite(database) => sqlite::migrate::check(*self, database, true).await,
        }
    }

    /// The same, but changes nothing.
    pub async fn check(&self, database: &Database) -> Result<Schema, Error> {
        match database {
            Database::Postgres(database) => postgres::migrate::check(self, database).await,
            Database::Sqlite(database) => sqlite::migrate::check(*self, database, false).await,
        }
    }

    /// The newest migration that the program has for this kind of database.
    pub fn latest(&self, dialect: Dialect) -> i64 {
        latest(self.runner(dialect).get_migrations())
    }

    /// The names of the migrations that a new database lacks: all of them.
    pub fn pending_of_none(&self, dialect: Dialect) -> Vec<String> {
        pending(&self.runner(dialect), 0)
    }

    /// The table that says which migrations were applied.
    pub(crate) fn history_table(&self) -> String {
        format!("tally_migrations_{}", self.set)
    }

    pub(crate) fn runner(&self, dialect: Dialect) -> Runner {
        let mut runner = match dialect {
            Dialect::Postgres => (self.postgres)(),
            Dialect::Cockroach => (self.cockroach)(),
            Dialect::Sqlite => (self.sqlite)(),
        };
        runner.set_migration_table_name(self.history_table());
        runner
    }

    /// Compares what the program has with what the database has.
    pub(crate) fn compare(&self, runner: &Runner, applied: &[Migration]) -> Result<Schema, Error> {
        let (current, latest) = (latest(applied), latest(runner.get_migrations()));
        if current > latest {
            return Err(Error::permanent(
                format!(
                    "use this database: its {} tables have version {current}, and this program \
                     knows versions up to {latest}: a newer Tally made it, so run that one",
                    self.set
                ),
                Kind::FailedPrecondition,
            ));
        }
        // The same number, and not the same text: what would be missing shows later, somewhere.
        let known = |one: &&Migration| {
            runner.get_migrations().iter().find(|other| other.version() == one.version())
        };
        let is_other = |one: &&Migration| known(one).is_some_and(|known| known != *one);
        if let Some(other) = applied.iter().find(is_other) {
            return Err(Error::permanent(
                format!(
                    "use this database: its {} tables were made by another build of Tally, whose \
                     migration {other} is not the one of this program: run that build, or begin a new \
                     database",
                    self.set
                ),
                Kind::FailedPrecondition,
            ));
        }
        Ok(Schema { current, latest, pending: pending(runner, current) })
    }
}

fn latest(migrations: &[Migration]) -> i64 {
    migrations.iter().map(Migration::version).max().unwrap_or(0)
}

/// The names of the migrations after `current`, in order.
fn pending(runner: &Runner, current: i64) -> Vec<String> {
    let known = runner.get_migrations().iter();
    let mut pending: Vec<_> = known.filter(|one| one.version() > current).collect();
    pending.sort_by_key(|one| one.version());
    pending.iter().map(ToString::to_string).collect()
}

/// What failed, said once: the library's error repeats the one behind it.
pub(crate) fn words(error: &refinery::Error) -> String {
    let refinery::error::Kind::Connection(doing, cause) = error.kind() else {
        return error.to_string();
    };
    match cause.downcast_ref() {
        // It would print the whole migration, too.
        Some(rusqlite::Error::SqlInputError { msg, .. }) => format!("{doing}: {msg}"),
        _ => format!("{doing}: {}", chain(&**cause)),
    }
}
