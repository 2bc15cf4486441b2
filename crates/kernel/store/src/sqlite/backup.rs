//! Copying a file while a server uses it: one snapshot, checked before it has its name.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tally_runtime::{Kind, faults};

use super::worker::Worker;
use super::{BUSY_TIMEOUT, files, rows};
use crate::error::Step as _;
use crate::url::SqliteUrl;
use crate::{Error, Outcome, error, is_locked};

/// What a backup has in its name until it is complete.
const PART: &str = ".part";

/// A backup that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp {
    /// How large its file is.
    pub bytes: u64,
    /// How many tables it has.
    pub tables: u64,
    /// How many rows all of them have.
    pub rows: u64,
}

/// What a table has: its name, its rows, and what their values add up to.
type Sums = Vec<(String, i64, i64)>;

/// A backup that is not complete, whose file is removed at the end.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    lock: Arc<File>,
}

/// Copies a database into a file that is not there yet, also while a server uses the database. The copy is
/// one snapshot. It is checked, and on the disk, before it has its name: until then `.part` is behind
/// that. A backup that was killed leaves such a file, which the next one replaces.
pub async fn back_up(url: &SqliteUrl, file: &Path) -> Result<BackedUp, Error> {
    let source = files::real_path(&url.path)?;
    if !source.is_file() {
        return Err(refused(format!("back up {url}: there is no such file")));
    }
    // Under another name, SQLite would not find what is in the log.
    drop(files::lock_or_join(&source)?);
    let file = absent(file)?;
    let part = Part::begin(&file, &source)?;
    let (from, to) = (source.clone(), part.path.clone());
    let worker = Worker::start("sqlite backup", &part.lock, move || open(&from)).await?;
    let copied = worker.run(move |connection| copy(connection, &to)).await;
    worker.stop().await;
    let sums = copied?;
    let bytes = part.finish(&file)?;
    let rows = sums.iter().map(|(_, rows, _)| rows.unsigned_abs()).sum();
    Ok(BackedUp { bytes, tables: sums.len() as u64, rows })
}

/// The path of a file that must not be there.
fn absent(file: &Path) -> Result<PathBuf, Error> {
    if fs::symlink_metadata(file).is_ok() {
        let step = format!("write {}: it is there already, and is kept", file.display());
        return Err(refused(step));
    }
    files::real_path(file).map_err(|error| error.within(format!("write {}", file.display())))
}

/// It writes nothing. If it is the last one that has the file open, it leaves the log empty and no file
/// beside the database, which one that may only read cannot.
fn open(path: &Path) -> Result<Connection, Error> {
    let failed = |error| error::sqlite(format!("open sqlite:{} to read", path.display()), error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok(connection)
}

/// Copies all pages of one snapshot, and compares what the tables have.
fn copy(source: &mut Connection, part: &Path) -> Result<Sums, Error> {
    let snapshot = source.transaction().step("begin a snapshot")?;
    let sums = sums(&snapshot)?;
    let failed = |error| error::sqlite(format!("write {}", part.display()), error);
    let mut target = Connection::open(part).map_err(failed)?;
    // Nobody needs a part of it back, and it is brought to the disk at the end.
    target.pragma_update(None, "journal_mode", "OFF").map_err(failed)?;
    target.pragma_update(None, "synchronous", "OFF").map_err(failed)?;
    let done = Backup::new(&snapshot, &mut target).and_then(|backup| backup.step(-1));
    if done.map_err(failed)? != StepResult::Done {
        let step = format!("write {}", part.display());
        let failed = Error::transient(step, Outcome::Determinate);
        return Err(failed.because("another program uses one of the two files"));
    }
    target.close().map_err(|(_, error)| failed(error))?;
    faults::blocking_point("backup.copied");
    check(part, &sums)?;
    Ok(sums)
}

/// Reads the whole copy, as the next server will.
fn check(part: &Path, expected: &Sums) -> Result<(), Error> {
    let step = "check the backup";
    // Nobody writes to it, so it needs no files beside it.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let copy = Connection::open_with_flags(immutable(part)?, flags).step(step)?;
    let found: String =
        copy.query_row(include_str!("integrity.sql"), [], |row| row.get(0)).step(step)?;
    if found != "ok" {
        let step =
            format!("{step}: the database itself may be damaged: {}", found.replace('\n', " "));
        return Err(Error::permanent(step, Kind::Internal));
    }
    let sums = sums(&copy)?;
    if let Some((table, ..)) = expected.iter().zip(&sums).find_map(|(a, b)| (a != b).then_some(a)) {
        let step = format!("{step}: {table} does not have there what it has in the database");
        return Err(Error::permanent(step, Kind::Internal));
    }
    if sums.len() != expected.len() {
        let step = format!("{step}: it does not have the tables that the database has");
        return Err(Error::permanent(step, Kind::Internal));
    }
    Ok(())
}

/// What each table has.
fn sums(connection: &Connection) -> Result<Sums, Error> {
    let step = "add up the tables";
    let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let tables: Vec<(String, String)> = rows(connection, step, include_str!("sums.sql"), [], pair)?;
    let of_table = |(name, sql): (String, String)| {
        let sums = |row: &rusqlite::Row<'_>| Ok((name, row.get(0)?, row.get(1)?));
        connection.query_row(&sql, [], sums).step(step)
    };
    tables.into_iter().map(of_table).collect()
}

/// A path as a URI of SQLite, for a file that does not change.
fn immutable(path: &Path) -> Result<String, Error> {
    let Some(text) = path.to_str() else {
        return Err(refused(format!("check {}: the path is not UTF-8", path.display())));
    };
    let text = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Ok(format!("file:{text}?immutable=1"))
}

fn refused(step: String) -> Error {
    Error::permanent(step, Kind::FailedPrecondition)
}

// === impl Part ===

impl Part {
    /// Makes the file, or empties one that a killed backup has left. Who may read the database may read it.
    fn begin(file: &Path, source: &Path) -> Result<Self, Error> {
        let path = files::with_suffix(file, PART);
        let step = || format!("write {}", path.display());
        let lock = files::lock(&path).map_err(|error| match is_locked(&error) {
            true => refused(format!("{}: another backup is writing it", step())),
            false => Error::permanent(step(), Kind::FailedPrecondition).because(error),
        })?;
        let failed = |error| Error::permanent(step(), Kind::FailedPrecondition).because(error);
        let permissions = fs::metadata(source).map_err(failed)?.permissions();
        fs::set_permissions(&path, permissions).map_err(failed)?;
        File::create(&path).map_err(failed)?;
        Ok(Self { path, lock: Arc::new(lock) })
    }

    /// Brings it to the disk, and gives it its name. Returns how large it is.
    fn finish(self, file: &Path) -> Result<u64, Error> {
        let step = format!("write {}", file.display());
        let failed = |error| Error::transient(step.clone(), Outcome::Determinate).because(error);
        let written = File::open(&self.path).map_err(failed)?;
        written.sync_all().map_err(failed)?;
        let bytes = written.metadata().map_err(failed)?.len();
        absent(file)?;
        fs::rename(&self.path, file).map_err(failed)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(bytes)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is not there if the backup is complete.
        let _ = fs::remove_file(&self.path);
    }
}
