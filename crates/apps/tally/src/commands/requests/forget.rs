//! `tally forget`: names that must not be kept.

use std::process::ExitCode;

use clap::Args;
use tally_proto::tally::requests::v1::ForgetRequest;

use super::author;
use super::selection::{ChangeArgs, SelectionArgs, beyond_the_most};
use crate::output::say;

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
#[command(
    verbatim_doc_comment,
    override_usage = "tally forget [OPTIONS] <--path...|--service|--customer>"
)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) async fn run(args: ForgetArgs) -> anyhow::Result<ExitCode> {
    let author = match author(args.change.author.clone(), args.change.dry_run) {
        Ok(author) => author,
        Err(code) => return Ok(code),
    };
    let request = ForgetRequest {
        selection: Some(args.selection.to_proto()),
        everything: args.change.everything,
        dry_run: args.change.dry_run,
        author,
    };
    let server = &args.change.server;
    let mut client = server.books().await?;
    let answer = server.answer_or_signal(client.forget(request)).await?;
    let none = match (args.selection.has_regex(), args.change.dry_run) {
        (true, _) => "nothing to do: no series matches",
        (false, true) => {
            "no series matches now; what comes later and does would count as _forgotten"
        }
        (false, false) => "no series matches now; what comes later and does counts as _forgotten",
    };
    let answer = args.change.finish(answer, "forget", "forgotten", none)?;
    if !answer.is_kept {
        say(if args.selection.has_regex() {
            "series that come later and match the regex will not be forgotten, because a forget keeps \
             no regex: run this again when some have come, or use --path-prefix"
                .to_owned()
        } else {
            beyond_the_most("forgotten")
        });
    }
    Ok(ExitCode::SUCCESS)
}
