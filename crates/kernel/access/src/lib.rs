//! Who may do what: keys, their scopes and their namespaces.
//!
//! | file | what it owns |
//! |---|---|
//! | `attempts.rs` | how many wrong keys each address has sent lately |
//! | `caller.rs` | who makes a call, as its handler sees it |
//! | `file.rs` | keys from a file |
//! | `key.rs` | what is known of a key |
//! | `keys.rs` | the keys as a server knows them, so that a check asks nobody |
//! | `known.rs` | what a server knows of keys at one moment, and what has become of them since |
//! | `metrics.rs` | what a scrape is told of access |
//! | `migrations.rs` | the tables |
//! | `pass.rs` | a key that a server knows, and what its callers have of it |
//! | `postgres.rs`, `postgres/` | keys in Postgres and CockroachDB |
//! | `refusal.rs` | why a call is refused |
//! | `scope.rs` | what a key allows |
//! | `secret.rs` | keys and secrets of sessions as their holders have them, and what is stored of them |
//! | `sqlite.rs`, `sqlite/` | keys in SQLite |
//! | `store.rs` | keys and sessions in their database |

mod attempts;
mod caller;
mod file;
mod key;
mod keys;
mod known;
mod metrics;
mod migrations;
mod pass;
mod postgres;
mod refusal;
mod scope;
mod secret;
mod sqlite;
mod store;

pub use caller::Caller;
pub use key::{Key, is_key_name, is_namespace};
pub use keys::{Keys, REFRESH_INTERVAL, SESSION_DAYS, STALE_MAX};
pub use metrics::Refusals;
pub use migrations::MIGRATIONS;
pub use pass::Pass;
pub use refusal::Refusal;
pub use scope::Scope;
pub use secret::{Digest, Secret};
pub use store::Store;
