//! `GET /metrics`, as Prometheus asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use tally_proto::count::v1::AddRequest;
use tally_testkit::exposition::{Family, families};
use tally_testkit::{eventually_blocking, free_port, has_programs, http, run_with};

use crate::support::{Home, LIMIT, Server, request, wait_for};

pub(crate) type Scraped = BTreeMap<String, Family>;

/// The table of all metrics.
const DOCS: &str = include_str!("../../../../../docs/metrics.md");

impl Server {
    fn scrape_text(&self) -> String {
        let answer = http(&self.url, "GET /metrics", &[], "");
        let kind = Some("text/plain; version=0.0.4; charset=utf-8");
        assert_eq!((answer.status, answer.header("content-type")), (200, kind));
        answer.body
    }

    #[track_caller]
    pub(crate) fn scrape(&self) -> Scraped {
        families(&self.scrape_text()).expect("the format is right")
    }
}

/// The value with these labels, of a metric that is there.
#[track_caller]
fn value(scraped: &Scraped, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family = scraped.get(name).unwrap_or_else(|| panic!("{name} is not there"));
    family.value(labels).unwrap_or_else(|| panic!("{labels:?} is not in {family:?}"))
}

const DOMAIN: (&str, &str) = ("domain", "requests");

#[test]
fn a_server_tells_what_it_has_committed_and_refused() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let fresh = server.scrape();
    for name in ["tally_requests_committed_total", "tally_requests_refused_total"] {
        assert_eq!(fresh[name].sum(), 0.0, "{name}");
    }
    server.ok(&["add", "GET", "/a", "-n", "40"]);
    server.ok(&["add", "GET", "/b", "-n", "2"]);
    let ahead = AddRequest {
        request_timestamp: Some(prost_types::Timestamp { seconds: 253_402_300_799, nanos: 0 }),
        ..request("/a")
    };
    let ended = wait_for(async {
        server.client().await.add(tokio_stream::iter([request("/a"), ahead])).await
    });
    ended.expect_err("one is ahead");
    let scraped = server.scrape();
    assert_eq!(value(&scraped, "tally_requests_committed_total", &[]), 43.0);
    let refused = |reason| value(&scraped, "tally_requests_refused_total", &[("reason", reason)]);
    assert_eq!((refused("time_ahead"), refused("invalid")), (1.0, 0.0));
    assert_eq!(value(&scraped, "tally_requests_series", &[]), 2.0);
    assert_eq!(value(&scraped, "tally_queue_rows", &[DOMAIN]), 0.0);
    assert_eq!(value(&scraped, "tally_queue_rows_max", &[DOMAIN]), 500_000.0);
    assert_eq!(value(&scraped, "tally_streams_open", &[DOMAIN]), 0.0);
    assert!(value(&scraped, "tally_rows_received_total", &[DOMAIN]) >= 3.0);
    let commits = &scraped["tally_batch_commit_seconds"].samples;
    let commits = commits.iter().find(|sample| sample.name.ends_with("_count"));
    assert!(commits.expect("a count").value >= 3.0);
    let version = [("version", env!("CARGO_PKG_VERSION")), ("database", "SQLite")];
    assert_eq!(value(&scraped, "tally_build_info", &version), 1.0);
    assert_eq!(value(&scraped, "tally_database_up", &[]), 1.0);
    let home_page = [("route", "/"), ("method", "GET"), ("class", "2xx")];
    assert_eq!(value(&scraped, "tally_http_requests_total", &home_page), 0.0);
    // A server that comes after it begins anew: the total is in the database.
    server.stop();
    let server = home.serve(&[]);
    assert_eq!(value(&server.scrape(), "tally_requests_committed_total", &[]), 0.0);
}

#[test]
fn requests_of_http_are_counted_by_the_pattern_of_their_route() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    for line in ["GET /?a=b", "HEAD /", "POST /", "GET /nothing/of/this", "BREW /nothing/else"] {
        let _ = http(&server.url, line, &[], "");
    }
    server.ok(&["add", "GET", "/a"]);
    let scraped = server.scrape();
    let requests = |route, method, class| {
        let labels = [("route", route), ("method", method), ("class", class)];
        value(&scraped, "tally_http_requests_total", &labels)
    };
    assert_eq!(requests("/", "GET", "2xx"), 1.0);
    assert_eq!(requests("/", "HEAD", "2xx"), 1.0);
    assert_eq!(requests("/", "POST", "4xx"), 1.0);
    assert_eq!(requests("unknown", "GET", "4xx"), 1.0);
    assert_eq!(requests("unknown", "other", "4xx"), 1.0);
    assert_eq!(
        scraped["tally_http_requests_total"].sum(),
        5.0,
        "gRPC and the scrape are not in it"
    );
}

