//! Storing a batch once: its producers move in the transaction that stores what is new of it.
//!
//! | file | what it owns |
//! |---|---|
//! | `postgres.rs` | in Postgres and CockroachDB, if possible in one statement |
//! | `sqlite.rs` | in SQLite |

pub mod postgres;
pub mod sqlite;

use uuid::Uuid;

use tally_ingest::Batch;

use crate::run::Parcel;

/// The producers of a batch: the worker, and the clients whose runs are in it.
fn producers<C>(batch: &Batch<'_, Parcel<C>>) -> impl Iterator<Item = Uuid> {
    let runs = batch.chunks.iter().filter_map(|chunk| chunk.run.as_ref());
    runs.map(|run| run.producer).chain([batch.producer])
}
