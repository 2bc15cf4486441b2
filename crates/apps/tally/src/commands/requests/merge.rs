//! `tally merge`: series that should be one.

use std::process::ExitCode;

use clap::Args;
use tally_proto::tally::requests::v1::MergeRequest;

use super::author;
use super::selection::{ChangeArgs, SelectionArgs};

/// Merge paths, services or customers into one
///
/// The requests of everything that is selected count under the names that --into
/// gives, in place of their own, and so does what comes later. What --into does not
/// name stays as it is. No sum changes, and it cannot be undone.
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
#[command(verbatim_doc_comment)]
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
    let author = match author(args.change.author.clone()) {
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
    let answer = server.answer(client.merge(request)).await;
    args.change.finish(answer, "merge", "merged")?;
    Ok(ExitCode::SUCCESS)
}
