//! `tally fold`: what servers do by themselves, now.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use tally_proto::tally::requests::v1::FoldRequest;

use crate::client::{ServerArgs, describe};
use crate::output::{plural, say};

/// Add the requests that are stored one by one to the totals of their days, now
///
/// Servers do it by themselves, every quarter-hour and under load more often. What `tally totals --live`
/// shows does not change.
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
