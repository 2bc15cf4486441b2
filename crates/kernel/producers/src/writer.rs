//! A domain's store as the insert workers see it.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tally_ingest::{Batch, Sink, WriteError};
use tally_runtime::{Clock, Error, Namespace, Outcome, chain};
use tokio::time::timeout;
use uuid::Uuid;

use crate::lease::Leaving;
use crate::run::{Content, Fate, Parcel};
use crate::setback::Told;
use crate::store::Producers;

/// At most this many losses wait to be noted.
const SETBACKS_OWED_MAX: usize = 64;

/// Stores the batches of a domain.
pub trait Append: Send + Sync + 'static {
    /// Its rows.
    type Content: Content;

    /// Stores a batch once, and returns what became of each parcel.
    fn append(
        &self,
        batch: &Batch<'_, Parcel<Self::Content>>,
    ) -> impl Future<Output = Result<Vec<Fate>, WriteError>> + Send;
}

/// A domain's store as the insert workers see it. It notes what the database has lost of them.
pub(crate) struct Writer<A> {
    store: A,
    producers: Producers,
    /// How long to wait for the outcome of one attempt.
    attempt_max: Duration,
    clock: Arc<dyn Clock>,
    /// Workers of which the database has lost something that is not noted yet.
    owed: Mutex<Vec<(Uuid, i64)>>,
    /// In which namespaces each worker has stored what has no number: they miss what is lost of it.
    stored_in: Mutex<HashMap<Uuid, BTreeSet<Namespace>>>,
}

// === impl Writer ===

impl<A> Writer<A> {
    /// Gives an attempt up after `attempt_max`: its outcome is unknown then.
    pub(crate) fn new(
        store: A,
        producers: Producers,
        attempt_max: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            producers,
            attempt_max,
            clock,
            owed: Mutex::default(),
            stored_in: Mutex::default(),
        }
    }

    /// Notes that batches of a worker up to this one were stored, and that some are gone. If that
    /// fails, a later batch tries again.
    async fn note_setback(&self, worker: Uuid, sequence: i64) {
        let now_micros = self.clock.now().as_microsecond();
        let told = Told { sequence, at_micros: None, is_recent: true, now_micros };
        let namespaces = self.stored_in().get(&worker).cloned().unwrap_or_default();
        let noting = self.producers.note_setback(worker, &namespaces, told);
        let error = match timeout(self.attempt_max, noting).await {
            Ok(Ok(())) => {
                self.stored_in().remove(&worker);
                return;
            }
            Ok(Err(error)) => chain(&error),
            Err(_elapsed) => format!("no answer within {:?}", self.attempt_max),
        };
        tracing::error!(error, sequence, "what the database has lost of a worker is not noted yet");
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if owed.len() < SETBACKS_OWED_MAX {
            owed.push((worker, sequence));
        }
    }

    fn stored_in(&self) -> MutexGuard<'_, HashMap<Uuid, BTreeSet<Namespace>>> {
        self.stored_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what could not be noted before, once something can be stored again.
    async fn note_owed(&self) {
        let owed = std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for (worker, sequence) in owed {
            self.note_setback(worker, sequence).await;
        }
    }
}

impl<A: Append> Sink for Writer<A> {
    type Rows = Parcel<A::Content>;
    type Outcome = Fate;

    async fn write(&self, batch: Batch<'_, Self::Rows>) -> Result<Vec<Fate>, WriteError> {
        let Ok(result) = timeout(self.attempt_max, self.store.append(&batch)).await else {
            let step = format!("store a batch: no answer within {:?}", self.attempt_max);
            return Err(Error::transient(step, Outcome::Indeterminate).into());
        };
        match &result {
            Ok(_) => {
                let unnumbered = batch.chunks.iter().filter(|chunk| chunk.run.is_none());
                let namespaces = unnumbered.map(|chunk| chunk.namespace);
                self.stored_in().entry(batch.producer).or_default().extend(namespaces);
                self.note_owed().await;
            }
            Err(WriteError::OutOfSequence { .. }) => {
                self.note_setback(batch.producer, batch.sequence - 1).await;
            }
            Err(WriteError::Failed(_)) => {}
        }
        result
    }

    async fn retire(&self, worker: Uuid, sequence: i64) {
        self.stored_in().remove(&worker);
        let leaving = Leaving { id: worker, epoch: 0, sequence, last_seen_micros: None };
        let forgetting = self.producers.forget(leaving);
        if let Ok(Err(error)) = timeout(self.attempt_max, forgetting).await {
            // Until the terms of the domain forget it.
            tracing::debug!(error = chain(&error), "a worker's old id is not forgotten yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use tally_runtime::SystemClock;
    use tally_store::{Database, postgres};

    use super::*;
    use crate::{MIGRATIONS, Terms};

    /// Nothing is stored here.
    struct Nowhere;

    #[derive(Debug, Clone)]
    struct Nothing;

    impl Content for Nothing {
        fn rows(&self) -> usize {
            0
        }
        fn bytes(&self) -> usize {
            0
        }
        fn days(&self) -> &[(tally_runtime::Day, i64)] {
            &[]
        }
        fn skip(&self, _rows: usize) -> Self {
            Self
        }
    }

    impl Append for Nowhere {
        type Content = Nothing;

        async fn append(&self, _: &Batch<'_, Parcel<Nothing>>) -> Result<Vec<Fate>, WriteError> {
            Ok(Vec::new())
        }
    }

    /// A row for each thousand batches would be many, and its days are in the accounts.
    #[tokio::test]
    async fn a_retired_worker_leaves_its_days() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tally.db");
        let url = format!("sqlite:{}", path.display()).parse().unwrap();
        let database = Database::open(&url, postgres::Settings::default()).await.unwrap();
        MIGRATIONS.run(&database).await.unwrap();
        let file = rusqlite::Connection::open(&path).unwrap();
        let (worker, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for id in [worker, other] {
            let (sql, days) = (
                "INSERT INTO tally_producers (id, domain, namespace_id, sequence, last_seen) \
                 VALUES (?1, 'one', 0, 9, 0)",
                "INSERT INTO tally_producer_days VALUES (?1, 20000, 'one', 0, 5, 0)",
            );
            for sql in [sql, days] {
                file.execute(sql, [id.as_bytes()]).unwrap();
            }
        }
        let terms = Terms { producers_max: 2, retention_days: 30 };
        let producers = Producers::new(database, "one", terms);
        let writer =
            Writer::new(Nowhere, producers, Duration::from_secs(30), Arc::new(SystemClock));
        writer.retire(worker, 9).await;
        // Something came after its last batch.
        writer.retire(other, 8).await;
        let left: Vec<Vec<u8>> = all(&file, "SELECT id FROM tally_producers");
        assert_eq!(left, [other.as_bytes()]);
        let days: Vec<Vec<u8>> = all(&file, "SELECT worker_id FROM tally_producer_days ORDER BY 1");
        assert_eq!(days, [Uuid::nil().as_bytes(), other.as_bytes()]);
        assert_eq!(all::<i64>(&file, "SELECT sum(accepted) FROM tally_producer_days"), [10]);
    }

    fn all<T: rusqlite::types::FromSql>(file: &rusqlite::Connection, sql: &str) -> Vec<T> {
        let mut statement = file.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }
}
