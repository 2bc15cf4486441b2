//! `cargo xtask ci`: the checks before a merge.

use std::path::Path;
use std::process::ExitCode;

use crate::cargo;

/// Runs `.ci/run`, the list of all checks.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let mut command = cargo::in_workspace("bash", root);
    command.arg(".ci/run");
    Ok(cargo::run(&command))
}
