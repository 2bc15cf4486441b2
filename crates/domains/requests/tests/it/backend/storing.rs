//! Batches of rows, as an insert worker stores them.

use std::sync::Arc;

use hashbrown::HashMap;
use tally_ingest::{Batch, WriteError};
use tally_producers::{Fate, Parcel};
use tally_requests::store::{Appended, Names, Store};
use tally_requests::{Named, Rows, Series, SeriesId};
use tally_store::Outcome;
use uuid::Uuid;

use super::{Backend, now};

/// How many times a batch is sent on CockroachDB, where serialization failures are normal.
pub(crate) const SENDS_MAX: usize = 1_000;

/// Numbers its batches as an insert worker does.
#[derive(Clone)]
pub(crate) struct Producer {
    pub(crate) id: Uuid,
    pub(crate) sequence: i64,
    is_repeating: bool,
}

// === impl Producer ===

impl Producer {
    pub(crate) fn new() -> Self {
        Self { id: Uuid::now_v7(), sequence: 0, is_repeating: false }
    }

    /// Makes the next batch a repetition of the last one, as after a lost answer.
    pub(crate) fn repeat(&mut self) {
        self.sequence -= 1;
        self.is_repeating = true;
    }

    /// The next batch.
    pub(crate) fn next<'a>(&mut self, chunks: &'a [Parcel<Rows>]) -> Batch<'a, Parcel<Rows>> {
        self.sequence += 1;
        let is_repeated = std::mem::take(&mut self.is_repeating);
        Batch { is_repeated, ..batch(self.id, self.sequence, chunks) }
    }

    /// Stores rows as the next batch.
    pub(crate) async fn append(
        &mut self,
        store: &Store,
        is_cockroach: bool,
        rows: impl IntoIterator<Item = (SeriesId, i64)>,
    ) {
        self.send(store, is_cockroach, &[rows.into_iter().collect::<Rows>().into()]).await;
    }

    /// Stores chunks as the next batch, as an insert worker does, and says what became of each: only
    /// CockroachDB may ask for it again.
    pub(crate) async fn send(
        &mut self,
        store: &Store,
        is_cockroach: bool,
        chunks: &[Parcel<Rows>],
    ) -> Vec<Fate> {
        let mut batch = self.next(chunks);
        for _ in 0..SENDS_MAX {
            match append_batch(store, &batch).await {
                Ok(fates) => return fates,
                Err(error) if is_cockroach && error.is_transient() => {
                    batch.is_repeated |= error.outcome() == Outcome::Indeterminate;
                }
                Err(error) => panic!("{}", tally_runtime::chain(&error)),
            }
        }
        panic!("a batch was refused {SENDS_MAX} times");
    }
}

/// Stores one batch of a new producer.
pub(crate) async fn append(backend: &Backend, rows: impl IntoIterator<Item = (SeriesId, i64)>) {
    Producer::new().append(&backend.store, backend.is_cockroach(), rows).await;
}

/// The first attempt of a batch.
pub(crate) fn batch(
    producer: Uuid,
    sequence: i64,
    chunks: &[Parcel<Rows>],
) -> Batch<'_, Parcel<Rows>> {
    Batch { producer, sequence, is_repeated: false, chunks }
}

/// Stores a batch of rows whose names are in the dictionary, and returns what became of each chunk.
pub(crate) async fn append_batch(
    store: &Store,
    batch: &Batch<'_, Parcel<Rows>>,
) -> Result<Vec<Fate>, tally_store::Error> {
    appended(store, batch, &[]).await.map(|(fates, _)| fates).map_err(failed)
}

/// The error of a batch whose number fits.
fn failed(error: WriteError) -> tally_store::Error {
    match error {
        WriteError::Failed(error) => error,
        error @ WriteError::OutOfSequence { .. } => panic!("{error}"),
    }
}

/// Stores a batch with the names of its rows, and returns those that got other ids.
pub(crate) async fn append_named(
    store: &Store,
    batch: &Batch<'_, Parcel<Rows>>,
    names: &[Arc<Named>],
) -> Result<HashMap<SeriesId, SeriesId>, tally_store::Error> {
    appended(store, batch, names).await.map(|(_, renumbered)| renumbered).map_err(failed)
}

/// Stores a batch with the names of its rows. What became of it, and which names have other ids.
pub(crate) async fn appended(
    store: &Store,
    batch: &Batch<'_, Parcel<Rows>>,
    names: &[Arc<Named>],
) -> Result<(Vec<Fate>, HashMap<SeriesId, SeriesId>), WriteError> {
    for _ in 0..10 {
        let names = Names::new(names.to_vec(), store.state());
        if let Appended::Stored { fates, renumbered } = store.append(batch, &names, now()).await? {
            return Ok((fates.into_iter().map(as_clients_see_it).collect(), renumbered));
        }
    }
    panic!("the store never stays in one state");
}

/// How much of a run was known is for scrapes only.
fn as_clients_see_it(fate: Fate) -> Fate {
    match fate {
        Fate::Stored { committed, .. } => Fate::Stored { committed, known: 0 },
        other => other,
    }
}

/// A name as a new row has it.
pub(crate) fn named(method: i32, path: &str) -> Arc<Named> {
    let series = Series::of_endpoint(method, path);
    Arc::new(Named::new(series.id(0), series))
}
