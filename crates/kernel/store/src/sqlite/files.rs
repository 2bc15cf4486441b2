//! The files of a database: the lock that keeps a second server away, and noticing that others took
//! their names.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tally_runtime::Kind;

use crate::error;
use crate::{Error, Outcome, Size};

/// What SQLite keeps beside the database while it is open: the write-ahead log and its index.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// What tells a file from another that takes its name.
type Identity = (u64, u64);

/// The database's files as they were when it was opened.
#[derive(Debug)]
pub(super) struct Files(Vec<(PathBuf, Option<Identity>)>);

// === impl Files ===

impl Files {
    /// Notes which files they are. SQLite has made them all by now.
    pub(super) fn of(path: &Path) -> Self {
        let beside = BESIDE.map(|suffix| with_suffix(path, suffix));
        let all = std::iter::once(path.to_owned()).chain(beside);
        Self(all.map(|path| (path.clone(), identity(&path))).collect())
    }

    /// A file that was removed can still be written to, and everything in it would be lost.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Some((path, _)) = self.0.iter().find(|(path, known)| identity(path) != *known) else {
            return Ok(());
        };
        let advice = if self.has_database() {
            "put it back, or restart the server"
        } else {
            "put it back before you stop the server, or what is stored in it is lost"
        };
        let step = format!(
            "find {}: the file was removed or replaced while the server runs; {advice}",
            path.display()
        );
        Err(Error::transient(step, Outcome::Determinate))
    }

    /// Whether the database's own file is still the one that was opened. It holds what was stored,
    /// even if those beside it are gone.
    fn has_database(&self) -> bool {
        self.0.first().is_some_and(|(path, known)| identity(path) == *known)
    }

    /// How large the write-ahead log's file is.
    pub(super) fn log_bytes(&self) -> u64 {
        let log = self.0.get(1).and_then(|(path, _)| path.metadata().ok());
        log.map_or(0, |log| log.len())
    }

    /// How large the files are together, and how much room their disk has.
    pub(super) fn size(&self) -> Size {
        let sizes = self.0.iter().filter_map(|(path, _)| Some(path.metadata().ok()?.len()));
        let free_bytes = self.0.first().and_then(|(path, _)| free_bytes(path));
        Size { bytes: Some(sizes.sum()), free_bytes }
    }

    pub(super) fn check_at_end(&self) -> Result<(), Error> {
        let Some((path, _)) = self.0.first().filter(|_| !self.has_database()) else {
            return Ok(());
        };
        let step = format!(
            "find {} at the end: the file was removed or replaced while the server ran, and what \
             was stored went with it",
            path.display()
        );
        Err(Error::permanent(step, Kind::FailedPrecondition))
    }
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_path: &Path) -> Option<u64> {
    None
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    path.exists().then_some((0, 0))
}

/// The path without links, so that an error names the file itself.
pub(super) fn real_path(path: &Path) -> Result<PathBuf, Error> {
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

/// Locks the database, and makes it if it is missing. Linux locks the file itself, so that a second
/// name or mount of it is refused too: there this lock (`flock`) and SQLite's own (`fcntl`) do not
/// see each other. Elsewhere they do, so a file beside it is locked.
///
/// The handle must stay open while SQLite has the file open, because closing any handle of it
/// releases SQLite's own locks.
pub(super) fn lock(path: &Path) -> Result<File, Error> {
    match lock_or_join(path)? {
        (file, false) => Ok(file),
        (_, true) => Err(in_use(path)),
    }
}

/// The same, but a server may have the file: then it is not locked, and the answer says so. A server
/// has a write-ahead log beside the file; if there is none under this name, the file has another name
/// there, and two logs for one file would lose what is in one of them.
pub(super) fn lock_or_join(path: &Path) -> Result<(File, bool), Error> {
    let is_itself = cfg!(target_os = "linux");
    let locked = if is_itself { path.to_owned() } else { with_suffix(path, ".lock") };
    let failed = |step: String| Error::permanent(step, Kind::FailedPrecondition);
    let is_new = !locked.exists();
    let file = new_for_owner().truncate(false).read(true).write(true).open(&locked);
    let file = file.map_err(|error| {
        let failed = failed(format!("open sqlite:{}", locked.display()));
        match error.kind() {
            ErrorKind::PermissionDenied if locked.exists() => {
                failed.because(read_only(owner(&locked)))
            }
            _ => failed.because(error),
        }
    })?;
    if is_new {
        give_to_owner_of_folder(&file, &locked);
    }
    match file.try_lock() {
        Ok(()) => Ok((file, false)),
        Err(TryLockError::WouldBlock)
            if BESIDE.iter().all(|suffix| with_suffix(path, suffix).exists()) =>
        {
            Ok((file, true))
        }
        Err(TryLockError::WouldBlock) => Err(unreachable_log(path)),
        Err(TryLockError::Error(error)) => {
            Err(failed(format!("lock {}", locked.display())).because(error))
        }
    }
}

/// Makes a file that nobody else may read, as it has what all clients count, and hashes of keys. SQLite
/// gives its logs the permissions of the file itself. One that is there keeps its own.
fn new_for_owner() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// If an administrator makes the file, as with a first key, a service must be able to open it: SQLite does
/// the same with its logs. For anybody else this does nothing.
#[cfg(unix)]
fn give_to_owner_of_folder(file: &File, path: &Path) {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = folder.unwrap_or(Path::new(".")).metadata() {
        let _ = fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

#[cfg(not(unix))]
fn give_to_owner_of_folder(_file: &File, _path: &Path) {}

#[cfg(unix)]
fn owner(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    Some(path.metadata().ok()?.uid())
}

#[cfg(not(unix))]
fn owner(_path: &Path) -> Option<u32> {
    None
}

fn read_only(owner: Option<u32>) -> String {
    let of = owner.map(|owner| format!(", and belongs to user {owner}")).unwrap_or_default();
    format!("the file is read-only for this user{of}")
}

fn in_use(path: &Path) -> Error {
    error::locked(format!(
        "open sqlite:{}: a Tally server uses this file, or a command that is over in a moment; stop the \
         server or try again, or choose another file with --database-url",
        path.display()
    ))
}

/// A server has the file, and no log is beside it: not yet, no longer, or beside another name of the file.
fn unreachable_log(path: &Path) -> Error {
    error::locked(format!(
        "open sqlite:{}: a Tally server uses this file, and is just starting or stopping; try again. If that \
         does not help, it has the file under another name: use that one",
        path.display()
    ))
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
