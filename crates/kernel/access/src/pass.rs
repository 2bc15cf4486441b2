//! A key that a server knows, and what its callers have of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::Timestamp;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::key::Key;
use crate::{Caller, Refusal};

/// A key that a server knows.
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) is_of_file: bool,
    caller: Caller,
    ended: AtomicBool,
    end: CancellationToken,
    /// In microseconds since 1970; what was noted of it.
    pub(crate) used: AtomicI64,
    pub(crate) noted: AtomicI64,
}

/// A key that was accepted.
#[derive(Clone)]
pub struct Pass(pub(crate) Arc<Entry>);

// === impl Entry ===

impl Entry {
    /// Of the keys of one name, of which there is at least one, the one that somebody of this name has.
    pub(crate) fn of_name(named: &[Arc<Self>], now: Timestamp) -> Result<Arc<Self>, Refusal> {
        let valid = named.iter().filter(|entry| entry.key.is_valid(now));
        let lasts = |entry: &&Arc<Self>| entry.key.expires.unwrap_or(Timestamp::MAX);
        // While a key is being replaced, there are two.
        let Some(longest) = valid.clone().max_by_key(lasts) else {
            let latest = named.iter().max_by_key(|entry| entry.key.created);
            return Ok(Arc::clone(latest.expect("a name is of some key")));
        };
        if valid.into_iter().any(|other| other.caller != longest.caller) {
            return Err(Refusal::Ambiguous(longest.key.name.clone()));
        }
        Ok(Arc::clone(longest))
    }

    pub(crate) fn new(key: &Key, is_of_file: bool) -> Self {
        let noted = key.last_used.map_or(0, Timestamp::as_microsecond);
        Self {
            key: key.clone(),
            is_of_file,
            caller: Caller::new(key.name.as_str(), key.namespace, key.scope),
            ended: AtomicBool::new(false),
            end: CancellationToken::new(),
            used: AtomicI64::new(noted),
            noted: AtomicI64::new(noted),
        }
    }

    /// Whether this is the key, except for when it was used.
    pub(crate) fn is_of(&self, key: &Key) -> bool {
        Key { last_used: self.key.last_used, ..key.clone() } == self.key
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.end.cancel();
    }
}

// === impl Pass ===

impl Pass {
    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// Whether the key is not accepted any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.has_ended()
    }

    /// Ends when the key is not accepted any more. A key that only changes, as when it is to expire
    /// earlier, ends too, because streams cannot know: they begin again.
    pub fn over(&self) -> WaitForCancellationFutureOwned {
        self.0.end.clone().cancelled_owned()
    }

    /// Why it is over.
    #[must_use]
    pub fn refusal(&self, now: Timestamp) -> Refusal {
        let name = self.0.key.name.clone();
        if self.0.key.is_expired(now) { Refusal::Expired(name) } else { Refusal::Revoked(name) }
    }
}
