//! The command line, and the sizes that a verb has by default.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

/// Measures Tally against the database's own limit and against what people do now; and fills it with
/// requests and books, and prints how long that takes.
#[derive(Parser)]
#[command(name = "tally-bench", bin_name = "cargo xtask bench", version)]
pub(crate) struct Arguments {
    /// Without one, `table`
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    table: Table,

    /// The `tally` to measure; by default the one beside this program
    #[arg(long, value_name = "PROGRAM", global = true)]
    tally: Option<PathBuf>,

    /// On which databases
    #[arg(long, value_enum, default_value = "both", global = true)]
    backend: Which,

    /// A Postgres server on which a database may be created, in place of a temporary server
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) database_url: Option<String>,

    /// A setting of the temporary Postgres, which otherwise has its defaults; a quick run sets fsync and
    /// full_page_writes to off
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting, global = true)]
    pub(crate) postgres: Vec<(String, String)>,

    /// Decides what is generated
    #[arg(long, default_value = "1", global = true)]
    pub(crate) seed: u64,

    /// Small numbers, and of the table one row of each kind, to try the program itself
    #[arg(long, global = true)]
    pub(crate) quick: bool,
}

#[derive(Clone, Subcommand)]
pub(crate) enum Verb {
    /// Tally against the database's own limit and against what people do now, with ratios
    Table(Table),
    /// A day of requests, queries of it while clients go on, and how long folds make them wait
    Day(Day),
    /// The roll-up of rows that are not folded, against the bare SELECT ... GROUP BY
    RollUp(RollUp),
    /// Three years of books, and each form of query
    Years(Years),
    /// Requests of all years, against as many of today
    Wild(Wild),
    /// Floods, slow and silent clients, one attack after the other, beside an honest client; it fails if that
    /// one or the server's memory suffers
    Attack(Attack),
    /// The server's memory for minutes at full speed over 64 streams; then with slow commits (Postgres)
    Memory(Memory),
    /// Payments by each door and sweeps, with few and with many debts, against what Postgres itself can do
    Debts(Debts),
    /// Records with the client's queue as fast as it goes, for `table`
    #[command(hide = true)]
    Queue(Queue),
}

#[derive(Clone, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Table {
    /// How often everything is measured [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,

    /// Only rows whose name contains this in any case, and those that they are held against
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,

    /// Also write docs/performance.md
    #[arg(long)]
    pub(crate) write: bool,
}

#[derive(Clone, clap::Args)]
pub(crate) struct Queue {
    /// The server
    #[arg(long)]
    pub(crate) url: String,

    /// Of how many series
    #[arg(long)]
    pub(crate) series: usize,

    /// How many threads record
    #[arg(long)]
    pub(crate) threads: u64,

    /// For how long they record before it is measured
    #[arg(long, default_value = "0")]
    pub(crate) warm_up: u64,

    /// For how long it is measured
    #[arg(long)]
    pub(crate) seconds: Option<u64>,

    /// How many requests they record
    #[arg(long, conflicts_with = "seconds")]
    pub(crate) requests: Option<u64>,
}

#[derive(Clone, clap::Args)]
pub(crate) struct Day {
    /// How many requests the day has before it is asked for [default: 100000000]
    #[arg(long, value_name = "N")]
    pub(crate) requests: Option<u64>,

    /// Of how many series [default: 1000]
    #[arg(long, value_name = "N")]
    pub(crate) series: Option<usize>,

    /// Which day, such as 2026-07-31; by default today, up to now
    #[arg(long, value_name = "DAY")]
    pub(crate) day: Option<String>,

    /// Each series has as many requests as any other; otherwise the n-th has 1/n of the first one's
    #[arg(long)]
    pub(crate) uniform: bool,

    /// How many streams bring them
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) streams: u64,

    /// How many requests a second each of the four clients counts [default: 5000]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u64>,

    /// How long each phase takes [default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

#[derive(Clone, clap::Args)]
pub(crate) struct RollUp {
    /// How many rows a day has [default: 10000000]
    #[arg(long, value_name = "N")]
    pub(crate) rows: Option<u64>,

    /// Of how many series
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) series: usize,

    /// Rows lie in no order of their times; otherwise as they happened
    #[arg(long)]
    pub(crate) shuffled: bool,

    /// How often it is filled and rolled up [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<u32>,
}

#[derive(Clone, clap::Args)]
pub(crate) struct Years {
    /// How many days up to today [default: 1096]
    #[arg(long, value_name = "N")]
    pub(crate) days: Option<u32>,

    /// How many of these have quarters [default: 400]
    #[arg(long, value_name = "N")]
    pub(crate) quarter_days: Option<u32>,

    /// How many series, each of which has requests on each day [default: 5000]
    #[arg(long, value_name = "N")]
    pub(crate) series: Option<usize>,

    /// How often each query is asked after the first time [default: 5]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<usize>,

    /// Only forms whose line contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
}

#[derive(Clone, clap::Args)]
pub(crate) struct Wild {
    /// How many requests [default: 2000000]
    #[arg(long, value_name = "N")]
    pub(crate) requests: Option<u64>,
}

#[derive(Clone, clap::Args)]
pub(crate) struct Attack {
    /// How long each attack takes [default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,

    /// Only attacks whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
}

#[derive(Clone, clap::Args)]
pub(crate) struct Debts {
    /// With how many debts, one after the other [default: 100,10000,1000000]
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u64).range(2..=5_000_000)
    )]
    pub(crate) debts: Vec<u64>,

    /// How long each form of payment is measured [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,

    /// Over how many connections they come [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=500))]
    pub(crate) connections: Option<u64>,
}

#[derive(Clone, clap::Args)]
pub(crate) struct Memory {
    /// How many minutes each phase takes [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_440))]
    pub(crate) minutes: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Sqlite,
    Postgres,
    Both,
}

/// One kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

// === impl Arguments ===

impl Arguments {
    /// What to do.
    pub(crate) fn verb(&self) -> anyhow::Result<Verb> {
        let Some(verb) = self.verb.clone() else { return Ok(Verb::Table(self.table.clone())) };
        anyhow::ensure!(
            self.table == Table::default(),
            "flags of the table, such as --only, before another verb: write the verb first, and then \
             its own flags"
        );
        Ok(verb)
    }

    pub(crate) fn backends(&self) -> Vec<Backend> {
        match self.backend {
            Which::Sqlite => vec![Backend::Sqlite],
            Which::Postgres => vec![Backend::Postgres],
            Which::Both => vec![Backend::Postgres, Backend::Sqlite],
        }
    }

    /// What was given, or the size of a full or a quick run.
    pub(crate) fn size<T>(&self, given: Option<T>, full: T, quick: T) -> T {
        given.unwrap_or(if self.quick { quick } else { full })
    }

    /// The server's program.
    pub(crate) fn tally(&self) -> anyhow::Result<PathBuf> {
        if let Some(tally) = &self.tally {
            return Ok(tally.clone());
        }
        let own = std::env::current_exe().context("cannot find this program")?;
        let beside = own.with_file_name("tally");
        anyhow::ensure!(beside.exists(), "{} does not exist: give --tally", beside.display());
        Ok(beside)
    }
}

// === impl Backend ===

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "Postgres",
        })
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
