//! The write-ahead log: moving it into the database's own file while the writer goes on.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rusqlite::Connection;

use super::worker::Worker;
use crate::Error;
use crate::error::Step as _;

/// How far the log grows before it is moved: 8 MiB of a new file's pages.
const GROWTH_PAGES: u32 = 1_000;
/// How much of it the writer moves itself, which takes a few milliseconds. SQLite begins the log anew
/// only once nothing is left in it, and while the writer goes on, another thread never gets that far.
const REST_PAGES: u32 = 256;
/// How large the log's file stays. Only a snapshot that is read for long makes it larger.
pub(super) const LOG_BYTES_MAX: u32 = 32 << 20;

/// What moves the log.
#[derive(Debug)]
pub(super) struct Log {
    growth: Arc<Growth>,
    mover: Worker,
    /// The database's own file, where it is what is locked. The threads keep the lock.
    file: Weak<File>,
}

/// How large the log is.
#[derive(Debug, Default)]
pub(super) struct Growth(Mutex<Size>);

#[derive(Debug, Default)]
struct Size {
    /// After the writer's last commit.
    pages: u32,
    /// From how many pages on there is something to do.
    due_at: u32,
    is_moving: bool,
}

/// The pages in the log, and those that are moved already.
#[derive(Debug, Clone, Copy)]
struct Moved {
    pages: u32,
    moved: u32,
}

// === impl Growth ===

impl Growth {
    fn size(&self) -> MutexGuard<'_, Size> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the size of the log after a commit.
    pub(super) fn note(&self, pages: u32) {
        let mut size = self.size();
        if pages < size.pages {
            size.due_at = 0; // It began anew.
        }
        size.pages = pages;
    }
}

// === impl Log ===

impl Log {
    pub(super) fn new(growth: Arc<Growth>, mover: Worker, file: &Arc<File>) -> Self {
        Self { growth, mover, file: Arc::downgrade(file) }
    }

    /// Whether the log has grown enough to be moved, and is not being moved.
    pub(super) fn is_due(&self) -> bool {
        let size = self.growth.size();
        !size.is_moving && size.pages >= size.due_at.max(GROWTH_PAGES)
    }

    /// Moves the log, unless that goes on already. Returns whether nothing is left in it.
    pub(super) async fn move_all(&self, writer: &Worker) -> Result<bool, Error> {
        if std::mem::replace(&mut self.growth.size().is_moving, true) {
            return Ok(false);
        }
        let _moving = Moving(&self.growth);
        let mut before: Option<Moved> = None;
        loop {
            let now = self.round().await?;
            if now.left() == 0 {
                return Ok(true);
            }
            if before.is_some_and(|before| before.moved == now.moved) {
                return Ok(false); // Somebody reads an old snapshot.
            }
            // Or the writer is about as fast, and has to wait.
            let is_closer = before.is_none_or(|before| now.left() <= before.left() / 2);
            if now.left() <= REST_PAGES || !is_closer {
                break;
            }
            before = Some(now);
        }
        Ok(writer.run(|connection| passive(connection)).await?.left() == 0)
    }

    /// Moves what no reader needs, beside the writer.
    async fn round(&self) -> Result<Moved, Error> {
        let file = Weak::clone(&self.file);
        self.mover
            .run(move |connection| {
                let now = passive(connection)?;
                // SQLite leaves this to the last one, and the writer would wait for the disk.
                if now.left() > 0
                    && let Some(file) = file.upgrade()
                {
                    let _ = file.sync_data();
                }
                Ok(now)
            })
            .await
            // The writer has gone on meanwhile.
            .map(|now| Moved { pages: now.pages.max(self.growth.size().pages), ..now })
    }

    pub(super) fn mover(&self) -> &Worker {
        &self.mover
    }
}

/// While the log is being moved. At the end, the log may grow again before it is due.
struct Moving<'a>(&'a Growth);

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        let mut size = self.0.size();
        size.is_moving = false;
        size.due_at = size.pages.saturating_add(GROWTH_PAGES);
    }
}

// === impl Moved ===

impl Moved {
    fn left(self) -> u32 {
        self.pages.saturating_sub(self.moved)
    }
}

/// Moves as much as it can without waiting for a reader or the writer.
fn passive(connection: &Connection) -> Result<Moved, Error> {
    let pages = |row: &rusqlite::Row<'_>, column| {
        row.get::<_, i64>(column).map(|pages| u32::try_from(pages).unwrap_or(0))
    };
    connection
        .query_row(include_str!("move_log.sql"), [], |row| {
            Ok(Moved { pages: pages(row, 1)?, moved: pages(row, 2)? })
        })
        .step("move the write-ahead log into the database")
}
