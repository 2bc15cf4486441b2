//! The programs, and a run in its own folder.

use std::path::Path;
use std::process::Command;

use tally_testkit::{Output, built_tally, run};

use crate::LIMIT;

const TORTURE: &str = env!("CARGO_BIN_EXE_tally-torture");

/// A run with these arguments, with its files in this folder.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TORTURE);
    command.arg("--tally").arg(built_tally(TORTURE)).args(arguments).env("TMPDIR", folder);
    command
}

/// Runs it to the end.
#[track_caller]
pub(crate) fn torture(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    run(&command(folder.path(), arguments), b"", LIMIT)
}
