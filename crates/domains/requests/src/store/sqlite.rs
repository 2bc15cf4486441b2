//! SQLite: one table of rows, written by one thread.
//!
//! | file | what it owns |
//! |---|---|
//! | `append.rs` | storing a batch |
//! | `series.rs` | the dictionary of series |
//! | `files.rs` | files that were counted as a whole |
//! | `import_count.rs` | importing the Go server's tables |
//! | `roll_up.rs` | rolling rows up: one scan, counted here |
//! | `totals.rs` | answering queries |

pub(super) mod append;
pub(crate) mod files;
pub(super) mod import_count;
pub(super) mod roll_up;
pub(super) mod series;
pub(super) mod totals;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tally_store::error::Step as _;

pub(super) use self::append::State;
use super::Result;

/// A transaction that takes the write lock at once.
pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).step("begin a transaction")
}
