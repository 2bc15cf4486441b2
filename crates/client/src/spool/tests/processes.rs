//! Other processes: killed, competing for the same spool, or without permission.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::spool::{Error, Fsync, Options, Spool};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

use super::{PRODUCER, SMALL, append, batch, open, payload, pending, rows, scratch};

/// The task of the test binary as a child, and its directory.
const ROLE: &str = "TALLY_SPOOL_ROLE";
const DIRECTORY: &str = "TALLY_SPOOL_DIRECTORY";

/// Small segments, so that kills hit every step.
const CHILD: Options =
    Options { bytes_max: 1 << 20, segment_bytes_max: 1024, fsync: Fsync::EachBatch };

/// The user and the group of no privileges, `nobody` on most systems.
const NOBODY: u32 = 65_534;

/// Killed when the test ends, even by a panic.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This binary, running only the test `child` in a role.
fn command(role: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    as_child(&mut command, role, directory);
    command
}

fn as_child(command: &mut Command, role: &str, directory: &Path) {
    command
        .args(["--exact", "spool::tests::processes::child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped());
}

/// Not a test of its own: the children of the tests below run it.
#[test]
fn child() {
    let Some(role) = std::env::var_os(ROLE) else { return };
    let directory = std::env::var_os(DIRECTORY).expect("a child has a directory");
    let directory = Path::new(&directory);
    match role.to_str() {
        Some("append") => append_for_ever(directory),
        Some("open") => report_open(directory),
        Some("fill") => fill(directory),
        role => panic!("no such role: {role:?}"),
    }
}

/// Bypasses the test harness's capture.
fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "@{text}").expect("the parent reads");
    output.flush().expect("the parent reads");
}

/// Prints each sequence once its batch is appended, and acknowledges now and then.
fn append_for_ever(directory: &Path) {
    let (mut spool, _) = Spool::open(directory, CHILD, PRODUCER).unwrap();
    loop {
        let next = spool.next_sequence();
        spool.append(next, rows(next), &payload(next)).unwrap();
        say(&next.to_string());
        if next % 16 == 0 {
            spool.acknowledge(next - 8).unwrap();
        }
        if next % 64 == 0 {
            spool.set_lease(next, &[next]).unwrap();
        }
    }
}

fn report_open(directory: &Path) {
    match Spool::open(directory, SMALL, PRODUCER) {
        Ok(_) => say("opened"),
        Err(error) => say(&error.to_string()),
    }
}

/// The child's output up to its end.
fn said(child: &mut Killed) -> Vec<String> {
    let mut text = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    text.lines().filter_map(|line| Some(line.split_once('@')?.1.to_owned())).collect()
}

#[test]
fn a_killed_process_loses_nothing_that_it_had_appended() {
    let folder = scratch();
    let (mut reported, mut lease) = (0, 0);
    for round in 1..=30_usize {
        let mut killed = Killed(command("append", folder.path()).spawn().unwrap());
        let mut output = BufReader::new(killed.0.stdout.take().unwrap());
        let mut lines = 0;
        let mut line = String::new();
        let mut before = None;
        // At another point in each round; the kill itself hits any step.
        while output.read_line(&mut line).unwrap() > 0 {
            // A line without an end is incomplete.
            if let (Some((_, number)), true) = (line.split_once('@'), line.ends_with('\n')) {
                let sequence: u64 = number.trim().parse().unwrap();
                assert!(reported == 0 || sequence > reported);
                reported = sequence;
                // The child performed the step after the number before this one.
                lease = before.filter(|number| number % 64 == 0).unwrap_or(lease);
                before = Some(sequence);
                lines += 1;
                if lines == round * 7 {
                    killed.0.kill().unwrap();
                }
            }
            line.clear();
        }
        assert!(lines >= round * 7, "the child ended by itself");
        drop(killed);

        let (mut spool, recovered) = open(folder.path());
        assert_eq!(recovered.missing, []);
        // It may have appended one more than it reported.
        let last = spool.next_sequence() - 1;
        assert!((reported..=reported + 1).contains(&last), "{reported} {recovered:?}");
        // The step after its last reported number may not have happened.
        assert!(recovered.epoch >= lease, "{lease} {recovered:?}");
        assert_eq!(recovered.claims.iter().sum::<u64>(), recovered.epoch);
        let first = recovered.acknowledged + 1;
        assert!(first <= reported.max(8) - 7, "{recovered:?}");
        assert_eq!(pending(&mut spool), (first..=last).map(batch).collect::<Vec<_>>());
    }
}

