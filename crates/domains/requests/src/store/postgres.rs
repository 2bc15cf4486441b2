//! Postgres: rows in a partition for each day.
//!
//! | file | what it owns |
//! |---|---|
//! | `append.rs` | storing a batch, by COPY or by unnest |
//! | `endpoints.rs` | finding and adding endpoints |
//! | `files.rs` | files that were counted as a whole |
//! | `import_count.rs` | importing the Go server's tables |
//! | `partitions.rs` | which partitions there are; making and dropping them |
//! | `roll_up.rs` | rolling partitions up, and the default partition |
//! | `totals.rs` | answering queries |

pub(super) mod append;
pub(super) mod endpoints;
pub(crate) mod files;
pub(super) mod import_count;
pub(super) mod partitions;
pub(super) mod roll_up;
pub(super) mod totals;

use tally_ingest::{Batch, WriteError};
use tally_producers::Parcel;
use tally_store::postgres::Database;

use super::{Appended, Names, cockroach, is_cockroach};
use crate::rows::Rows;

/// Stores a batch.
pub(super) async fn append(
    database: &Database,
    batch: &Batch<'_, Parcel<Rows>>,
    names: &Names,
) -> Result<Appended, WriteError> {
    let way = if is_cockroach(database) { &*cockroach::WAY } else { &*append::COPIES };
    let appended = append::append(database, batch, names, way).await;
    appended.map_err(|error| match error {
        WriteError::Failed(error) if partitions::was_just_made(&error) => {
            WriteError::Failed(error.that_passes())
        }
        error => error,
    })
}
