//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::client::{self, Kind};

/// The namespaces, by their numbers. In the last one, debts count as requests, and nobody else counts.
pub(crate) const NAMESPACES: [&str; 3] = ["default", "shop", "debts"];
pub(crate) const OF_DEBTS: i64 = 2;

/// The clients of a run, each with the number of its namespace. The scenes need two that resume, one more, the
/// reader, and the one that posts. In both namespaces there are some that share paths.
pub(crate) const CLIENTS: [(Kind, i64); 9] = [
    (Kind::Raw, 0),
    (Kind::Raw, 1),
    (Kind::Add, 0),
    (Kind::Producer, 1),
    (Kind::Queue, 0),
    (Kind::Spool, 1),
    (Kind::Reader, 0),
    (Kind::Layer, 1),
    (Kind::Post, 1),
];

/// Those who do not count, likewise: they pay debts, and tell timelines.
pub(crate) const OTHERS: [(Kind, i64); 4] =
    [(Kind::Payer, 0), (Kind::Payer, OF_DEBTS), (Kind::Teller, 1), (Kind::Teller, 1)];

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
    /// Decides what is recorded and what goes wrong [default: random]
    #[arg(long, default_value_t = rand_seed(), hide_default_value = true)]
    pub(crate) seed: u64,

    /// Minimum length in minutes; 0 runs the fixed scenes only
    #[arg(long, default_value_t = 1.0, value_name = "M")]
    pub(crate) minutes: f64,

    /// The database: SQLite with one server, or a private Postgres with two
    #[arg(long, value_enum, default_value_t = Backend::Sqlite)]
    pub(crate) backend: Backend,

    /// Continue until servers were killed N times
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) kills: u64,

    /// Continue until Postgres was killed N times
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) database_kills: u64,

    /// Continue until N network faults occurred
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) network_faults: u64,

    /// Requests per second recorded by all clients together
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub(crate) rate: u64,

    /// Sometimes set the database back to an earlier state, or delete names from it
    #[arg(long)]
    pub(crate) goes_back: bool,

    /// Make the servers or a client break a rule: the run must fail
    #[arg(long, value_enum)]
    pub(crate) broken: Option<Broken>,

    /// The server's program, built with the feature `faults` [default: `tally` beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) tally: Option<PathBuf>,

    /// Print each fault when it happens
    #[arg(long, short)]
    pub(crate) verbose: bool,

    /// Keep the folder with the journals and logs even if the run passes
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The servers' database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A rule that the servers or a client break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Broken {
    /// Batches are acknowledged before they are committed
    AckBeforeCommit,
    /// Batches are stored whatever their sequence is
    SkipSequenceCheck,
    /// A checkpoint is stored in the transaction after its batch's
    CheckpointApart,
    /// What comes under an idempotency key is stored without the key
    KeysForgotten,
    /// Stored names are assumed to exist forever; implies --goes-back
    KeepNames,
    /// As keep-names, and the database also reuses ids; implies --goes-back
    ReuseIds,
    /// A fold adds rows and does not remove them
    FoldKeepsRows,
    /// A fold removes rows and does not add them
    FoldLosesRows,
    /// A fold adds in one transaction and removes in another
    FoldIsSplit,
    /// A fold adds late rows of rolled-up days to the days only
    FoldForgetsMonths,
    /// A fold adds the rows of merged series to the series that they were merged from
    MovesIgnored,
    /// Two servers change days and months at the same time; Postgres only, and found by chance
    BooksUnlocked,
    /// A client counts the calls of its service when they are received, and again with their status
    CountedTwice,
    /// A request is lost when requests of one series and step become one row
    MergeLoses,
    /// An entry of a batch is counted as one request, however many it stands for
    EntryIsOne,
    /// A payment that comes again is stored again, and what debts count as is counted again after a server is killed
    PaymentsForgotten,
    /// A message of a timeline that comes again is stored again, and ends belong to the newest timeline
    EventsForgotten,
    /// An alarm is dated when a server notices, and not when it was due
    AlarmsLate,
    /// Nobody is told of alarms and recoveries
    AlarmsUntold,
    /// A debt's payments are numbered with gaps, its open runs never become fewer, and an alarm or a recovery comes
    /// twice
    DebtsMiscounted,
    /// No server looks for debts that are overdue
    DebtsUnswept,
    /// What a client of another namespace counts is stored in `default`
    AnotherNamespace,
}

