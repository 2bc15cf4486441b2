//! `table`: Tally against the database's own limit and against what people do now.
//!
//! In a round each row is measured once, so that noise which lasts for a while hits all rows alike; what
//! counts is the ratio of two rows within a round. The exit code depends on exactness alone.
//!
//! | file | what it owns |
//! |---|---|
//! | `bare.rs` | a bare loop of inserts into SQLite |
//! | `copy.rs` | `psql \copy` of the same rows |
//! | `disk.rs` | bytes on disk |
//! | `figures.rs` | what rows measure: medians, spreads, ratios |
//! | `fold.rs` | folding ten million rows, and rolling them up |
//! | `ingest.rs` | requests at full speed or at a steady rate, through a server |
//! | `load.rs` | `tally bench`, and what it says |
//! | `page.rs` | the page docs/performance.md |
//! | `pgbench.rs` | `pgbench`: a statement for each request, and a bare COMMIT |
//! | `programs.rs` | programs that must be installed |
//! | `queue.rs` | `queue`: the client crate's queue, in a process of its own |
//! | `redis.rs` | `redis-benchmark` |
//! | `report.rs` | the parts of the table, with ratios and targets |
//! | `row.rs` | the rows |
//! | `text.rs` | plain text and Markdown |

mod bare;
mod copy;
mod disk;
mod figures;
mod fold;
mod ingest;
mod load;
mod page;
mod pgbench;
mod programs;
pub(crate) mod queue;
mod redis;
mod report;
mod row;
mod text;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use tally_testkit::Watched;

use crate::arguments::{self, Arguments, Backend};
use crate::circumstances::Circumstances;
use crate::place::{Host, Place};
use crate::server;
use figures::{Figures, Results};
use load::Amount;
use programs::said;
use row::Row;

/// How much of everything there is.
struct Sizes {
    rounds: u32,
    /// What comes at full speed, and at a steady rate.
    load: Amount,
    /// Rows of `\copy` and of the bare loop.
    rows: u64,
    /// Transactions of `pgbench`.
    statements: Amount,
    redis: u64,
    fold: u64,
    disk: u64,
}

/// One run.
struct Run<'a> {
    arguments: &'a Arguments,
    sizes: Sizes,
    /// Where databases are made; `None` if nothing is measured there.
    postgres: Option<Host>,
    sqlite: Option<Host>,
    /// Files of this run.
    folder: Watched,
    /// The rows of `\copy`.
    copied: PathBuf,
    results: Results,
}

/// What a row has measured, and what was counted wrongly.
#[derive(Default)]
struct Measured {
    figures: Figures,
    wrong: Vec<String>,
}

/// Runs the rounds; says whether everything was counted exactly.
pub(crate) async fn run(
    arguments: &Arguments,
    asked: &arguments::Table,
    circumstances: &Circumstances,
) -> anyhow::Result<bool> {
    if asked.write {
        let is_whole = !arguments.quick && asked.only.is_none() && arguments.backends().len() == 2;
        anyhow::ensure!(is_whole, "--write is for a whole run: without --quick, --only, --backend");
        anyhow::ensure!(!cfg!(debug_assertions), "--write is for a build with optimizations");
    }
    let rows = row::selected(asked.only.as_deref(), &arguments.backends(), arguments.quick);
    anyhow::ensure!(!rows.is_empty(), "no row has this in its name on this database");
    let rows = available(arguments, rows)?;
    let mut run = Run::start(arguments, asked, &rows)?;
    let settings = match &run.postgres {
        Some(host) => host.place()?.settings().await?,
        None => String::new(),
    };
    if !settings.is_empty() {
        println!("Postgres: {settings}");
    }
    let mut wrong = Vec::new();
    for round in 1..=run.sizes.rounds {
        println!("\nround {round} of {}", run.sizes.rounds);
        for row in &rows {
            let start = Instant::now();
            let measured = run.measure(*row).await.with_context(|| row.to_string())?;
            let Measured { figures, wrong: found } = measured;
            println!("{:>6.1} s  {row}", start.elapsed().as_secs_f64());
            for what in found {
                println!("WRONG: {row}: {what}");
                wrong.push(format!("{row}: {what}"));
            }
            run.results.add(*row, figures);
        }
    }
    let sections = report::sections(&run.results);
    println!();
    sections.iter().for_each(|section| println!("{}", section.plain()));
    match wrong.len() {
        0 => println!("every request was counted exactly once: PASS"),
        count => println!("{count} checks have failed: FAIL"),
    }
    if asked.write && wrong.is_empty() {
        page::write(&sections, circumstances, &settings, run.sizes.rounds)?;
    }
    Ok(wrong.is_empty())
}

