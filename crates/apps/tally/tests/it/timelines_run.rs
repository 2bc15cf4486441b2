//! `tally timelines run`: the command runs whatever becomes of Tally, and what happened is told once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tally_testkit::{Output, Process, eventually_blocking, http, run_with};

use crate::support::{Home, LIMIT, Server};

fn command(server: &Server, home: &Home, patience: &str, script: &str) -> Command {
    let words = [
        "timelines",
        "run",
        "ci",
        "test",
        "-n",
        "h",
        "--patience",
        patience,
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut command = server.command(&words);
    command.env("TALLY_TIMELINES_SPOOL", home.path("spool"));
    command
}

fn run(server: &Server, home: &Home, patience: &str, script: &str) -> Output {
    run_with(&command(server, home, patience, script), b"", LIMIT, None)
}

/// The messages that are kept, of whatever server and key.
fn kept(home: &Home) -> usize {
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    inside(&home.path("spool")).iter().map(|folder| inside(folder).len()).sum()
}

/// Names, attempts and states.
fn events(server: &Server) -> Vec<String> {
    let shown = server.run(&["timelines", "show", "ci", "--format", "csv"]).stdout;
    shown.lines().skip(1).map(|line| line.split(",20").next().unwrap_or(line).to_owned()).collect()
}

#[test]
fn a_command_is_an_event_and_ends_as_it_does() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let ran = run(&server, &home, "20s", "cat; echo out; echo oops >&2; exit 3");
    assert_eq!((ran.status.code(), &*ran.stdout), (Some(3), "out\n"), "{ran:?}");
    assert!(ran.stderr.contains("oops\ntold: ci, timeline 1, failed, 1 event\n"), "{ran:?}");
    // honeycombio/gha-buildevents#226: a second start is a further attempt.
    assert!(run(&server, &home, "20s", "true").status.success());
    assert_eq!(events(&server), ["1,test,h,,1,failed", "2,test,h,,2,ok"]);
    let told = http(&server.url, "GET /api/v1/timelines/contexts/ci/1/events", &[], "").body;
    assert!(told.contains(r#""attributes":{"exit_status":"3"}"#), "{told}");
    let missing = server.command(&["timelines", "run", "ci", "gone", "--", "/no/such/command"]);
    let missing = run_with(&missing, b"", LIMIT, None);
    assert_eq!(missing.status.code(), Some(127), "{missing:?}");
    server.stop();
}

#[test]
fn what_could_not_be_told_is_told_by_the_next_run_once() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.kill();
    let ran = run(&server, &home, "0s", "exit 4");
    assert_eq!(ran.status.code(), Some(4), "{ran:?}");
    assert!(ran.stderr.contains("told by the next `tally timelines run`"), "{ran:?}");
    assert_eq!(kept(&home), 2);
    let server = server.again(&home);
    assert!(run(&server, &home, "20s", "true").status.success());
    assert_eq!(events(&server), ["1,test,h,,1,failed", "2,test,h,,2,ok"]);
    assert_eq!(kept(&home), 0);
    server.stop();
}

/// open-telemetry/opentelemetry-specification#2692, open-telemetry/opentelemetry-kotlin#77,
/// open-telemetry/opentelemetry-dotnet-contrib#2682: the reporter crashes, and its open spans are lost. Here they
/// stay, and are open.
#[test]
fn an_event_whose_reporter_is_killed_stays_open() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let (began, door) = (home.path("began"), home.path("door"));
    let made = Command::new("mkfifo").arg(&door).status();
    assert!(made.expect("it is installed").success());
    // It runs until somebody has the door open and closes it.
    let script = format!("touch '{}'; exec cat '{}'", began.display(), door.display());
    let sender = Process::spawn(&command(&server, &home, "20s", &script));
    assert_eq!(eventually_blocking(LIMIT, || began.exists()), Ok(()));
    sender.signal("KILL");
    sender.wait(LIMIT);
    assert_eq!(events(&server), ["1,test,h,,1,open"]);
    drop(fs::OpenOptions::new().write(true).open(&door).expect("it is read"));
    server.stop();
}
