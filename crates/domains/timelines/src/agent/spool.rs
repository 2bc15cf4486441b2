//! What is kept: files of messages, in the order in which they came. Those that come at the same time are in one
//! file, which is on disk before anyone is told that they are kept.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use prost::Message as _;
use tally_proto::tally::timelines::v1 as proto;
use tally_runtime::{Clock as _, SystemClock, random};
use tokio::sync::{mpsc, oneshot};

use crate::service::MESSAGES_MAX;

/// How many calls may wait for the disk.
const PUTS_MAX: usize = 64;
/// What a file takes at least: the file system's block.
const FILE_BYTES_MIN: u64 = 4_096;
/// How the names of files end: of whole ones, of those that are being written, and of those that nobody can read.
const EXTENSION: &str = "messages";
const DRAFT: &str = "draft";
const BROKEN: &str = "broken";
/// The file that an agent holds while it has the folder.
const LOCK: &str = "lock";

/// Keeps messages.
pub(super) struct Spool {
    puts: mpsc::Sender<Put>,
    bytes: Arc<AtomicU64>,
    bytes_max: u64,
    /// Held until it is dropped.
    _lock: File,
}

/// A file of messages.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    bytes: u64,
}

/// Why messages are not kept.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum NotKept {
    #[error(
        "the agent has as many messages as it may keep, because the server is away: try again later"
    )]
    Full,
    #[error("the agent cannot write to its folder: {0}")]
    Disk(String),
    #[error("the agent is shutting down")]
    Ended,
}

/// Messages that are to be kept, and who waits for it.
struct Put {
    messages: Vec<proto::RecordRequest>,
    done: oneshot::Sender<Result<(), NotKept>>,
}

/// What the thread that writes has.
struct Writer {
    folder: PathBuf,
    bytes: Arc<AtomicU64>,
    bytes_max: u64,
    kept: mpsc::UnboundedSender<Kept>,
}

// === impl Spool ===

impl Spool {
    /// Opens a folder, and gives what is in it, and what comes.
    pub(super) fn open(
        folder: PathBuf,
        bytes_max: u64,
    ) -> io::Result<(Self, mpsc::UnboundedReceiver<Kept>)> {
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join(LOCK))?;
        lock.try_lock().map_err(|_| io::Error::other("another agent has this folder"))?;
        let (kept, receiver) = mpsc::unbounded_channel();
        let bytes = Arc::new(AtomicU64::new(0));
        for path in files(&folder)? {
            let size = fs::metadata(&path)?.len().max(FILE_BYTES_MIN);
            bytes.fetch_add(size, Ordering::Relaxed);
            let _ = kept.send(Kept { path, bytes: size });
        }
        let (puts, waiting) = mpsc::channel(PUTS_MAX);
        let writer = Writer { folder, bytes: Arc::clone(&bytes), bytes_max, kept };
        thread::Builder::new().name("spool".to_owned()).spawn(move || writer.run(waiting))?;
        Ok((Self { puts, bytes, bytes_max, _lock: lock }, receiver))
    }

    /// Keeps messages, all or none.
    pub(super) async fn keep(&self, messages: Vec<proto::RecordRequest>) -> Result<(), NotKept> {
        if messages.is_empty() {
            return Ok(());
        }
        let (done, kept) = oneshot::channel();
        self.puts.send(Put { messages, done }).await.map_err(|_| NotKept::Ended)?;
        kept.await.unwrap_or(Err(NotKept::Ended))
    }

    /// How much room is taken, and how much there is.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.bytes_max)
    }

    /// Removes what was handed on.
    pub(super) fn remove(&self, kept: &Kept) {
        if let Err(error) = fs::remove_file(&kept.path) {
            // It is handed on again after the next start, which changes nothing.
            tracing::warn!(path = %kept.path.display(), %error, "a file of messages cannot be removed");
        }
        self.bytes.fetch_sub(kept.bytes, Ordering::Relaxed);
    }
}

// === impl Kept ===

