//! The outbox in its database: what is due, and what became of each event.

use std::sync::Arc;

use jiff::Timestamp;
use tally_store::{Database, Error};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::metrics::Measured;
use crate::{Webhooks, postgres, sqlite};

/// Events that are on their way, and those that were for a while. Clones share everything.
#[derive(Debug, Clone)]
pub struct Outbox {
    pub(crate) database: Database,
    pub(crate) webhooks: Webhooks,
    /// This server has an event that may be due.
    pub(crate) wake: Arc<Notify>,
    pub(crate) measured: Arc<Measured>,
}

/// An event that is due, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) id: Uuid,
    pub(crate) receiver: String,
    pub(crate) url: String,
    pub(crate) body: String,
    pub(crate) created: Timestamp,
    /// How often it was tried before.
    pub(crate) attempts: i64,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempted {
    pub(crate) id: Uuid,
    /// Which one it was, from 1 on.
    pub(crate) attempt: i64,
    /// When the next one is due; none after this.
    pub(crate) due: Option<Timestamp>,
    /// When that was known, by the server's clock.
    pub(crate) now: Timestamp,
    pub(crate) is_delivered: bool,
    /// In a few words.
    pub(crate) answer: String,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// An earlier event of its subject has to be done before.
    Waiting,
    /// It waits for its next attempt.
    Pending {
        /// When it is due.
        due: Timestamp,
    },
    /// The receiver has it.
    Delivered {
        /// Since when.
        at: Timestamp,
    },
    /// It was given up.
    Dead {
        /// Since when.
        at: Timestamp,
    },
}

/// An event of a subject, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: Uuid,
    /// Its number among those of the subject.
    pub number: i64,
    /// Where it goes: scheme, host and port; of a mail, `mailto:`.
    pub receiver: String,
    /// What is sent.
    pub body: String,
    /// When it happened.
    pub created: Timestamp,
    /// What becomes of it.
    pub state: State,
    /// How often it was tried.
    pub attempts: i64,
    /// What became of the last attempt, in a few words; empty if there was none, or if the server was
    /// killed in it.
    pub answer: String,
}

// === impl Outbox ===

impl Outbox {
    /// The outbox of a database whose migrations are applied.
    #[must_use]
    pub fn new(database: Database, webhooks: Webhooks) -> Self {
        Self { database, webhooks, wake: Arc::default(), measured: Arc::default() }
    }

    /// Where events may go.
    #[must_use]
    pub fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// Says that a transaction with an event is committed, so that it need not wait for the next look.
    pub fn notice(&self) {
        self.wake.notify_one();
    }

    /// The latest events of a subject before this number, the last first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliveries(
        &self,
        domain: &'static str,
        subject: Uuid,
        before: i64,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        match &self.database {
            Database::Postgres(database) => {
                postgres::deliveries(database, domain, subject, before, limit).await
            }
            Database::Sqlite(database) => {
                database
                    .read(move |connection| {
                        sqlite::deliveries(connection, domain, subject, before, limit)
                    })
                    .await
            }
        }
    }

    /// What is due: of each subject the first event that is not done, and of each receiver a few.
    pub(crate) async fn due(
        &self,
        now: Timestamp,
        of_receiver: u32,
        limit: u32,
    ) -> Result<Vec<Due>, Error> {
        match &self.database {
            Database::Postgres(database) => postgres::due(database, now, of_receiver, limit).await,
            Database::Sqlite(database) => {
                database
                    .read(move |connection| sqlite::due(connection, now, of_receiver, limit))
                    .await
            }
        }
    }

    /// Takes an attempt for this server; until then, the next one is due at `next`. False if another
    /// server was faster, or the event is gone.
    pub(crate) async fn take(&self, due: &Due, next: Timestamp) -> Result<bool, Error> {
        let (id, attempts) = (due.id, due.attempts);
        match &self.database {
            Database::Postgres(database) => postgres::take(database, id, attempts, next).await,
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::take(connection, id, attempts, next)).await
            }
        }
    }

    /// Notes what became of an attempt, unless another one was taken since.
    pub(crate) async fn note(&self, attempted: &Attempted) -> Result<(), Error> {
        match &self.database {
            Database::Postgres(database) => postgres::note(database, attempted).await,
            Database::Sqlite(database) => {
                let attempted = attempted.clone();
                database.write(move |connection| sqlite::note(connection, &attempted)).await
            }
        }
    }

    /// Deletes events that were done before this. Returns how many; not all at once.
    pub(crate) async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        match &self.database {
            Database::Postgres(database) => postgres::prune(database, before, limit).await,
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::prune(connection, before, limit)).await
            }
        }
    }
}

// === impl State ===

impl State {
    /// As the columns of the table say it.
    pub(crate) fn of(
        due: Option<Timestamp>,
        done: Option<Timestamp>,
        is_delivered: bool,
        is_waiting: bool,
    ) -> Self {
        let at = done.unwrap_or_default();
        match due {
            Some(_) if is_waiting => Self::Waiting,
            Some(due) => Self::Pending { due },
            None if is_delivered => Self::Delivered { at },
            None => Self::Dead { at },
        }
    }
}
