//! Logs that cannot be imported completely: the reported count is exact.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use tally_testkit::{Process, Spawn, eventually_blocking, run};

use crate::support::{Home, LIMIT, LOG_LINE as LINE, Server, assert_fails, totals};

/// A server and a folder for the logs.
fn home() -> (Home, Server) {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    (home, server)
}

/// Asserts that this file is refused before anything is sent, even after a good one.
#[track_caller]
fn assert_refused(home: &Home, server: &Server, path: &str, words: &[&str]) {
    let good = home.file("good.log", LINE);
    let output = server.run(&["import", &good, path]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for word in words.iter().chain(&[path, "nothing was sent"]) {
        assert!(output.stderr.contains(word), "{word} is not in {output:?}");
    }
    assert_eq!(server.live(), totals([]));
}

#[test]
fn a_missing_file() {
    let (home, server) = home();
    let path = crate::support::text(&home.path("absent.log"));
    assert_refused(&home, &server, &path, &["No such file"]);
}

#[test]
fn a_folder() {
    let (home, server) = home();
    let path = crate::support::text(&home.path(""));
    assert_refused(&home, &server, &path, &["is a directory"]);
}

#[test]
fn a_binary_file() {
    let (home, server) = home();
    let path = home.file("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0");
    assert_fails(&server.run(&["import", &path]), 1, &["no line was understood"]);
    assert_eq!(server.live(), totals([]));
}

/// A log that was just rotated has no line, and is no reason to fail.
#[test]
fn a_file_without_a_line() {
    let (home, server) = home();
    let compressed = GzEncoder::new(Vec::new(), Compression::fast()).finish();
    for (name, bytes) in [
        ("empty.log", Vec::new()),
        ("empty.log.gz", compressed.expect("memory does not fail")),
        ("blank.log", b"\n\n".to_vec()),
        ("directive.log", b"#Fields: date time\n".to_vec()),
    ] {
        let output = server.ok(&["import", "--strict", &home.file(name, bytes)]);
        assert!(output.stderr.contains("counted 0 requests, 0 malformed"), "{output:?}");
        assert!(!output.stderr.contains("the last line has no end"), "{name}: {output:?}");
    }
    let torn = home.file("torn.log", LINE.trim_end());
    let output = server.ok(&["import", "--strict", &torn]);
    assert!(output.stderr.contains("the last line has no end"), "{output:?}");
}

/// A file is judged line by line, not by single bytes.
#[test]
fn artifacts_of_rotation_are_skipped() {
    let (home, server) = home();
    let nuls = vec![0; 300_000];
    let first = LINE.replace("10:05:03", "10:05:01");
    let truncated = home.file("truncated.log", [&nuls, first.as_bytes()].concat());
    let one_nul = LINE.replace("512", "512 \"-\" \"a\0b\"");
    let joined = home.file("joined.log", [LINE, "\u{feff}", LINE, "\r\n", &one_nul].concat());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let last = LINE.replace("10:05:03", "10:05:04");
    encoder.write_all(last.repeat(3).as_bytes()).expect("memory does not fail");
    let compressed = encoder.finish().expect("memory does not fail");
    let padded = home.file("padded.log.gz", [compressed, nuls].concat());
    let output = server.ok(&["import", "--strict", &truncated, &joined, &padded]);
    assert!(output.stderr.contains("counted 7 requests, 0 malformed, 1 blank"), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 7)]));
}

#[test]
fn a_torn_end_is_left_for_later() {
    let (home, server) = home();
    let path = home.file("live.log", [LINE, LINE.trim_end()].concat());
    let output = server.ok(&["import", &path]);
    let words = "live.log:2: the last line has no end, and is left for an import after it has one";
    assert!(output.stderr.contains(words), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 1)]));
    let path = home.file("live.log", LINE.repeat(2));
    server.ok(&["import", &path]);
    assert_eq!(server.live(), totals([("GET /a", 2)]));
    // Nothing is added to what is compressed, and what comes from a pipe may have no end.
    let other = LINE.replace("/a", "/b").replace("10:05:03", "10:05:04");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(other.trim_end().as_bytes()).expect("memory does not fail");
    let path = home.file("live.log.gz", encoder.finish().expect("memory does not fail"));
    server.ok(&["import", "--strict", &path]);
    assert_eq!(server.live()["GET /b"], 1);
    let torn = &other[..50];
    let output = run(&server.command(&["import", "-"]), torn.as_bytes(), LIMIT);
    for words in ["the quotes of the request are not closed", "--from-line 1 -"] {
        assert!(output.stderr.contains(words), "{words} is not in {output:?}");
    }
}

