//! `tally config`: the settings that `tally serve` would use here, and where each comes from.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use tally_runtime::config::Problems;
use tally_serve::Domain;
use tally_serve::pages::Setting;

use crate::output::{say, written, wrong_usage};
use crate::settings::{ServeArgs, Settings};

/// The variables that may hold a secret besides what can be shown.
const DATABASE: &str = "DB_URL";
const WEBHOOKS: &str = "TALLY_WEBHOOKS_ALLOW";
const SMTP: &str = "TALLY_SMTP_URL";

/// The variable whose default depends on the domains.
const CONNECTIONS: &str = "TALLY_CONNECTIONS_MAX";

/// Prints the settings as an env file, without passwords and without domains that are off.
pub(crate) fn run(
    args: &ServeArgs,
    domains: &[Domain],
    matches: &ArgMatches,
    command: &Command,
    from_file: &BTreeSet<OsString>,
    problems: Problems,
) -> anyhow::Result<ExitCode> {
    let checked = args.check(domains, matches, problems);
    for Setting { name, value, source, .. } in
        in_force(args, domains, matches, command, from_file, checked.as_ref().ok())
    {
        let line = writeln!(io::stdout().lock(), "{name}={value}  # {source}");
        if !written(line)? {
            break;
        }
    }
    match checked {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(invalid) => {
            say(format_args!(""));
            Ok(wrong_usage(invalid))
        }
    }
}

/// The settings in force, without passwords and without those of domains that are off.
pub(crate) fn in_force(
    args: &ServeArgs,
    domains: &[Domain],
    matches: &ArgMatches,
    command: &Command,
    from_file: &BTreeSet<OsString>,
    checked: Option<&Settings>,
) -> Vec<Setting> {
    let on = args.domains.check(domains, &mut Problems::new());
    let off = domains.iter().filter(|domain| on.iter().all(|other| other.name != domain.name));
    let off: Vec<_> =
        off.map(|one| format!("TALLY_{}_", one.name.to_uppercase().replace('-', "_"))).collect();
    let setting = |argument: &Arg| {
        let name = argument.get_env()?;
        let is_from_file = from_file.contains(name);
        let (name, id) = (name.to_string_lossy(), argument.get_id().as_str());
        if off.iter().any(|prefix| name.starts_with(prefix)) {
            return None;
        }
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) if is_from_file => ".env",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) => "default",
            None => "not set",
        };
        let raw = matches.get_raw(id).and_then(|mut values| values.next());
        let text = raw.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        let (value, source) = match (&*name, checked) {
            _ if argument.is_hide_env_values_set() => (without_secret(args, &name, &text), source),
            (CONNECTIONS, Some(settings)) if text.is_empty() => {
                (settings.database.pool.connections_max.to_string(), "default")
            }
            _ => (text, source),
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        Some(Setting { name: name.into_owned(), value, source, help })
    };
    command.get_arguments().filter_map(setting).collect()
}

/// What can be shown of a setting whose value the help hides; mistakes are reported with the others.
fn without_secret(args: &ServeArgs, name: &str, text: &str) -> String {
    match name {
        DATABASE => {
            let url = args.database.url(&mut Problems::new());
            url.map_or_else(|| "(invalid)".into(), |url| url.to_string())
        }
        WEBHOOKS => args.webhooks.shown_allowed(),
        SMTP => args.webhooks.mail.shown_server(),
        _ if text.is_empty() => String::new(),
        _ => "(secret)".to_owned(),
    }
}
