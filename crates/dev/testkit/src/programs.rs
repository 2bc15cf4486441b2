//! Programs besides Postgres that some tests use, and where they come from.

use std::env::var_os;
use std::process::Command;

/// Each program, and its package in Debian and Ubuntu: the browser and its driver, what the examples of the
/// documentation use, and what checks metrics, alerts and the units of systemd.
pub const PROGRAMS: [(&str, &str); 7] = [
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("curl", "curl"),
    ("jq", "jq"),
    ("promtool", "prometheus"),
    ("python3", "python3"),
    ("systemd-analyze", "systemd"),
];

/// Whether a program is installed.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let version = Command::new(program).arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Whether a test can run, which needs these of [`PROGRAMS`]; if it cannot, this says what to install.
///
/// # Panics
/// Under CI, where no test may be left out, if one is missing.
#[must_use]
#[track_caller]
pub fn has_programs(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| !is_installed(program)).collect();
    if missing.is_empty() {
        return true;
    }
    let package =
        |program| PROGRAMS.iter().find(|(name, _)| name == program).expect("it is listed").1;
    let packages: Vec<_> = missing.into_iter().map(package).collect();
    let advice = format!("not installed: apt-get install {}", packages.join(" "));
    assert!(var_os("CI").is_none(), "{advice}");
    eprintln!("skipped: {advice}");
    false
}
