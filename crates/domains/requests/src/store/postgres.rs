//! Postgres: rows in trays that take them by turns.
//!
//! | file | what it owns |
//! |---|---|
//! | `append.rs` | storing a batch, by COPY or by unnest |
//! | `books.rs` | days, months and the calendar |
//! | `endpoints.rs` | finding and adding endpoints |
//! | `files.rs` | files that were counted as a whole |
//! | `import_count.rs` | importing the Go server's tables |
//! | `totals.rs` | answering queries |
//! | `trays.rs` | which table takes rows, and folding the others |

pub(super) mod append;
pub(super) mod books;
pub(super) mod endpoints;
pub(crate) mod files;
pub(super) mod import_count;
pub(super) mod totals;
pub(super) mod trays;
