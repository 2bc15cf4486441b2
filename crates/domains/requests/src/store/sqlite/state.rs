//! What the writer's thread knows of the file: who else writes to it, and which tray takes rows.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use rusqlite::Transaction;
use tally_store::error::Step as _;

use super::super::Result;
use super::trays::Tray;

/// Counts the times when another program was found to have written to the file, and knows which tray
/// takes rows. Only the writer's thread changes it. All stores on an open file have the same one.
#[derive(Debug, Default)]
pub(crate) struct State {
    filling: AtomicUsize,
    /// SQLite's number of the last commit by another connection.
    version: AtomicI64,
    changes: AtomicU64,
    /// How often another tray took rows, or one was emptied.
    turns: AtomicU64,
}

/// What a tray that is being counted depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    changes: u64,
    turns: u64,
}

// === impl State ===

impl State {
    pub(crate) fn get(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The tray that takes rows.
    pub(super) fn filling(&self) -> Tray {
        Tray(self.filling.load(Ordering::Acquire))
    }

    pub(super) fn fill(&self, tray: Tray) {
        self.filling.store(tray.0, Ordering::Release);
        self.turn();
    }

    /// Notes that a tray is emptied.
    pub(super) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::AcqRel);
    }

    /// What a tray depends on that is counted after this transaction.
    pub(super) fn seen(&self, transaction: &Transaction<'_>) -> Result<Seen> {
        Ok(Seen { changes: self.look(transaction)?, turns: self.turns.load(Ordering::Acquire) })
    }

    /// Checks whether another program has written. Only in a transaction of the writer's thread.
    pub(crate) fn look(&self, transaction: &Transaction<'_>) -> Result<u64> {
        let version: i64 = transaction
            .prepare_cached(include_str!("data_version.sql"))
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .step("look whether another program has written")?;
        if self.version.swap(version, Ordering::AcqRel) != version {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        Ok(self.get())
    }
}
