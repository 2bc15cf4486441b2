//! Child processes: their output, signals and end.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use tally_testkit::{Process, Spawn, Stream, User, eventually_blocking, run, run_with};

use crate::LIMIT;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn lines_are_awaited_and_signals_arrive() {
    let script =
        "trap 'echo stopped >&2; exit 7' TERM; echo \"pid $$\"; while :; do sleep 0.01; done";
    let process = Process::spawn(&shell(script));
    let line = process.wait_for_line(Stream::Stdout, "pid", LIMIT);
    assert_eq!(line, format!("pid {}", process.pid()), "the program has the child's own id");
    assert!(process.is_running());
    process.signal("TERM");
    let output = process.wait(LIMIT);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stderr, "stopped\n");
    process.signal("TERM");
    assert!(!process.is_running());
}

#[test]
#[should_panic(expected = "wrote no line with \"ready\" to Stdout: it closed the stream")]
fn a_program_that_ends_early_fails_the_wait_at_once() {
    Process::spawn(&shell("echo no")).wait_for_line(Stream::Stdout, "ready", LIMIT);
}

#[test]
fn environment_folder_and_input_are_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell("echo \"$GREETING\"; pwd; cat; exit 3");
    command.env("GREETING", "hello").current_dir(folder.path());
    let output = run(&command, b"from stdin\n", LIMIT);
    let expected = format!("hello\n{}\nfrom stdin\n", folder.path().display());
    assert_eq!(output.stdout, expected);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_program_ends_with_its_own_children() {
    let process = Process::spawn(&shell("sleep 600 & echo $!; wait"));
    let child = process.wait_for_line(Stream::Stdout, "", LIMIT);
    let child_runs = || run(&shell(&format!("kill -0 {child}")), b"", LIMIT).status.success();
    assert!(child_runs());
    drop(process);
    eventually_blocking(LIMIT, || !child_runs()).expect("the child's child is killed");
}

#[test]
fn a_stopped_process_waits_and_continues() {
    let process = Process::spawn(&shell("kill -s STOP $$; echo continued"));
    let state = format!("ps -o stat= -p {}", process.pid());
    let stopped = || run(&shell(&state), b"", LIMIT).stdout.starts_with('T');
    eventually_blocking(LIMIT, stopped).expect("it stops itself");
    assert_eq!(process.text(Stream::Stdout), "");
    process.signal("CONT");
    assert_eq!(process.wait(LIMIT).stdout, "continued\n");
}

#[test]
fn a_kill_shows_in_the_status() {
    let process = Process::spawn_with(&shell("cat; exec sleep 600"), &Spawn::default());
    process.signal("KILL");
    assert_eq!(process.wait(LIMIT).status.signal(), Some(9));
}

#[test]
fn root_can_run_a_program_as_another_user() {
    let output = run(&shell("id -u"), b"", LIMIT);
    if output.stdout == "0\n" {
        let output = run_with(&shell("id -u; cat"), b"input", LIMIT, Some(User::NOBODY));
        assert_eq!(output.stdout, "65534\ninput");
    }
}
