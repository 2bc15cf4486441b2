//! Postgres: rows in a partition for each day.
//!
//! | file | what it owns |
//! |---|---|
//! | `append.rs` | storing a batch, by COPY or by unnest |
//! | `series.rs` | the dictionary of series |
//! | `files.rs` | files that were counted as a whole |
//! | `import_count.rs` | importing the Go server's tables |
//! | `partitions.rs` | which partitions there are; making and dropping them |
//! | `roll_up.rs` | rolling partitions up, and the default partition |
//! | `totals.rs` | answering queries |

pub(super) mod append;
pub(crate) mod files;
pub(super) mod import_count;
pub(super) mod partitions;
pub(super) mod roll_up;
pub(super) mod series;
pub(super) mod totals;
