//! `tally debts export`.

use std::process::ExitCode;

use clap::Args;
use tally_proto::tally::debts::v1 as proto;

use super::{define, failed};
use crate::client::ServerArgs;
use crate::output;

/// Write all debts as JSON, one on each line
///
/// `tally debts import` reads them. Where alarms go is not in it, as far as it may be
/// a secret: /… stands for the path of a URL, which import takes for what is there
/// already, and refuses where nothing is. Another server needs --with-secrets.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ExportArgs {
    /// With the whole URLs of --notify; it needs a key of the scope admin
    #[arg(long)]
    with_secrets: bool,

    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.debts().await?;
    let with_secrets = args.with_secrets;
    let mut request = proto::ListDebtsRequest { by_slug: true, with_secrets, ..Default::default() };
    let mut out = output::stdout();
    loop {
        let answer = args.server.answer(client.list_debts(request.clone())).await;
        let answer = answer.map_err(|status| failed("list the debts", &status))?.into_inner();
        let definitions = answer.debts.into_iter().filter_map(|debt| debt.definition);
        if !output::written(define::write_all(&mut out, definitions))? {
            return Ok(ExitCode::SUCCESS);
        }
        if answer.next.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        request.after = answer.next;
    }
}
