//! The program itself, with small numbers: it ends well and finds every total right. No time of it
//! means anything.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tally_testkit::{Output, bin_dir, built_tally, run};

const BENCH: &str = env!("CARGO_BIN_EXE_tally-bench");

/// Limit for a run that takes a few seconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(900);

/// Runs a verb on each database that there is, and returns what it prints.
#[track_caller]
fn quick(arguments: &[&str]) -> String {
    let output = quick_with(built_tally(BENCH), arguments);
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    output.stdout
}

/// The same with this `tally`, however it ends.
#[track_caller]
fn quick_with(tally: &Path, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(BENCH);
    command.arg("--quick").arg("--tally").arg(tally).args(arguments);
    if bin_dir().is_none() && std::env::var_os("CI").is_none() {
        command.args(["--backend", "sqlite"]);
    }
    let output = run(command.env("TMPDIR", folder.path()), b"", LIMIT);
    let left: Vec<_> = folder.path().read_dir().expect("the folder").flatten().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    output
}

/// A `tally` whose `bench` says something else than it has found.
fn lying(folder: &Path, instead: &str) -> PathBuf {
    let (program, tally) = (folder.join("tally"), built_tally(BENCH).display());
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = bench ]; then '{tally}' \"$@\" | sed '{instead}'; \
         else exec '{tally}' \"$@\"; fi\n"
    );
    fs::write(&program, script).expect("room for a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    program
}

#[test]
fn everything_in_the_table_is_counted_exactly() {
    let printed = quick(&[]);
    assert!(printed.contains("PASS") && !printed.contains("WRONG"), "{printed}");
    assert!(printed.contains("20,000 rows become totals"), "{printed}");
    assert!(printed.contains("too small for any figure"), "{printed}");
    assert!(!printed.contains("target") && !printed.contains("missed"), "{printed}");
    for row in
        ["Add, 8 streams, 1s", "Record, 8 streams, raw", "queue, 2 threads, 1s", "bytes, raw"]
    {
        assert!(printed.contains(row), "{row}: {printed}");
    }
}

#[test]
fn a_lost_request_fails_the_table() {
    let row = ["--backend", "sqlite", "--only", "Record, 8 streams, raw"];
    for (instead, found) in [
        // It says so itself, or the totals lack what it says it has acknowledged.
        ("s/\"lost\":0/\"lost\":1/", "1 requests lost, and not 0"),
        ("s/\"all_acknowledged\":/&1/", "requests stored, and not 1"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let output = quick_with(&lying(folder.path(), instead), &row);
        assert!(!output.status.success(), "{}{}", output.stdout, output.stderr);
        assert!(output.stdout.contains(found) && output.stdout.contains("FAIL"), "{output:?}");
    }
}

#[test]
fn what_cannot_be_measured_is_one_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = tally_testkit::free_port();
    let closed = format!("postgres://nobody@127.0.0.1:{port}/none");
    let cases: [(&[&str], &str); 5] = [
        (&["--backend", "postgres", "--database-url", &closed], "--database-url"),
        (&["--backend", "postgres", "--database-url", "sqlite:a.db"], "--database-url"),
        (&["--backend", "sqlite", "--only", "no such row"], "bare loop of inserts"),
        (&["--rounds", "0"], "--rounds"),
        (&["--only", "record", "wild"], "--only"),
    ];
    for (arguments, part) in cases {
        let mut command = Command::new(BENCH);
        command.arg("--quick").arg("--tally").arg(built_tally(BENCH)).args(arguments);
        let output = run(command.env("TMPDIR", folder.path()), b"", LIMIT);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        assert!(output.stderr.starts_with("error: "), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(part), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_day_is_counted_exactly() {
    let printed = quick(&["day"]);
    assert!(printed.contains("PASS") && !printed.contains("WRONG"), "{printed}");
}

#[test]
fn payments_are_stored_and_alarms_raised_exactly() {
    let printed = quick(&["debts"]);
    assert!(printed.contains("all payments were stored: PASS"), "{printed}");
    assert!(!printed.contains("FAIL") && !printed.contains("MISSED"), "{printed}");
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
fn memory_is_watched_while_requests_are_counted_exactly() {
    let printed = quick(&["memory"]);
    assert!(printed.contains("PASS") && !printed.contains("WRONG"), "{printed}");
    assert!(printed.contains("full speed") && !printed.contains("target"), "{printed}");
}

#[test]
fn years_of_books_are_read_exactly() {
    let printed = quick(&["years"]);
    assert!(printed.contains("PASS") && !printed.contains("FAIL"), "{printed}");
    // Every form has an answer: those that have none print a status.
    let mut forms = printed.lines().filter(|line| line.contains(" days by "));
    assert!(forms.all(|line| !line.contains(": ")), "{printed}");
}
