//! The door for datagrams: between them and the service. Nobody is answered, so what is refused is counted by
//! why.
//!
//! | file | what it owns |
//! |---|---|
//! | `msgpack.rs` | MessagePack, as far as senders use it |
//! | `upto.rs` | upto's messages |

mod msgpack;
mod upto;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tally_runtime::metrics::{Counter, Metric, Scrape};
use tally_runtime::{Kind, Namespace, tell};
use tally_serve::{Datagram, Datagrams, Seldom};

use self::msgpack::Garbage;
use crate::error::Error;
use crate::message::{Message, Wrong};
use crate::service::Service;

const REFUSED: Metric = Metric::counter(
    "tally_timelines_datagrams_refused_total",
    "Datagrams of timelines that say nothing that is stored, by why.",
);

/// Takes messages as datagrams. Whoever sends one has no key: they go to one namespace, which the settings name.
pub(crate) struct Door {
    service: Service,
    namespace: Namespace,
    refusals: Arc<Refusals>,
    seldom: Seldom,
}

/// How many datagrams were refused.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    cut_short: Counter,
    no_map: Counter,
    wrong_type: Counter,
    no_text: Counter,
    trailing: Counter,
    /// They can be read, and break a rule of messages.
    wrong: Counter,
    /// There are as many contexts or events as there may be.
    limit: Counter,
    /// The database did not take them in time.
    unstored: Counter,
}

// === impl Door ===

impl Door {
    pub(crate) fn new(service: Service, namespace: Namespace) -> Self {
        let refusals = service.refusals();
        Self { service, namespace, refusals, seldom: Seldom::default() }
    }

    fn read(&self, datagram: &Datagram) -> Option<Message> {
        let read = match upto::read(&datagram.bytes, datagram.from.ip()) {
            Ok(read) => read,
            Err(garbage) => {
                self.refusals.of_garbage(garbage).add(1);
                self.note(datagram.from, &garbage);
                return None;
            }
        };
        match self.service.message(self.namespace, read, None, Wrong::new()) {
            Ok(message) => Some(message),
            Err(error) => {
                self.refusals.wrong.add(1);
                self.note(datagram.from, &error);
                None
            }
        }
    }

    /// The sender's mistake, for whoever runs the sender.
    fn note(&self, from: SocketAddr, why: &dyn std::error::Error) {
        if let Some(others) = self.seldom.turn() {
            tracing::info!(%from, %why, others, "a datagram is refused");
        }
    }

    fn lost(&self, messages: u64, why: &Error) {
        self.refusals.unstored.add(messages);
        let why = tell(why, why.kind());
        tracing::warn!(messages, why, "messages that came as datagrams are lost");
    }
}

#[async_trait]
impl Datagrams for Door {
    /// As many as one batch has are in the queue that all doors share; the others wait before it.
    async fn take(&self, datagrams: Vec<Datagram>) {
        let messages: Vec<Message> = datagrams.iter().filter_map(|one| self.read(one)).collect();
        let from = datagrams.first().map(|one| one.from);
        drop(datagrams);
        let count = messages.len() as u64;
        let results = match self.service.record(messages).await {
            Ok(results) => results,
            Err(error) => return self.lost(count, &error),
        };
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            match error.kind() {
                Kind::ResourceExhausted => self.refusals.limit.add(1),
                Kind::Unavailable | Kind::Internal => self.refusals.unstored.add(1),
                _ => self.refusals.wrong.add(1),
            }
            if let Some(from) = from {
                self.note(from, error);
            }
        }
    }
}

// === impl Refusals ===

impl Refusals {
    fn of_garbage(&self, garbage: Garbage) -> &Counter {
        match garbage {
            Garbage::CutShort => &self.cut_short,
            Garbage::NoMap => &self.no_map,
            Garbage::WrongType(_) => &self.wrong_type,
            Garbage::NoText => &self.no_text,
            Garbage::Trailing => &self.trailing,
        }
    }

    pub(crate) fn measure(&self, scrape: &mut Scrape) {
        for (reason, counter) in [
            ("cut_short", &self.cut_short),
            ("no_map", &self.no_map),
            ("wrong_type", &self.wrong_type),
            ("no_text", &self.no_text),
            ("trailing", &self.trailing),
            ("wrong", &self.wrong),
            ("limit", &self.limit),
            ("unstored", &self.unstored),
        ] {
            scrape.put(REFUSED, &[("reason", reason)], counter.get());
        }
    }
}
