//! Tally: the list of its domains.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    tally_app::run(&[tally_requests::DOMAIN]).await
}