#[test]
fn the_busiest_endpoints_have_counters_on_request() {
    let home = Home::sqlite();
    let server = home.serve(&["--requests-metrics-endpoints", "2"]);
    let counters = || {
        let scraped = server.scrape();
        let family = &scraped["tally_endpoint_requests_total"];
        assert_eq!(family.sum(), value(&scraped, "tally_requests_committed_total", &[]));
        let path = |sample: &tally_testkit::exposition::Sample| {
            (sample.labels["path"].clone(), sample.value)
        };
        family.samples.iter().map(path).collect::<BTreeMap<_, _>>()
    };
    let expected = |counters: &[(&str, f64)]| -> BTreeMap<String, f64> {
        counters.iter().map(|(path, requests)| ((*path).to_owned(), *requests)).collect()
    };
    assert_eq!(counters(), expected(&[("other", 0.0)]));
    for (path, requests) in [("/a", "5"), ("/b \"quoted\"", "4"), ("/c", "3")] {
        server.ok(&["add", "GET", path, "-n", requests]);
    }
    assert_eq!(counters(), expected(&[("/a", 0.0), ("/b \"quoted\"", 0.0), ("other", 12.0)]));
    for path in ["/a", "/c"] {
        server.ok(&["add", "GET", path, "-n", "2"]);
    }
    assert_eq!(counters(), expected(&[("/a", 2.0), ("/b \"quoted\"", 0.0), ("other", 14.0)]));
}

/// Nothing waits for the database, so a scrape is answered when it is away.
#[test]
fn a_scrape_says_that_the_database_is_away() {
    let home = Home::postgres("scrape_away");
    let server = home.serve(&["--connections-max", "30"]);
    assert_eq!(value(&server.scrape(), "tally_database_up", &[]), 1.0);
    let limits = |scraped: &Scraped| scraped["tally_database_connections_max"].sum();
    assert_eq!(limits(&server.scrape()), 30.0);
    home.sql(
        "ALTER DATABASE CURRENT_DATABASE_NAME SET default_transaction_read_only = on"
            .replace("CURRENT_DATABASE_NAME", home.database().name())
            .as_str(),
    );
    home.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let is_away = || {
        let scraped = server.scrape();
        value(&scraped, "tally_database_up", &[]) + value(&scraped, "tally_ready", &[]) == 0.0
    };
    assert_eq!(eventually_blocking(LIMIT, is_away), Ok(()), "{}", server.log());
}

/// A server on Postgres that has rolled a day up and has metrics for endpoints and debts, so that it tells everything
/// but what one with TLS tells of that.
pub(crate) fn complete(hint: &str) -> (Home, Server, Scraped) {
    let home = Home::postgres(hint);
    let udp = format!("127.0.0.1:{}", free_port());
    let flags =
        ["--requests-metrics-endpoints", "5", "--debts-metrics-max", "5", "--timelines-udp", &udp];
    let server = home.serve(&flags);
    server.ok(&["debts", "add", "beat", "--every", "1h"]);
    server.ok(&["add", "GET", "/a", "--at", "2015-05-17T10:00:00Z"]);
    server.ok(&["roll-up", "2015-05-17"]);
    // What the database is asked once a minute was asked before the day was rolled up.
    server.stop();
    let server = home.serve(&flags);
    let asked = ["tally_producers", "tally_requests_roll_up_last_success_timestamp_seconds"];
    let is_complete = || {
        let scraped = server.scrape();
        asked.iter().all(|name| scraped.contains_key(*name))
    };
    assert_eq!(eventually_blocking(LIMIT, is_complete), Ok(()), "{}", server.log());
    let mut scraped = server.scrape();
    let secured = crate::tls::scrape();
    scraped.extend(secured.into_iter().filter(|(name, _)| name.starts_with("tally_tls_")));
    (home, server, scraped)
}

#[test]
fn every_metric_is_in_the_docs_and_the_docs_name_no_other() {
    let (_home, server, scraped) = complete("metrics_docs");
    let mut documented = BTreeSet::new();
    let table = DOCS.split("\n## ").find(|part| part.starts_with("All of them\n"));
    let table = table.expect("the part with the table");
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, help] = cells[..] else { panic!("four columns: {line}") };
        let name = name.trim_matches('`');
        documented.insert(name.to_owned());
        let family = scraped.get(name).unwrap_or_else(|| panic!("{name} is not there"));
        assert_eq!((kind, help), (&*family.kind, &*family.help), "{name}");
        let names = family.samples.iter().flat_map(|sample| sample.labels.keys());
        let names: BTreeSet<_> = names.filter(|name| *name != "le").map(String::as_str).collect();
        let labels: BTreeSet<_> = labels
            .split(", ")
            .map(|one| one.trim_matches('`'))
            .filter(|one| !one.is_empty())
            .collect();
        assert_eq!(labels, names, "{name}");
    }
    let scraped: BTreeSet<String> = scraped.into_keys().collect();
    assert_eq!(documented, scraped);
    if has_programs(&["promtool"]) {
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]);
        let output = run_with(&promtool, server.scrape_text().as_bytes(), LIMIT, None);
        let is_silent = output.stdout.is_empty() && output.stderr.is_empty();
        assert!(output.status.success() && is_silent, "{output:?}");
    }
}
