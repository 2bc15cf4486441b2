//! `tally config`: the settings that `tally serve` would have if it were started here, and where
//! each comes from.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use tally_store::{DatabaseUrl, Environment};

use crate::output::{say, written, wrong_usage};
use crate::settings::ServeArgs;

/// The variable that may hold a password.
const SECRET: &str = "DB_URL";

/// Prints the settings as an environment file. Passwords are left out.
pub(crate) fn run(
    args: &ServeArgs,
    matches: &ArgMatches,
    command: &Command,
) -> anyhow::Result<ExitCode> {
    for argument in command.get_arguments() {
        let Some(name) = argument.get_env() else { continue };
        let (name, id) = (name.to_string_lossy(), argument.get_id().as_str());
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) => "default",
            None => "not set",
        };
        let raw = matches.get_raw(id).and_then(|mut values| values.next());
        let text = raw.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        let shown = if name == SECRET { without_password(&text) } else { text };
        let line = writeln!(io::stdout().lock(), "{name}={shown}  # {source}");
        if !written(line)? {
            break;
        }
    }
    match args.check() {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(invalid) => {
            say(format_args!(""));
            Ok(wrong_usage(invalid))
        }
    }
}

/// With what is read besides, such as `PGHOST`.
fn without_password(url: &str) -> String {
    let url = url.trim().parse::<DatabaseUrl>();
    let url = url.and_then(|url| url.completed(&Environment::of_process()));
    url.map_or_else(|_| "(invalid)".into(), |url| url.to_string())
}
