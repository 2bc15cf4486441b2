//! Tally with a second domain.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    tally_app::run(&[tally_requests::DOMAIN, tally_marks::DOMAIN]).await
}
