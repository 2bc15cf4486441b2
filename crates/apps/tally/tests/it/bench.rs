//! `tally bench`: what it acknowledges is counted, and it notices what is not.

use serde_json::Value;
use tally_testkit::{Process, Proxy, eventually_blocking};

use crate::support::{Home, LIMIT, Server, assert_fails};

/// Small runs that a debug build sends quickly.
const SMALL: [&str; 9] =
    ["bench", "--json", "--warm-up", "0s", "--connections", "2", "--streams", "2", "--series=50"];

/// A run that only a signal ends.
const ENDLESS: [&str; 10] =
    ["bench", "--json", "--duration", "1h", "--warm-up", "0s", "--series", "50", "--rate", "2000"];

/// The series, and of each `Record` stream a request that names them.
const NAMED: u64 = 50;
const STREAMS: u64 = 4;

fn report(stdout: &str) -> Value {
    let report: Value = serde_json::from_str(stdout).expect("JSON");
    for key in [
        "seconds",
        "acknowledged",
        "requests_per_second",
        "lost",
        "doubled",
        "client_cpu_seconds",
        "in_doubt",
        "refusals",
        "sent",
    ] {
        assert!(report[key].is_number(), "{key}: {report}");
    }
    for key in ["p50", "p90", "p99", "p99_9", "max", "mean"] {
        assert!(report["ack_ms"][key].is_number(), "{key}: {report}");
    }
    report
}

fn number(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("{key}: {report}"))
}

#[track_caller]
fn assert_exact(report: &Value) {
    assert_eq!((number(report, "lost"), number(report, "doubled")), (0, 0), "{report}");
}

/// How many requests the server counts of the runs.
fn counted(server: &Server) -> u64 {
    let live = server.live();
    let of_runs = |(name, count): (&String, &i64)| {
        name.starts_with("GET /tally-bench/").then(|| count.unsigned_abs())
    };
    live.iter().filter_map(of_runs).sum()
}

/// A run that is under way: requests are counted beside the names.
fn start(server: &Server, url: &str, arguments: &[&str]) -> Process {
    let before = counted(server);
    let mut command = server.command(&[&ENDLESS[..], arguments].concat());
    let run = Process::spawn(command.env("TALLY_SERVER", url));
    // More than all streams send before the first of their batches.
    await_more(server, before + NAMED + 100);
    run
}

#[track_caller]
fn await_more(server: &Server, than: u64) {
    let more = eventually_blocking(LIMIT, || counted(server) > than);
    assert_eq!(more, Ok(()), "{}", server.log());
}

#[test]
fn a_number_of_requests_is_counted_exactly() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let mut before = 0;
    for (via, names) in [("record", NAMED + STREAMS), ("add", NAMED)] {
        for how in [&["--batch=700"][..], &["--mix=uniform", "--days=3"], &["--rate=100000"]] {
            let arguments = [&SMALL[..], &["--via", via, "--requests", "20003"], how].concat();
            let output = server.ok(&arguments);
            let report = report(&output.stdout);
            assert_exact(&report);
            assert_eq!(number(&report, "acknowledged"), 20_003, "{report}");
            assert_eq!(number(&report, "all_acknowledged"), 20_003 + names, "{report}");
            let now = counted(&server);
            assert_eq!(now - before, 20_003 + names, "{arguments:?}");
            before = now;
        }
    }
}

#[test]
fn a_server_that_merges_requests_counts_each() {
    let home = Home::sqlite();
    let server = home.serve(&["--requests-resolution", "1s"]);
    for via in ["record", "add"] {
        let output = server.ok(&[&SMALL[..], &["--via", via, "-n", "20003"]].concat());
        let report = report(&output.stdout);
        assert_exact(&report);
        assert_eq!(number(&report, "acknowledged"), 20_003, "{report}");
        assert_eq!(number(&report, "server_resolution_us"), 1_000_000, "{report}");
    }
}

#[test]
fn a_duration_at_a_rate_and_at_full_speed() {
    let home = Home::postgres("bench");
    let server = home.serve(&[]);
    for via in ["record", "add"] {
        for rate in [&["--rate", "1000"][..], &[]] {
            let run = ["bench", "--via", via, "--duration", "400ms", "--warm-up", "100ms"];
            let output = server.ok(&[&run[..], rate].concat());
            for words in ["lost 0, doubled 0 of ", "acknowledged", "p99.9", "requests/s"] {
                assert!(output.stdout.contains(words), "{words}: {output:?}");
            }
            let widest = output.stdout.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(80), "{output:?}");
        }
    }
}

