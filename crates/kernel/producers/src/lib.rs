//! Exactly once: a producer numbers its batches 1, 2, 3 …, and its number moves in the transaction
//! that stores the batch. What a batch holds is the domain's business. What returns an error of the
//! store fails when the database does.
//!
//! | file | what it owns |
//! |---|---|
//! | `append.rs`, `append/` | storing a batch once, in each kind of database |
//! | `days.rs` | what producers brought, by UTC day |
//! | `lease.rs` | who has a producer: epoch, claims, and the rules of opening it |
//! | `metrics.rs` | what a scrape is told of a domain's streams and producers |
//! | `migrations.rs` | the tables, for each kind of database |
//! | `once.rs`, `once/` | what is stored once for each idempotency key |
//! | `open.rs` | the message that opens a producer |
//! | `plan.rs` | what of a batch is new, by where its producers stand |
//! | `postgres.rs`, `postgres/` | producers in Postgres and CockroachDB |
//! | `run.rs` | what a stream pushes: rows, and which numbered batches they are |
//! | `setback.rs` | acknowledged batches that the database has lost |
//! | `sqlite.rs`, `sqlite/` | producers in SQLite |
//! | `store.rs` | the producers of one domain, in its database |
//! | `stream.rs`, `stream/` | a stream of numbered batches: open, read, push, acknowledge by number |
//! | `writer.rs` | a domain's store as the insert workers see it |

pub mod append;
mod days;
mod lease;
mod metrics;
mod migrations;
mod once;
mod open;
mod plan;
pub mod postgres;
mod run;
mod setback;
pub mod sqlite;
mod store;
pub mod stream;
mod writer;

pub use days::{Counted, Days};
pub use lease::{Leaving, Opening, Producer, Refusal, Standing, Step, draw_epoch, short_id};
pub use migrations::MIGRATIONS;
pub use once::{Fingerprint, KEY_BYTES_MAX, Once};
pub use open::{InvalidOpen, Terms};
pub use plan::Plan;
pub use run::{BatchEnd, Content, Fate, Parcel, Run};
pub use setback::{Setback, Told};
pub use store::{OPENINGS_MAX, Producers, Shown, Summary};
pub use writer::Append;
