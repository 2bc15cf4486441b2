//! The program itself, with small numbers: it ends well and finds every total right. No time of it
//! means anything.

use std::process::Command;
use std::time::Duration;

use tally_testkit::{bin_dir, built_tally, run};

const BENCH: &str = env!("CARGO_BIN_EXE_tally-bench");

/// Limit for a run that takes a few seconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a verb on each database that there is, and returns what it prints.
#[track_caller]
fn quick(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(BENCH);
    command.arg("--quick").arg("--tally").arg(built_tally(BENCH)).args(arguments);
    if bin_dir().is_none() && std::env::var_os("CI").is_none() {
        command.args(["--backend", "sqlite"]);
    }
    let output = run(command.env("TMPDIR", folder.path()), b"", LIMIT);
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    let left: Vec<_> = folder.path().read_dir().expect("the folder").flatten().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    output.stdout
}

#[test]
fn a_day_is_counted_exactly() {
    let printed = quick(&["day"]);
    assert!(printed.contains("PASS") && !printed.contains("WRONG"), "{printed}");
}

#[test]
fn a_roll_up_moves_every_row() {
    let printed = quick(&["roll-up"]);
    assert!(printed.contains("PASS"), "{printed}");
}

#[test]
fn requests_of_all_years_are_counted_exactly() {
    let printed = quick(&["wild"]);
    assert!(printed.contains("PASS"), "{printed}");
}

#[test]
fn years_of_books_are_read_exactly() {
    let printed = quick(&["years"]);
    assert!(printed.contains("PASS") && !printed.contains("FAIL"), "{printed}");
    // Every form has an answer: those that have none print a status.
    let mut forms = printed.lines().filter(|line| line.contains(" days by "));
    assert!(forms.all(|line| !line.contains(": ")), "{printed}");
}
