//! A file that is imported more than once: each of its lines is counted once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tally_testkit::{Process, Stream, eventually_blocking, run};

use crate::support::{Home, LIMIT, Server, Totals, assert_fails, totals};

/// How many lines a large log has: several batches.
const LINES: usize = 20_000;

fn line(number: usize) -> String {
    let second = number % 60;
    let path = number % 500;
    format!("h - - [17/May/2015:10:05:{second:02} +0000] \"GET /{path} HTTP/1.1\" 200 {number}\n")
}

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.fold(String::new(), |mut text, number| {
        text.push_str(&line(number));
        text
    })
}

/// What lines count as.
fn counts(numbers: std::ops::Range<usize>) -> Totals {
    let mut counts = BTreeMap::new();
    for number in numbers {
        *counts.entry(format!("GET /{}", number % 500)).or_default() += 1;
    }
    counts
}

fn times(totals: Totals, times: i64) -> Totals {
    totals.into_iter().map(|(name, count)| (name, count * times)).collect()
}

fn both(mut one: Totals, two: Totals) -> Totals {
    for (name, count) in two {
        *one.entry(name).or_default() += count;
    }
    one
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

#[track_caller]
fn import(server: &Server, arguments: &[&str]) -> String {
    server.ok(&[&["import"], arguments].concat()).stderr
}

/// The rest of the line after the time of an earlier import.
#[track_caller]
fn assert_known(said: &str, before: &str, after: &str) {
    let found = said.lines().any(|line| line.contains(before) && line.ends_with(after));
    assert!(found, "{before} … {after} is not in {said}");
}

/// Imports until the server stops at a point, or to the end, and kills both.
fn killed(home: &Home, point: &str, arguments: &[&str]) {
    let server = home.serve_until(point);
    let process = Process::spawn(&server.command(&[&["import"], arguments].concat()));
    let stopped = format!("stopped at {point}");
    let over =
        eventually_blocking(LIMIT, || server.log().contains(&stopped) || !process.is_running());
    assert_eq!(over, Ok(()), "{point}");
    process.signal("KILL");
    process.wait(LIMIT);
    server.kill();
}

fn killed_at_many_points(home: &Home) {
    let log = home.file("a.log", lines(0..LINES));
    for round in 0..3 {
        killed(home, "append.before_commit", &[&log]);
        killed(home, "append.committed", &[&log]);
        // Killed wherever it is once something was counted.
        let server = home.serve(&[]);
        let process = Process::spawn(&server.command(&["import", &log]));
        let before: i64 = server.live().values().sum();
        let more = eventually_blocking(LIMIT, || {
            server.live().values().sum::<i64>() > before || !process.is_running()
        });
        assert_eq!(more, Ok(()), "round {round}");
        process.signal("KILL");
        process.wait(LIMIT);
        server.kill();
    }
    let server = home.serve(&[]);
    let said = import(&server, &[&log]);
    assert!(said.contains("read before"), "{said}");
    assert_eq!(server.live(), counts(0..LINES));
    assert_known(&import(&server, &[&log]), "a.log: 20,000 lines were", "; 0 are new");
    assert_eq!(server.live(), counts(0..LINES));
}

#[test]
fn a_killed_import_goes_on_by_itself() {
    killed_at_many_points(&Home::sqlite());
}

#[test]
fn a_killed_import_goes_on_by_itself_on_postgres() {
    killed_at_many_points(&Home::postgres("import_killed"));
}

fn grows(home: &Home) {
    let server = home.serve(&[]);
    let mut before = 0;
    // Short, then long, and each time with the beginning of one more line.
    for lines_then in [1, 5, 100, 5_000, 5_001, 5_001] {
        let next = line(lines_then);
        let log =
            home.file("a.log", format!("{}{}", lines(0..lines_then), &next[..next.len() / 2]));
        let said = import(&server, &[&log]);
        assert_eq!(server.live(), counts(0..lines_then), "{said}");
        let torn = format!("a.log:{}: the last line has no end, and is left", lines_then + 1);
        assert!(said.contains(&torn), "{said}");
        if before > 0 {
            let (were, new) = (tally_lines(before), lines_then - before);
            let are = if new == 1 { "is" } else { "are" };
            let new = if new == 4_900 { "4,900".to_owned() } else { new.to_string() };
            assert_known(
                &said,
                &format!("a.log: {were} read before"),
                &format!("; {new} {are} new"),
            );
        }
        before = lines_then;
    }
}

fn tally_lines(lines: usize) -> String {
    match lines {
        1 => "1 line was".to_owned(),
        5_000.. => format!("5,{:03} lines were", lines - 5_000),
        lines => format!("{lines} lines were"),
    }
}

#[test]
fn a_growing_file_is_counted_line_by_line() {
    grows(&Home::sqlite());
}

#[test]
fn a_growing_file_is_counted_line_by_line_on_postgres() {
    grows(&Home::postgres("import_grows"));
}

fn rotated(home: &Home) {
    let server = home.serve(&[]);
    // A long one, and a short one.
    for (first, last) in [(0, 300), (1_000, 1_010)] {
        let before = server.live();
        let more = |numbers| both(before.clone(), counts(numbers));
        let log = home.file("access.log", lines(first..last - 5));
        import(&server, &[&log]);
        assert_eq!(server.live(), more(first..last - 5));
        let old = home.file("access.log.1", lines(first..last));
        fs::remove_file(&log).expect("removed");
        let said = import(&server, &[&old]);
        assert_known(&said, "access.log.1: ", "access.log; 5 are new");
        assert_eq!(server.live(), more(first..last));
        // Compressed, with and without lines that were not counted before.
        let old = home.file("access.log.2.gz", gzip(&lines(first..last)));
        assert_known(&import(&server, &[&old]), "access.log.2.gz: ", "; 0 are new");
        let older = home.file("access.log.3.gz", gzip(&lines(first..last + 7)));
        assert_known(&import(&server, &[&older]), "access.log.3.gz: ", "; 7 are new");
        assert_eq!(server.live(), more(first..last + 7));
    }
}

#[test]
fn a_rotated_file_is_the_same_text() {
    rotated(&Home::sqlite());
}

#[test]
fn a_rotated_file_is_the_same_text_on_postgres() {
    rotated(&Home::postgres("import_rotated"));
}

/// The first one is cut off in the middle of a batch, and finds later that the second one has finished.
fn two_at_once(home: &Home) {
    let log = home.file("a.log", lines(0..LINES));
    let first_server = home.serve_until("append.before_commit");
    let first = Process::spawn(&first_server.command(&["import", &log]));
    let words = "stopped at append.before_commit";
    first_server.process.wait_for_line(Stream::Stderr, words, LIMIT);
    first_server.kill();
    let server = home.serve(&[]);
    import(&server, &[&log]);
    assert_eq!(server.live(), counts(0..LINES));
    server.stop();
    let (address, url) = (first_server.url.trim_start_matches("http://"), home.database_url());
    let server =
        Server::start(&home.command(&["serve", "--listen", address, "--database-url", &url]));
    let output = first.wait(LIMIT);
    assert_fails(&output, 1, &["another import of the same file has begun, and goes on from here"]);
    assert_eq!(server.live(), counts(0..LINES));
}

#[test]
fn of_two_imports_one_goes_on() {
    two_at_once(&Home::sqlite());
}

#[test]
fn of_two_imports_one_goes_on_on_postgres() {
    two_at_once(&Home::postgres("import_twice"));
}

#[test]
fn imports_that_take_over_from_each_other_count_each_line_once() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let log = home.file("a.log", lines(0..LINES));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let output = Process::spawn(&server.command(&["import", &log])).wait(LIMIT);
                    if output.status.success() {
                        return;
                    }
                    let words = "another import of the same file has begun";
                    assert!(output.stderr.contains(words), "{output:?}");
                }
                panic!("no import ends");
            });
        }
    });
    assert_eq!(server.live(), counts(0..LINES));
}

