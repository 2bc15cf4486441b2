//! SQLite: two trays of rows, written by one thread.
//!
//! | file | what it owns |
//! |---|---|
//! | `append.rs` | storing a batch |
//! | `books.rs` | days, months and the calendar |
//! | `changes.rs` | merges and forgets |
//! | `corrections.rs` | corrections of totals |
//! | `import_count.rs` | importing the Go server's tables |
//! | `rules.rs` | rules about counts |
//! | `series.rs` | the dictionary of series |
//! | `state.rs` | what the writer knows of the file |
//! | `totals.rs` | answering queries |
//! | `trays.rs` | which table takes rows, and folding it |

pub(super) mod append;
pub(super) mod books;
pub(super) mod changes;
pub(super) mod corrections;
pub(super) mod import_count;
pub(super) mod rules;
pub(super) mod series;
mod state;
pub(super) mod totals;
pub(super) mod trays;

pub(super) use self::state::State;
