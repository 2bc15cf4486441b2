//! The example that reads lines with a checkpoint: killed at any point and started twice, it counts
//! each line once.

use std::fmt::Write as _;
use std::process::Command;

use tally_testkit::{Process, Stream};

use crate::examples::command;
use crate::support::{Home, LIMIT, Server, Totals};

/// How many lines the file has. Each is another path.
const LINES: usize = 2_050;

/// How often a file has all of these, if readers are to meet in the middle of it.
const REPEATS: i64 = 50;

/// The reader's id, as the example takes it.
const ID: &str = "0b5e6c1d2f3a49788796a5b4c3d2e1f0";

fn reader(server: &Server, file: &str) -> Command {
    let mut command = command(server, "line_reader");
    command.args([file, ID]);
    command
}

/// This many lines.
fn text(lines: usize) -> String {
    (0..lines).fold(String::new(), |mut text, line| {
        writeln!(text, "/line/{line}").expect("a string takes it");
        text
    })
}

/// A file that has all lines this many times, and what it counts as.
fn lines(home: &Home, times: i64) -> (String, Totals) {
    let text = text(LINES).repeat(usize::try_from(times).expect("a few"));
    let counted = (0..LINES).map(|line| (format!("GET /line/{line}"), times)).collect();
    (home.file("lines.txt", text), counted)
}

/// Waits for a line of the reader's output that begins so, and the number at its end.
fn number(reader: &Process, start: &str) -> u64 {
    let line = reader.wait_for_line(Stream::Stdout, start, LIMIT);
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

fn killed_at_many_points(home: &Home) {
    let server = home.serve(&[]);
    let (file, counted) = lines(home, 1);
    let mut begins = Vec::new();
    // Where the process is killed: after it has opened the producer, or sent this many lines.
    for lines in (100..LINES).step_by(200) {
        let sent = text(lines).len();
        let process = Process::spawn(&reader(&server, &file));
        let begin = number(&process, "begins at byte ");
        begins.push(begin);
        if begin < sent as u64 {
            process.wait_for_line(Stream::Stdout, &format!("sent up to byte {sent}"), LIMIT);
        }
        process.signal("KILL");
        process.wait(LIMIT);
    }
    assert!(begins.is_sorted(), "{begins:?}");
    assert!(begins.last() > Some(&0), "a checkpoint was stored before a kill: {begins:?}");
    let last = Process::spawn(&reader(&server, &file)).wait(LIMIT);
    assert!(last.status.success(), "{last:?}");
    assert_eq!(server.live(), counted);
    // Only what is added is counted after that.
    let again = Process::spawn(&reader(&server, &file)).wait(LIMIT);
    assert!(again.stdout.contains("\n0 counted, 0 lost"), "{again:?}");
    assert_eq!(server.live(), counted);
    let listed = server.ok(&["producers", "--format", "csv"]).stdout;
    let end = std::fs::metadata(&file).expect("the file").len();
    assert!(listed.contains(&format!(",{end},")), "{listed}");
}

#[test]
fn a_killed_reader_counts_each_line_once() {
    killed_at_many_points(&Home::sqlite());
}

#[test]
fn a_killed_reader_counts_each_line_once_on_postgres() {
    killed_at_many_points(&Home::postgres("line_reader"));
}

/// Whether a reader came to the end. Otherwise another one has stopped it.
#[track_caller]
fn came_to_the_end(reader: &Process) -> bool {
    let output = reader.wait(LIMIT);
    let words = "another process has taken this producer over";
    let is_stopped = output.stderr.contains(words);
    assert!(output.status.success() || is_stopped, "{}", output.stderr);
    output.status.success()
}

/// Readers take the producer from each other. Those that are stopped say so, and the last one
/// comes to the end.
fn many_at_once(home: &Home) {
    let server = home.serve(&[]);
    let (file, counted) = lines(home, REPEATS);
    // It is in the middle of the file when the others start.
    let first = Process::spawn(&reader(&server, &file));
    first.wait_for_line(Stream::Stdout, "sent up to ", LIMIT);
    first.signal("STOP");
    let others: Vec<_> = (0..3).map(|_| Process::spawn(&reader(&server, &file))).collect();
    let ended = others.iter().filter(|other| came_to_the_end(other)).count();
    assert!(ended > 0, "each of the others was stopped, and by none");
    first.signal("CONT");
    assert!(!came_to_the_end(&first), "the first one was taken over, and went on");
    assert_eq!(server.live(), counted);
}

#[test]
fn readers_that_take_over_from_each_other_count_each_line_once() {
    many_at_once(&Home::sqlite());
}

#[test]
fn readers_that_take_over_from_each_other_count_each_line_once_on_postgres() {
    many_at_once(&Home::postgres("line_readers"));
}