#[test]
fn malformed_lines_are_saved_for_repair() {
    let (home, server) = home();
    let german = LINE.replace("May", "Mai");
    let path = home.file("german.log", [&german, LINE, &german].concat());
    let kept = crate::support::text(&home.path("malformed.log"));
    let output = server.ok(&["import", "--malformed", &kept, &path]);
    let words = "german.log:1: the time \"17/Mai/2015:10:05:03 +0000\": its month is none of Jan,";
    assert!(output.stderr.contains(words), "{output:?}");
    assert!(output.stderr.contains("(2 lines like this)"), "{output:?}");
    let lines = std::fs::read_to_string(&kept).expect("the lines are saved");
    assert_eq!(lines, german.repeat(2));
    let mended = home.file("mended.log", lines.replace("Mai", "May"));
    server.ok(&["import", "--strict", &mended]);
    assert_eq!(server.live(), totals([("GET /a", 3)]));
    assert_fails(&server.run(&["import", "--malformed", &kept, &kept]), 1, &["is an input"]);
}

#[test]
fn the_same_file_twice_is_counted_once() {
    let (home, server) = home();
    let path = home.file("access.log.1", LINE.repeat(3));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(LINE.repeat(3).as_bytes()).expect("memory does not fail");
    let copy = home.file("access.log.1.gz", encoder.finish().expect("memory does not fail"));
    let output = server.ok(&["import", &path, &copy, &path]);
    let words = format!("{copy}: 3 lines were read before");
    assert!(output.stderr.contains(&words), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 3)]));
    server.ok(&["import", "--again", &path, &copy]);
    assert_eq!(server.live(), totals([("GET /a", 9)]));
}

#[test]
fn a_line_of_ten_megabytes() {
    let (home, server) = home();
    let long = "x".repeat(10_000_000);
    let path = home.file("long.log", format!("{LINE}{long}\n{LINE}"));
    let output = server.ok(&["import", &path]);
    assert!(output.stderr.contains("counted 2 requests, 1 malformed"), "{output:?}");
    assert!(output.stderr.contains("long.log:2: the line has more than"), "{output:?}");
    assert!(output.stderr.len() < 1_000, "the line itself is not printed");
    assert_eq!(server.live(), totals([("GET /a", 2)]));
}

#[test]
fn a_broken_gzip_file() {
    let (home, server) = home();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(LINE.repeat(20_000).as_bytes()).expect("memory does not fail");
    let whole = encoder.finish().expect("memory does not fail");
    let path = home.file("torn.log.gz", &whole[..whole.len() / 2]);
    let output = server.run(&["import", &path]);
    assert_fails(&output, 1, &["torn.log.gz", "cannot be read beyond line"]);
    let counted = counted(&output.stderr);
    assert!((1..20_000).contains(&counted), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", counted)]), "as reported");
}

#[test]
fn malformed_lines_are_named_and_fail_only_a_strict_import() {
    let (home, server) = home();
    let lines = format!(
        "{LINE}no log line at all\n{LINE}\n\
         h - - [30/Feb/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1\n\
         h - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\n{LINE}"
    );
    let path = home.file("mixed.log", lines);
    let output = server.ok(&["import", &path]);
    for words in [
        "1 file, 7 lines: counted 3 requests, 3 malformed, 1 blank",
        "mixed.log:2: no time in brackets",
        "mixed.log:5: the time \"30/Feb/2015:10:05:03 +0000\": there is no such date",
        "mixed.log:6: the quotes of the request are not closed",
    ] {
        assert!(output.stderr.contains(words), "{words} is not in {output:?}");
    }
    assert_eq!(server.live(), totals([("GET /a", 3)]));
    let output = server.run(&["import", "--strict", "--again", &path]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 6)]), "the others are still counted");
    let path = home.file("good.log", LINE.replace("10:05:03", "10:05:04"));
    server.ok(&["import", "--strict", &path]);
}

#[test]
fn a_file_of_another_kind() {
    let (home, server) = home();
    let path = home.file("list.txt", "milk\nbread\n");
    let output = server.run(&["import", &path]);
    assert_fails(&output, 1, &["no line was understood"]);
    assert_eq!(server.live(), totals([]));
}

#[test]
fn a_path_too_long_for_the_server_is_other() {
    let home = Home::sqlite();
    let server = home.serve(&["--requests-path-bytes-max", "20"]);
    let long = LINE.replace("/a", "/a/path/of/more/than/20/bytes");
    let path = home.file("access.log", [LINE, &long, LINE].concat());
    let output = server.run(&["import", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 2), ("GET _other", 1)]));
}

#[test]
fn a_path_that_servers_cannot_store_is_other() {
    let (home, server) = home();
    let long = LINE.replace("/a", &"/a".repeat(1_025));
    let nul = LINE.replace("/a", "/a\\x00");
    let path = home.file("access.log", [LINE, &long, &nul, LINE].concat());
    let output = server.ok(&["import", "--strict", &path]);
    assert!(output.stderr.contains("counted 4 requests, 0 malformed"), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 2), ("GET _other", 2)]));
}

#[test]
fn an_import_from_a_pipe() {
    let (_home, server) = home();
    let output = run(&server.command(&["import", "-"]), LINE.repeat(5).as_bytes(), LIMIT);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 5)]));
}