/// Asserts that a text that is not what it was is not counted, unless `--again` says so.
#[track_caller]
fn assert_refused(server: &Server, log: &str, why: &str, again: Totals) {
    let before = server.live();
    let output = server.run(&["import", log]);
    assert_fails(
        &output,
        1,
        &["a.log begins like a text of which ", why, "--again counts all of it"],
    );
    assert_eq!(server.live(), before);
    import(server, &["--again", log]);
    assert_eq!(server.live(), both(before, again));
    assert_known(&import(server, &[log]), "a.log: ", "; 0 are new");
}

fn changes(home: &Home) {
    let server = home.serve(&[]);
    let shorter = "but it is shorter now, as if it was truncated";
    let rewritten = "but it has other lines now";
    let log = home.file("a.log", lines(0..1_000));
    import(&server, &[&log]);
    // Still long.
    home.file("a.log", lines(0..900));
    assert_refused(&server, &log, shorter, counts(0..900));
    home.file("a.log", format!("{}{}", lines(0..890), lines(1_000..1_020)));
    assert_refused(&server, &log, rewritten, both(counts(0..890), counts(1_000..1_020)));
    // Too short to be known by the same.
    home.file("a.log", lines(0..5));
    assert_refused(&server, &log, shorter, counts(0..5));
    // Always short.
    home.file("a.log", lines(3_000..3_010));
    import(&server, &[&log]);
    home.file("a.log", lines(3_000..3_008));
    assert_refused(&server, &log, shorter, counts(3_000..3_008));
    home.file("a.log", format!("{}{}", lines(3_000..3_002), lines(3_004..3_012)));
    let again = both(counts(3_000..3_002), counts(3_004..3_012));
    assert_refused(&server, &log, rewritten, again);
    // Truncated to nothing, and begun anew.
    let before = server.live();
    home.file("a.log", "");
    import(&server, &[&log]);
    assert_eq!(server.live(), before);
    home.file("a.log", lines(4_000..4_001));
    import(&server, &[&log]);
    assert_eq!(server.live().values().sum::<i64>(), before.values().sum::<i64>() + 1);
}

