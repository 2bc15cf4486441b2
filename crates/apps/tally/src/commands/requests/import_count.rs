//! `tally import-count`: imports the tables of the Go server of `count.v1`.

use std::process::ExitCode;

use anyhow::Context as _;
use tally_access::Store;
use tally_requests::{DOMAIN, ImportCount, Imported, NamesArgs, import_count};
use tally_runtime::Namespace;
use tally_runtime::config::{Given, Invalid, Problems};
use tally_store::{Database, DatabaseUrl};

use crate::app;
use crate::output::{plural, say, thousands, visible, wrong_usage};
use crate::schema::Sets;
use crate::settings::{
    DatabaseArgs, DatabaseSettings, LogArgs, LogSettings, OF_COMMANDS, database_url,
};

/// Import what the Go server of count.v1 has counted: its methods, requests and daily totals
///
/// It works on the databases and needs no server. Nothing is imported twice, and the Go server's
/// tables stay unchanged.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportCountArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    names: NamesArgs,

    #[command(flatten)]
    log: LogArgs,

    /// The Go server's DB_URL, unless its Postgres is the same database
    #[arg(long, value_name = "URL")]
    from: Option<Given<DatabaseUrl>>,

    /// A name for its tables in the record of imports, if another database was imported before
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Where it is counted: a namespace that has a key
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,

    /// Change nothing; print what would be imported
    #[arg(long)]
    dry_run: bool,
}

/// A dry run creates no tables either.
const NO_TABLES: &str = "Tally's tables are missing or older: run `tally migrate` first";

pub(crate) async fn run(args: ImportCountArgs, problems: Problems) -> anyhow::Result<ExitCode> {
    let (settings, log, from, mut how) = match args.check(problems) {
        Ok(checked) => checked,
        Err(invalid) => return Ok(wrong_usage(invalid)),
    };
    app::log(&log)?;
    let is_dry = how.dry_run;
    if is_dry
        && let DatabaseUrl::Sqlite(file) = &settings.url
        && !file.path().exists()
    {
        anyhow::bail!(NO_TABLES);
    }
    let source = match &from {
        Some(url) => Some(app::open(url, settings.pool).await?),
        None => None,
    };
    let database = app::open(&settings.url, settings.pool).await?;
    prepare(&database, is_dry).await?;
    how.namespace = namespace(&database, &args.namespace).await?;
    let imported = import_count(&database, source.as_ref().unwrap_or(&database), how).await;
    app::close(&database).await;
    report(&imported.map_err(app::plain)?, is_dry);
    Ok(ExitCode::SUCCESS)
}

async fn prepare(database: &Database, is_dry: bool) -> anyhow::Result<()> {
    let sets = Sets::of([&DOMAIN]);
    if !is_dry {
        sets.run(database).await.map_err(app::plain)?;
        return Ok(());
    }
    let schemas = sets.check(database).await.map_err(app::plain)?;
    if !schemas.pending().is_empty() {
        anyhow::bail!(NO_TABLES);
    }
    Ok(())
}

/// One that is there, because a misspelled one would get counts that nobody sees.
async fn namespace(database: &Database, name: &str) -> anyhow::Result<Namespace> {
    let found = Store::new(database.clone()).namespace(name).await.map_err(app::plain)?;
    found.with_context(|| {
        let name = visible(name);
        format!("there is no namespace {name}: `tally key create` with --namespace makes one")
    })
}

fn report(imported: &Imported, is_dry: bool) {
    let all = imported.requests.saturating_add(imported.rolled_up);
    let done = if is_dry { "would import" } else { "imported" };
    let source = visible(&imported.source);
    if all == 0 {
        say(format_args!("nothing is new in the Go server's tables ({source})"));
    } else {
        say(format_args!(
            "{done} {} to {} ({source}): {} in daily totals, {} not rolled up yet",
            plural(all, "request"),
            plural(imported.methods, "endpoint"),
            thousands(imported.rolled_up),
            thousands(imported.requests),
        ));
    }
    for (number, is_or_are) in [
        (imported.before, "were imported before"),
        (
            imported.missing,
            "that were imported before are not in the tables any more; they stay counted",
        ),
        (
            imported.clamped,
            "are outside the years 1 to 9999, and counted on the first or the last day",
        ),
        (imported.endless, "are at an infinite time, and not counted"),
    ] {
        if number > 0 {
            say(format_args!("{} {is_or_are}", thousands(number)));
        }
    }
    if imported.other > 0 {
        say(format_args!(
            "{} are counted under the path _other: their paths are empty or too long, or there are \
             more series than --requests-series-max",
            plural(imported.other, "endpoint")
        ));
    }
    if !matches!(&*imported.time_zone, "UTC" | "Etc/UTC" | "GMT" | "Etc/GMT") {
        say(format_args!(
            "the Go server's totals are of days in {}, and stay on these days; requests that it has \
             not rolled up are counted on UTC days",
            visible(&imported.time_zone)
        ));
    }
}

// === impl ImportCountArgs ===

impl ImportCountArgs {
    /// The settings, the Go server's database if it is another one, and how to import it.
    fn check(
        &self,
        mut problems: Problems,
    ) -> Result<(DatabaseSettings, LogSettings, Option<DatabaseUrl>, ImportCount), Invalid> {
        let settings = self.database.check(OF_COMMANDS, &mut problems);
        let log = self.log.check(&mut problems);
        let (path_bytes_max, series_max) = self.names.check(&mut problems);
        let driver = settings.as_ref().and_then(|settings| settings.driver);
        let given = self.from.as_ref();
        let from = given.and_then(|given| database_url(&mut problems, "--from", given, driver));
        let reads = match given {
            Some(_) => from.as_ref(),
            None => settings.as_ref().map(|settings| &settings.url),
        };
        if let Some(DatabaseUrl::Sqlite(_)) = reads {
            problems.add(
                "--from: the Go server's tables are in Postgres: pass the DB_URL that the Go server \
                 used"
                    .to_owned(),
            );
        }
        if self.source.as_ref().is_some_and(|name| name.trim().is_empty()) {
            problems
                .add("--source: it is empty: pass a name for the Go server's tables".to_owned());
        }
        problems.check()?;
        let (settings, log) = settings.zip(log).expect("without problems there are settings");
        let (source, dry_run) = (self.source.clone(), self.dry_run);
        let namespace = Namespace::DEFAULT;
        let how = ImportCount { namespace, source, series_max, path_bytes_max, dry_run };
        Ok((settings, log, from, how))
    }
}
