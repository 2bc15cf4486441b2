//! `tally forget`: names that must not be kept.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use tally_proto::tally::requests::v1::ForgetRequest;

use super::author;
use super::flags::describe_in_flags;
use super::selection::{self, SelectionArgs};
use crate::client::ServerArgs;
use crate::output::{self, OutputFormat, say};

/// Forget names, and keep the counts
///
/// The requests of everything that is selected count under `_forgotten` in place
/// of the names that it was selected by, and these are gone from the database and
/// from all servers within seconds. No sum changes. What comes later under the
/// same names counts there too, except after --path-regex. docs/corrections.md
/// says what is left on disks and in backups.
///
/// Examples:
///   tally forget --customer ann@example.com --dry-run
///   tally forget --customer ann@example.com
///   tally forget --path-prefix /users/ann/
///   tally forget --path-regex '^/users/[^/]*@'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    /// Show which series would move, with how many requests, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Allow that every path is selected
    #[arg(long)]
    everything: bool,

    /// Who asks for it, for the table of changes [default: the user of this machine]
    #[arg(long, value_name = "NAME")]
    author: Option<String>,

    /// How to print a dry run [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum, requires = "dry_run")]
    format: Option<OutputFormat>,

    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: ForgetArgs) -> anyhow::Result<ExitCode> {
    let author = match author(args.author) {
        Ok(author) => author,
        Err(code) => return Ok(code),
    };
    let request = ForgetRequest {
        selection: Some(args.selection.to_proto()),
        everything: args.everything,
        dry_run: args.dry_run,
        author,
    };
    let mut client = args.server.books().await?;
    let answer = args.server.answer(client.forget(request)).await;
    let answer =
        answer.map_err(|status| anyhow!("cannot forget: {}", describe_in_flags(&status)))?;
    let answer = answer.into_inner();
    if args.dry_run {
        let format = OutputFormat::or_usual(args.format);
        output::written(selection::print(&mut output::stdout(), format, &answer.moved))?;
    }
    selection::say_changed(&answer, "forgotten", args.dry_run);
    if !answer.is_kept {
        say("what comes later and matches the regex is not forgotten: repeat it then");
    }
    Ok(ExitCode::SUCCESS)
}
