//! The example that reads lines with a checkpoint: killed at any point and started twice, it counts
//! each line once.

use std::fmt::Write as _;
use std::process::Command;

use tally_testkit::{Process, Stream};

use crate::examples::command;
use crate::support::{Home, LIMIT, Server, Totals};

/// How many lines the file has. Each is another path.
const LINES: usize = 2_050;

/// The reader's id, as the example takes it.
const ID: &str = "0b5e6c1d2f3a49788796a5b4c3d2e1f0";

fn reader(server: &Server, file: &str) -> Command {
    let mut command = command(server, "line_reader");
    command.args([file, ID]);
    command
}

/// The file, and what it counts as.
fn lines(home: &Home) -> (String, Totals) {
    let text = (0..LINES).fold(String::new(), |mut text, line| {
        writeln!(text, "/line/{line}").expect("a string takes it");
        text
    });
    let counted = (0..LINES).map(|line| (format!("GET /line/{line}"), 1)).collect();
    (home.file("lines.txt", text), counted)
}

/// Waits for a line of the reader's output that begins so, and the number at its end.
fn number(reader: &Process, start: &str) -> u64 {
    let line = reader.wait_for_line(Stream::Stdout, start, LIMIT);
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

fn killed_at_many_points(home: &Home) {
    let server = home.serve(&[]);
    let (file, counted) = lines(home);
    let (mut first, mut begins) = (String::new(), Vec::new());
    for line in 0..LINES {
        writeln!(first, "/line/{line}").expect("a string takes it");
        // Where the process is killed: after it has opened the producer, or sent some batches.
        if line % 100 == 99 && line / 100 % 2 == 0 {
            let process = Process::spawn(&reader(&server, &file));
            begins.push(number(&process, "begins at byte "));
            if begins.last().is_some_and(|begin| *begin < first.len() as u64) {
                process.wait_for_line(
                    Stream::Stdout,
                    &format!("sent up to byte {}", first.len()),
                    LIMIT,
                );
            }
            process.signal("KILL");
            process.wait(LIMIT);
        }
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

/// Readers take the producer from each other. Those that are stopped say so, and the last one
/// comes to the end.
fn many_at_once(home: &Home) {
    let server = home.serve(&[]);
    let (file, counted) = lines(home);
    let stopped = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut stopped = 0;
                    loop {
                        let output = Process::spawn(&reader(&server, &file)).wait(LIMIT);
                        if output.status.success() {
                            return stopped;
                        }
                        let words = "another process has taken this producer over";
                        assert!(output.stderr.contains(words), "{}", output.stderr);
                        stopped += 1;
                    }
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().expect("no panic")).sum::<u32>()
    });
    assert_eq!(server.live(), counted, "after {stopped} were stopped");
}

#[test]
fn readers_that_take_over_from_each_other_count_each_line_once() {
    many_at_once(&Home::sqlite());
}

#[test]
fn readers_that_take_over_from_each_other_count_each_line_once_on_postgres() {
    many_at_once(&Home::postgres("line_readers"));
}
