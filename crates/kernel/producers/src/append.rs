//! Storing a batch once: its producers move in the transaction that stores what is new of it.
//!
//! | file | what it owns |
//! |---|---|
//! | `postgres.rs` | in Postgres and CockroachDB, if possible in one statement |
//! | `sqlite.rs` | in SQLite |

pub mod postgres;
pub mod sqlite;

use tally_ingest::Batch;
use tally_runtime::Namespace;

use crate::plan::Whose;
use crate::run::Parcel;

/// The producers of a batch: the worker, and the clients whose runs are in it.
fn producers<C>(batch: &Batch<'_, Parcel<C>>) -> impl Iterator<Item = Whose> {
    let whose = |chunk: &Parcel<C>| Some((chunk.namespace, chunk.run.as_ref()?.producer));
    batch.chunks.iter().filter_map(whose).chain([worker(batch)])
}

/// A worker is a producer of the namespace `default`, whatever it stores.
pub(crate) fn worker<C>(batch: &Batch<'_, Parcel<C>>) -> Whose {
    (Namespace::DEFAULT, batch.producer)
}
