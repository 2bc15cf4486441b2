//! What a server knows of keys at one moment, and what has become of them since another one.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::Digest;
use crate::key::{Key, Session};
use crate::pass::Entry;

/// What is known at one moment.
pub(crate) struct Known {
    pub(crate) entries: HashMap<Digest, Arc<Entry>>,
    pub(crate) names: HashMap<String, Vec<Arc<Entry>>>,
    pub(crate) sessions: HashMap<Digest, Session>,
    /// When the database was asked last that has answered.
    pub(crate) asked: Instant,
}

// === impl Known ===

impl Known {
    pub(crate) fn nothing(now: Instant) -> Self {
        let (entries, names, sessions) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { entries, names, sessions, asked: now }
    }

    /// With these keys from now on. Those that are not valid any more, or have changed, end.
    pub(crate) fn after(&self, of_database: &[Key], of_file: &[Key], now: Timestamp) -> Self {
        // What is revoked in the database stays so.
        let is_revoked = |key: &Key| {
            let mut of_database = of_database.iter();
            of_database.any(|one| one.digest == key.digest && one.revoked.is_some())
        };
        let of_file = of_file.iter().filter(|key| !is_revoked(key)).map(|key| (key, true));
        let all = of_database.iter().map(|key| (key, false)).chain(of_file);
        let entries = all.map(|(key, is_of_file)| {
            // One that has ended does not begin again: its streams were told. If the clock was ahead and is
            // back, the key gets a new one.
            let stays = |known: &&Arc<Entry>| {
                known.is_of(key) && (!known.has_ended() || !key.is_valid(now))
            };
            let known = self.entries.get(&key.digest).filter(stays);
            let entry = known.cloned().unwrap_or_else(|| Arc::new(Entry::new(key, is_of_file)));
            (key.digest, entry)
        });
        let entries: HashMap<_, _> = entries.collect();
        for (digest, entry) in &self.entries {
            let stays = entries.get(digest).is_some_and(|new| Arc::ptr_eq(new, entry));
            if !stays || !entry.key.is_valid(now) {
                entry.end();
            }
        }
        let mut names: HashMap<_, Vec<_>> = HashMap::new();
        for entry in entries.values() {
            names.entry(entry.key.name.clone()).or_default().push(Arc::clone(entry));
        }
        Self { entries, names, sessions: self.sessions.clone(), asked: self.asked }
    }

    /// Says what has become of keys. Commands change them in the database, where no server sees who does;
    /// each server says what is so from now on.
    pub(crate) fn tell_changes(&self, now: &Self) {
        for (digest, entry) in &now.entries {
            match self.entries.get(digest) {
                None => tell(entry, "a key is made"),
                Some(old) if old.is_of(&entry.key) => {}
                Some(old) if old.key.revoked == entry.key.revoked => {
                    tell(entry, "a key is changed");
                }
                Some(_) => tell(entry, "a key is revoked"),
            }
        }
        for (digest, entry) in &self.entries {
            if !now.entries.contains_key(digest) {
                tell(entry, "a key is removed");
            }
        }
    }
}

fn tell(entry: &Entry, action: &str) {
    let Key { name, namespace, namespace_name, scope, expires, .. } = &entry.key;
    tracing::info!(
        target: "audit",
        key = if entry.is_of_file { "(the file of keys)" } else { "(the database)" },
        namespace = namespace.0,
        action,
        of = name,
        fingerprint = entry.key.digest.fingerprint(),
        scope = scope.name(),
        namespace_name,
        expires = expires.map(tracing::field::display),
        "administration"
    );
}