#[test]
fn ctrl_c_ends_an_import_with_an_exact_count() {
    let (home, server) = home();
    let pipe = home.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is everywhere");
    assert!(made.success());
    let how = Spawn { stdin: Some(pipe.clone()), ..Spawn::default() };
    let import = Process::spawn_with(&server.command(&["import", "-"]), &how);
    // Opening blocks until the import has opened its side; it never sees our side close.
    let mut log = OpenOptions::new().write(true).open(&pipe).expect("a pipe");
    log.write_all(LINE.repeat(3_000).as_bytes()).expect("it reads");
    let first = totals([("GET /a", 3_000)]);
    let some = eventually_blocking(LIMIT, || {
        if server.live() == first { Ok(()) } else { Err(server.live()) }
    });
    assert_eq!(some, Ok(()), "it sends the lines it has read");
    log.write_all(LINE.repeat(2_000).as_bytes()).expect("it reads");
    import.signal("INT");
    let output = import.wait(LIMIT);
    drop(log);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("stopping; waiting for the server"), "{output:?}");
    let counted = counted(&output.stderr);
    assert!((3_000..=5_000).contains(&counted), "{output:?}");
    let words = format!("interrupted after stdin:{counted}; go on with: tally import");
    assert!(output.stderr.contains(&words), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", counted)]), "as reported");
}

#[test]
fn the_server_dies_during_an_import() {
    let (home, server) = home();
    server.stop();
    let server = home.serve_until("append.before_commit");
    let path = home.file("access.log", LINE.repeat(10));
    let import = Process::spawn(&server.command(&["import", &path, "--patience", "1"]));
    let stopped = "stopped at append.before_commit";
    server.process.wait_for_line(tally_testkit::Stream::Stderr, stopped, LIMIT);
    server.kill();
    let output = import.wait(LIMIT);
    assert_fails(&output, 1, &["the import stopped: "]);
    assert!(output.stderr.contains("between 0 and 10 requests counted"), "{output:?}");
}

#[test]
fn an_import_continues_once_the_server_is_back() {
    for (home, point) in [
        (Home::sqlite(), "append.committed"),
        (Home::postgres("import_goes_on"), "append.committed"),
    ] {
        // The batch is committed, but its answer is lost.
        let server = home.serve_until(point);
        let path = home.file("access.log", LINE.repeat(10));
        let import = Process::spawn(&server.command(&["import", &path]));
        let stopped = format!("stopped at {point}");
        server.process.wait_for_line(tally_testkit::Stream::Stderr, &stopped, LIMIT);
        server.kill();
        import.wait_for_line(tally_testkit::Stream::Stderr, "waiting for the server: ", LIMIT);
        let address = server.url.trim_start_matches("http://");
        let url = home.database_url();
        let arguments = ["serve", "--listen", address, "--database-url", &url];
        let server = Server::start(&home.command(&arguments));
        let output = import.wait(LIMIT);
        assert_eq!(output.status.code(), Some(0), "{point}: {output:?}");
        assert!(output.stderr.contains("counted 10 requests"), "{output:?}");
        assert_eq!(server.live(), totals([("GET /a", 10)]), "counted once even if sent twice");
    }
}

/// A backup is restored between two parts of a pipe.
#[test]
fn a_loss_in_the_database_fails_a_running_import() {
    let home = Home::postgres("import_lost");
    let server = home.serve(&[]);
    let pipe = home.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is everywhere");
    assert!(made.success());
    let how = Spawn { stdin: Some(pipe.clone()), ..Spawn::default() };
    let import = Process::spawn_with(&server.command(&["import", "-"]), &how);
    let mut log = OpenOptions::new().write(true).open(&pipe).expect("a pipe");
    log.write_all(LINE.repeat(3).as_bytes()).expect("it reads");
    let stored = eventually_blocking(LIMIT, || match home.stored() {
        3 => Ok(()),
        rows => Err(rows),
    });
    assert_eq!(stored, Ok(()));
    // Folded or not.
    home.sql(
        "DELETE FROM tally_requests_0; DELETE FROM tally_requests_1; DELETE FROM tally_requests_2; \
         DELETE FROM tally_requests_3; DELETE FROM tally_request_days; \
         DELETE FROM tally_request_calendar; UPDATE tally_producers SET sequence = 0",
    );
    log.write_all(LINE.repeat(2).as_bytes()).expect("it reads");
    drop(log);
    let output = import.wait(LIMIT);
    assert_fails(&output, 1, &["acknowledged batch", "missing: the server's database went back"]);
    assert_eq!(server.live(), totals([("GET /a", 2)]));
}

/// The number of the summary's "counted N requests".
#[track_caller]
fn counted(summary: &str) -> i64 {
    let after = summary.split("counted ").nth(1).expect("a summary");
    let number = after.split(' ').next().expect("a number").replace(',', "");
    number.parse().expect("a number")
}
