//! Errors of a spool, which name the file and say what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A spool failed, and has not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot {action} {}: {}", path.display(), advice(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the spool {} is full: it has {bytes} bytes of at most {bytes_max}, and the batch needs \
         {wanted}; wait until the server has acknowledged some, or raise the limit",
        directory.display()
    )]
    Full { directory: PathBuf, bytes: u64, wanted: u64, bytes_max: u64 },
    #[error(
        "a batch of {bytes} bytes is too large for the spool, which takes {bytes_max}: split it, \
         or raise bytes_max"
    )]
    TooLarge { bytes: u64, bytes_max: u64 },
    /// Another process, or another spool of this one, has the directory open.
    #[error(
        "the spool {} is in use{}: give each process a directory of its own",
        directory.display(),
        process.map(|process| format!(" by process {process}")).unwrap_or_default()
    )]
    Locked { directory: PathBuf, process: Option<u32> },
    #[error(
        "{} has version {found} of the format and this program knows {known}: use the newer \
         program, or another directory; nothing was changed",
        path.display()
    )]
    NewerVersion { path: PathBuf, found: u32, known: u32 },
    #[error("{} does not belong to this spool: {why}; move it away; nothing was changed", path.display())]
    Foreign { path: PathBuf, why: &'static str },
    /// The state is damaged, and the segment headers are damaged too, or disagree on the producer.
    #[error(
        "the spool {} cannot be read: its state is damaged, and the segments do not tell which \
         producer they belong to; move the directory away to keep it, and start with an empty \
         one; nothing was changed",
        directory.display()
    )]
    Unreadable { directory: PathBuf },
    #[error("batch {given} was appended to the spool, and {next} is next")]
    OutOfSequence { given: u64, next: u64 },
    #[error(
        "batch {given} is not in the spool, which has those after {acknowledged} and before {next}"
    )]
    NotPending { given: u64, acknowledged: u64, next: u64 },
    #[error("{what}")]
    Invalid { what: &'static str },
}

// === impl Error ===

impl Error {
    /// For `map_err`: adds the step and the file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Says what to do about a system error.
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull => "the disk is full; free some space to continue",
        Kind::QuotaExceeded => "the disk quota is used up; free some space to continue",
        Kind::FileTooLarge => {
            "the file reached the size that the system allows; raise that limit, or lower \
             segment_bytes_max"
        }
        Kind::PermissionDenied => {
            "permission denied; let the process's user read and write the directory and its files"
        }
        Kind::ReadOnlyFilesystem => "the file system is read-only; choose a directory elsewhere",
        Kind::NotADirectory | Kind::AlreadyExists => {
            "a file is in the place of the directory; choose another directory"
        }
        Kind::Unsupported => "the file system cannot do this; choose a directory on a local disk",
        _ => "the system refused; check the disk and the path",
    }
}
