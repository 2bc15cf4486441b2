//! Postgres: rows in trays that take them by turns.
//!
//! | file | what it owns |
//! |---|---|
//! | `append.rs` | storing a batch, by COPY or by unnest |
//! | `books.rs` | days, months and the calendar |
//! | `changes.rs` | merges and forgets |
//! | `copy.rs` | the binary COPY format of rows |
//! | `corrections.rs` | corrections of totals |
//! | `counting.rs` | counting the rows of trays, part by part |
//! | `folds.rs` | adding the rows of trays to the days |
//! | `import_count.rs` | importing the Go server's tables |
//! | `micros.rs` | times as Postgres keeps them |
//! | `rules.rs` | rules about counts |
//! | `series.rs` | the dictionary of series |
//! | `totals.rs` | answering queries |
//! | `trays.rs` | which table takes rows now, closing one for a fold, and emptying it |

pub(super) mod append;
pub(super) mod books;
pub(super) mod changes;
pub(crate) mod copy;
pub(super) mod corrections;
mod counting;
pub(super) mod folds;
pub(super) mod import_count;
pub(crate) mod micros;
pub(super) mod rules;
pub(super) mod series;
pub(super) mod totals;
pub(super) mod trays;
