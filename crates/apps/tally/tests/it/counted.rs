//! Payments of a debt count in a series of requests, each once, whatever is killed on the way.

use tally_testkit::{Stream, eventually_blocking};

use crate::support::{Home, LIMIT, Server, assert_fails};

/// What is counted, by service and status.
fn counted(server: &Server) -> String {
    let csv = ["totals", "--live", "--by", "whole", "--group-by", "service,path,status"];
    let output = server.ok(&[&csv[..], &["--format", "csv"]].concat());
    output.stdout.lines().skip(1).collect::<Vec<_>>().join("\n")
}

/// Adds a debt and pays it. Then the server has stopped for ever.
fn stopped_at(home: &Home, point: &str) -> Server {
    let server = home.serve_until(point);
    let add = ["debts", "add", "job", "--count-as", "POST /job", "--count-service", "cron"];
    server.ok(&add);
    server.ok(&["debts", "pay", "job"]);
    server.process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
    server
}

/// What is paid next is counted after everything before it.
#[track_caller]
fn check(server: &Server) {
    server.ok(&["debts", "pay", "job", "--kind", "fail"]);
    let both = ",cron,/job,200,1\n,cron,/job,500,1";
    let seen = eventually_blocking(LIMIT, || match counted(server) {
        all if all.contains(",500,") => Ok(all),
        all => Err(all),
    });
    assert_eq!(seen.as_deref(), Ok(both), "{}", server.log());
    let shown = server.ok(&["debts", "show", "job"]).stdout;
    assert!(shown.contains("counts as   POST /job of cron\n"), "{shown}");
}

fn killed(home: &Home, point: &str) {
    stopped_at(home, point).kill();
    check(&home.serve(&[]));
}

#[test]
fn killed_before_it_is_counted_on_sqlite() {
    killed(&Home::sqlite(), "outbox.counts.taken");
}

#[test]
fn killed_after_it_is_counted_on_sqlite() {
    killed(&Home::sqlite(), "outbox.counts.counted");
}

#[test]
fn killed_before_it_is_counted_on_postgres() {
    killed(&Home::postgres("counts_taken"), "outbox.counts.taken");
}

/// The first one has counted it, and lives.
#[test]
fn two_servers_count_the_same_payment_on_postgres() {
    let home = Home::postgres("counts_counted");
    let first = stopped_at(&home, "outbox.counts.counted");
    check(&home.serve(&[]));
    first.kill();
}

#[test]
fn what_is_no_series_is_refused() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    for (flags, words) in [
        (&["--count-as", "/job"][..], &["count_as", "as in POST /backup"][..]),
        (&["--count-as", "post /job"], &["count_as", "a method in capitals"]),
        (
            &["--count-as", "POST /job", "--count-service", &"x".repeat(129)],
            &["count_service", "128 bytes"],
        ),
    ] {
        let output = server.run(&[&["debts", "add", "job"], flags].concat());
        assert_fails(&output, 1, words);
    }
    let alone = server.run(&["debts", "add", "job", "--count-service", "cron"]);
    assert_fails(&alone, 2, &["required arguments"]);
}
