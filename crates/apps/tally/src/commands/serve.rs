//! `tally serve`: serves the domains until it is stopped.

use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use tally_runtime::Clock;
use tally_runtime::config::Problems;
use tally_serve::Domain;

use crate::app;
use crate::output::wrong_usage;
use crate::settings::ServeArgs;

pub(crate) async fn run(
    args: ServeArgs,
    domains: &[Domain],
    matches: &ArgMatches,
    problems: Problems,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<ExitCode> {
    let settings = match args.check(domains, matches, problems) {
        Ok(settings) => settings,
        Err(invalid) => return Ok(wrong_usage(invalid)),
    };
    app::log(&settings.log)?;
    app::serve(settings, clock).await
}
