//! SQLite: one thread that writes, one that reads, one that reads for long, one for the health check,
//! and a lock against a second server.
//!
//! | file | what it owns |
//! |---|---|
//! | `files.rs` | the lock, and noticing that a file was removed or replaced |
//! | `migrate.rs` | running migrations |
//! | `worker.rs` | a thread that owns a connection |

mod files;
pub(crate) mod migrate;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tally_runtime::Kind;

use self::files::Files;
use self::worker::Worker;
use crate::error::{self, Step as _};
use crate::url::SqliteUrl;
use crate::{Error, Outcome};

/// How long SQLite itself waits for a lock. Another program that reads the file, such as the
/// `sqlite3` shell, holds it for moments only.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How large the pages of a new file are.
const PAGE_BYTES: u32 = 8 << 10;

/// An open SQLite file.
#[derive(Debug, Clone)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: Worker,
    reader: Worker,
    /// A fold counts millions of rows, and queries go on meanwhile.
    long_reader: Worker,
    /// A long query must not make the health check say no.
    prober: Worker,
    files: Files,
}

// === impl Database ===

impl Database {
    pub(crate) async fn open(url: &SqliteUrl) -> Result<Self, Error> {
        let path = files::real_path(&url.path)?;
        // Each thread keeps it, until its connection is closed.
        let lock = Arc::new(files::lock(&path)?);
        let url = SqliteUrl { path: path.clone(), ..url.clone() };
        let writer = Worker::start("sqlite writer", &lock, move || open_writer(&url)).await?;
        let reader = |name| {
            let path = path.clone();
            Worker::start(name, &lock, move || open_reader(&path))
        };
        let long_reader = reader("sqlite long reader").await?;
        let (reader, prober) = (reader("sqlite reader").await?, reader("sqlite prober").await?);
        let files = Files::of(&path);
        Ok(Self(Arc::new(Inner { writer, reader, long_reader, prober, files })))
    }

    /// Runs on the writer's thread, in the order of the calls.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        self.0
            .writer
            .run(move |connection| {
                inner.files.check().map_err(|missing| rescue(connection, missing))?;
                work(connection)
            })
            .await
    }

    /// Runs on the reader's thread, where a transaction sees one snapshot and holds up no writer.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        self.0.reader.run(work).await
    }

    /// The same on another thread, for work that takes long and that no client waits for.
    pub async fn read_long<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        self.0.long_reader.run(work).await
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        if self.0.files.check().is_err() {
            // Also when nothing is being counted.
            self.write(|_| Ok(())).await?;
        }
        let ping = |connection: &mut Connection| {
            connection
                .query_row(include_str!("sqlite/ping.sql"), [], |_| Ok(()))
                .step("ask the database for a sign of life")
        };
        self.0.prober.run(ping).await
    }

    pub(crate) fn check_at_end(&self) -> Result<(), Error> {
        self.0.files.check_at_end()
    }

    /// Ends the threads. Everything is then in one file, unless another program has it open.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let Inner { writer, reader, long_reader, prober, .. } = &*self.0;
        for worker in [reader, long_reader, prober] {
            worker.interrupt().await;
            worker.stop().await;
        }
        writer.interrupt().await;
        let moved = writer.run(|connection| checkpoint(connection)).await;
        writer.stop().await;
        moved
    }
}

/// The database or its log has lost its name, and its content would be lost when the server ends.
/// While the log is open, it can still be moved into the database's own file.
fn rescue(connection: &Connection, missing: Error) -> Error {
    match checkpoint(connection) {
        Ok(()) => missing,
        Err(error) => missing.because(error),
    }
}

fn checkpoint(connection: &Connection) -> Result<(), Error> {
    let step = "move the write-ahead log into the database";
    let is_busy: bool = connection
        .query_row(include_str!("sqlite/checkpoint.sql"), [], |row| row.get(0))
        .step(step)?;
    if is_busy {
        return Err(Error::transient(step, Outcome::Determinate).because("a reader is in the way"));
    }
    Ok(())
}

fn open_writer(url: &SqliteUrl) -> Result<Connection, Error> {
    let step = || format!("open {url}");
    let failed = |error| error::sqlite(step(), error);
    let connection = Connection::open(&url.path).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        return Err(Error::permanent(step(), Kind::FailedPrecondition)
            .because("the file is read-only for this user"));
    }
    // This applies to a new file. Large pages suit large batches, because a page costs nearly the
    // same whatever its size; but a single row writes whole pages too.
    connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(failed)?;
    // WAL lets readers and the writer work side by side; FULL makes COMMIT wait for the disk,
    // so that what was acknowledged survives a power cut.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    if let Some(bytes) = url.size_bytes_max {
        let page: i64 =
            connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
        let pages = (i64::try_from(bytes).unwrap_or(i64::MAX) / page).max(1);
        connection.pragma_update(None, "max_page_count", pages).map_err(failed)?;
    }
    // The first read makes the files beside the database.
    connection.query_row(include_str!("sqlite/ping.sql"), [], |_| Ok(())).map_err(failed)?;
    Ok(connection)
}

fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| error::sqlite(format!("open sqlite:{} to read", path.display()), error);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok(connection)
}
