//! Sets the database back to an earlier state, or deletes names, while the servers run.
//!
//! Each method has a mark and an end. Whatever was acknowledged before the mark survives, and
//! whatever is sent after the end is not affected. Anything in between may be lost.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::{Connection, TransactionBehavior};
use rustix::process::{Pid, Signal, kill_process};
use tally_proto::methods::number_of_text;
use tally_testkit::{Cluster, eventually_blocking};
use tokio_postgres::types::FromSqlOwned;

use crate::journal::Series;
use crate::schedule::Act;
use crate::sessions;
use crate::stop::Stop;
use crate::watch::Watch;
use crate::world::{DATABASE, World};

/// Limit for a locked file, for a standby that catches up, and so on.
const LIMIT: Duration = Duration::from_secs(60);

/// How many requests Postgres has accepted.
const ACCEPTED: &str = include_str!("sql/postgres_accepted.sql");

/// An id with its name.
type Named = (i64, Series);

pub(crate) fn act(watch: &Watch<'_>, act: Act, stop: &Stop) -> anyhow::Result<()> {
    let pause = |ms| {
        move || {
            stop.pause(ms);
            Ok(())
        }
    };
    match act {
        Act::Restore { ms } => restore(watch, pause(ms)),
        Act::LoseCommits { ms } => lose_commits(watch, pause(ms)),
        Act::FailOver { ms } => fail_over(watch, pause(ms)),
        Act::DeleteNames { every } => delete_names(watch, every),
        _ => Ok(()),
    }
}

/// Uses the method that is certain to lose everything stored `meanwhile`.
pub(crate) fn lose_all(
    watch: &Watch<'_>,
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if watch.world.postgres.is_some() {
        fail_over(watch, meanwhile)
    } else {
        restore(watch, meanwhile)
    }
}