/// The rows whose programs are there. Fails if one is missing that must be there.
fn available(arguments: &Arguments, rows: Vec<Row>) -> anyhow::Result<Vec<Row>> {
    let tally = |words: &[&str]| {
        let mut command = server::command(arguments)?;
        command.args(words);
        said(&command)
    };
    if rows.iter().any(|row| row.resolution().is_some()) {
        anyhow::ensure!(
            tally(&["serve", "--help"])?.contains("--requests-resolution"),
            "this `tally serve` has no --requests-resolution: build tally from the same commit"
        );
    }
    if rows.iter().any(|row| row.has_load()) {
        tally(&["bench", "--help"]).context("this `tally` has no `bench`: build it again")?;
    }
    if rows.iter().any(|row| matches!(row, Row::Copy { .. })) {
        programs::find("psql", "postgresql-client")?;
    }
    if rows.iter().any(|row| matches!(row, Row::Insert { .. } | Row::Update { .. } | Row::Commit)) {
        programs::find("pgbench", "postgresql")?;
    }
    if rows.iter().any(|row| matches!(row, Row::Redis(_))) && redis::find_both().is_err() {
        println!("Redis is not measured: install redis-server and redis-tools (Debian)");
        return Ok(rows.into_iter().filter(|row| !matches!(row, Row::Redis(_))).collect());
    }
    Ok(rows)
}

// === impl Sizes ===

impl Sizes {
    fn new(arguments: &Arguments, rounds: Option<u32>) -> Self {
        let size = |full, quick| arguments.size(None, full, quick);
        let amount = |seconds, count| {
            arguments.size(None, Amount::Seconds(seconds), Amount::Requests(count))
        };
        Self {
            rounds: arguments.size(rounds, 3, 1).max(1),
            load: amount(4, 2_000),
            rows: size(4_000_000, 2_000),
            statements: amount(4, 20),
            redis: size(1_000_000, 2_000),
            fold: size(10_000_000, 20_000),
            // Fewer rows than those that make a server fold at once.
            disk: size(80_000, 2_000),
        }
    }
}

// === impl Run ===

impl<'a> Run<'a> {
    fn start(
        arguments: &'a Arguments,
        asked: &arguments::Table,
        rows: &[Row],
    ) -> anyhow::Result<Self> {
        let host = |backend| {
            let is_needed = rows.iter().any(|row| row.backend() == backend);
            is_needed.then(|| Host::start(backend, arguments)).transpose()
        };
        let (postgres, sqlite) = (host(Backend::Postgres)?, host(Backend::Sqlite)?);
        let sizes = Sizes::new(arguments, asked.rounds);
        let folder = Watched::create("tally-bench-")?;
        let copied = folder.path().join("rows");
        if rows.iter().any(|row| matches!(row, Row::Copy { .. })) {
            copy::write_rows(&copied, sizes.rows).context("write the rows of \\copy")?;
        }
        let results = Results::default();
        Ok(Self { arguments, sizes, postgres, sqlite, folder, copied, results })
    }

    async fn measure(&self, row: Row) -> anyhow::Result<Measured> {
        match row {
            Row::Copy { connections } => copy::measure(self, connections).await,
            Row::Loop => bare::measure(self),
            Row::Ingest(ingest) => ingest::measure(self, ingest).await,
            Row::Insert { clients } => pgbench::measure_inserts(self, clients).await,
            Row::Update { clients } => pgbench::measure_updates(self, clients).await,
            Row::Redis(fsync) => redis::measure(self, fsync),
            Row::Fold(backend) => fold::measure(self, backend).await,
            Row::Commit => pgbench::measure_commit(self).await,
            Row::Idle => ingest::measure_idle(self).await,
            Row::Paced { percent } => ingest::measure_paced(self, percent).await,
            Row::Series { count } => ingest::measure_series(self, count).await,
            Row::Days { count } => ingest::measure_days(self, count).await,
            Row::Disk(resolution, backend) => disk::measure(self, resolution, backend).await,
        }
    }

    fn host(&self, backend: Backend) -> anyhow::Result<&Host> {
        let host = match backend {
            Backend::Postgres => &self.postgres,
            Backend::Sqlite => &self.sqlite,
        };
        host.as_ref().context("no row of this database was to be measured")
    }

    /// An empty database.
    fn place(&self, backend: Backend) -> anyhow::Result<Place> {
        self.host(backend)?.place()
    }
}

// === impl Measured ===

impl Measured {
    fn of(figures: Figures) -> Self {
        Self { figures, wrong: Vec::new() }
    }

    /// Notes it unless the two are the same.
    fn expect(&mut self, what: &str, counted: u64, expected: u64) {
        if counted != expected {
            self.wrong.push(format!("{counted} {what}, and not {expected}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_request_is_wrong_and_so_is_a_doubled_one() {
        let mut measured = Measured::of(Figures::default());
        measured.expect("requests", 10, 10);
        assert!(measured.wrong.is_empty());
        measured.expect("requests", 9, 10);
        measured.expect("requests", 11, 10);
        assert_eq!(measured.wrong, ["9 requests, and not 10", "11 requests, and not 10"]);
    }
}
