//! `tally serve`: serves the domains until it is stopped.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgMatches, Command};
use tally_runtime::Clock;
use tally_runtime::config::Problems;
use tally_serve::Domain;

use crate::app;
use crate::commands::config::in_force;
use crate::output::wrong_usage;
use crate::settings::ServeArgs;

pub(crate) async fn run(
    args: ServeArgs,
    domains: &[Domain],
    matches: &ArgMatches,
    command: &Command,
    from_file: &BTreeSet<OsString>,
    problems: Problems,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<ExitCode> {
    let settings = match args.check(domains, matches, problems) {
        Ok(settings) => settings,
        Err(invalid) => return Ok(wrong_usage(invalid)),
    };
    app::log(&settings.log)?;
    let in_force = in_force(&args, domains, matches, command, from_file, Some(&settings));
    app::serve(settings, in_force, clock).await
}
