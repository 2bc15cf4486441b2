//! `tally import-count`: take the books of the Go server of `count.v1` over.

use std::process::ExitCode;

use tally_requests::{MIGRATIONS, TakeOver, Taken, take_over};
use tally_runtime::config::{Given, Invalid, Problems};
use tally_store::{Database, DatabaseUrl};

use crate::app;
use crate::output::{plural, say, thousands, visible, wrong_usage};
use crate::settings::{DatabaseArgs, DatabaseSettings, NamesArgs};

/// Take over what the Go server of count.v1 has counted: its methods, requests and daily totals
///
/// It works on the databases themselves and needs no server. What it took before it does not take
/// again. The Go server's tables stay as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportCountArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    names: NamesArgs,

    /// The Go server's Postgres, if it is not the same database: its DB_URL
    #[arg(long, value_name = "URL")]
    from: Option<Given<DatabaseUrl>>,

    /// What its books are called in the notes of what was taken, if books of another database were
    /// taken before
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Change nothing: say what would be taken
    #[arg(long)]
    dry_run: bool,
}

/// Takes the books over.
pub(crate) async fn run(args: ImportCountArgs) -> anyhow::Result<ExitCode> {
    let (settings, from, how) = match args.check() {
        Ok(checked) => checked,
        Err(invalid) => return Ok(wrong_usage(invalid)),
    };
    app::log(&settings)?;
    let is_dry = how.dry_run;
    let source = match &from {
        Some(url) => Some(app::open(url, settings.pool).await?),
        None => None,
    };
    let database = app::open(&settings.url, settings.pool).await?;
    prepare(&database, is_dry).await?;
    let taken = take_over(&database, source.as_ref().unwrap_or(&database), how).await;
    app::close(&database).await;
    report(&taken.map_err(app::plain)?, is_dry);
    Ok(ExitCode::SUCCESS)
}

/// The tables must be there.
async fn prepare(database: &Database, is_dry: bool) -> anyhow::Result<()> {
    if !is_dry {
        MIGRATIONS.run(database).await.map_err(app::plain)?;
        return Ok(());
    }
    let schema = MIGRATIONS.check(database).await.map_err(app::plain)?;
    if !schema.pending.is_empty() {
        anyhow::bail!("Tally's tables are missing or older: run `tally migrate` first");
    }
    Ok(())
}

fn report(taken: &Taken, is_dry: bool) {
    let all = taken.requests + taken.rolled_up;
    let would = if is_dry { "would take" } else { "took" };
    let source = visible(&taken.source);
    if all == 0 {
        say(format_args!("nothing is new in the Go server's books ({source})"));
    } else {
        say(format_args!(
            "{would} {} to {} over ({source}): {} in daily totals, {} not rolled up yet",
            plural(all, "request"),
            plural(taken.methods, "endpoint"),
            thousands(taken.rolled_up),
            thousands(taken.requests),
        ));
    }
    if taken.before > 0 {
        say(format_args!("{} were taken before", thousands(taken.before)));
    }
    if taken.missing > 0 {
        say(format_args!(
            "{} that were taken before are not in the books any more; they stay counted",
            thousands(taken.missing)
        ));
    }
    if taken.other > 0 {
        say(format_args!(
            "{} are counted under the path _other: their paths are empty or too long, or there are \
             more endpoints than --endpoints-max",
            plural(taken.other, "endpoint")
        ));
    }
    if taken.clamped > 0 {
        say(format_args!(
            "{} are outside of the years 1 to 9999, and counted on the first or the last day",
            thousands(taken.clamped)
        ));
    }
    if !matches!(&*taken.time_zone, "UTC" | "Etc/UTC" | "GMT" | "Etc/GMT") {
        say(format_args!(
            "the Go server's totals are of days in {}, and stay on these days; requests that it has \
             not rolled up are counted on UTC days",
            visible(&taken.time_zone)
        ));
    }
}

// === impl ImportCountArgs ===

impl ImportCountArgs {
    /// The settings, the Go server's database if it is another one, and how it is taken over.
    fn check(&self) -> Result<(DatabaseSettings, Option<DatabaseUrl>, TakeOver), Invalid> {
        let mut problems = Problems::new();
        let settings = self.database.collect(&mut problems);
        let (path_bytes_max, endpoints_max) = self.names.collect(&mut problems);
        let from = self.from.as_ref().and_then(|from| problems.take_secret("--from", from));
        let reads = from.as_ref().or(settings.as_ref().map(|settings| &settings.url));
        if let Some(DatabaseUrl::Sqlite(_)) = reads {
            problems.add(
                "--from: the Go server's books are in Postgres: say the URL that it was run with"
                    .to_owned(),
            );
        }
        problems.check()?;
        let settings = settings.expect("without problems there are settings");
        let (source, dry_run) = (self.source.clone(), self.dry_run);
        Ok((settings, from, TakeOver { source, endpoints_max, path_bytes_max, dry_run }))
    }
}
