//! `tally debts run`: whatever becomes of the command, of Tally and of the process itself, it ends as the command
//! did, and what happened is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tally_testkit::{Output, Process, Stream, eventually_blocking, http, run_with};

use crate::support::{Home, LIMIT, Server};

/// Runs a line of a shell, and pays for it.
fn command(server: &Server, home: &Home, script: &str) -> Command {
    let words = ["debts", "run", "job", "--patience", "10m", "--", "sh", "-c", script];
    let mut command = server.command(&words);
    command.env("TALLY_DEBTS_SPOOL", home.path("spool"));
    command
}

fn run(server: &Server, home: &Home, script: &str) -> Output {
    run_with(&command(server, home, script), b"", LIMIT, None)
}

/// The payments that are kept, of whatever server and key.
fn kept(home: &Home) -> Vec<PathBuf> {
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    inside(&home.path("spool")).iter().flat_map(|folder| inside(folder)).collect()
}

/// What is stored, the last payment first.
fn payments(server: &Server, debt: &str) -> Vec<Value> {
    let answer = http(&server.url, &format!("GET /api/v1/debts/{debt}/payments"), &[], "");
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    answer["payments"].as_array().expect("a list").clone()
}

fn shown(server: &Server) -> String {
    server.ok(&["debts", "show", "job"]).stdout
}

#[test]
fn what_the_command_does_is_passed_on_and_told() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["debts", "add", "job", "--every", "1h"]);

    let read = command(&server, &home, "cat; echo oops >&2; exit 3");
    let ran = run_with(&read, b"from stdin\n", LIMIT, None);
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    assert!(ran.stdout == "from stdin\n" && ran.stderr.contains("oops"), "{ran:?}");
    assert!(shown(&server).contains("fail (3)"), "{}", shown(&server));

    // What came last says most.
    let ran = run(&server, &home, "head -c 30000 /dev/zero | tr '\\0' x; echo; echo the end");
    assert!(ran.status.success() && ran.stdout.len() == 30_009, "{ran:?}");
    let last = &payments(&server, "job")[0];
    let body = last["body"].as_str().expect("a text");
    assert!(body.len() == 10_000 && body.ends_with("x\nthe end\n"), "{last}");

    // What it leaves behind has its output open, and nobody waits for that.
    let ran = run(&server, &home, "echo begun; sleep 600 & echo $! > left");
    assert!(ran.status.success() && ran.stdout == "begun\n", "{ran:?}");
    let killed = run(&server, &home, "kill $(cat left)");
    assert!(killed.status.success(), "what was left still ran: {killed:?}");
    let ran = run(&server, &home, "yes & echo the end >&2");
    assert!(ran.status.success(), "what says more and more: {:?}", ran.status);

    // A shell's own exit statuses for what cannot be run.
    for (program, code) in [("./no-such-command", 127), ("./left", 126)] {
        let ran = server.run(&["debts", "run", "job", "--", program]);
        assert_eq!(ran.status.code(), Some(code), "{ran:?}");
        assert!(ran.stderr.contains(&format!("cannot run {program}")), "{ran:?}");
    }

    // A signal that is meant for this process reaches the command, and how that ended is told.
    let script = "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.01; done";
    let waiting = Process::spawn(&command(&server, &home, script));
    waiting.wait_for_line(Stream::Stdout, "ready", LIMIT);
    waiting.signal("TERM");
    let ended = waiting.wait(LIMIT);
    assert_eq!(ended.status.code(), Some(9), "{ended:?}");
    assert!(ended.stdout.contains("told") && ended.stderr.contains("paid: job"), "{ended:?}");
    assert!(shown(&server).contains("fail (9)"), "{}", shown(&server));
    let script = "trap 'exit 8' HUP; echo ready; while :; do sleep 0.01; done";
    let waiting = Process::spawn(&command(&server, &home, script));
    waiting.wait_for_line(Stream::Stdout, "ready", LIMIT);
    waiting.signal("HUP");
    assert_eq!(waiting.wait(LIMIT).status.code(), Some(8));
    let dying = Process::spawn(&command(&server, &home, "echo ready; exec sleep 600"));
    dying.wait_for_line(Stream::Stdout, "ready", LIMIT);
    dying.signal("INT");
    assert_eq!(dying.wait(LIMIT).status.code(), Some(130));
    assert_eq!(kept(&home), [] as [PathBuf; 0]);
    server.stop();
}

#[test]
fn heartbeats_are_told_while_the_command_runs() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["debts", "add", "job", "--heartbeat-limit", "1h"]);
    let script = "echo ready; while ! [ -e over ]; do sleep 0.01; done";
    let words = ["debts", "run", "job", "--heartbeat", "1s", "--", "sh", "-c", script];
    let running = Process::spawn(&server.command(&words));
    let kinds = || -> Vec<Value> {
        payments(&server, "job").iter().map(|one| one["kind"].clone()).collect()
    };
    let beats = eventually_blocking(LIMIT, || kinds().contains(&"heartbeat".into()));
    assert_eq!(beats, Ok(()), "{:?}", kinds());
    home.file("over", "");
    assert!(running.wait(LIMIT).status.success());
    let kinds = kinds();
    assert_eq!((&kinds[0], &kinds[kinds.len() - 1]), (&"success".into(), &"start".into()));
    server.stop();
}