#[test]
fn what_others_count_under_its_paths_is_noticed() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    for via in ["record", "add"] {
        let run = start(&server, &server.url, &["--via", via]);
        server.ok(&["add", "GET", "/tally-bench/7", "-n", "13"]);
        run.signal("INT");
        let output = run.wait(LIMIT);
        assert_fails(&output, 1, &["lost 0, doubled 13", "--path-prefix"]);
        let report = report(&output.stdout);
        assert_eq!((number(&report, "lost"), number(&report, "doubled")), (0, 13), "{report}");
    }
}

#[test]
fn what_is_missing_from_the_totals_is_noticed() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let run = start(&server, &server.url, &[]);
    server.ok(&["merge", "--path", "/tally-bench/0", "--into-path", "/elsewhere"]);
    run.signal("INT");
    let output = run.wait(LIMIT);
    assert_fails(&output, 1, &["lost "]);
    let report = report(&output.stdout);
    assert!(number(&report, "lost") > 0, "{report}");
    // And the next run sees at once that it could not check.
    let output = server.run(&[&SMALL[..], &["-n", "100"]].concat());
    assert_fails(&output, 1, &["nothing was measured", "--requests-series-max", "--path-prefix"]);
    server.ok(&[&SMALL[..], &["-n", "100", "--path-prefix", "/other/"]].concat());
}

#[test]
fn a_server_without_room_for_the_series_is_named() {
    let home = Home::sqlite();
    let server = home.serve(&["--requests-series-max", "20"]);
    let output = server.run(&[&SMALL[..], &["-n", "100"]].concat());
    assert_fails(&output, 1, &["nothing was measured", "of 50 requests", "--requests-series-max"]);
}

#[test]
fn ctrl_c_ends_it_with_a_report() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    for via in ["record", "add"] {
        let run = start(&server, &server.url, &["--via", via]);
        run.signal("INT");
        let output = run.wait(LIMIT);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report = report(&output.stdout);
        assert_exact(&report);
        assert_eq!(report["interrupted"], true);
        assert!(number(&report, "all_acknowledged") > NAMED, "{report}");
        let seconds = report["seconds"].as_f64();
        assert!(seconds < Some(LIMIT.as_secs_f64()), "not the hour that it was given: {report}");
    }
}

/// `Record` goes on exactly once; of `Add`, what was on its way is in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server() {
    for via in ["record", "add"] {
        let home = Home::sqlite();
        let server = tokio::task::block_in_place(|| home.serve(&[]));
        let proxy = Proxy::start(server.url.trim_start_matches("http://")).await;
        let url = format!("http://{}", proxy.addr());
        tokio::task::block_in_place(|| {
            let run = start(&server, &url, &["--via", via]);
            server.kill();
            let server = home.serve(&[]);
            let before = counted(&server);
            proxy.redirect(server.url.trim_start_matches("http://"));
            await_more(&server, before + 100);
            run.signal("INT");
            let output = run.wait(LIMIT);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let report = report(&output.stdout);
            assert_exact(&report);
            assert!(number(&report, "refusals") > 0, "{report}");
            if via == "record" {
                assert_eq!(number(&report, "in_doubt"), 0, "{report}");
                assert_eq!(number(&report, "all_acknowledged"), counted(&server), "{report}");
            }
        });
    }
}

#[test]
fn wrong_flags_are_wrong_usage() {
    let home = Home::sqlite();
    for (flag, value) in [
        ("--connections", "0"),
        ("--connections", "257"),
        ("--streams", "1001"),
        ("--rate", "0"),
        ("--duration", "10"),
        ("--duration", "0s"),
        ("--duration", "25h"),
        ("--requests", "0"),
        ("--warm-up", "soon"),
        ("--series", "100001"),
        ("--mix", "normal"),
        ("--batch", "1000001"),
        ("--in-flight", "0"),
        ("--days", "0"),
        ("--path-prefix", ""),
        ("--patience", "0"),
        ("--via", "udp"),
    ] {
        let output = home.run(&["bench", &format!("{flag}={value}")]);
        assert_fails(&output, 2, &[flag]);
    }
    let output = home.run(&["bench", "--requests", "5", "--duration", "5s"]);
    assert_fails(&output, 2, &["--requests", "--duration"]);
}

#[test]
fn a_batch_that_the_server_does_not_take() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let output = server.run(&["bench", "--batch", "100000"]);
    assert_fails(&output, 1, &["--batch 100000", "at most 65,536 requests in a batch"]);
}
