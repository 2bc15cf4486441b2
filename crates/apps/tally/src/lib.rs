//! Tally's binary except for its list of domains: reads the command line and runs the command.
//!
//! | file | what it owns |
//! |---|---|
//! | `main.rs` | the list of the domains |
//! | `access.rs` | whether the server asks for keys |
//! | `app.rs` | composes the server from its domains, runs it, drains it |
//! | `client.rs`, `client/` | connects to a server, and says why it cannot |
//! | `commands.rs`, `commands/` | one file per command, one folder per domain |
//! | `env_file.rs` | the file `.env` in the working directory |
//! | `greeting.rs` | what a server says at its start |
//! | `metrics.rs` | what only the app knows of a server, for its health and for scrapes |
//! | `numbers.rs` | numbers as arguments |
//! | `output.rs`, `output/` | what commands print |
//! | `port.rs` | the server's port: inherited, free, or handed over |
//! | `reference.rs` | a test: the page of the command line |
//! | `schema.rs` | the migrations of all domains as one |
//! | `settings.rs` | the server's own settings, without its domains' |
//! | `variables.rs` | environment variables that look like settings but are not |

mod access;
mod app;
mod client;
mod commands;
mod env_file;
mod greeting;
mod metrics;
mod numbers;
mod output;
mod port;
#[cfg(test)]
mod reference;
mod schema;
mod settings;
mod variables;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tally_requests::dates;
use tally_runtime::config::Problems;
use tally_runtime::{SystemClock, telemetry};
use tally_serve::Domain;

use crate::commands::requests::{
    add, bench, correct, fold, forget, import as import_logs, import_count, merge, producers,
    roll_up, rules, top, totals,
};
use crate::commands::{
    backup, completions, config, copy, debts, health, key, migrate, serve, status, timelines,
};
use crate::env_file::read_env_file;
use crate::settings::{DomainArgs, ServeArgs};
use crate::variables::Unknown;

/// Exact counts of what other services do
///
/// Start a server with `tally serve`, count a request with `tally add GET /hello`, and see it with
/// `tally totals --live`, or live with `tally top`. Settings come from flags, then the environment, then a file .env in the
/// working directory, then defaults.
#[derive(Debug, Parser)]
#[command(name = "tally", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until a signal or a new server stops it
    Serve(Box<ServeArgs>),
    Add(add::AddArgs),
    Import(import_logs::ImportArgs),
    ImportCount(import_count::ImportCountArgs),
    RollUp(roll_up::RollUpArgs),
    Fold(fold::FoldArgs),
    Totals(totals::TotalsArgs),
    Top(top::TopArgs),
    Correct(correct::CorrectArgs),
    Merge(merge::MergeArgs),
    Forget(forget::ForgetArgs),
    Producers(producers::ProducersArgs),
    Rules(rules::RulesArgs),
    Debts(debts::DebtsArgs),
    Timelines(timelines::TimelinesArgs),
    Key(key::KeyArgs),
    Backup(backup::BackupArgs),
    Copy(copy::CopyArgs),
    /// Bring the tables up to date, or list what is missing
    Migrate(migrate::MigrateArgs),
    /// Show the settings that `tally serve` would use here, and where each comes from
    Config(Box<ServeArgs>),
    Health(health::HealthArgs),
    Status(status::StatusArgs),
    Bench(bench::BenchArgs),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

// === impl Command ===

impl Command {
    /// Whether a misspelled setting could make it use another server or database.
    fn has_settings(&self) -> bool {
        matches!(
            self,
            Self::Serve(_)
                | Self::Migrate(_)
                | Self::Config(_)
                | Self::ImportCount(_)
                | Self::Key(_)
                | Self::Backup(_)
        )
    }

    fn is_quiet(&self) -> bool {
        match self {
            Self::Bench(args) => args.quiet,
            Self::Import(args) => args.quiet,
            Self::RollUp(args) => args.quiet,
            Self::Totals(args) => args.quiet,
            _ => false,
        }
    }
}