#[test]
fn another_process_is_told_who_has_the_spool() {
    let folder = scratch();
    let (spool, _) = open(folder.path());
    let ask = || said(&mut Killed(command("open", folder.path()).spawn().unwrap())).concat();
    let text = ask();
    assert!(text.contains(&format!("in use by process {}", std::process::id())), "{text}");
    assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
    drop(spool);
    assert_eq!(ask(), "opened");
}

#[test]
fn a_directory_that_may_not_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("spool");
    let (mut spool, _) = open(&directory);
    append(&mut spool, 3);
    drop(spool);
    let mode = |path: &Path, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, permissions).unwrap();
    };
    mode(folder.path(), 0o755);
    mode(&directory, 0o555);
    for entry in std::fs::read_dir(&directory).unwrap() {
        mode(&entry.unwrap().path(), 0o444);
    }
    // Root may write everything, so it runs another user's program within reach.
    let program = folder.path().join("program");
    // Another program copies it: a child of another test could hold a copy of this process's open
    // for writing, and such a file does not run.
    let copy = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copy.unwrap().success());
    mode(&program, 0o755);
    let mut command = Command::new(&program);
    command.current_dir(folder.path());
    as_child(&mut command, "open", &directory);
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let text = said(&mut Killed(command.spawn().unwrap())).concat();
    assert!(text.contains("permission denied; let the process's user"), "{text}");
    assert!(text.contains(directory.to_str().unwrap()), "{text}");
    mode(&directory, 0o755);
}

/// Fills the disk as far as this process may; the spool continues once there is room.
fn fill(directory: &Path) {
    let limit = getrlimit(Resource::Fsize);
    let (mut spool, _) = Spool::open(directory, CHILD_LARGE, PRODUCER).unwrap();
    let error = loop {
        let next = spool.next_sequence();
        match spool.append(next, rows(next), &payload(next)) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Io { action: "write", .. }), "{error:?}");
    say(&error.to_string());
    let full = spool.next_sequence() - 1;
    // Any number of times: the file ends with a whole record.
    for _ in 0..3 {
        assert!(spool.append(full + 1, rows(full + 1), &payload(full + 1)).is_err());
        assert_eq!(pending(&mut spool), (1..=full).map(batch).collect::<Vec<_>>());
    }
    let segment = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some())
        .unwrap();
    assert_eq!(segment.metadata().unwrap().len(), spool.log.bytes());
    setrlimit(Resource::Fsize, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    append(&mut spool, 3);
    assert_eq!(pending(&mut spool), (1..=full + 3).map(batch).collect::<Vec<_>>());
    say(&format!("{}", spool.next_sequence()));
}

/// One segment that reaches the process's limit before its own.
const CHILD_LARGE: Options =
    Options { bytes_max: 4 << 20, segment_bytes_max: 1 << 20, fsync: Fsync::EachBatch };

#[test]
fn without_room_the_append_fails_and_later_ones_work() {
    let folder = scratch();
    // The signal is ignored, so that the write fails. 64 blocks of 512 or 1,024 bytes.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 64; exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().unwrap());
    as_child(&mut command, "fill", folder.path());
    let mut child = Killed(command.spawn().unwrap());
    let said = said(&mut child);
    assert!(child.0.wait().unwrap().success(), "{said:?}");
    assert!(said[0].contains(".segment: the file reached the size"), "{said:?}");
    let next: u64 = said[1].parse().unwrap();
    let (mut spool, recovered) = open(folder.path());
    assert_eq!((recovered.next_sequence, recovered.findings), (next, vec![]));
    assert_eq!(pending(&mut spool), (1..next).map(batch).collect::<Vec<_>>());
}
