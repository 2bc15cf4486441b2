//! `cargo xtask bench`: builds `tally` with optimizations and measures it.

use std::path::Path;
use std::process::ExitCode;

use crate::programs::{BuildOptions, run_beside_tally};

/// Runs `tally-bench` with these arguments.
pub(crate) fn run(root: &Path, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let options = BuildOptions { release: true, features: None };
    run_beside_tally(root, "tally-bench", options, arguments)
}
