//! `tally config`: the settings that `tally serve` would have if it were started here, and where
//! each comes from.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use tally_runtime::config::Problems;

use crate::output::{say, written, wrong_usage};
use crate::settings::ServeArgs;

/// The variable that may hold a password.
const SECRET: &str = "DB_URL";

/// Prints the settings as an environment file. Passwords are left out.
pub(crate) fn run(
    args: &ServeArgs,
    matches: &ArgMatches,
    command: &Command,
    from_file: &BTreeSet<OsString>,
) -> anyhow::Result<ExitCode> {
    for argument in command.get_arguments() {
        let Some(name) = argument.get_env() else { continue };
        let is_from_file = from_file.contains(name);
        let (name, id) = (name.to_string_lossy(), argument.get_id().as_str());
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) if is_from_file => ".env",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) => "default",
            None => "not set",
        };
        let raw = matches.get_raw(id).and_then(|mut values| values.next());
        let text = raw.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        let shown = if name == SECRET { without_password(args) } else { text };
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

/// The database as `tally serve` would open it. What is wrong is said at the end, with the rest.
fn without_password(args: &ServeArgs) -> String {
    let url = args.database.url(&mut Problems::new());
    url.map_or_else(|| "(invalid)".into(), |url| url.to_string())
}
