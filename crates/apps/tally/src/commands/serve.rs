//! `tally serve`: count requests until it is stopped.

use std::process::ExitCode;
use std::sync::Arc;

use tally_runtime::Clock;

use crate::app;
use crate::output::wrong_usage;
use crate::settings::ServeArgs;

/// Counts requests until a signal or a new server stops it.
pub(crate) async fn run(args: ServeArgs, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
    let settings = match args.check() {
        Ok(settings) => settings,
        Err(invalid) => return Ok(wrong_usage(invalid)),
    };
    app::log(&settings.database)?;
    app::serve(settings, clock).await
}
