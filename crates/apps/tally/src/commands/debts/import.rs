//! `tally debts import`: each line by itself, and all refusals.

use std::fmt::Display;
use std::io::{self, BufRead as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::debt_service_client::DebtServiceClient;
use tonic::{Code, Status};

use super::{define, failed};
use crate::client::{Caller, ServerArgs, describe};
use crate::output::{plural, say, visible};

/// Add debts from JSON, one on each line; those that are there are changed
///
/// Each line is done by itself: of those that are refused the line is told, and why, and
/// all others are imported. If there are such lines, the exit status is 1; import the
/// same file again when they are mended.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ImportArgs {
    /// The file; `-` is stdin
    #[arg(default_value = "-")]
    file: PathBuf,

    #[command(flatten)]
    server: ServerArgs,
}

/// What became of a line.
enum Line {
    Added,
    Changed,
    Same,
    Refused(String),
}

pub(super) async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display().to_string();
    let lines = read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let mut client = args.server.debts().await?;
    let (mut added, mut changed, mut same, mut refused) = (0, 0, 0, 0);
    for (at, line) in lines {
        match import(&args.server, &mut client, &line).await? {
            Line::Added => added += 1,
            Line::Changed => changed += 1,
            Line::Same => same += 1,
            Line::Refused(why) => {
                refused += 1;
                say(format_args!("{file}, line {at}: {why}"));
            }
        }
    }
    let (added, refusals) = (plural(added, "debt"), plural(refused, "line"));
    let refusals = if refused > 0 { format!(", {refusals} refused") } else { String::new() };
    say(format_args!("{added} added, {changed} changed, {same} there already{refusals}"));
    Ok(if refused > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The lines that have something, by their numbers.
fn read(file: &PathBuf) -> io::Result<Vec<(usize, String)>> {
    let text: Box<dyn io::BufRead> = match file.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(io::BufReader::new(std::fs::File::open(file)?)),
    };
    let lines = text.lines().enumerate().map(|(at, line)| Ok((at + 1, line?)));
    let has_text = |line: &io::Result<(usize, String)>| {
        line.as_ref().map_or(true, |(_, line)| !line.trim().is_empty())
    };
    lines.filter(has_text).collect()
}

/// Adds a debt, or changes the one that is there. Fails if the next line would not fare better.
async fn import(
    server: &ServerArgs,
    client: &mut DebtServiceClient<Caller>,
    line: &str,
) -> anyhow::Result<Line> {
    let definition = match define::read_line(line) {
        Ok(definition) => definition,
        Err(why) => return Ok(Line::Refused(format!("{why:#}"))),
    };
    let slug = definition.slug.clone();
    let call = client.add_debt(proto::AddDebtRequest { definition: Some(definition.clone()) });
    let (what, status) = match server.answer_or_signal(call).await? {
        Ok(answer) if answer.get_ref().is_repeated => return Ok(Line::Same),
        Ok(_) => return Ok(Line::Added),
        Err(status) if status.code() == Code::AlreadyExists => {
            let definition = Some(definition);
            let request = proto::UpdateDebtRequest { debt: slug.clone(), definition };
            match server.answer_or_signal(client.update_debt(request)).await? {
                Ok(answer) if answer.get_ref().is_unchanged => return Ok(Line::Same),
                Ok(_) => return Ok(Line::Changed),
                Err(status) => ("change", status),
            }
        }
        Err(status) => ("add", status),
    };
    let what = format!("{what} the debt {}", visible(&slug));
    if is_of_line(&status) {
        Ok(refused(&what, describe(&status)))
    } else {
        Err(failed(&what, &status))
    }
}

/// Whether another debt may be taken all the same.
fn is_of_line(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::ResourceExhausted
    )
}

fn refused(what: &str, why: impl Display) -> Line {
    Line::Refused(format!("cannot {what}: {why}"))
}