#[test]
fn a_file_that_is_not_what_it_was_is_refused() {
    changes(&Home::sqlite());
}

#[test]
fn a_file_that_is_not_what_it_was_is_refused_on_postgres() {
    changes(&Home::postgres("import_changed"));
}

/// An import with `--again` that is killed is taken up, too.
fn again(home: &Home) {
    let log = home.file("a.log", lines(0..LINES));
    let server = home.serve(&[]);
    import(&server, &["--again", &log]);
    server.stop();
    killed(home, "append.committed", &["--again", &log]);
    killed(home, "append.before_commit", &["--again", &log]);
    let server = home.serve(&[]);
    let counted = server.live().values().sum::<i64>();
    assert!((LINES as i64 + 1..=2 * LINES as i64).contains(&counted), "{counted}");
    let said = import(&server, &["--again", &log]);
    assert!(said.contains(" are counted again"), "{said}");
    assert_eq!(server.live(), times(counts(0..LINES), 2));
    // Once it is over, it begins anew.
    import(&server, &["--again", &log]);
    assert_eq!(server.live(), times(counts(0..LINES), 3));
    assert_known(&import(&server, &[&log]), "a.log: 20,000 lines were", "; 0 are new");
    server.stop();
    // An import without the flag goes on, too.
    killed(home, "append.committed", &["--again", &log]);
    let server = home.serve(&[]);
    import(&server, &[&log]);
    assert_eq!(server.live(), times(counts(0..LINES), 4));
}

#[test]
fn again_counts_once_more() {
    again(&Home::sqlite());
}

#[test]
fn again_counts_once_more_on_postgres() {
    again(&Home::postgres("import_again"));
}

#[test]
fn files_in_one_command_are_told_apart() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let log = home.file("access.log", lines(0..3));
    let grown = home.file("grown.log", lines(0..9));
    let copy = home.file("access.log.gz", gzip(&lines(0..9)));
    let other = home.file("other.log", lines(10..12));
    let said = import(&server, &[&log, &grown, &copy, &other, &other]);
    assert!(said.contains("5 files, 11 lines: counted 11 requests"), "{said}");
    assert_known(&said, "grown.log: 3 lines were read before", "access.log; 6 are new");
    assert_eq!(server.live(), both(counts(0..9), counts(10..12)));
    let output = home.run(&["import", "--dry-run", &log, &grown, &copy, &other, &other]);
    assert!(
        output
            .stderr
            .contains("11 lines: would count 11 requests if nothing of it was counted before"),
        "{output:?}"
    );
    import(&server, &["--again", &other, &other]);
    assert_eq!(server.live()["GET /10"], 3);
}

/// Of short texts only the first line with a time is certain to stay.
#[test]
fn short_files_with_the_same_first_line_are_not_mixed_up() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let one = home.file("one.log", lines(0..4));
    let two = home.file("a.log", format!("{}{}", lines(0..1), lines(50..60)));
    import(&server, &[&one]);
    let output = server.run(&["import", &two]);
    assert_fails(&output, 1, &["a.log begins like a text of which 4 lines were", "as ", "one.log"]);
    // As soon as it is long, the others are known, too.
    let two = home.file("a.log", format!("{}{}", lines(0..1), lines(50..200)));
    let said = import(&server, &[&two]);
    let words =
        ["a.log begins with the same line as another text", "and is counted as a text of its"];
    assert!(words.iter().all(|words| said.contains(words)), "{said}");
    let expected = both(both(counts(0..4), counts(0..1)), counts(50..200));
    assert_eq!(server.live(), expected);
    let one = home.file("one.log", lines(0..300));
    assert_known(&import(&server, &[&one]), "one.log: 4 lines were", "; 296 are new");
}

