//! `tally` itself, for the tests of other packages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::process::run;

/// Variables that cargo sets for a test and that would make it rebuild some crates.
const OURS: [&str; 5] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "OUT_DIR"];

/// How long the build may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Builds `tally` with the feature `faults` beside `own`, a program of the test's package, because
/// cargo gives a test only the paths of these. After `cargo test --workspace` it is already built.
#[track_caller]
pub fn built_tally(own: &str) -> &'static Path {
    static TALLY: OnceLock<PathBuf> = OnceLock::new();
    TALLY.get_or_init(|| {
        let folder = Path::new(own).parent().expect("a program is in a folder");
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
        // Including a test target enables the dev-dependencies' features, as for the tests. All
        // packages include the same one, so that none replaces the program of another.
        cargo.args(["build", "--offline", "--workspace", "--bin=tally", "--test=torture"]);
        cargo.args(["--profile", profile, "--target-dir"]).arg(folder.join(".."));
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.."));
        let built = run(&cargo, b"", LIMIT);
        assert!(built.status.success(), "{}", built.stderr);
        folder.join("tally")
    })
}
