//! `tally timelines import`: what another product knows of its runs, as timelines.
//!
//! | file | what it owns |
//! |---|---|
//! | `github.rs` | jobs of GitHub Actions |

mod github;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use tally_proto::tally::timelines::v1 as proto;
use tally_proto::tally::timelines::v1::record_result::Result as RecordResult;

use self::github::Read;
use super::failed;
use crate::client::ServerArgs;
use crate::client::patience::{Failed, patiently};
use crate::output::{plural, say, visible};

/// How much is read, and how much is sent at once.
const BYTES_MAX: u64 = 256 << 20;
const MESSAGES_MAX: usize = 1_000;
/// How long messages are tried while the server is away.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many refusals are told, one by one.
const TOLD_MAX: usize = 20;

/// Make timelines of the jobs of GitHub Actions
///
/// It reads what GitHub answers at /repos/OWNER/REPO/actions/runs/RUN/jobs. Each attempt
/// of a run is a timeline, whose label is the run's id, each job an event that waits for
/// its runner and then works, and each step an event below its job. The same again
/// changes nothing, and what goes on is told when it is imported later.
///
/// Examples:
///   gh api --paginate repos/OWNER/REPO/actions/runs/RUN/jobs | tally timelines import
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ImportArgs {
    /// The file; `-` is stdin
    #[arg(default_value = "-")]
    file: PathBuf,

    /// The context [default: the name of the workflow]
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,

    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display().to_string();
    let text = read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let Read { messages, jobs, wrong } = github::read(&text, args.context.as_deref())
        .map_err(|why| anyhow!("{file} is not what GitHub answers of jobs: {why}"))?;
    let mut refused = wrong;
    let mut stored = 0;
    for some in messages.chunks(MESSAGES_MAX) {
        let results = tell(&args.server, some).await?;
        if results.len() != some.len() {
            bail!("the server answered {} of {} messages", results.len(), some.len());
        }
        for (message, result) in some.iter().zip(results) {
            match result.result {
                Some(RecordResult::Recorded(recorded)) => {
                    stored += u32::from(!recorded.is_repeated);
                }
                Some(RecordResult::Refusal(proto::Refusal { message: why, .. })) => {
                    refused.push(format!("{}: {why}", visible(&message.name)));
                }
                None => refused.push(format!("{}: the server did not say", visible(&message.name))),
            }
        }
    }
    refused.iter().take(TOLD_MAX).for_each(|line| say(format_args!("{file}: {line}")));
    let more = refused.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        say(format_args!("{file}: {more} more were refused"));
    }
    let (jobs, stored) = (plural(jobs, "job"), plural(stored, "message"));
    say(format_args!("{jobs} read, {stored} new, {} refused", refused.len()));
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn tell(
    server: &ServerArgs,
    messages: &[proto::RecordRequest],
) -> anyhow::Result<Vec<proto::RecordResult>> {
    let attempt = || async {
        let mut client = server.timelines().await.map_err(Failed::of_connecting)?;
        let request = proto::RecordAllRequest { messages: messages.to_vec() };
        let recorded = client.record_all(request).await;
        let why = |status| Failed::of(&status, failed("import the jobs", &status));
        recorded.map(|answer| answer.into_inner().results).map_err(why)
    };
    patiently(PATIENCE, false, attempt).await.map_err(Failed::into_error)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let input: Box<dyn io::Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(fs::File::open(file)?),
    };
    let mut text = Vec::new();
    input.take(BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {} MiB", BYTES_MAX >> 20)));
    }
    Ok(text)
}
