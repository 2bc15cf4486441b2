//! `tally migrate`: brings the tables up to date, or lists what is missing.

use std::process::ExitCode;

use tally_runtime::config::{Invalid, Problems};
use tally_serve::Domain;
use tally_store::{DatabaseUrl, Dialect};

use crate::app;
use crate::output::{say, wrong_usage};
use crate::schema::Sets;
use crate::settings::{
    DatabaseArgs, DatabaseSettings, DomainArgs, LogArgs, LogSettings, OF_COMMANDS,
};

#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    pub(crate) domains: DomainArgs,

    #[command(flatten)]
    log: LogArgs,

    /// Change nothing; exit with 0 if the tables are up to date, else with 1
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(
    args: MigrateArgs,
    known: &[Domain],
    problems: Problems,
) -> anyhow::Result<ExitCode> {
    let (settings, log, sets) = match args.check(known, problems) {
        Ok(checked) => checked,
        Err(invalid) => return Ok(wrong_usage(invalid)),
    };
    app::log(&log)?;
    if args.check
        && let DatabaseUrl::Sqlite(file) = &settings.url
        && !file.path().exists()
    {
        let pending = sets.pending_of_none(Dialect::Sqlite);
        say(format_args!("{} does not exist yet; missing: {pending}", settings.url));
        return Ok(ExitCode::FAILURE);
    }
    let database = app::open(&settings.url, settings.pool).await?;
    let url = &settings.url;
    if args.check {
        let schemas = sets.check(&database).await.map_err(app::plain)?;
        app::close(&database).await;
        let (current, pending) = (schemas.current(), schemas.pending());
        if pending.is_empty() {
            say(format_args!("{url} is up to date: {current}"));
            return Ok(ExitCode::SUCCESS);
        }
        say(format_args!("{url} has {current}; missing: {}", pending.join(", ")));
        return Ok(ExitCode::FAILURE);
    }
    let before = sets.run(&database).await.map_err(app::plain)?;
    app::close(&database).await;
    for migration in before.pending() {
        say(format_args!("applied {migration}"));
    }
    say(format_args!("{url} is up to date: {}", before.latest()));
    Ok(ExitCode::SUCCESS)
}

// === impl MigrateArgs ===

impl MigrateArgs {
    fn check(
        &self,
        known: &[Domain],
        mut problems: Problems,
    ) -> Result<(DatabaseSettings, LogSettings, Sets), Invalid> {
        let settings = self.database.check(OF_COMMANDS, &mut problems);
        let log = self.log.check(&mut problems);
        let sets = Sets::of(&self.domains.check(known, &mut problems));
        problems.check()?;
        let checked = settings.zip(log).expect("without problems there are settings");
        Ok((checked.0, checked.1, sets))
    }
}
