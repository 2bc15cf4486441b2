//! The directory of a spool: its files' names, its lock, and writing a file as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::Error;
use super::state::State;

/// Locked while the spool is open. Contains the process id of the last owner.
const LOCK: &str = "lock";

const STATE: &str = "state";
const STATE_NEW: &str = "state.new";
const SEGMENT: &str = ".segment";

/// A directory that this process has locked.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
}

/// A segment by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentFile {
    pub(super) generation: u64,
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

// === impl Directory ===

impl Directory {
    /// Makes the directory if necessary, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        create(path).map_err(Error::io("make the directory", path))?;
        let file = path.join(LOCK);
        let mut lock = options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(Error::io("open", &file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = lock.take(32).read_to_string(&mut text);
                let process = text.trim().parse().ok();
                return Err(Error::Locked { directory: path.to_owned(), process });
            }
            Err(TryLockError::Error(source)) => {
                return Err(Error::Io { action: "lock", path: file, source });
            }
        }
        // For the message of the next process; a full disk does not matter here.
        let _ = lock.set_len(0);
        let _ = writeln!(lock, "{}", std::process::id());
        Ok(Self { path: path.to_owned(), lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn state_path(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// The segments in order of generation and sequence, ignoring other names.
    pub(super) fn segments(&self) -> Result<Vec<SegmentFile>, Error> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(Error::io("list", &self.path))? {
            let entry = entry.map_err(Error::io("list", &self.path))?;
            let name = entry.file_name();
            let Some((generation, first)) = name.to_str().and_then(parse) else { continue };
            let path = entry.path();
            let bytes = regular(&path)?.unwrap_or_default();
            segments.push(SegmentFile { generation, first, path, bytes });
        }
        segments.sort();
        Ok(segments)
    }

    /// Replaces the state atomically; durable once the directory is synced.
    pub(super) fn put_state(&self, state: &State) -> Result<(), Error> {
        let (new, path) = (self.path.join(STATE_NEW), self.state_path());
        let written = write_synced(&new, &state.encode()).and_then(|()| {
            fs::rename(&new, &path).map_err(Error::io("put the new state in the place of", &path))
        });
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    /// Removes what a crash in [`put_state`](Self::put_state) may have left.
    pub(super) fn remove_half_written(&self) -> Result<(), Error> {
        remove(&self.path.join(STATE_NEW))
    }
}

impl Drop for Directory {
    /// Closing the file is not enough: a just forked child holds it too until its `exec`.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

/// The name of a segment, with all digits, so names sort like numbers.
pub(super) fn segment_path(directory: &Path, generation: u64, first: u64) -> PathBuf {
    directory.join(format!("{generation:020}-{first:020}{SEGMENT}"))
}

fn parse(name: &str) -> Option<(u64, u64)> {
    let (generation, first) = name.strip_suffix(SEGMENT)?.split_once('-')?;
    let number = |text: &str| {
        let digits = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok() } else { None }
    };
    Some((number(generation)?, number(first)?)).filter(|(_, first)| *first > 0)
}

/// The size of an existing file; an error if it is not a regular file.
pub(super) fn regular(path: &Path) -> Result<Option<u64>, Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
        Ok(_) => Err(Error::Foreign { path: path.to_owned(), why: "it is not a regular file" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

/// Cuts a file to this length; removes it at 0. It may be missing.
pub(super) fn cut(path: &Path, bytes: u64) -> Result<(), Error> {
    if bytes == 0 {
        return remove(path);
    }
    let file = options().write(true).open(path);
    file.and_then(|file| file.set_len(bytes)).map_err(Error::io("cut the end off", path))
}

/// Removes a file, which may be missing.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(Error::io("make", path))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.sync_all().map_err(Error::io("sync", path))
}

/// Syncs the names in a directory.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    File::open(path).and_then(|it| it.sync_all()).map_err(Error::io("sync", path))?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Options that make files for their owner only.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.clone()
}

/// Makes a directory and its parents for their owner only, and syncs them.
fn create(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let missing: Vec<_> = path.ancestors().take_while(|it| !it.exists()).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    for made in missing {
        let parent = made.parent().filter(|it| !it.as_os_str().is_empty());
        // Some parents can be passed through, but not opened.
        let _ = sync_directory(parent.unwrap_or(Path::new(".")));
    }
    Ok(())
}
