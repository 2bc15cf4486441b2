//! Developers' programs that run `tally`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cargo;

/// How the programs are built.
#[derive(Clone, Copy)]
pub(crate) struct BuildOptions {
    /// With optimizations.
    pub(crate) release: bool,
    pub(crate) features: Option<&'static str>,
}

/// Builds a program and `tally` in one step, so that both have the same features, and runs it with
/// `--tally` and these arguments.
pub(crate) fn run_beside_tally(
    root: &Path,
    name: &str,
    options: BuildOptions,
    arguments: &[String],
) -> anyhow::Result<ExitCode> {
    let mut build = cargo::command(root);
    build.args(["build", "--message-format=json-render-diagnostics"]);
    for name in ["tally", name] {
        build.args(["--package", name, "--bin", name]);
    }
    if let Some(features) = options.features {
        build.args(["--features", features]);
    }
    if options.release {
        build.arg("--release");
    }
    let output = build.stderr(Stdio::inherit()).output().context("cannot run cargo build")?;
    if !output.status.success() {
        bail!("cargo build failed");
    }
    let built = String::from_utf8(output.stdout).context("cargo writes UTF-8")?;
    let mut command = Command::new(program(&built, name)?);
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