impl Kept {
    /// Its messages; none if nobody can read them, and then it is set aside.
    pub(super) fn read(&self) -> Vec<proto::RecordRequest> {
        let read = fs::read(&self.path).map_err(|error| error.to_string());
        let read = read.and_then(|bytes| {
            proto::RecordAllRequest::decode(&*bytes).map_err(|error| error.to_string())
        });
        match read {
            Ok(read) => read.messages,
            Err(why) => {
                let aside = self.path.with_extension(BROKEN);
                let _ = fs::copy(&self.path, &aside);
                tracing::error!(path = %aside.display(), why, "a file of messages cannot be read");
                Vec::new()
            }
        }
    }
}

// === impl Writer ===

impl Writer {
    fn run(self, mut waiting: mpsc::Receiver<Put>) {
        let mut next = waiting.blocking_recv();
        while let Some(first) = next.take() {
            let mut puts = vec![first];
            let mut count = puts[0].messages.len();
            // What has come meanwhile is written with it.
            while let Ok(put) = waiting.try_recv() {
                count += put.messages.len();
                if count > MESSAGES_MAX {
                    next = Some(put);
                    break;
                }
                puts.push(put);
            }
            let (messages, done): (Vec<_>, Vec<_>) =
                puts.into_iter().map(|put| (put.messages, put.done)).unzip();
            let written = self.write(messages.concat());
            for done in done {
                // Whoever waited may have gone.
                let _ = done.send(written.clone());
            }
            next = next.or_else(|| waiting.blocking_recv());
        }
    }

    fn write(&self, messages: Vec<proto::RecordRequest>) -> Result<(), NotKept> {
        let encoded = proto::RecordAllRequest { messages }.encode_to_vec();
        let bytes = (encoded.len() as u64).max(FILE_BYTES_MIN);
        if self.bytes.load(Ordering::Relaxed) + bytes > self.bytes_max {
            return Err(NotKept::Full);
        }
        let path = self.file(&encoded).map_err(|error| NotKept::Disk(error.to_string()))?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // This fails only at the end.
        let _ = self.kept.send(Kept { path, bytes });
        Ok(())
    }

    /// A file that is there after a power failure as well.
    fn file(&self, encoded: &[u8]) -> io::Result<PathBuf> {
        let id = random::id(SystemClock.now());
        let path = self.folder.join(format!("{id}.{EXTENSION}"));
        let draft = path.with_extension(DRAFT);
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(encoded)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        let written = write();
        if written.is_err() {
            let _ = fs::remove_file(&draft);
            let _ = fs::remove_file(&path);
        }
        written.map(|()| path)
    }
}

/// The whole files of a folder, the oldest first; those that were not written to their end are removed.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|end| end.to_str()) {
            Some(EXTENSION) => files.push(path),
            Some(DRAFT) => fs::remove_file(path)?,
            _ => {}
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str) -> proto::RecordRequest {
        proto::RecordRequest { name: name.to_owned(), ..Default::default() }
    }

    fn names(kept: &Kept) -> Vec<String> {
        kept.read().into_iter().map(|message| message.name).collect()
    }

    #[tokio::test]
    async fn what_is_kept_is_there_again_in_its_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spool");
        let (spool, mut kept) = Spool::open(path.clone(), 3 * FILE_BYTES_MIN).expect("it opens");
        let other = Spool::open(path.clone(), 1).err().expect("it is taken");
        assert_eq!(other.to_string(), "another agent has this folder");
        for name in ["a", "b"] {
            spool.keep(vec![message(name), message("x")]).await.expect("room");
        }
        let first = kept.recv().await.expect("a file");
        assert_eq!(names(&first), ["a", "x"]);
        spool.remove(&first);
        assert_eq!(spool.bytes(), (FILE_BYTES_MIN, 3 * FILE_BYTES_MIN));
        drop((spool, kept));
        fs::write(path.join("0.draft"), "half").expect("room");
        fs::write(path.join("0.messages"), [0xff]).expect("room");
        let (spool, mut kept) = Spool::open(path.clone(), 3 * FILE_BYTES_MIN).expect("it opens");
        assert!(!path.join("0.draft").exists());
        let broken = kept.recv().await.expect("a file");
        assert_eq!((names(&broken), path.join("0.broken").exists()), (Vec::new(), true));
        assert_eq!(names(&kept.recv().await.expect("a file")), ["b", "x"]);
        spool.keep(vec![message("c")]).await.expect("room for one more");
        let full = spool.keep(vec![message("d")]).await.expect_err("there is no room");
        assert!(matches!(full, NotKept::Full), "{full}");
    }
}
