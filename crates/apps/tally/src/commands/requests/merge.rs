//! `tally merge`: series that should be one.

use std::process::ExitCode;

use clap::Args;
use tally_proto::tally::requests::v1::MergeRequest;

use super::author;
use super::selection::{ChangeArgs, SelectionArgs, beyond_the_most};
use crate::output::{say, wrong_usage};

/// Merge paths, services or customers into one
///
/// The requests of everything that is selected count under the names that the
/// --into-... flags give, in place of their own, and so does what comes later. What
/// they do not name stays as it is. No sum changes, and it cannot be undone.
///
/// --path-prefix /users/ takes everything below it, such as /users/ann/orders, and
/// for ever after also a route /users/{id}/orders. A regex can select one segment.
///
/// Examples:
///   tally merge --path-regex '^/users/[^/]+$' --into-path '/users/{id}' --dry-run
///   tally merge --path-regex '^/users/[^/]+$' --into-path '/users/{id}'
///   tally merge --path /health --into-path /healthz
///   tally merge --customer 'Acme Inc' --into-customer acme
///   tally merge --service shop-old --into-service shop
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    override_usage = "tally merge [OPTIONS] <--path...|--service|--customer> <--into-...>"
)]
pub(crate) struct MergeArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    into: IntoArgs,

    #[command(flatten)]
    change: ChangeArgs,
}

/// What series get in place of their own names.
#[derive(Debug, Args)]
#[group(id = "into", required = true, multiple = true)]
struct IntoArgs {
    /// The path that they get
    #[arg(long, value_name = "PATH")]
    into_path: Option<String>,

    /// The service that they get; "" for none
    #[arg(long, value_name = "NAME")]
    into_service: Option<String>,

    /// The customer that they get; "" for none
    #[arg(long, value_name = "NAME")]
    into_customer: Option<String>,
}

pub(crate) async fn run(args: MergeArgs) -> anyhow::Result<ExitCode> {
    if let (true, Some(path)) = (args.selection.has_regex(), &args.into.into_path)
        && let Some(reference) = reference(path)
    {
        return Ok(wrong_usage(format_args!(
            "--into-path is a path as it is, and {reference} stands for nothing in it: all that the \
             regex selects becomes one path, such as '/users/{{id}}'"
        )));
    }
    let author = match author(args.change.author.clone(), args.change.dry_run) {
        Ok(author) => author,
        Err(code) => return Ok(code),
    };
    let IntoArgs { into_path, into_service, into_customer } = args.into;
    let request = MergeRequest {
        selection: Some(args.selection.to_proto()),
        into_service,
        into_path,
        into_customer,
        everything: args.change.everything,
        dry_run: args.change.dry_run,
        author,
    };
    let server = &args.change.server;
    let mut client = server.books().await?;
    let answer = server.answer_or_signal(client.merge(request)).await?;
    let none = "nothing to do: no series that matches is left";
    let answer = args.change.finish(answer, "merge", "merged", none)?;
    if !answer.is_kept {
        say(beyond_the_most("merged"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What looks like a reference to a group of a regex, such as `$1`, `${1}` or `\1`.
fn reference(path: &str) -> Option<&str> {
    let (at, _) = path.char_indices().find(|(at, character)| {
        let rest = &path[at + character.len_utf8()..];
        let rest = if *character == '$' { rest.strip_prefix('{').unwrap_or(rest) } else { rest };
        matches!(character, '$' | '\\') && rest.starts_with(|first: char| first.is_ascii_digit())
    })?;
    let length = path[at..].find('/').unwrap_or(path.len() - at);
    Some(&path[at..at + length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_to_a_group_is_seen() {
        for (path, seen) in [
            ("/b/$1", Some("$1")),
            ("/${2}/b", Some("${2}")),
            ("/\\1", Some("\\1")),
            ("/users/{id}", None),
            ("/odata/$metadata", None),
            ("/1$", None),
            ("/\u{20ac}/{1}", None),
        ] {
            assert_eq!(reference(path), seen, "{path}");
        }
    }
}
