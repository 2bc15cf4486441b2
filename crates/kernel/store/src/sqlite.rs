//! SQLite: one thread that writes, one that moves the log, one that reads, one that reads for long, one
//! for the health check, and a lock against a second server.
//!
//! | file | what it owns |
//! |---|---|
//! | `backup.rs` | copying the file while a server uses it |
//! | `files.rs` | the lock, and noticing that a file was removed or replaced |
//! | `log.rs` | moving the write-ahead log into the database's own file |
//! | `migrate.rs` | running migrations |
//! | `worker.rs` | a thread that owns a connection |

mod backup;
mod files;
mod log;
pub(crate) mod migrate;
mod worker;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags, Params, Row, Transaction, TransactionBehavior};
use tally_runtime::{Kind, Tasks, chain};

pub use self::backup::{BackedUp, back_up};
use self::files::Files;
use self::log::{Growth, LOG_BYTES_MAX, Log};
use self::worker::Worker;
use crate::error::{self, Step as _};
use crate::url::SqliteUrl;
use crate::{Error, Outcome, Size};

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
    log: Log,
    reader: Worker,
    /// A fold counts millions of rows, and queries go on meanwhile.
    long_reader: Worker,
    /// A long query must not make the health check say no.
    prober: Worker,
    files: Files,
    /// What those who use the file know of it in common.
    common: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

// === impl Database ===

impl Database {
    pub(crate) async fn open(url: &SqliteUrl) -> Result<Self, Error> {
        let path = files::real_path(&url.path)?;
        let lock = files::lock(&path)?;
        Self::with(url, path, lock).await
    }

    /// The same, also while a server has the file. SQLite itself lets processes take turns; what the lock
    /// keeps away is a second server.
    pub(crate) async fn open_beside(url: &SqliteUrl) -> Result<(Self, bool), Error> {
        let path = files::real_path(&url.path)?;
        let (lock, is_served) = files::lock_or_join(&path)?;
        Ok((Self::with(url, path, lock).await?, is_served))
    }

    async fn with(url: &SqliteUrl, path: PathBuf, lock: File) -> Result<Self, Error> {
        // Each thread keeps it, until its connection is closed.
        let lock = Arc::new(lock);
        let url = SqliteUrl { path: path.clone(), ..url.clone() };
        let growth = Arc::<Growth>::default();
        let (open, grown) = (url.clone(), Arc::clone(&growth));
        let writer =
            Worker::start("sqlite writer", &lock, move || open_writer(&open, grown)).await?;
        let mover = Worker::start("sqlite mover", &lock, move || open_mover(&url)).await?;
        let log = Log::new(growth, mover, &lock);
        let reader = |name| {
            let path = path.clone();
            Worker::start(name, &lock, move || open_reader(&path))
        };
        let long_reader = reader("sqlite long reader").await?;
        let (reader, prober) = (reader("sqlite reader").await?, reader("sqlite prober").await?);
        let files = Files::of(&path);
        Ok(Self(Arc::new(Inner {
            writer,
            log,
            reader,
            long_reader,
            prober,
            files,
            common: Mutex::default(),
        })))
    }

    /// What those who use the file know of it in common, one value of each type. They write by the same
    /// connection, so SQLite does not tell them apart.
    pub fn common<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut all = self.0.common.lock().unwrap_or_else(PoisonError::into_inner);
        let one = all.entry(TypeId::of::<T>()).or_insert_with(|| Arc::<T>::default());
        Arc::clone(one).downcast().expect("a value lies under its own type")
    }

    /// Runs on the writer's thread, in the order of the calls.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let written = self
            .0
            .writer
            .run(move |connection| {
                inner.files.check().map_err(|missing| rescue(connection, missing))?;
                work(connection)
            })
            .await;
        if self.0.log.is_due() {
            let inner = Arc::clone(&self.0);
            Tasks::detach("move the write-ahead log", async move {
                if let Err(error) = inner.log.move_all(&inner.writer).await {
                    // The next one that writes tries again.
                    tracing::debug!(error = chain(&error), "the write-ahead log is not moved");
                }
            });
        }
        written
    }

    /// One short step of housekeeping on the writer's thread: gives at most `pages_max` free pages
    /// back to the file system, and shortens the log if a long read has made it large. It leaves
    /// `pages_kept` free pages for what is stored next. The answer is how many more it can give back:
    /// none in a file that was made without this. 64 pages, half a megabyte, take a few milliseconds.
    pub async fn give_back(&self, pages_max: u32, pages_kept: u32) -> Result<u32, Error> {
        let inner = &self.0;
        if inner.files.log_bytes() > u64::from(LOG_BYTES_MAX)
            && inner.log.move_all(&inner.writer).await?
        {
            self.write(|connection| shorten_log(connection)).await?;
        }
        self.write(move |connection| give_back(connection, pages_max, pages_kept)).await
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

    /// How large its files are. The prober's thread asks, because a disk may be slow to answer.
    pub(crate) async fn size(&self) -> Result<Size, Error> {
        let inner = Arc::clone(&self.0);
        self.0.prober.run(move |_| Ok(inner.files.size())).await
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
        let Inner { writer, log, reader, long_reader, prober, .. } = &*self.0;
        for worker in [log.mover(), reader, long_reader, prober] {
            worker.interrupt().await;
            worker.stop().await;
        }
        writer.interrupt().await;
        let moved = writer.run(|connection| checkpoint(connection)).await;
        writer.stop().await;
        moved
    }
}

