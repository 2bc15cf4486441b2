//! `cargo xtask torture`: builds `tally` with the feature `faults` and tortures it.

use std::path::Path;
use std::process::ExitCode;

use crate::programs::{BuildOptions, run_beside_tally};

/// Builds both programs in one step, so that `tally` gets the feature, and runs `tally-torture`
/// with these arguments.
pub(crate) fn run(root: &Path, release: bool, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let options = BuildOptions { release, features: Some("tally-torture/faults") };
    run_beside_tally(root, "tally-torture", options, arguments)
}
