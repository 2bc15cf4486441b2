//! `tally copy`: everything, from one database into another of whichever kind.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use tally_runtime::config::{Given, Invalid, Problems};
use tally_serve::Domain;
use tally_store::copy::{Copied, Progress};
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl};

use crate::app;
use crate::output::table::Align;
use crate::output::{self, Cell, OutputFormat, plural, say, thousands, wrong_usage};
use crate::port;
use crate::schema::Sets;
use crate::settings::{LogArgs, LogSettings, database_url};

/// Copy everything from one database into another, new one, and compare the two
///
/// It works between SQLite, Postgres and CockroachDB. The copy is one snapshot: each request that was acknowledged
/// before is in it, together with the numbers of all producers. It needs no server; servers of the first database
/// may go on meanwhile, and what they count from then on is not in the copy.
#[derive(Debug, clap::Args)]
pub(crate) struct CopyArgs {
    /// The database to read, which is not changed
    #[arg(long, value_name = "URL")]
    from: Given<DatabaseUrl>,

    /// The database to write: one without tables of Tally, or without a row in them; a SQLite file is made
    #[arg(long, value_name = "URL")]
    to: Given<DatabaseUrl>,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) async fn run(
    args: CopyArgs,
    known: &[Domain],
    problems: Problems,
) -> anyhow::Result<ExitCode> {
    let (from, to, log) = match args.check(problems) {
        Ok(checked) => checked,
        Err(invalid) => return Ok(wrong_usage(invalid)),
    };
    app::log(&log)?;
    let begun = Instant::now();
    let source = open_source(&from).await?;
    let copied = async {
        let sets = sets(&source, &from, known).await?;
        let target = open_target(&to).await?;
        let copied = copy(&source, &target, &sets).await;
        app::close(&target).await;
        copied.with_context(|| format!("{from} is not copied to {to}"))
    };
    let copied = copied.await;
    app::close(&source).await;
    let copied = copied?;
    report(&copied)?;
    let rows: u64 = copied.tables.iter().map(|(_, rows)| rows).sum();
    say(format_args!(
        "copied {from} to {to}: {} in {}, compared; {:.1} s",
        plural(rows, "row"),
        plural(copied.tables.len() as u64, "table"),
        begun.elapsed().as_secs_f64()
    ));
    for (set, total) in &copied.totals {
        say(format_args!("{set} in all: {}, and the same on each day", thousands(*total)));
    }
    for table in &copied.left_out {
        say(format_args!("not copied: {table}, for which {to} has no place"));
    }
    Ok(ExitCode::SUCCESS)
}

/// A database to read, also while a server has it.
async fn open_source(url: &DatabaseUrl) -> anyhow::Result<Database> {
    if let DatabaseUrl::Sqlite(file) = url
        && !file.path().is_file()
    {
        bail!("copy {url}: there is no such file");
    }
    notes(url);
    let (database, _) =
        Database::open_beside(url, Settings::default()).await.map_err(app::plain)?;
    Ok(database)
}

/// A database to write, which no server has.
async fn open_target(url: &DatabaseUrl) -> anyhow::Result<Database> {
    notes(url);
    Database::open(url, Settings::default()).await.map_err(|error| {
        match tally_store::is_locked(&error) {
            true => anyhow!(
                "copy to {url}: a Tally server uses it, or another copy: it must be a new one"
            ),
            false => app::plain(error),
        }
    })
}

fn notes(url: &DatabaseUrl) {
    if let DatabaseUrl::Postgres(url) = url {
        url.notes().iter().for_each(|note| tracing::warn!("{note}"));
    }
}

/// What the source has, as this program knows it.
async fn sets(source: &Database, url: &DatabaseUrl, known: &[Domain]) -> anyhow::Result<Sets> {
    match Sets::of(known).of_database(source).await.map_err(app::plain)? {
        Ok(sets) => Ok(sets),
        Err(old) if old.is_empty() => bail!("copy {url}: it has no tables of Tally"),
        Err(old) => bail!(
            "copy {url}: its tables are of an older version, with {}: run tally migrate there first",
            old.current()
        ),
    }
}

async fn copy(source: &Database, target: &Database, sets: &Sets) -> anyhow::Result<Copied> {
    sets.run(target).await.map_err(app::plain)?;
    let tell = |progress: Progress<'_>| match progress {
        Progress::Reading(table, rows) => {
            say(format_args!("{table}: {} so far", plural(rows, "row")));
        }
        Progress::Written(_, 0) => {}
        Progress::Written(table, rows) => say(format_args!("{table}: {}", plural(rows, "row"))),
        Progress::Comparing => say(format_args!("comparing")),
    };
    tally_store::copy::copy(source, target, sets.all(), &tell).await.map_err(app::plain)
}

fn report(copied: &Copied) -> anyhow::Result<()> {
    let rows = copied
        .tables
        .iter()
        .map(|(table, rows)| [Cell::Text(table.into()), Cell::Number((*rows).into())]);
    let columns = [("table", Align::Left), ("rows", Align::Right)];
    let mut out = output::stdout();
    let printed = output::print(&mut out, OutputFormat::or_usual(None), columns, rows);
    output::written(printed.and_then(|()| out.flush())).map(drop)
}

// === impl CopyArgs ===

impl CopyArgs {
    fn check(
        &self,
        mut problems: Problems,
    ) -> Result<(DatabaseUrl, DatabaseUrl, LogSettings), Invalid> {
        let from = database_url(&mut problems, "--from", &self.from, None);
        let to = database_url(&mut problems, "--to", &self.to, None);
        let log = self.log.check(&mut problems);
        if let (Some(from), Some(to)) = (&from, &to)
            && port::name(from) == port::name(to)
        {
            problems.add(format!("--to: {to} is the database that --from names"));
        }
        problems.check()?;
        let (from, to) = from.zip(to).expect("without problems there are both");
        Ok((from, to, log.expect("without problems there are settings")))
    }
}
