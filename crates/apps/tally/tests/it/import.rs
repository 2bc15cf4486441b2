//! What an import counts, and under which names.

use tally_testkit::Output;

use crate::support::{Home, Server, Totals, assert_fails, totals};

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
    let log = home.file("text.log", crate::support::LOG_LINE);
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

mod counted_before {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::process::Command;

    use tally_testkit::{Process, Proxy, Spawn, Stream, eventually_blocking};

    use super::*;
    use crate::support::{LIMIT, LOG_LINE, assert_fails, text};

    const SKIPPED: &str = "--again counts it again";

    fn import(server: &Server, arguments: &[&str]) -> String {
        server.ok(&[&["import"], arguments].concat()).stderr
    }

    #[test]
    fn a_known_file_is_left_out_with_a_message() {
        for home in [Home::sqlite(), Home::postgres("import")] {
            let server = home.serve(&[]);
            let old = home.file("old.log", LOG_LINE.repeat(3));
            let new = home.file("new.log", LOG_LINE.repeat(5));
            assert!(!import(&server, &[&old]).contains(SKIPPED));
            let said = import(&server, &[&old, &new]);
            assert!(said.contains("old.log was counted on 2"), "{said}");
            assert!(said.contains(&format!("(3 requests), and is left out; {SKIPPED}")), "{said}");
            assert!(said.contains("counted 5 requests"), "{said}");
            assert_eq!(server.live(), totals([("GET /a", 8)]));
            // The whole file.
            let said = import(&server, &[&old, &new]);
            assert_eq!(said.matches(SKIPPED).count(), 2, "{said}");
            assert_eq!(server.live(), totals([("GET /a", 8)]));
            // With another name.
            let copy = home.file("copy.log", LOG_LINE.repeat(3));
            assert!(import(&server, &[&copy]).contains("old.log (3 requests)"));
            import(&server, &["--again", &old]);
            assert_eq!(server.live(), totals([("GET /a", 11)]));
            // Lines not counted yet, lines added later, and input from a pipe.
            import(&server, &["--from-line", "2", &old]);
            home.file("old.log", LOG_LINE.repeat(4));
            import(&server, &[&old]);
            assert_eq!(server.live(), totals([("GET /a", 17)]));
        }
    }

    /// With other flags it may have other requests, or the same ones.
    #[test]
    fn a_file_counted_with_other_flags_is_refused() {
        for home in [Home::sqlite(), Home::postgres("other_flags")] {
            let server = home.serve(&[]);
            let own = "1431857103.000 GET /a\n".repeat(4);
            let log = home.file("own.log", format!("{}{own}", LOG_LINE.repeat(3)));
            let other = home.file("other.log", LOG_LINE);
            import(&server, &[&log]);
            let said = import(&server, &[&log]);
            assert!(
                said.contains(&format!("(3 requests, 4 malformed), and is left out; {SKIPPED}"))
            );
            let format = "$msec $request_method $request_uri";
            for flags in [["--format", format], ["--path-prefix", "/a"], ["--tz", "UTC"]] {
                let output = server.run(&[&["import"], &flags[..], &[&other, &log]].concat());
                assert_eq!(output.status.code(), Some(1), "{output:?}");
                let words = "(3 requests, 4 malformed) with other flags; --again counts it anyway";
                assert!(output.stderr.contains(words), "{output:?}");
                assert!(output.stderr.contains("error: nothing was sent"), "{output:?}");
            }
            assert_eq!(server.live(), totals([("GET /a", 3)]));
            // The missing lines, then all lines that are valid with these flags.
            let kept = text(&home.path("kept.log"));
            home.run(&["import", "--dry-run", "--malformed", &kept, &log]);
            import(&server, &["--format", format, &kept]);
            assert_eq!(server.live(), totals([("GET /a", 7)]));
            import(&server, &["--again", "--format", format, &log]);
            assert_eq!(server.live(), totals([("GET /a", 11)]));
        }
    }

    #[test]
    fn a_log_rotated_meanwhile_is_another_file() {
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
        home.file("access.log", LOG_LINE.repeat(4));
        drop(stdin);
        let output = process.wait(LIMIT);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(server.live(), totals([("GET /a", 5)]));
        let said = import(&server, &[&rotated, &log]);
        assert!(said.contains("access.log was counted on 2"), "{said}");
        assert!(!said.contains("access.log.1 was counted"), "{said}");
        assert_eq!(server.live(), totals([("GET /a", 55)]));
    }

    #[test]
    fn other_files_are_remembered_despite_a_bad_one() {
        let home = Home::sqlite();
        let server = home.serve(&[]);
        let good = home.file("good.log", LOG_LINE.repeat(3));
        let torn = home.file("torn.log.gz", &b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b"[..]);
        for skipped in [false, true] {
            let output = server.run(&["import", &good, &torn]);
            assert_fails(&output, 1, &["torn.log.gz: cannot be read beyond line 0"]);
            assert_eq!(output.stderr.contains(SKIPPED), skipped, "{output:?}");
            assert_eq!(server.live(), totals([("GET /a", 3)]));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_import_waits_for_a_server_without_its_database() {
        let home = Home::postgres("import_waits");
        let (proxy, url) = Proxy::before(&home.database_url()).await;
        let server = tokio::task::block_in_place(|| home.serve_at(&url, &[]));
        let log = home.file("a.log", LOG_LINE);
        proxy.cut().await;
        let process = Process::spawn(&server.command(&["import", &log]));
        let words = "waiting for the server: look for counted files";
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
        assert_fails(
            &output,
            1,
            &["cannot ask which files are counted already: no answer within 1 s"],
        );
        assert!(!output.stderr.contains("--again"), "{output:?}");
    }

    /// An unfinished import remembers nothing.
    #[test]
    fn an_interrupted_import_is_counted_again() {
        let home = Home::sqlite();
        let server = home.serve_until("forget.before_commit");
        let log = home.file("a.log", LOG_LINE.repeat(3));
        import(&server, &[&log]);
        server.kill();
        let server = home.serve(&[]);
        assert_eq!(server.live(), totals([("GET /a", 3)]));
        let said = import(&server, &[&log]);
        assert!(!said.contains(SKIPPED), "{said}");
        assert_eq!(server.live(), totals([("GET /a", 6)]));
        assert!(import(&server, &[&log]).contains(SKIPPED));
    }

    /// Neither with a malformed last line that may be incomplete, nor without any valid line.
    #[test]
    fn an_unfinished_file_is_not_remembered() {
        let home = Home::sqlite();
        let server = home.serve(&[]);
        let log = home.file("a.log", format!("{LOG_LINE}{}", &LOG_LINE[..20]));
        for counted in [1, 2] {
            import(&server, &[&log]);
            assert_eq!(server.live(), totals([("GET /a", counted)]));
        }
    }
}
