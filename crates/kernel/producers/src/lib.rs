//! Exactly once: a producer numbers its batches 1, 2, 3 …, and its number moves in the transaction
//! that stores the batch. What a batch holds is the domain's business.
//!
//! | file | what it owns |
//! |---|---|
//! | `lease.rs` | who has a producer: epoch, claims, and the rules of opening it |
//! | `open.rs` | the message that opens a producer |
//! | `setback.rs` | acknowledged batches that the database has lost |

mod lease;
mod open;
mod setback;

pub use lease::{Leaving, Opening, Refusal, Standing, draw_epoch, short_id};
pub use open::{InvalidOpen, Terms};
pub use setback::{Setback, Told};
