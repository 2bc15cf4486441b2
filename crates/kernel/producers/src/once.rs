//! What is stored once for each idempotency key: something that a caller sends again when it does not know
//! whether it was stored, without a number.
//!
//! The key is stored in the transaction of the rows, so both are there, or neither is. Whoever comes second
//! with a key waits for the first one's transaction, but only for a moment, because others are stored with it.
//!
//! | file | what it owns |
//! |---|---|
//! | `postgres.rs` | keys in Postgres and CockroachDB |
//! | `sqlite.rs` | keys in SQLite |

pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::collections::{BTreeMap, HashMap};

use tally_ingest::Batch;
use tally_runtime::{Namespace, faults};

use crate::run::Parcel;

/// How long an idempotency key may be, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// How many keys one transaction deletes.
const FORGET_MAX: u32 = 1_000;

/// What tells contents apart.
pub type Fingerprint = [u8; 16];

/// A key, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Chosen by the caller: 1 to [`KEY_BYTES_MAX`] bytes without a NUL.
    pub key: Box<str>,
    /// Of what the caller means.
    pub fingerprint: Fingerprint,
}

/// What the keys of a batch stand for that are not new.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<(Namespace, Box<str>), Known>);

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// What this is the fingerprint of.
    For(Fingerprint),
    /// What another transaction is storing.
    Locked,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing.
    Never,
    /// The same is stored under it.
    Before,
    /// Something else is.
    WithOther,
    /// Another transaction is storing something under it.
    Locked,
}

/// The keys that a batch stores, if none of them was used before. Of parcels with the same key, the first
/// one has it.
fn wanted<C>(batch: &Batch<'_, Parcel<C>>) -> BTreeMap<(Namespace, String), Fingerprint> {
    let mut wanted = BTreeMap::new();
    // A fault that stores none.
    if !faults::is_on("append.without_keys") {
        for (namespace, once) in
            batch.chunks.iter().filter_map(|chunk| Some((chunk.namespace, chunk.once.as_ref()?)))
        {
            wanted.entry((namespace, once.key.to_string())).or_insert(once.fingerprint);
        }
    }
    wanted
}

// === impl Keys ===

impl Keys {
    /// What is known of a key. From then on it stands for this.
    pub(crate) fn see(&mut self, namespace: Namespace, once: &Once) -> Seen {
        let key = (namespace, once.key.clone());
        match self.0.get(&key) {
            None => {
                if !faults::is_on("append.without_keys") {
                    self.0.insert(key, Known::For(once.fingerprint));
                }
                Seen::Never
            }
            Some(Known::Locked) => Seen::Locked,
            Some(Known::For(known)) if *known == once.fingerprint => Seen::Before,
            Some(_) => Seen::WithOther,
        }
    }
}

impl FromIterator<((Namespace, Box<str>), Known)> for Keys {
    fn from_iter<I: IntoIterator<Item = ((Namespace, Box<str>), Known)>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}
