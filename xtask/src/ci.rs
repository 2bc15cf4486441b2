//! `cargo xtask ci`: what is checked before a change goes in.

use std::path::Path;
use std::process::ExitCode;

use crate::cargo;

/// Runs `.ci/run`, the one list of the checks.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let mut command = cargo::in_workspace("bash", root);
    command.arg(".ci/run");
    Ok(cargo::run(&command))
}
