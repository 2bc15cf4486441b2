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
use crate::message::{Message, Written, Wrong};
use crate::service::Service;

const REFUSED: Metric = Metric::counter(
    "tally_timelines_datagrams_refused_total",
    "Datagrams of timelines that say nothing that is stored, by why.",
);

/// Takes messages as datagrams. Whoever sends one has no key: they go to one namespace, which the settings name.
pub(crate) struct Door {
    service: Service,
    namespace: Namespace,
    reader: Reader,
}

/// Reads datagrams, and counts those that are refused.
pub(crate) struct Reader {
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

// === impl Reader ===

impl Reader {
    pub(crate) fn new(refusals: Arc<Refusals>) -> Self {
        Self { refusals, seldom: Seldom::default() }
    }

    /// What a datagram says, if it says something.
    pub(crate) fn read(&self, datagram: &Datagram) -> Option<Written> {
        let said = match upto::read(&datagram.bytes, datagram.from.ip()) {
            Ok(said) => said,
            Err(garbage) => {
                self.refusals.of_garbage(garbage).add(1);
                self.note(datagram.from, &garbage);
                return None;
            }
        };
        let wrong = said.wrong();
        if !wrong.is_empty() {
            self.refusals.wrong.add(1);
            self.note(datagram.from, &Error::Wrong(wrong));
            return None;
        }
        Some(said)
    }

    /// The sender's mistake, for whoever runs the sender.
    fn note(&self, from: SocketAddr, why: &dyn std::error::Error) {
        if let Some(others) = self.seldom.turn() {
            tracing::info!(%from, %why, others, "a datagram is refused");
        }
    }

    /// Messages were read, and are not kept.
    pub(crate) fn lost(&self, messages: u64, why: &str) {
        self.refusals.unstored.add(messages);
        tracing::warn!(messages, why, "messages that came as datagrams are lost");
    }
}

// === impl Door ===

impl Door {
    pub(crate) fn new(service: Service, namespace: Namespace) -> Self {
        let reader = Reader::new(service.refusals());
        Self { service, namespace, reader }
    }
}

#[async_trait]
impl Datagrams for Door {
    /// As many as one batch has are in the queue that all doors share; the others wait before it.
    async fn take(&self, datagrams: Vec<Datagram>) {
        let read = datagrams.iter().filter_map(|one| self.reader.read(one));
        let messages = read
            .filter_map(|said| self.service.message(self.namespace, said, None, Wrong::new()).ok());
        let messages: Vec<Message> = messages.collect();
        let from = datagrams.first().map(|one| one.from);
        drop(datagrams);
        let count = messages.len() as u64;
        let results = match self.service.record(messages).await {
            Ok(results) => results,
            Err(error) if count > 0 => return self.reader.lost(count, &tell(&error, error.kind())),
            Err(_) => return,
        };
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            let refusals = &self.reader.refusals;
            match error.kind() {
                Kind::ResourceExhausted => refusals.limit.add(1),
                Kind::Unavailable | Kind::Internal => refusals.unstored.add(1),
                _ => refusals.wrong.add(1),
            }
            if let Some(from) = from {
                self.reader.note(from, error);
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
