//! Exactly once: a producer numbers its batches 1, 2, 3 …, and its number moves in the transaction
//! that stores the batch. What a batch holds is the domain's business.
//!
//! | file | what it owns |
//! |---|---|
//! | `days.rs` | what producers brought, by UTC day |
//! | `lease.rs` | who has a producer: epoch, claims, and the rules of opening it |
//! | `migrations.rs` | the tables, for each kind of database |
//! | `open.rs` | the message that opens a producer |
//! | `postgres.rs`, `postgres/` | producers in Postgres and CockroachDB |
//! | `setback.rs` | acknowledged batches that the database has lost |
//! | `sqlite.rs`, `sqlite/` | producers in SQLite |
//! | `store.rs` | the producers of one domain, in its database |

mod days;
mod lease;
mod migrations;
mod open;
pub mod postgres;
mod setback;
pub mod sqlite;
mod store;

pub use days::{Counted, Days};
pub use lease::{Leaving, Opening, Producer, Refusal, Standing, Step, draw_epoch, short_id};
pub use migrations::MIGRATIONS;
pub use open::{InvalidOpen, Terms};
pub use setback::{Setback, Told};
pub use store::{OnForget, PLACES, Producers};
