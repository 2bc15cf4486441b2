//! `cargo xtask torture`: builds `tally` with the feature `faults` and tortures it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cargo;

/// Builds the programs of a run with the feature `faults`.
const BUILD: [&str; 7] = [
    "build",
    "--package=tally",
    "--package=tally-torture",
    "--bin=tally",
    "--bin=tally-torture",
    "--features=tally-torture/faults",
    "--message-format=json-render-diagnostics",
];

/// Builds both programs in one step, so that `tally` gets the feature, and runs `tally-torture`
/// with these arguments.
pub(crate) fn run(root: &Path, release: bool, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let mut build = cargo::command(root);
    build.args(BUILD);
    if release {
        build.arg("--release");
    }
    let output = build.stderr(Stdio::inherit()).output().context("cannot run cargo build")?;
    if !output.status.success() {
        bail!("cargo build failed");
    }
    let built = String::from_utf8(output.stdout).context("cargo writes UTF-8")?;
    let mut command = Command::new(program(&built, "tally-torture")?);
    command.arg("--tally").arg(program(&built, "tally")?).args(arguments);
    Ok(cargo::run(&command))
}

/// The path of a program in cargo's messages.
fn program(built: &str, name: &str) -> anyhow::Result<PathBuf> {
    for line in built.lines() {
        let message: Value = serde_json::from_str(line).context("cargo writes JSON")?;
        let is_it = message["target"]["name"] == name && message["target"]["kind"][0] == "bin";
        if let Some(path) = message["executable"].as_str().filter(|_| is_it) {
            return Ok(path.into());
        }
    }
    bail!("cargo build does not report the path of {name}")
}
