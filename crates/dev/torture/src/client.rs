//! `tally-torture client`: a process that counts and keeps a journal of what it does.
//!
//! | file | what it owns |
//! |---|---|
//! | `add.rs` | a client of `count.v1` |
//! | `layer.rs` | a service behind the layer of `tally_client::Queue`, and its calls |
//! | `load.rs` | the requests that a seed makes a client record |
//! | `memory.rs` | the raw client's state on disk |
//! | `notes.rs` | the journal of one who does not count, and when it ends |
//! | `pace.rs` | a limit on requests per second |
//! | `payer.rs` | one who pays debts |
//! | `post.rs` | a client of the HTTP API, with idempotency keys |
//! | `producer.rs` | `tally_client::Producer` |
//! | `queue.rs` | `tally_client::Queue` |
//! | `raw.rs` | the `Record` protocol by hand, with its state on disk |
//! | `reader.rs` | `tally_client::Producer` with checkpoints, taken over again and again |
//! | `spooled.rs` | what a process left in its spool |
//! | `teller.rs` | one who tells timelines what starts and ends |

mod add;
mod layer;
pub(crate) mod load;
mod memory;
mod notes;
mod pace;
mod payer;
mod post;
mod producer;
mod queue;
mod raw;
mod reader;
mod spooled;
mod teller;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use tally_runtime::{Clock as _, Signals, SystemClock, telemetry};

use crate::arguments::namespace_of;
use crate::door::{Door, Link};
use crate::journal::{Journal, Line};
use crate::random::Random;
use load::Load;

/// Timeout to connect, and to notice that a connection is dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client waits after SIGTERM until everything is acknowledged.
const CLOSE_LIMIT: Duration = Duration::from_secs(160);

/// Printed to standard error once signals are handled.
pub(crate) const READY: &str = "ready";

/// Pause between attempts, in milliseconds.
const BACKOFF_MS: (u64, u64) = (20, 300);

/// How a client counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    /// `Record` by hand; resumes its batches after a kill.
    Raw,
    /// `Add` of `count.v1`.
    Add,
    /// `tally_client::Producer`.
    Producer,
    /// `tally_client::Queue`.
    Queue,
    /// `tally_client::Queue` with a spool.
    Spool,
    /// `tally_client::Queue` that its tower layer records with, each call with its status.
    Layer,
    /// `tally_client::Producer` that takes over and goes on after its checkpoint.
    Reader,
    /// `POST` with an idempotency key; resumes its parcels after a kill.
    Post,
    /// Pays debts; resumes its payments after a kill.
    Payer,
    /// Tells timelines what starts and ends; resumes after a kill.
    Teller,
}

/// A client process.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    pub(crate) kind: Kind,
    /// The client's name, which is part of its paths
    #[arg(long)]
    pub(crate) name: String,
    /// The server's address
    #[arg(long)]
    pub(crate) server: String,
    /// The folder for the client's files
    #[arg(long)]
    pub(crate) folder: PathBuf,
    #[arg(long)]
    pub(crate) seed: u64,
    /// Requests per second
    #[arg(long)]
    pub(crate) rate: u64,
    /// Resend batches that the server already has, whenever the protocol allows it
    #[arg(long)]
    pub(crate) stubborn: bool,
    /// Count each call of a layer twice: when it is received, and with its status
    #[arg(long)]
    pub(crate) counted_twice: bool,
}

/// A client process at work.
struct Session<'a> {
    arguments: &'a Arguments,
    journal: Journal,
    /// What earlier processes wrote to the journal.
    past: Vec<Line>,
    signals: Signals,
}