/// Backs up a SQLite file and restores its tables from the backup, as the sqlite3 shell can do
/// while the server runs.
fn restore(
    watch: &Watch<'_>,
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let world = watch.world;
    let backup = world.file("backup.db");
    if backup.exists() {
        std::fs::remove_file(&backup)?;
    }
    let mark = watch.mark()?;
    let backup = backup.to_str().context("a path is UTF-8")?;
    open(&world.sqlite_path())?.execute(include_str!("sql/back_up.sql"), [backup])?;
    meanwhile()?;
    watch.rewinding();
    let mut connection = open(&world.sqlite_path())?;
    connection.execute(include_str!("sql/attach.sql"), [backup])?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = accepted_by_sqlite(&transaction)?;
    let tables = transaction
        .prepare(include_str!("sql/tables.sql"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    for table in tables {
        for sql in [include_str!("sql/empty_table.sql"), include_str!("sql/fill_table.sql")] {
            transaction.execute(&sql.replace(":table", &table), [])?;
        }
    }
    world.log.lose(before, accepted_by_sqlite(&transaction)?);
    transaction.commit()?;
    watch.rewound(&mark)
}

/// How many requests the database has accepted.
fn accepted_by_sqlite(connection: &Connection) -> anyhow::Result<i64> {
    Ok(connection.query_row(include_str!("sql/sqlite_accepted.sql"), [], |row| row.get(0))?)
}

/// The only value in the answer of a Postgres to this SQL.
fn value<T: FromSqlOwned>(world: &World, postgres: &Cluster, sql: &str) -> anyhow::Result<T> {
    let url = postgres.url(DATABASE);
    // All connections may be in use for a moment.
    let connect = || world.runtime.block_on(sessions::connect(&url));
    let client = eventually_blocking(LIMIT, connect).map_err(anyhow::Error::msg)?;
    Ok(world.runtime.block_on(client.query_one(sql, &[]))?.try_get(0)?)
}

fn open(path: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(LIMIT)?;
    Ok(connection)
}

/// With `synchronous_commit = off` a commit is acknowledged before it is written, so a kill loses
/// the latest commits.
fn lose_commits(
    watch: &Watch<'_>,
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let world = watch.world;
    let Some(postgres) = world.postgres() else { return Ok(()) };
    // All commits up to here are written.
    let mark = watch.mark()?;
    // A fold truncates a tray, which flushes all earlier commits. Those of the duties remain.
    world.roll_ups_paused.store(true, Ordering::SeqCst);
    postgres.change("synchronous_commit", "off")?;
    // A running WAL writer would write them within milliseconds.
    let writer = Pid::from_raw(value(world, &postgres, include_str!("sql/wal_writer.sql"))?);
    let writer = writer.context("a process has an id")?;
    kill_process(writer, Signal::STOP)?;
    meanwhile()?;
    let before = value(world, &postgres, ACCEPTED)?;
    watch.rewinding();
    postgres.kill9();
    kill_process(writer, Signal::KILL)?;
    postgres.change("synchronous_commit", "on")?;
    // This waits until the previous postmaster's sessions have ended.
    postgres.restart()?;
    world.roll_ups_paused.store(false, Ordering::SeqCst);
    world.log.lose(before, value(world, &postgres, ACCEPTED)?);
    watch.rewound(&mark)
}

/// Creates a standby, disconnects it, and promotes it.
fn fail_over(
    watch: &Watch<'_>,
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let world = watch.world;
    let Some(mut postgres) = world.postgres() else { return Ok(()) };
    let standby = postgres.standby()?;
    let mark = watch.mark()?;
    follows(world, &postgres, &standby)?;
    standby.change("primary_conninfo", "")?;
    meanwhile()?;
    let before = value(world, &postgres, ACCEPTED)?;
    watch.rewinding();
    postgres.kill9();
    // Its sessions may still commit, so cut them off: no client may see that.
    world.databases().for_each(|proxy| world.runtime.block_on(proxy.cut()));
    value::<bool>(world, &standby, include_str!("sql/promote.sql"))?;
    for proxy in world.databases() {
        proxy.redirect(&format!("127.0.0.1:{}", standby.port()));
        world.runtime.block_on(proxy.restore());
    }
    world.replace(&mut postgres, standby);
    world.log.lose(before, value(world, &postgres, ACCEPTED)?);
    watch.rewound(&mark)
}

/// Waits until the standby has everything that the primary has now.
fn follows(world: &World, primary: &Cluster, standby: &Cluster) -> anyhow::Result<()> {
    let written: String = value(world, primary, include_str!("sql/written.sql"))?;
    let standby = world.runtime.block_on(sessions::connect(&standby.url(DATABASE)))?;
    let follows = || {
        let sql = include_str!("sql/follows.sql");
        world.runtime.block_on(standby.query_one(sql, &[&written])).is_ok_and(|row| row.get(0))
    };
    eventually_blocking(LIMIT, follows)
        .map_err(|_| anyhow::anyhow!("the standby did not follow up to {written} within {LIMIT:?}"))
}

/// Deletes the names whose id is divisible by `every`.
fn delete_names(watch: &Watch<'_>, every: u64) -> anyhow::Result<()> {
    let world = watch.world;
    let sql = include_str!("sql/delete_names.sql").replace(":every", &every.to_string());
    // The lock keeps the Postgres lane from killing the database meanwhile.
    let postgres = world.postgres();
    watch.deleting_names();
    let names: Vec<Named> = match postgres {
        Some(postgres) => {
            let url = postgres.url(DATABASE);
            // It may deadlock with a server that adds names.
            let delete = || world.runtime.block_on(delete_from_postgres(&url, &sql));
            eventually_blocking(LIMIT, delete).map_err(anyhow::Error::msg)?
        }
        None => open(&world.sqlite_path())?
            .prepare(&sql)?
            .query_map([], |row| {
                let series = Series {
                    service: row.get(1)?,
                    method: number_of_text(&row.get::<_, String>(2)?),
                    path: row.get(3)?,
                    status: row.get(4)?,
                    customer: row.get(5)?,
                    ..Series::default()
                };
                Ok((row.get(0)?, series))
            })?
            .collect::<rusqlite::Result<_>>()?,
    };
    watch.names_deleted(names);
    Ok(())
}

async fn delete_from_postgres(url: &str, sql: &str) -> anyhow::Result<Vec<Named>> {
    let rows = sessions::connect(url).await?.query(sql, &[]).await?;
    let named = |row: &tokio_postgres::Row| {
        let series = Series {
            service: row.get(1),
            method: number_of_text(row.get(2)),
            path: row.get(3),
            status: row.get::<_, i64>(4).try_into()?,
            customer: row.get(5),
            ..Series::default()
        };
        Ok((row.get(0), series))
    };
    rows.iter().map(named).collect()
}
