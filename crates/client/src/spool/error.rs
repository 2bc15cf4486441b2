//! What can go wrong with a spool, in words that name the file and say what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A spool could not do what was asked, and has not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system refused a step.
    #[error("cannot {action} {}: {}", path.display(), advice(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// The batch fits only after others are acknowledged.
    #[error(
        "the spool {} is full: it has {bytes} bytes of at most {bytes_max}, and the batch needs \
         {wanted}; wait until the server has acknowledged some, or raise the limit",
        directory.display()
    )]
    Full { directory: PathBuf, bytes: u64, wanted: u64, bytes_max: u64 },
    /// The batch is larger than a record may be, or than the whole spool.
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
    /// A newer version of Tally wrote the file.
    #[error(
        "{} has version {found} of the format and this program knows {known}: use the newer \
         program, or another directory; nothing was changed",
        path.display()
    )]
    NewerVersion { path: PathBuf, found: u32, known: u32 },
    /// The file has the name of a spool's file and does not belong to this spool.
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
    /// A batch was appended that is not the next one.
    #[error("batch {given} was appended to the spool, and {next} is next")]
    OutOfSequence { given: u64, next: u64 },
    /// A batch was asked for that is acknowledged, or was never appended.
    #[error(
        "batch {given} is not in the spool, which has those after {acknowledged} and before {next}"
    )]
    NotPending { given: u64, acknowledged: u64, next: u64 },
    /// An option or an argument is outside of its limits.
    #[error("{what}")]
    Invalid { what: &'static str },
}

// === impl Error ===

impl Error {
    /// For `map_err`: names the step and the file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What is wrong and what to do, by what the system said.
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull => "the disk is full; free some space, and it goes on",
        Kind::QuotaExceeded => "the disk quota is used up; free some space, and it goes on",
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
