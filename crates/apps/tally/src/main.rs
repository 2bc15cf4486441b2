//! Tally: the list of its domains.

use std::process::ExitCode;

/// musl's own allocator is many times slower when several threads allocate.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tally_app::run(&[tally_requests::DOMAIN, tally_debts::DOMAIN, tally_timelines::DOMAIN]).await
}
