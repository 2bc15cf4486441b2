//! How long pages and lists of so many debts take.

use std::time::Instant;

use tally_testkit::http;

use crate::samples::{Samples, ms};
use crate::server::Server;

/// What is asked for.
const ASKED: [(&str, &str); 6] = [
    ("page of all debts", "/debts"),
    ("page of those that are down", "/debts?status=down"),
    ("page of late ones", "/debts?status=late"),
    ("page of one debt", "/debts/d-0"),
    ("list of 100 debts", "/api/v1/debts?limit=100"),
    ("list of 100 that are up", "/api/v1/debts?limit=100&status=up"),
];

/// How often each is asked for, after a first time that is not counted.
const ROUNDS: usize = 9;

/// Prints lines.
pub(super) fn measure(server: &Server) -> anyhow::Result<()> {
    for (name, path) in ASKED {
        let mut times = Samples::default();
        for round in 0..=ROUNDS {
            let start = Instant::now();
            let kind = if path.starts_with("/api/") { "application/json" } else { "text/html" };
            let accept = format!("accept: {kind}");
            let answer = http(server.url(), &format!("GET {path}"), &[&accept], "");
            if round > 0 {
                times.add(start.elapsed());
            }
            anyhow::ensure!(answer.status == 200, "GET {path}: {}", answer.body);
        }
        println!("{name:<36} {:>9} ms", ms(times.median()));
    }
    Ok(())
}
