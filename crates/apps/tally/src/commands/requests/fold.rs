//! `tally fold`: what servers do by themselves, now.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use tally_proto::tally::requests::v1::FoldRequest;

use crate::client::{ServerArgs, describe};
use crate::output::{plural, say};

/// Fold now: add stored requests to the counts of their quarter-hours
///
/// A request is stored as a row of its own. A fold adds the rows to one count for each series and
/// quarter-hour (00:00 to 00:15 UTC and so on) and removes them, so that the database stays small
/// and live totals fast. Servers do it by themselves, every quarter-hour and under load more often.
/// No total changes.
#[derive(Debug, Args)]
pub(crate) struct FoldArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: FoldArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.requests().await?;
    let answer = args.server.answer(client.fold(FoldRequest {})).await;
    let answer = answer.map_err(|status| anyhow!("cannot fold: {}", describe(&status)))?;
    let requests = answer.into_inner().requests;
    say(format_args!("folded {}", plural(requests, "request")));
    Ok(ExitCode::SUCCESS)
}
