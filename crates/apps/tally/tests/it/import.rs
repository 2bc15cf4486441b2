//! What an import counts, and under which names.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

use tally_testkit::{Output, Process, Proxy, Spawn, Stream, eventually_blocking};

use crate::support::{Home, LIMIT, LOG_LINE, Server, Totals, assert_fails, text, totals};

/// Lines of several formats in one file.
const MIXED: &str = r#"#Software: x
192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /users/7?x=1 HTTP/1.1" 200 5
web nginx: message repeated 2 times: [ 192.0.2.1 - - [17/May/2015:10:05:03 +0000] "get /users/8 HTTP/1.1" 200 5 "-" "curl"]
192.0.2.1 - - [17/May/2015:10:05:03 +0000] "PROPFIND /dav/a.b HTTP/1.1" 207 5
{"logger":"http.log.error","ts":1431857103.5,"request":{"method":"GET","uri":"/users/9"}}
{"logger":"http.log.access","ts":1431857103.5,"request":{"method":"GET","uri":"/users/9"}}
{"request":"GET /shop HTTP/1.1","uri":"/index.php","time":0.003,"@timestamp":"2015-05-17T10:05:03Z","kind":"x"}
lb haproxy[1]: 192.0.2.1:1 [17/May/2015:12:05:03.294] fe~ be/s 0/0 200 8 - - ---- 0/0 "GET /lb HTTP/1.1"
"#;

fn import(home: &Home, server: &Server, flags: &[&str]) -> (Output, Totals) {
    let path = home.file("mixed.log", MIXED);
    let output = server.ok(&[&["import"], flags, &[&path]].concat());
    (output, server.live())
}

#[test]
fn formats_may_be_mixed() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let (output, counted) = import(&home, &server, &[]);
    let words = "8 lines: counted 6 requests, 1 malformed, 0 blank, 2 left out";
    assert!(output.stderr.contains(words), "{output:?}");
    assert!(output.stderr.contains("say its zone, as in --tz UTC"), "{output:?}");
    let expected = totals([
        ("GET /shop", 1),
        ("GET /users/7", 1),
        ("GET /users/8", 2),
        ("GET /users/9", 1),
        ("PROPFIND /dav/a.b", 1),
    ]);
    assert_eq!(counted, expected);
    let output = server.ok(&["totals", "--live", "--method", "propfind", "--format", "csv"]);
    assert!(output.stdout.ends_with("2015-05-17,PROPFIND,/dav/a.b,1\n"), "{output:?}");
}

#[test]
fn flags_decide_under_which_paths_requests_count() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let flags = [
        "--tz",
        "+02:00",
        "--collapse-ids",
        "--rewrite",
        "^/lb$=/users/x",
        "--path-prefix",
        "/users/",
        "--path-prefix",
        "/lb",
    ];
    let (_, counted) = import(&home, &server, &flags);
    assert_eq!(counted, totals([("GET /users/x", 1), ("GET /users/{id}", 4)]));
}

#[test]
fn conditions_select_the_requests() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let (_, counted) = import(&home, &server, &["--where", "logger=http.log.error"]);
    assert_eq!(counted, totals([("GET /users/9", 1)]));
    let (_, counted) =
        import(&home, &server, &["--again", "--where", "kind=x", "--where", "logger!=y"]);
    assert_eq!(counted, totals([("GET /shop", 1), ("GET /users/9", 1)]));
}

/// Flags that leave out every line are refused with the reason.
#[test]
fn conditions_and_prefixes_that_match_no_line() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let log = home.file("text.log", LOG_LINE);
    for format in ["auto", "combined", "common", "clf"] {
        let output = server.run(&["import", "--format", format, "--where", "status=200", &log]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stderr.contains("a line of text has no fields, so --where"), "{output:?}");
    }
    let format = "[$time_local] \"$request\"";
    let output = server.run(&["import", "--format", format, "--where", "status=200", &log]);
    assert_fails(&output, 2, &["--where is for fields of JSON"]);
    let output = server.run(&["import", "--path-prefix", "users", &log]);
    assert_fails(&output, 2, &["a path begins with /: write /users"]);
    let output = server.run(&["import", "--format", "main", &log]);
    assert_fails(&output, 2, &["paste the log_format or LogFormat itself, not its name"]);
    server.ok(&["import", "--format", "combined", "--path-prefix", "/a", &log]);
    assert_eq!(server.live(), totals([("GET /a", 1)]));
}

