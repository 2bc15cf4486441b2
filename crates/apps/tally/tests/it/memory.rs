//! A server with less memory than the names in its database need.

use std::path::Path;

use crate::support::{Home, OLD_DAY, Server, command};

/// How much memory the server may have, in KiB.
const MEMORY: u32 = 80 << 10;
/// The number of endpoints in the database and the length of their paths, as from a server with
/// other limits. Postgres compresses them.
const ENDPOINTS: u32 = 20_000;
const PATH_BYTES: u32 = 2_048;
const LIMITS: [&str; 4] = ["--requests-series-max", "1000", "--requests-totals-max", "100000"];

#[test]
fn a_server_starts_and_answers_in_little_memory() {
    let home = Home::postgres("memory");
    home.serve(&LIMITS).stop();
    home.sql(&format!(
        "INSERT INTO tally_request_series
             SELECT id, 0, '', 'GET', rpad('/' || id || '/', {PATH_BYTES}, 'x'), 0, ''
             FROM generate_series(1, {ENDPOINTS}) AS id;
         INSERT INTO tally_request_calendar (day, rolled_up_at, pruned_at)
             VALUES ('{OLD_DAY}', now(), now());
         INSERT INTO tally_request_months
             SELECT date_trunc('month', DATE '{OLD_DAY}'), id, 1,
                    '[' || extract(DAY FROM DATE '{OLD_DAY}') - 1 || ',1]'
             FROM generate_series(1, {ENDPOINTS}) AS id"
    ));
    let serve = home.serve_command(&LIMITS);
    let script = format!("ulimit -d {MEMORY} && exec \"$@\"");
    let mut limited = command(Path::new("sh"), &home.path(""), &["-c", &script, "sh"]);
    limited.arg(serve.get_program()).args(serve.get_args());
    // Each thread needs its own memory.
    let server = Server::start(limited.env("TOKIO_WORKER_THREADS", "2"));
    for live in [&["--live"][..], &[]] {
        let output = server.run(&[&["totals"], live].concat());
        assert!(output.stderr.contains("ask for a shorter range"), "{output:?}");
    }
    let some = server.totals(&["--path-prefix", "/77/"]);
    assert_eq!(some.into_values().collect::<Vec<_>>(), [1]);
    server.ok(&["add", "GET", "/a"]);
    server.ok(&["health"]);
    server.stop();
}
