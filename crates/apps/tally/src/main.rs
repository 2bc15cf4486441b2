//! Tally's one binary: reads the command line and runs the command.

mod client;
mod commands;
mod dates;
mod import;
mod methods;
mod output;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use tally_runtime::SystemClock;

use crate::commands::{add, health, import as import_logs, roll_up, totals};

/// Exact counts of what other services do
#[derive(Debug, Parser)]
#[command(name = "tally", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(add::AddArgs),
    Import(import_logs::ImportArgs),
    RollUp(roll_up::RollUpArgs),
    Totals(totals::TotalsArgs),
    Health(health::HealthArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Add(args) => add::run(args, &SystemClock).await,
        Command::Import(args) => import_logs::run(args, Arc::new(SystemClock)).await,
        Command::RollUp(args) => roll_up::run(args, &SystemClock).await,
        Command::Totals(args) => totals::run(args, &SystemClock).await,
        Command::Health(args) => health::run(args).await,
    };
    done.unwrap_or_else(|error| {
        output::say(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}
