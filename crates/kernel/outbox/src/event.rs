//! An event, and the text that a receiver gets.

use jiff::Timestamp;
use serde::Serialize;
use tally_runtime::random;
use uuid::Uuid;

use crate::{Receiver, Told};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Whose it is.
    pub domain: &'static str,
    /// The thing that it happened to, such as a rule. Its events are delivered in their order.
    pub subject: Uuid,
    /// Its how many-th event this is, from 1 on. The database refuses a second one of the same number.
    pub number: i64,
}

/// An event for a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub(crate) id: Uuid,
    pub(crate) about: About,
    pub(crate) receiver: Receiver,
    pub(crate) at: Timestamp,
    pub(crate) body: String,
}

// === impl Event ===

impl Event {
    /// An event of this type, such as `requests.rule.firing`, which happened now. Its id is drawn here,
    /// and its text is the same in each attempt to deliver it: the data, or what is told, as the receiver's format
    /// has it.
    ///
    /// # Panics
    /// If the data cannot be JSON.
    #[must_use]
    pub fn new<T: Serialize>(
        about: About,
        receiver: Receiver,
        r#type: &str,
        now: Timestamp,
        data: &T,
        told: &Told<'_>,
    ) -> Self {
        let id = random::id(now);
        let body = receiver.format().write(id, r#type, now, data, told);
        Self { id, about, receiver, at: now, body }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }
}