/// Those who count, and then the others.
pub(crate) fn everybody() -> impl Iterator<Item = (Kind, i64)> {
    CLIENTS.into_iter().chain(OTHERS)
}

/// The number of a client's namespace.
pub(crate) fn namespace_of(client: &str) -> i64 {
    let number = client.rsplit('-').next().and_then(|number| number.parse::<usize>().ok());
    let at = number.and_then(|number| number.checked_sub(1));
    at.and_then(|at| everybody().nth(at)).map_or(0, |(_, namespace)| namespace)
}

// === impl Run ===

impl Run {
    /// Whether the database is sometimes set back to an earlier state.
    pub(crate) fn rewinds(&self) -> bool {
        self.goes_back || matches!(self.broken, Some(Broken::KeepNames | Broken::ReuseIds))
    }

    /// The clients that there are, by their places in the list of all. Where something is broken, those who do not
    /// count are left out unless it has to do with them, because they may never end there; and those who count, but for
    /// one, if the scene of debts shows it.
    pub(crate) fn clients(&self) -> impl Iterator<Item = (usize, Kind)> {
        let is_there = |at, kind| match self.broken {
            None => true,
            Some(broken) if kind == Kind::Payer => broken.is_of_debts(),
            Some(broken) if kind == Kind::Teller => broken.is_of_timelines(),
            Some(broken) => at == 0 || !broken.is_shown_by_debts(),
        };
        let everybody = everybody().enumerate().map(|(at, (kind, _))| (at, kind));
        everybody.filter(move |(at, kind)| is_there(*at, *kind))
    }

    /// Requests per second of one client.
    pub(crate) fn rate(&self) -> u64 {
        (self.rate / CLIENTS.len() as u64).max(1)
    }
}

// === impl Broken ===

impl Broken {
    /// As tally_runtime::faults knows it, if the servers break it.
    pub(crate) fn fault(self) -> Option<&'static str> {
        Some(match self {
            Broken::AckBeforeCommit => "record.acknowledge_early",
            Broken::SkipSequenceCheck => "record.skip_sequence",
            Broken::CheckpointApart => "record.checkpoint_apart",
            Broken::KeysForgotten => "append.without_keys",
            Broken::KeepNames => "series.keep",
            Broken::ReuseIds => "series.keep,series.reuse_ids",
            Broken::FoldKeepsRows => "fold.keep",
            Broken::FoldLosesRows => "fold.lose",
            Broken::FoldIsSplit => "fold.split",
            Broken::FoldForgetsMonths => "fold.days_only",
            Broken::MovesIgnored => "moves.ignore",
            Broken::BooksUnlocked => "books.unlocked",
            Broken::MergeLoses => "merge.lose",
            Broken::EntryIsOne => "entry.one",
            Broken::AnotherNamespace => "namespace.ignore",
            Broken::PaymentsForgotten => "debts.forget,outbox.counts.anew",
            Broken::EventsForgotten => "timelines.forget,timelines.astray",
            Broken::AlarmsLate => "debts.late",
            Broken::AlarmsUntold => "debts.untold",
            Broken::DebtsMiscounted => "debts.skip,debts.open,debts.twice",
            Broken::DebtsUnswept => "debts.unswept",
            Broken::CountedTwice => return None,
        })
    }

    /// Whether it concerns debts.
    pub(crate) fn is_of_debts(self) -> bool {
        matches!(
            self,
            Self::PaymentsForgotten
                | Self::AlarmsLate
                | Self::AlarmsUntold
                | Self::DebtsMiscounted
                | Self::DebtsUnswept
        )
    }

    /// Whether it concerns timelines.
    pub(crate) fn is_of_timelines(self) -> bool {
        self == Self::EventsForgotten
    }

    /// Whether the scene of debts shows it, beside one client that counts.
    pub(crate) fn is_shown_by_debts(self) -> bool {
        self.is_of_debts() && self != Self::PaymentsForgotten
    }

    /// The resolution that shows it for sure, if not all of them do.
    pub(crate) fn resolution(self) -> Option<&'static str> {
        (self == Broken::MergeLoses).then_some("1m")
    }
}

fn rand_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    // Six digits are easy to remember and to type.
    RandomState::new().hash_one(0) % 1_000_000
}
