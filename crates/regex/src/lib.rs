//! In the place of the crate `regex`: refinery reads the names of migrations with it, and brings 700 kB of automata and
//! tables of Unicode for that. The expressions of Tally itself are read by `regex_lite`, and so are these.
//!
//! | file | what it owns |
//! |---|---|
//! | `lib.rs` | all of it |

pub use regex_lite::*;