/// Begins a transaction that writes: it takes the lock for writing at once, because one that has read cannot
/// wait for it.
pub fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Error> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).step("begin a transaction")
}

/// Every row of a statement, which is prepared once.
pub fn rows<T>(
    connection: &Connection,
    step: &'static str,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare_cached(sql).step(step)?;
    let rows = statement.query_map(values, read).step(step)?;
    rows.collect::<rusqlite::Result<_>>().step(step)
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

/// The log is empty: its file needs no more room. Without waiting for a reader.
fn shorten_log(connection: &Connection) -> Result<(), Error> {
    let failed = |error| error::sqlite("shorten the write-ahead log", error);
    connection.busy_timeout(Duration::ZERO).map_err(failed)?;
    let done = connection.query_row(include_str!("sqlite/checkpoint.sql"), [], |_| Ok(()));
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    done.map_err(failed)
}

fn give_back(connection: &Connection, pages_max: u32, pages_kept: u32) -> Result<u32, Error> {
    let failed = |error| error::sqlite("give free pages back", error);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let too_many =
        || -> rusqlite::Result<u32> { Ok(number("freelist_count")?.saturating_sub(pages_kept)) };
    let pages = too_many().map_err(failed)?.min(pages_max);
    if pages == 0 || number("auto_vacuum").map_err(failed)? == 0 {
        return Ok(0);
    }
    let sql = include_str!("sqlite/give_back.sql").replace(":pages", &pages.to_string());
    connection.execute_batch(&sql).map_err(failed)?;
    too_many().map_err(failed)
}

/// It commits nothing, so it needs none of the writer's settings.
fn open_mover(url: &SqliteUrl) -> Result<Connection, Error> {
    Connection::open(&url.path).map_err(|error| error::sqlite(format!("open {url}"), error))
}

fn open_writer(url: &SqliteUrl, growth: Arc<Growth>) -> Result<Connection, Error> {
    let step = || format!("open {url}");
    let failed = |error| error::sqlite(step(), error);
    let mut connection = Connection::open(&url.path).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        return Err(Error::permanent(step(), Kind::FailedPrecondition)
            .because("the file is read-only for this user"));
    }
    // This applies to a new file. Large pages suit large batches, because a page costs nearly the
    // same whatever its size; but a single row writes whole pages too.
    connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(failed)?;
    // This too. What is deleted leaves free pages, which housekeeping gives back.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    // WAL lets readers and the writer work side by side; FULL makes COMMIT wait for the disk,
    // so that what was acknowledged survives a power cut.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX).map_err(failed)?;
    // In place of SQLite's own, which would move the log on this thread.
    let grew = move |_: &mut Wal, pages| {
        growth.note(u32::try_from(pages).unwrap_or(0));
        Ok(())
    };
    connection.wal_hook(Some(grew)).map_err(failed)?;
    if let Some(bytes) = url.size_bytes_max {
        let page: i64 =
            connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
        let pages = (i64::try_from(bytes).unwrap_or(i64::MAX) / page).max(1);
        connection.pragma_update(None, "max_page_count", pages).map_err(failed)?;
    }
    // The first read makes the files beside the database.
    connection.query_row(include_str!("sqlite/ping.sql"), [], |_| Ok(())).map_err(failed)?;
    let gives_back: u32 =
        connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).map_err(failed)?;
    if gives_back == 0 {
        tracing::info!(
            path = %url.path.display(),
            "the file never gets smaller; to change that, stop the server and run: sqlite3 FILE \
             'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'"
        );
    }
    Ok(connection)
}

fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| error::sqlite(format!("open sqlite:{} to read", path.display()), error);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok(connection)
}