/// They decide what the new lines count as.
#[test]
fn a_position_holds_whatever_the_flags_are() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let log = home.file("a.log", lines(0..4));
    import(&server, &["--service", "shop", "--path-prefix", "/1", &log]);
    assert_eq!(server.live(), totals([("GET /1", 1)]));
    for flags in [&["--service", "web"][..], &["--format", "combined", "--tz", "UTC"], &[]] {
        let said = import(&server, &[flags, &[&log]].concat());
        assert_known(&said, "a.log: 4 lines were read before", "; 0 are new");
    }
    home.file("a.log", lines(0..6));
    import(&server, &["--rewrite", "^.*$=/new", &log]);
    assert_eq!(server.live(), totals([("GET /1", 1), ("GET /new", 2)]));
}

/// Nothing is kept of a file of which nothing was counted.
#[test]
fn a_file_that_was_not_understood_is_read_again() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let log = home.file("a.log", "1431857103.000 GET /a\n".repeat(400));
    assert_fails(&server.run(&["import", &log]), 1, &["no line was understood"]);
    import(&server, &["--format", "$msec $request_method $request_uri", &log]);
    assert_eq!(server.live(), totals([("GET /a", 400)]));
}

/// A timer imports a log again and again.
#[test]
fn a_bad_line_after_good_ones_is_no_failure() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let log = home.file("a.log", lines(0..300));
    import(&server, &[&log]);
    home.file("a.log", format!("{}no log line\n", lines(0..300)));
    let said = import(&server, &[&log]);
    assert_known(&said, "a.log: 300 lines were read before", "; 1 is new");
    assert!(said.contains("counted 0 requests, 1 malformed"), "{said}");
    assert!(said.contains("no import comes back to these: run this one with"), "{said}");
    // Nothing of this one is counted or stored, but a line of it was understood.
    let other = home.file("b.log", format!("{}no log line\n", line(7)));
    for _ in 0..2 {
        let said = import(&server, &["--path-prefix", "/none", &other]);
        assert!(said.contains("counted 0 requests, 1 malformed, 0 blank, 1 left out"), "{said}");
        assert!(!said.contains("comes back"), "{said}");
    }
    // As the message says.
    let bad = home.path("bad.log");
    let bad = bad.to_str().expect("text");
    let said = home.run(&["import", "--dry-run", "--malformed", bad, &log]).stderr;
    assert!(
        said.contains("would count 300 requests if nothing of it was counted before"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(bad).expect("saved"), "no log line\n");
}

#[test]
fn columns_are_known_from_the_lines_before() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let head =
        "#Software: x\n#Date: 2015-05-17 10:05:03\n#Fields: date time cs-method cs-uri-stem\n";
    let line = |path: usize| format!("2015-05-17 10:05:03 GET /{path}\n");
    let mut text = String::from(head);
    for (paths, swapped) in [(2, 0), (150, 1), (200, 1)] {
        for path in 1..=paths {
            let _ = write!(text, "{}", line(path));
        }
        let log = home.file("w3c.log", &text);
        let output = server.ok(&["import", "--strict", &log]);
        let counted = format!("counted {} requests", paths + swapped);
        assert!(output.stderr.contains(&counted), "{output:?}");
        // Other columns from here on.
        text.push_str("#Fields: date time cs-uri-stem cs-method\n");
        let _ = writeln!(text, "2015-05-17 10:05:03 /swapped GET");
        text.push_str("#Fields: date time cs-method cs-uri-stem\n");
    }
    let log = home.file("w3c.log", &text);
    import(&server, &["--strict", &log]);
    assert_eq!(server.live()["GET /swapped"], 3);
    assert_eq!(server.live()["GET /1"], 3);
}

/// Lines that stand for several requests: some batches end within a line.
#[test]
fn a_batch_may_end_within_a_line() {
    let home = Home::sqlite();
    let folded = |number: usize| {
        let line = line(number);
        format!("web nginx: message repeated 9000 times: [{}]\n", line.trim_end())
    };
    let log = home.file("a.log", (0..30).map(folded).collect::<String>());
    for point in ["append.committed", "append.before_commit", "append.committed"] {
        killed(&home, point, &[&log]);
    }
    let server = home.serve(&[]);
    import(&server, &[&log]);
    assert_eq!(server.live(), times(counts(0..30), 9_000));
}

#[test]
fn what_comes_from_a_pipe_has_no_position() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    for count in [1, 2] {
        let output = run(&server.command(&["import", "-"]), line(7).as_bytes(), LIMIT);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(server.live(), totals([("GET /7", count)]));
    }
    let log = home.file("a.log", line(7));
    import(&server, &[&log]);
    assert_eq!(server.live(), totals([("GET /7", 3)]));
}