/// Reads the command line and runs the command, for a server of these domains.
pub async fn run(domains: &[Domain]) -> ExitCode {
    let from_file = match read_env_file(Path::new(".env")) {
        Ok(from_file) => from_file,
        Err(error) => {
            output::fail(format_args!("{error:#}"));
            return ExitCode::from(2);
        }
    };
    let words = || timelines::with_two_dashes(std::env::args_os());
    let matches = match variables::without_empty(command(domains)).try_get_matches_from(words()) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => with_tip(error, std::env::args_os()).exit(),
        // The help names every variable, even an empty one.
        Err(_) => command(domains).get_matches_from(words()),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if let Command::Serve(args) = &cli.command {
        telemetry::begin(args.log.format());
    }
    let Unknown { misspelt, others } = variables::unknown(&command(domains));
    let (mut problems, mut warnings) = (Problems::new(), Vec::from_iter(others));
    if cli.command.has_settings() {
        misspelt.into_iter().for_each(|line| problems.add(line));
    } else {
        warnings.extend(misspelt);
    }
    if !cli.command.is_quiet() {
        warnings.iter().for_each(output::warn);
    }
    let given = matches.subcommand().map(|(_, given)| given).expect("there is always a command");
    let done = does(cli.command, domains, given, &from_file, problems).await;
    done.unwrap_or_else(|error| {
        output::fail(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

/// Does what the command says.
async fn does(
    does: Command,
    domains: &[Domain],
    given: &clap::ArgMatches,
    from_file: &BTreeSet<OsString>,
    problems: Problems,
) -> anyhow::Result<ExitCode> {
    match does {
        Command::Serve(args) => {
            let command = command(domains);
            let command = command.find_subcommand("serve").expect("it was just given");
            let clock = Arc::new(SystemClock);
            serve::run(*args, domains, given, command, from_file, problems, clock).await
        }
        Command::Add(args) => add::run(args, &SystemClock).await,
        Command::Import(args) => import_logs::run(args, Arc::new(SystemClock)).await,
        Command::ImportCount(args) => import_count::run(args, problems).await,
        Command::RollUp(args) => roll_up::run(args, &SystemClock).await,
        Command::Fold(args) => fold::run(args).await,
        Command::Totals(args) => totals::run(args, &SystemClock).await,
        Command::Top(args) => top::run(args, Arc::new(SystemClock)).await,
        Command::Correct(args) => correct::run(args, &SystemClock).await,
        Command::Merge(args) => merge::run(args).await,
        Command::Forget(args) => forget::run(args).await,
        Command::Producers(args) => producers::run(args, &SystemClock).await,
        Command::Rules(args) => rules::run(args).await,
        Command::Debts(args) => debts::run(args).await,
        Command::Timelines(args) => timelines::run(args, &SystemClock).await,
        Command::Key(args) => key::run(args, problems, &SystemClock).await,
        Command::Backup(args) => backup::run(args, problems).await,
        Command::Copy(args) => copy::run(args, domains, problems).await,
        Command::Migrate(args) => migrate::run(args, domains, problems).await,
        Command::Config(args) => {
            let command = command(domains);
            let command = command.find_subcommand("config").expect("it was just given");
            config::run(&args, domains, given, command, from_file, problems)
        }
        Command::Health(args) => health::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Bench(args) => bench::run(args, Arc::new(SystemClock)).await,
        Command::Completions(args) => completions::run(&args, command(domains)),
        Command::Man(args) => completions::write_pages(&args, command(domains)),
    }
}

/// The seconds of `--watch` stand behind `=`, because a period may come next.
fn with_tip(mut error: clap::Error, given: impl Iterator<Item = OsString>) -> clap::Error {
    let given: Vec<_> = given.map(|one| one.to_string_lossy().into_owned()).collect();
    let seconds = given.windows(2).find(|pair| {
        pair[0] == "--watch" && !pair[1].is_empty() && pair[1].bytes().all(|b| b.is_ascii_digit())
    });
    let wrong = [ContextKind::InvalidArg, ContextKind::InvalidValue].map(|kind| error.get(kind));
    let is_wrong = |value: &str| {
        wrong.iter().flatten().any(|one| matches!(one, ContextValue::String(s) if s == value))
    };
    if let Some(seconds) = seconds.map(|pair| &pair[1]).filter(|seconds| is_wrong(seconds)) {
        let tip = format!("write --watch={seconds}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// The command line, with the settings of the domains.
fn command(domains: &[Domain]) -> clap::Command {
    let add = |command: clap::Command, domain: &Domain| {
        // The domain's heading and texts apply to its own settings only.
        let about = command.get_about().cloned().unwrap_or_default();
        (domain.arguments)(command.next_help_heading(None)).about(about).long_about(None)
    };
    let with_settings = |command: clap::Command| domains.iter().fold(command, add);
    let with_help = |command: clap::Command| {
        command.mut_arg("domains", |argument| argument.help(DomainArgs::help(domains)))
    };
    Cli::command()
        .mut_subcommand("serve", |command| with_settings(with_help(command)))
        .mut_subcommand("config", |command| with_settings(with_help(command)))
        .mut_subcommand("migrate", with_help)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const DOMAINS: &[Domain] =
        &[tally_requests::DOMAIN, tally_debts::DOMAIN, tally_timelines::DOMAIN];

    /// Every variable that a command reads, with its default.
    fn variables() -> BTreeMap<String, String> {
        let command = command(DOMAINS);
        let arguments = variables::arguments(&command);
        let variable = |argument: &clap::Arg| {
            let name = argument.get_env()?.to_string_lossy().into_owned();
            let default = argument.get_default_values().first();
            let default = default.map(|value| value.to_string_lossy().into_owned());
            Some((name, default.unwrap_or_default()))
        };
        arguments.into_iter().filter_map(variable).collect()
    }

    #[test]
    fn the_example_file_names_every_variable_with_its_default() {
        let mut example = BTreeMap::new();
        for line in include_str!("../../../../.env.example").lines() {
            let line = line.trim_start_matches("# ").trim_start_matches('#');
            let Some((name, value)) = line.split_once('=') else { continue };
            let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
            if !name.is_empty() && name.chars().all(is_name) {
                let again = example.insert(name.to_owned(), value.trim().to_owned());
                assert_eq!(again, None, "{name} is there twice");
            }
        }
        let mut program = variables();
        // Unset by default: the example shows a value.
        for variables in [&mut program, &mut example] {
            for name in ["MIGRATION_DRIVER", "TALLY_CONNECTIONS_MAX"] {
                variables.insert(name.into(), String::new());
            }
        }
        assert_eq!(example, program);
    }

    #[test]
    fn the_page_of_settings_has_every_flag_of_serve_with_its_variable_and_default() {
        let quoted =
            |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let page = include_str!("../../../../docs/settings.md");
        let rows = page.lines().map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
        let mut listed = BTreeMap::new();
        for row in rows.filter(|row| row.len() > 5 && row[1].starts_with("`--")) {
            // A row of several flags has a variable for each, and no default.
            for (flag, variable) in quoted(row[1]).into_iter().zip(quoted(row[2])) {
                listed.insert(flag, (variable, quoted(row[3])));
            }
        }
        let command = command(DOMAINS);
        let serve = command.find_subcommand("serve").expect("a command");
        let mut known = BTreeMap::new();
        for argument in serve.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let Some(variable) = argument.get_env() else { continue };
            let flag = format!("--{}", argument.get_long().expect("a flag"));
            let default =
                argument.get_default_values().iter().map(|v| v.to_string_lossy().into_owned());
            known.insert(flag, (variable.to_string_lossy().into_owned(), default.collect()));
        }
        assert_eq!(listed, known);
    }

    /// As someone is told whose variable is unknown.
    #[test]
    fn the_help_of_serve_and_totals_lists_every_variable() {
        let mut all = command(DOMAINS);
        let mut help = |name: &str| {
            let command = all.find_subcommand_mut(name).expect("a command");
            command.render_long_help().to_string()
        };
        let listed = help("serve") + &help("totals");
        // The one of a single command is in its help.
        let is_common = |name: &String| {
            let is_spool =
                ["TALLY_DEBTS_SPOOL", "TALLY_TIMELINES_SPOOL", "TALLY_TIMELINES_AGENT_SPOOL"]
                    .contains(&name.as_str());
            name.starts_with("TALLY_") && !is_spool
        };
        for name in variables().into_keys().filter(is_common) {
            // A secret has no value there.
            let is_listed =
                ["=", "]"].iter().any(|end| listed.contains(&format!("[env: {name}{end}")));
            assert!(is_listed, "{name} is not in {listed}");
        }
    }

    #[test]
    fn the_seconds_of_watch_are_written_behind_an_equals_sign() {
        let said = |words: &str| {
            let given = || words.split(' ').map(OsString::from);
            let error = command(DOMAINS).try_get_matches_from(given()).expect_err(words);
            with_tip(error, given()).to_string()
        };
        for words in ["tally totals today --live --watch 5", "tally totals --watch 5"] {
            assert!(said(words).contains("tip: write --watch=5"), "{}", said(words));
        }
        assert!(!said("tally totals --watch 5 --from x").contains("tip: write --watch=x"));
        assert!(!said("tally totals --watch today 7").contains("--watch="));
    }

    #[test]
    fn the_command_line_is_consistent() {
        command(DOMAINS).debug_assert();
    }
}
