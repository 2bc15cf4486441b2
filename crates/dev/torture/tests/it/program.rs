//! The programs, and a run in its own folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tally_testkit::{Output, run};

use crate::LIMIT;

const TORTURE: &str = env!("CARGO_BIN_EXE_tally-torture");

/// Variables that cargo sets for a test and that would make it rebuild some crates.
const OURS: [&str; 5] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "OUT_DIR"];

/// Builds `tally` with the feature `faults`, because cargo gives a test only the paths of its own
/// package's programs. After `cargo test --workspace` it is already built.
fn tally() -> &'static Path {
    static TALLY: OnceLock<PathBuf> = OnceLock::new();
    TALLY.get_or_init(|| {
        let folder = Path::new(TORTURE).parent().expect("a program is in a folder");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if OURS.iter().any(|prefix| name.starts_with(prefix)) {
                cargo.env_remove(&*name);
            }
        }
        // Including a test target enables the dev-dependencies' features, as for the tests.
        cargo.args(["build", "--offline", "--workspace", "--bin=tally", "--test=torture"]);
        cargo.args(["--profile", profile, "--target-dir"]).arg(folder.join(".."));
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.."));
        let built = run(&cargo, b"", LIMIT * 2);
        assert!(built.status.success(), "{}", built.stderr);
        folder.join("tally")
    })
}

/// A run with these arguments, with its files in this folder.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TORTURE);
    command.arg("--tally").arg(tally()).args(arguments).env("TMPDIR", folder);
    command
}

/// Runs it to the end.
#[track_caller]
pub(crate) fn torture(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    run(&command(folder.path(), arguments), b"", LIMIT)
}
