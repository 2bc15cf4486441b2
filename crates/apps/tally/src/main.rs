//! Tally: the list of its domains.

use std::process::ExitCode;

/// It gives memory back that a crowd of clients took, which glibc's does not, and several threads allocate at
/// the same time, at which musl's is many times slower.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tally_app::run(&[tally_requests::DOMAIN, tally_debts::DOMAIN]).await
}
