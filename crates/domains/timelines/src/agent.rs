//! An agent: takes messages on the machine where they come from, keeps them on disk, and hands them on to a server
//! whenever that is reached. What it has acknowledged survives it, and is stored once.
//!
//! | file | what it owns |
//! |---|---|
//! | `courier.rs` | handing on what is kept |
//! | `door.rs` | messages over HTTP and as datagrams |
//! | `spool.rs` | what is kept: its files |

mod courier;
mod door;
mod spool;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tally_proto::tally::timelines::v1 as proto;
use tally_runtime::metrics::{Counter, Metric, Scrape};
use tally_runtime::{Clock, Drain, Tasks, random};
use tally_serve::{Doors, Fact, Running};

use self::spool::{NotKept, Spool};
use crate::message::{Kind, Phase, Status, Written};
use crate::udp::Refusals;

const MESSAGES: Metric = Metric::counter(
    "tally_timelines_agent_messages_total",
    "Messages that this agent has kept, and what became of them.",
);
const SPOOL_BYTES: Metric = Metric::gauge(
    "tally_timelines_agent_spool_bytes",
    "Room on disk of the messages that are kept and not handed on.",
);
const SPOOL_BYTES_MAX: Metric = Metric::gauge(
    "tally_timelines_agent_spool_bytes_max",
    "How much room these messages may take.",
);

/// Where messages are handed on.
#[async_trait]
pub trait Onward: Send + Sync {
    /// Hands messages on, and says what became of each; an error says why none was taken. All of them have
    /// something that tells them when they come again.
    async fn record_all(&self, messages: Vec<proto::RecordRequest>) -> Result<Vec<Fate>, String>;
}

/// What became of a message that was handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is stored.
    Taken,
    /// It can be handed on again.
    Later(String),
    /// It will be refused again, for this reason.
    Never(String),
}

/// How an agent works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where messages are kept. Two agents cannot have the same folder.
    pub folder: PathBuf,
    /// How much room they may take.
    pub bytes_max: u64,
    /// Where datagrams are taken, if they are.
    pub udp: Option<SocketAddr>,
}

/// An agent. Clones are the same one.
#[derive(Clone)]
pub struct Agent(Arc<Inner>);

struct Inner {
    spool: Spool,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    measured: Measured,
    refusals: Arc<Refusals>,
    udp: Option<SocketAddr>,
}

/// What became of messages.
#[derive(Debug, Default)]
struct Measured {
    kept: Counter,
    handed_on: Counter,
    given_up: Counter,
}

// === impl Agent ===

impl Agent {
    /// Starts an agent, with what an earlier one has kept. It hands on until the drain begins.
    ///
    /// # Errors
    /// When the folder cannot be used, or another agent has it.
    pub fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        onward: Arc<dyn Onward>,
        drain: Drain,
    ) -> io::Result<Self> {
        let Settings { folder, bytes_max, udp } = settings;
        let (spool, kept) = Spool::open(folder, bytes_max)?;
        let (measured, refusals) = (Measured::default(), Arc::default());
        let agent =
            Self(Arc::new(Inner { spool, clock, tasks: Tasks::new(), measured, refusals, udp }));
        agent.0.tasks.spawn("hand messages on", agent.clone().hand_on(kept, onward, drain));
        Ok(agent)
    }

    /// The ways into it.
    #[must_use]
    pub fn doors(&self) -> Doors {
        let doors = Doors::new().foreign(self.routes());
        match self.0.udp {
            Some(address) => doors.udp(address.to_string(), self.datagrams()),
            None => doors,
        }
    }

    /// Keeps messages, all or none.
    async fn keep(&self, messages: Vec<proto::RecordRequest>) -> Result<(), NotKept> {
        let count = messages.len() as u64;
        self.0.spool.keep(messages).await?;
        self.0.measured.kept.add(count);
        Ok(())
    }

    /// A message as it is kept: with a time, because it may be handed on much later, and with something that
    /// tells it when it comes again.
    fn message(&self, said: Written, idempotency_key: Option<String>) -> proto::RecordRequest {
        let drawn = || format!("{:016x}{:016x}", random::number(), random::number());
        // What has a time of its own is known by what it says.
        let key = idempotency_key.or_else(|| said.time.is_none().then(drawn));
        let kind = match said.kind {
            Kind::New => proto::Kind::New,
            Kind::Start => proto::Kind::Start,
            Kind::End => proto::Kind::End,
            Kind::Point => proto::Kind::Point,
            Kind::Phase => proto::Kind::Phase,
        };
        let status = match said.status {
            Status::Ok => proto::Status::Unspecified,
            Status::Failed => proto::Status::Failed,
            Status::Skipped => proto::Status::Skipped,
        };
        let phase = match said.phase {
            None => proto::Phase::Unspecified,
            Some(Phase::Waiting) => proto::Phase::Waiting,
            Some(Phase::Working) => proto::Phase::Working,
        };
        proto::RecordRequest {
            kind: kind.into(),
            context: said.context,
            timeline: said.timeline,
            name: said.name,
            host: said.host,
            span: said.span,
            time: Some(moment(said.time.unwrap_or_else(|| self.0.clock.now()))),
            status: status.into(),
            phase: phase.into(),
            attributes: said.attributes.into_iter().collect(),
            idempotency_key: key.unwrap_or_default(),
        }
    }
}

#[async_trait]
impl Running for Agent {
    async fn ready(&self) -> Result<(), String> {
        let (bytes, max) = self.0.spool.bytes();
        match bytes >= max {
            true => {
                Err(format!("{bytes} bytes wait to be handed on, and there is no room for more"))
            }
            false => Ok(()),
        }
    }

    fn queued_rows(&self) -> usize {
        // They are on disk, and stay there.
        0
    }

    fn measure(&self, scrape: &mut Scrape) {
        let Measured { kept, handed_on, given_up } = &self.0.measured;
        for (outcome, counter) in [("kept", kept), ("handed_on", handed_on), ("given_up", given_up)]
        {
            scrape.put(MESSAGES, &[("outcome", outcome)], counter.get());
        }
        let (bytes, max) = self.0.spool.bytes();
        scrape.put(SPOOL_BYTES, &[], bytes);
        scrape.put(SPOOL_BYTES_MAX, &[], max);
        self.0.refusals.measure(scrape);
    }

    fn facts(&self) -> Vec<Fact> {
        let (bytes, max) = self.0.spool.bytes();
        vec![Fact::bytes("spool_bytes", bytes).at_most(max)]
    }

    async fn finished(&self) {
        self.0.tasks.finished().await;
    }
}

fn moment(time: Timestamp) -> prost_types::Timestamp {
    let nanos = time.as_nanosecond();
    prost_types::Timestamp {
        seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or_default(),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or_default(),
    }
}
