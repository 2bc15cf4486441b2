//! `tally migrate`: bring the tables up to date, or say what is missing.

use std::process::ExitCode;

use tally_requests::MIGRATIONS;
use tally_store::{DatabaseUrl, Dialect};

use crate::app;
use crate::output::{say, wrong_usage};
use crate::settings::DatabaseArgs;

/// What `tally migrate` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Change nothing: exit with 0 if the tables are up to date, with 1 if not
    #[arg(long)]
    check: bool,
}

/// Migrates, or checks.
pub(crate) async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let settings = match args.database.check() {
        Ok(settings) => settings,
        Err(invalid) => return Ok(wrong_usage(invalid)),
    };
    app::log(&settings)?;
    if args.check
        && let DatabaseUrl::Sqlite(file) = &settings.url
        && !file.path().exists()
    {
        let pending = MIGRATIONS.pending_of_none(Dialect::Sqlite).join(", ");
        say(format_args!("{} does not exist yet; missing: {pending}", settings.url));
        return Ok(ExitCode::FAILURE);
    }
    let database = app::open(&settings.url, settings.pool).await?;
    let url = &settings.url;
    if args.check {
        let schema = MIGRATIONS.check(&database).await.map_err(app::plain)?;
        app::close(&database).await;
        if schema.pending.is_empty() {
            say(format_args!("{url} is up to date, at version {}", schema.current));
            return Ok(ExitCode::SUCCESS);
        }
        let pending = schema.pending.join(", ");
        say(format_args!("{url} is at version {}; missing: {pending}", schema.current));
        return Ok(ExitCode::FAILURE);
    }
    let before = MIGRATIONS.run(&database).await.map_err(app::plain)?;
    app::close(&database).await;
    for migration in &before.pending {
        say(format_args!("applied {migration}"));
    }
    say(format_args!("{url} is up to date, at version {}", before.latest));
    Ok(ExitCode::SUCCESS)
}
