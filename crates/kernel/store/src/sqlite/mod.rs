//! SQLite: one thread that writes, one that reads, and a lock against a second server.
//!
//! | file | what it owns |
//! |---|---|
//! | `migrate.rs` | running migrations |
//! | `worker.rs` | a thread that owns a connection |

pub(crate) mod migrate;
mod worker;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use tally_runtime::Kind;

use self::worker::Worker;
use crate::Error;
use crate::error::Step as _;
use crate::url::SqliteUrl;

/// How long SQLite itself waits for a lock. Another program that reads the file, such as the
/// `sqlite3` shell, holds it for moments only.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// An open SQLite file.
#[derive(Debug, Clone)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: Worker,
    reader: Worker,
    path: PathBuf,
    /// Which file it was when it was opened.
    file: Option<(u64, u64)>,
    /// Held until the process ends, however it ends.
    _lock: File,
}

// === impl Database ===

impl Database {
    pub(crate) async fn open(url: &SqliteUrl) -> Result<Self, Error> {
        let path = real_path(&url.path)?;
        let lock = lock(&path)?;
        let writer = {
            let url = SqliteUrl { path: path.clone(), ..url.clone() };
            Worker::start("sqlite writer", move || open_writer(&url)).await?
        };
        let file = file_id(&path);
        let reader = {
            let path = path.clone();
            Worker::start("sqlite reader", move || open_reader(&path)).await?
        };
        Ok(Self(Arc::new(Inner { writer, reader, path, file, _lock: lock })))
    }

    /// Runs on the writer's thread, in the order of the calls.
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        self.0
            .writer
            .run(move |connection| {
                inner.check_file()?;
                work(connection)
            })
            .await
    }

    /// Runs on the reader's thread; a transaction there sees one snapshot, and holds up no
    /// writer.
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        self.0.reader.run(work).await
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let inner = Arc::clone(&self.0);
        self.read(move |connection| {
            inner.check_file()?;
            connection
                .query_row(include_str!("ping.sql"), [], |_| Ok(()))
                .step("ask the database for a sign of life")
        })
        .await
    }
}

// === impl Inner ===

impl Inner {
    /// A file that was removed can still be written to, and everything in it would be lost.
    fn check_file(&self) -> Result<(), Error> {
        if file_id(&self.path) == self.file {
            return Ok(());
        }
        let step = format!(
            "find {}: the file was removed or replaced while the server runs",
            self.path.display()
        );
        Err(Error::transient(step, crate::Outcome::Determinate))
    }
}

/// What tells a file from another that takes its name.
#[cfg(unix)]
fn file_id(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// What tells a file from another that takes its name.
#[cfg(not(unix))]
fn file_id(path: &Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}

/// The same path for every way to name the file, so that the lock is the same too.
fn real_path(path: &Path) -> Result<PathBuf, Error> {
    let failed = |error| {
        let step = format!("open sqlite:{}: its directory", path.display());
        Error::permanent(step, Kind::FailedPrecondition).because(error)
    };
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().map_err(failed)?;
    Ok(folder.join(path.file_name().unwrap_or(path.as_os_str())))
}

/// Takes the lock file beside the database, not the database itself: closing any handle of
/// that would release SQLite's own locks.
fn lock(path: &Path) -> Result<File, Error> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let failed = |step: String| Error::permanent(step, Kind::FailedPrecondition);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|error| failed(format!("open {}", lock_path.display())).because(error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(failed(format!(
            "open sqlite:{}: another Tally server uses this file; stop it, or choose another \
             file with --database-url",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => {
            Err(failed(format!("lock {}", lock_path.display())).because(error))
        }
    }
}

fn open_writer(url: &SqliteUrl) -> Result<Connection, Error> {
    let step = || format!("open {url}");
    let failed = |error| Error::sqlite(step(), error);
    let connection = Connection::open(&url.path).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        return Err(Error::permanent(step(), Kind::FailedPrecondition)
            .because("the file is read-only for this user"));
    }
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
    Ok(connection)
}

fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| Error::sqlite(format!("open sqlite:{} to read", path.display()), error);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok(connection)
}
