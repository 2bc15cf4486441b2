//! What can go wrong with a spool, in words that name the file and say what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A spool could not do what was asked. Unless the variant says otherwise, nothing has changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system refused a step.
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The batch does not fit below [`Options::bytes_max`](super::Options::bytes_max) until
    /// others are acknowledged.
    Full {
        /// The spool.
        directory: PathBuf,
        /// How many bytes its segments have.
        bytes: u64,
        /// How many the batch would add.
        wanted: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The batch is larger than a record may be, or than the whole spool.
    TooLarge {
        /// The size of the payload.
        bytes: u64,
        /// The limit for a payload.
        bytes_max: u64,
    },
    /// Another process, or another [`Spool`](super::Spool) of this one, has the spool open.
    Locked {
        /// The spool.
        directory: PathBuf,
        /// The process that wrote its number into the lock file last.
        process: Option<u32>,
    },
    /// A newer version of Tally wrote the file.
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this one reads.
        known: u32,
    },
    /// The file has the name of a spool's file and does not belong to this spool.
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing says which producer the batches are of: the state is damaged, and so are the
    /// headers of all segments, or they differ.
    Unreadable {
        /// The spool.
        directory: PathBuf,
    },
    /// A batch was appended that is not the next one.
    OutOfSequence {
        /// The sequence that was given.
        given: u64,
        /// The sequence that is next.
        next: u64,
    },
    /// A batch was asked for that is acknowledged, or was never appended.
    NotPending {
        /// The sequence that was given.
        given: u64,
        /// The last sequence that is acknowledged.
        acknowledged: u64,
        /// The sequence that is next.
        next: u64,
    },
    /// An option or an argument is outside of its limits.
    Invalid {
        /// Which, and why.
        what: &'static str,
    },
}

// === impl Error ===

impl Error {
    /// For `map_err`: names the step and the file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the same call can succeed later without anybody changing a file: there is no
    /// room now, be it on the disk or below the limit.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => is_no_room(source),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {}", path.display(), advice(source))
            }
            Self::Full { directory, bytes, wanted, bytes_max } => write!(
                f,
                "the spool {} is full: it has {bytes} bytes of at most {bytes_max}, and the batch \
                 needs {wanted}; wait until the server has acknowledged some, or raise the limit",
                directory.display()
            ),
            Self::TooLarge { bytes, bytes_max } => write!(
                f,
                "a batch of {bytes} bytes is too large for the spool, which takes {bytes_max}: \
                 split it, or raise bytes_max"
            ),
            Self::Locked { directory, process } => {
                write!(f, "the spool {} is in use", directory.display())?;
                if let Some(process) = process {
                    write!(f, " by process {process}")?;
                }
                write!(f, ": give each process a directory of its own")
            }
            Self::NewerVersion { path, found, known } => write!(
                f,
                "{} has version {found} of the format and this program knows {known}: use the \
                 newer program, or another directory; nothing was changed",
                path.display()
            ),
            Self::Foreign { path, why } => write!(
                f,
                "{} does not belong to this spool: {why}; move it away; nothing was changed",
                path.display()
            ),
            Self::Unreadable { directory } => write!(
                f,
                "the spool {} cannot be read: its state is damaged, and the segments do not tell \
                 which producer they are of; move the directory away to keep it, and start with \
                 an empty one; nothing was changed",
                directory.display()
            ),
            Self::OutOfSequence { given, next } => {
                write!(f, "batch {given} was appended to the spool, and {next} is next")
            }
            Self::NotPending { given, acknowledged, next } => write!(
                f,
                "batch {given} is not in the spool, which has those after {acknowledged} and \
                 before {next}"
            ),
            Self::Invalid { what } => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn is_no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
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