/// The start comes too early, and would never be taken.
#[test]
fn a_debt_may_be_added_while_the_command_runs() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let script = "echo ready; while ! [ -e over ]; do sleep 0.01; done";
    let running = Process::spawn(&command(&server, &home, script));
    running.wait_for_line(Stream::Stderr, "there is no debt job", LIMIT);
    running.wait_for_line(Stream::Stdout, "ready", LIMIT);
    server.ok(&["debts", "add", "job", "--every", "1h"]);
    home.file("over", "");
    assert!(running.wait(LIMIT).status.success());
    let payments = payments(&server, "job");
    assert_eq!((payments.len(), &payments[0]["kind"]), (1, &"success".into()));
    assert!(payments[0]["took"].as_f64() > Some(0.0), "as long as the command says: {payments:?}");
    assert_eq!(kept(&home), [] as [PathBuf; 0]);
    server.stop();
}

/// The key may be right again tomorrow, and a file that is no payment is in nobody's way.
#[test]
fn what_a_server_refuses_is_kept_and_what_is_no_payment_is_not() {
    let home = Home::sqlite();
    let server = home.serve(&["--auth", "keys"]);
    for kept_before in [0, 2] {
        assert_eq!(kept(&home).len(), kept_before);
        let mut refused = command(&server, &home, "exit 5");
        refused.env("TALLY_KEY", "tally_ingest_unknown");
        let ran = run_with(&refused, b"", LIMIT, None);
        assert_eq!(ran.status.code(), Some(5), "{ran:?}");
        let told = "it is kept for this server and key, and not told before they are accepted";
        assert!(ran.stderr.contains(told) && !ran.stderr.contains("next `tally"), "{ran:?}");
    }
    let all = kept(&home);
    assert_eq!(all.len(), 4);
    server.stop();
    let open = home.serve(&[]);
    open.ok(&["debts", "add", "job", "--every", "1h"]);
    open.kill();
    let spool = home.path("spool").display().to_string();
    let words = ["debts", "run", "job", "--spool", &spool, "--patience", "0s", "--", "true"];
    assert!(open.run(&words).status.success());
    let own = kept(&home).into_iter().find(|path| !all.contains(path)).expect("the start is kept");
    let folder = own.parent().expect("a folder");
    fs::write(folder.join("0.pay"), [0xff]).expect("room");
    let server = open.again(&home);
    let told = run(&server, &home, "true");
    assert!(
        told.status.success() && told.stderr.contains("0.pay is no payment: it is removed"),
        "{told:?}"
    );
    assert_eq!(kept(&home).len(), 4, "those of the other key: {told:?}");
    server.stop();
}

/// `command` has 10 minutes of patience, which outlast the limit of a test.
#[test]
fn what_is_wrong_with_the_key_or_the_address_is_said_at_once() {
    let home = Home::sqlite();
    let server = home.serve(&["--auth", "keys"]);
    let with = |name: &str, value: &str| {
        let mut pay = server.command(&["debts", "pay", "job"]);
        let mut run = command(&server, &home, "exit 5");
        let outputs = [&mut pay, &mut run].map(|command| {
            command.env_remove("TALLY_KEY").env(name, value);
            run_with(command, b"", LIMIT, None)
        });
        assert_eq!(outputs.each_ref().map(|one| one.status.code()), [Some(1), Some(5)]);
        outputs.map(|one| one.stderr)
    };
    for told in with("TALLY_KEY", "tally_ingest_unknown") {
        assert!(told.contains("that is not a key of Tally"), "{told}");
        assert!(!told.contains("too many wrong keys") && !told.contains("trying again"), "{told}");
    }
    assert_eq!(kept(&home).len(), 2);
    for (name, value, why) in [
        ("TALLY_KEY_FILE", "no-such-file", "cannot read no-such-file"),
        ("TALLY_SERVER", "ftp://host", "is not an address like"),
    ] {
        let [paid, ran] = with(name, value);
        assert!(paid.contains(why) && !paid.contains("trying again"), "{paid}");
        assert!(ran.contains(why) && ran.contains("it is lost"), "{ran}");
    }
    assert_eq!(kept(&home).len(), 2, "of what cannot be known nothing is kept");
    server.stop();
}

#[test]
fn what_could_not_be_told_is_told_to_the_same_server_and_key_only() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["debts", "add", "job", "--every", "1h"]);
    server.kill();
    let waiting = Process::spawn(&command(&server, &home, "echo ran"));
    // The start is kept; while the end is tried, a signal ends that.
    waiting.wait_for_line(Stream::Stderr, "it is told later", LIMIT);
    waiting.wait_for_line(Stream::Stdout, "ran", LIMIT);
    waiting.wait_for_line(Stream::Stderr, "trying again for 10m", LIMIT);
    waiting.signal("TERM");
    let away = waiting.wait(LIMIT);
    assert!(away.status.success(), "{away:?}");
    assert_eq!(kept(&home).len(), 2, "{away:?}");

    // Another server has a debt of this name, and is not told.
    let elsewhere = Home::sqlite();
    let other = elsewhere.serve(&[]);
    other.ok(&["debts", "add", "job", "--every", "1h"]);
    assert!(run(&other, &home, "true").status.success());
    assert_eq!(kept(&home).len(), 2);
    other.stop();

    // Two processes tell it at the same time: it counts once.
    let server = server.again(&home);
    let both = [0, 1].map(|_| Process::spawn(&command(&server, &home, "true")));
    for one in both {
        let ended = one.wait(LIMIT);
        assert!(ended.status.success() && !ended.stderr.contains("warning"), "{ended:?}");
    }
    assert_eq!(kept(&home), [] as [PathBuf; 0]);
    let payments = server.ok(&["debts", "show", "job"]).stdout;
    assert!(payments.contains("payments    6\n"), "{payments}");
    server.stop();
}