/// Runs until SIGTERM, then until everything it sent is acknowledged.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let level = "warn".parse().map_err(anyhow::Error::msg)?;
    telemetry::install(&level, telemetry::Format::Text)?;
    let signals = Signals::install()?;
    eprintln!("{READY}");
    let (mut journal, past) = Journal::resume(&arguments.journal())?;
    let resumed = arguments.kind.resumes();
    let drops = matches!(arguments.kind, Kind::Queue | Kind::Spool | Kind::Layer);
    journal.write(&Line::Start { resumed, drops })?;
    let session = Session { arguments, journal, past, signals };
    match arguments.kind {
        Kind::Raw => raw::run(session).await,
        Kind::Add => add::run(session).await,
        Kind::Producer => producer::run(session).await,
        Kind::Queue | Kind::Spool | Kind::Layer => queue::run(session).await,
        Kind::Reader => reader::run(session).await,
        Kind::Post => post::run(session).await,
        Kind::Payer => payer::run(session).await,
        Kind::Teller => teller::run(session).await,
    }
}

// === impl Kind ===

impl Kind {
    /// The value on the command line.
    pub(crate) fn word(self) -> String {
        let value = self.to_possible_value().expect("every kind has a value");
        value.get_name().to_owned()
    }

    /// Whether a process goes on where the one before was killed.
    fn resumes(self) -> bool {
        matches!(self, Self::Raw | Self::Reader | Self::Post | Self::Payer | Self::Teller)
    }

    /// Whether it counts requests.
    pub(crate) fn counts(self) -> bool {
        !matches!(self, Self::Payer | Self::Teller)
    }

    /// The name of the client that is at this place in the list of all.
    pub(crate) fn name(self, at: usize) -> String {
        format!("{}-{}", self.word(), at + 1)
    }
}

// === impl Arguments ===

impl Arguments {
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.join(format!("{}.journal", self.name))
    }

    /// The server, with the client's key.
    fn door(&self) -> anyhow::Result<Door> {
        Door::of_client(&self.folder, &self.name, &self.server)
    }

    /// A connection that notices when the other side is dead.
    async fn connect(&self) -> anyhow::Result<Link> {
        let door = self.door()?;
        let endpoint = door
            .endpoint()?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(CONNECT_TIMEOUT)
            .keep_alive_timeout(CONNECT_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(door.link(endpoint.connect().await?))
    }
}

// === impl Session ===

impl Session<'_> {
    fn load(&self, base_micros: i64) -> Load {
        let Arguments { kind, name, seed, rate, .. } = self.arguments;
        let processes = self.past.iter().filter(|line| matches!(line, Line::Start { .. })).count();
        // A process that does not resume its predecessor gets its own paths, so that doubts
        // about the predecessor's requests hide no errors here.
        let prefix = match kind {
            Kind::Raw | Kind::Reader | Kind::Post => format!("/{name}"),
            _ => format!("/{name}/{}", processes + 1),
        };
        let knows_which = matches!(kind, Kind::Raw | Kind::Producer | Kind::Reader | Kind::Post);
        Load {
            seed: *seed,
            client: name.clone(),
            namespace: namespace_of(name),
            own_series: match kind {
                Kind::Layer => layer::series(&prefix),
                _ => load::own_series(&prefix),
            },
            base_micros,
            rows_max: (rate / 20).clamp(2, 400),
            // A queue reports how many requests are acknowledged, but not which.
            shares: knows_which,
            drops: *kind == Kind::Raw,
            merges: knows_which,
        }
    }

    /// The number of the last announced parcel.
    fn last_sent(&self) -> u64 {
        let sent = self.past.iter().filter_map(|line| match line {
            Line::Sent(number, _) => Some(*number),
            _ => None,
        });
        sent.max().unwrap_or(0)
    }
}

/// Now, in microseconds since 1970-01-01 UTC.
pub(crate) fn now_micros() -> i64 {
    SystemClock.now().as_microsecond()
}

/// Pauses before the next attempt.
async fn back_off(random: &mut Random) {
    tokio::time::sleep(Duration::from_millis(random.within(BACKOFF_MS.0, BACKOFF_MS.1))).await;
}
