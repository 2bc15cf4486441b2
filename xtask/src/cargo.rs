//! Running a program in the workspace as from a shell, and ending it with us.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use tally_testkit::{Process, Spawn};

/// Variables that `cargo run` sets for us. They would make cargo rebuild some crates, because their
/// build scripts rerun when these change.
const OURS: [&str; 5] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "OUT_DIR"];

/// The cargo that runs us, in the workspace's root.
pub(crate) fn command(root: &Path) -> Command {
    in_workspace(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), root)
}

/// A program in the workspace's root, without the variables that cargo set for us.
pub(crate) fn in_workspace(program: impl AsRef<OsStr>, root: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root);
    for (key, _) in std::env::vars_os() {
        let key = key.to_string_lossy().into_owned();
        if OURS.iter().any(|prefix| key.starts_with(prefix)) {
            command.env_remove(key);
        }
    }
    command
}

/// Runs it to the end with our own outputs, and returns its exit code. It is killed with all its
/// children if we end first, however we end.
pub(crate) fn run(command: &Command) -> ExitCode {
    let how = Spawn { inherit_output: true, ..Spawn::default() };
    let status = Process::spawn_with(command, &how).wait(Duration::MAX).status;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
