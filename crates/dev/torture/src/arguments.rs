//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::client::{self, Kind};

/// Kills, cuts and starves Tally while it counts, and checks that every count is right.
#[derive(Debug, Parser)]
#[command(name = "tally-torture", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// A client of a run
    #[command(hide = true)]
    Client(client::Arguments),
}

/// A run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Run {
    /// Decides what is recorded and what goes wrong; a new one if there is none
    #[arg(long, default_value_t = rand_seed(), hide_default_value = true)]
    pub(crate) seed: u64,

    /// How long it goes on at least, in minutes; 0 runs the fixed scenes only
    #[arg(long, default_value_t = 1.0, value_name = "M")]
    pub(crate) minutes: f64,

    /// The database; Postgres is a private one, with two servers on it, SQLite has one server
    #[arg(long, value_enum, default_value_t = Backend::Sqlite)]
    pub(crate) backend: Backend,

    /// Go on until a server was killed so often
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) kills: u64,

    /// Go on until Postgres was killed so often
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) database_kills: u64,

    /// Go on until there were so many faults of the network
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) network_faults: u64,

    /// How many requests the clients record in a second, all together
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub(crate) rate: u64,

    /// Let the database go back to an earlier state now and then, and lose names
    #[arg(long)]
    pub(crate) goes_back: bool,

    /// Leave a rule out of the servers: the run must fail
    #[arg(long, value_enum)]
    pub(crate) broken: Option<Broken>,

    /// The server's program, built with the feature `faults`; the one beside this program if
    /// it is not given
    #[arg(long, value_name = "PATH")]
    pub(crate) tally: Option<PathBuf>,

    /// Print what is done, when it is done
    #[arg(long, short)]
    pub(crate) verbose: bool,

    /// Keep the folder with the journals and logs even if all is well
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Where the servers store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A rule that the servers leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Broken {
    /// A batch is acknowledged before it is committed
    AckBeforeCommit,
    /// A batch is stored whatever its sequence is
    SkipSequenceCheck,
    /// A name that was stored is believed to be there whatever the database does. With
    /// --goes-back, as the next one
    KeepNames,
    /// The same, and the database counts the ids up, so that it gives them away again
    ReuseIds,
}

// === impl Run ===

impl Run {
    /// The clients of a run.
    pub(crate) fn clients(&self) -> Vec<Kind> {
        vec![Kind::Raw, Kind::Raw, Kind::Add, Kind::Producer, Kind::Queue, Kind::Spool]
    }

    /// Whether the database goes back now and then.
    pub(crate) fn goes_back(&self) -> bool {
        self.goes_back || matches!(self.broken, Some(Broken::KeepNames | Broken::ReuseIds))
    }

    /// What one client records in a second.
    pub(crate) fn rate(&self) -> u64 {
        (self.rate / self.clients().len() as u64).max(1)
    }
}

// === impl Backend ===

impl Backend {
    /// A SQLite file belongs to one server.
    pub(crate) fn servers(self) -> usize {
        match self {
            Backend::Sqlite => 1,
            Backend::Postgres => 2,
        }
    }
}

// === impl Broken ===

impl Broken {
    /// As tally_runtime::faults knows it.
    pub(crate) fn fault(self) -> &'static str {
        match self {
            Broken::AckBeforeCommit => "record.acknowledge_early",
            Broken::SkipSequenceCheck => "record.skip_sequence",
            Broken::KeepNames => "endpoints.keep",
            Broken::ReuseIds => "endpoints.keep,endpoints.reuse_ids",
        }
    }
}

fn rand_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    // Six digits are remembered and typed easily.
    RandomState::new().hash_one(0) % 1_000_000
}
