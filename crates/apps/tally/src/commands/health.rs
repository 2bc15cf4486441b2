//! `tally health`: whether the server is serving, for scripts and container health checks.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::client::{ServerArgs, describe};
use crate::output::{self, say};

/// How long connecting and the answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Ask whether the server is serving: `SERVING` and exit code 0, or exit code 1
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let asking = async {
        let mut client = HealthClient::new(args.server.connect_openly().await?);
        let check = client.check(HealthCheckRequest { service: String::new() }).await;
        check.map_err(|status| anyhow!("cannot ask for the server's health: {}", describe(&status)))
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, asking)
        .await
        .map_err(|_| anyhow!("the server did not answer within {} s", ANSWER_TIMEOUT.as_secs()))?;
    let status = answer?.into_inner().status();
    let mut out = output::stdout();
    output::written(write_status(&mut out, status))?;
    if status == ServingStatus::NotServing {
        say("the server's log says why");
    }
    Ok(if status == ServingStatus::Serving { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_status(out: &mut impl std::io::Write, status: ServingStatus) -> std::io::Result<()> {
    writeln!(out, "{}", status.as_str_name())?;
    out.flush()
}
