//! An event, and the text that a receiver gets.

use jiff::Timestamp;
use serde::Serialize;
use tally_runtime::random;
use uuid::Uuid;

use crate::Receiver;

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

/// What is sent, in JSON: the members that webhooks of this kind have, and the id, which is in a header
/// as well.
#[derive(Serialize)]
struct Body<'a, T> {
    id: String,
    r#type: &'a str,
    timestamp: String,
    data: &'a T,
}

// === impl Event ===

impl Event {
    /// An event of this type, such as `requests.rule.firing`, which happened now. Its id is drawn here,
    /// and its text is the same in each attempt to deliver it.
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
    ) -> Self {
        let id = random::id(now);
        let body = Body { id: id.to_string(), r#type, timestamp: now.to_string(), data };
        let body = serde_json::to_string(&body).expect("the data of an event can be JSON");
        Self { id, about, receiver, at: now, body }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }
}