#[test]
fn a_custom_format() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let path = home.file("own.log", "1431857103.000|PURGE|/a?b|x y\n1431857103.000|GET|/a|z\n");
    let format = "log_format own '$msec|$request_method|$request_uri|$http_user_agent';";
    server.ok(&["import", "--strict", "--format", format, &path]);
    assert_eq!(server.live(), totals([("GET /a", 1), ("PURGE /a", 1)]));
    let output = server.run(&["import", "--format", "$msec$request", &path]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stderr.contains("are adjacent"), "{output:?}");
}

#[test]
fn a_dry_run_needs_no_server() {
    let home = Home::sqlite();
    let path = home.file("mixed.log", MIXED);
    let output = home.run(&["import", "--dry-run", "--collapse-ids", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let expected = "method,path,count\nGET,/users/{id},4\nGET,/shop,1\nPROPFIND,/dav/a.b,1\n";
    assert_eq!(output.stdout, expected);
    assert!(output.stderr.contains("3 endpoints would be counted; nothing was sent"), "{output:?}");
}

/// A scanner's log can use up a server's series, so that real routes count as `_other`.
#[test]
fn many_series_cause_a_warning() {
    let home = Home::sqlite();
    let line =
        |number| format!("h - - [17/May/2015:10:05:03 +0000] \"GET /x/{number} HTTP/1.1\" 404 1\n");
    let path = home.file("scan.log", (0..11_000).map(line).collect::<String>());
    let output = home.run(&["import", "--dry-run", &path]);
    assert_eq!(output.stderr.matches("warning: about 10,000 different series").count(), 1);
    let output = home.run(&["import", "--dry-run", "--collapse-ids", &path]);
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    assert_eq!(output.stdout, "method,path,count\nGET,/x/{id},11000\n");
}

/// The server's database is away when the import asks for its position.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_for_a_server_without_its_database() {
    let home = Home::postgres("import_waits");
    let (proxy, url) = Proxy::before(&home.database_url()).await;
    let server = tokio::task::block_in_place(|| home.serve_at(&url, &[]));
    let log = home.file("a.log", LOG_LINE);
    proxy.cut().await;
    let process = Process::spawn(&server.command(&["import", &log]));
    let words = "waiting for the server: ";
    tokio::task::block_in_place(|| process.wait_for_line(Stream::Stderr, words, LIMIT));
    proxy.restore().await;
    tokio::task::block_in_place(|| {
        let output = process.wait(LIMIT);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(server.live(), totals([("GET /a", 1)]));
    });
}

#[test]
fn an_import_waits_for_a_silent_server_only_up_to_a_limit() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let log = home.file("a.log", LOG_LINE);
    server.process.signal("STOP");
    let output = server.run(&["import", "--patience", "1", &log]);
    server.process.signal("CONT");
    assert_fails(&output, 1, &["the import stopped: the server did not answer within 1 s"]);
    assert!(output.stderr.contains("go on with: tally import"), "{output:?}");
}

#[test]
fn a_log_that_is_rotated_while_it_is_read_is_read_to_its_end() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let log = home.file("access.log", LOG_LINE.repeat(50));
    let pipe = home.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is everywhere");
    assert!(made.success());
    let how = Spawn { stdin: Some(pipe.clone()), ..Spawn::default() };
    let process = Process::spawn_with(&server.command(&["import", "-", &log]), &how);
    let mut stdin = OpenOptions::new().write(true).open(&pipe).expect("a pipe");
    stdin.write_all(LOG_LINE.as_bytes()).expect("it reads");
    let first = totals([("GET /a", 1)]);
    let some = eventually_blocking(LIMIT, || {
        if server.live() == first { Ok(()) } else { Err(server.live()) }
    });
    assert_eq!(some, Ok(()));
    let rotated = text(&home.path("access.log.1"));
    std::fs::rename(&log, &rotated).expect("renamed");
    let new = LOG_LINE.replace("/a", "/new");
    home.file("access.log", new.repeat(4));
    drop(stdin);
    let output = process.wait(LIMIT);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 1), ("GET /new", 4)]));
    let said = server.ok(&["import", &rotated, &log]).stderr;
    assert!(said.contains("access.log: 4 lines were read before"), "{said}");
    assert_eq!(server.live(), totals([("GET /a", 51), ("GET /new", 4)]));
}

#[test]
fn other_files_are_counted_despite_a_bad_one() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let good = home.file("good.log", LOG_LINE.repeat(3));
    let torn = home.file("torn.log.gz", &b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b"[..]);
    let last = home.file("last.log", LOG_LINE.replace("/a", "/last"));
    for _ in 0..2 {
        let output = server.run(&["import", &good, &torn, &last]);
        assert_fails(&output, 1, &["torn.log.gz: "]);
        assert_eq!(server.live(), totals([("GET /a", 3), ("GET /last", 1)]));
    }
}
