//! `GET /metrics` of a server with made-up domains.

use axum::routing::get;
use tally_runtime::metrics::{Metric, Scrape};
use tally_runtime::{Drain, Tasks};
use tally_serve::pages::Pages;
use tally_serve::{Doors, Listener, Started};
use tally_testkit::exposition::{Family, families};
use tonic::async_trait;

use crate::admission::ask;
use crate::support::Running;

const ROWS: Metric = Metric::counter("rows_total", "Rows.");

/// A domain that has stored this many rows.
struct Counted(&'static str, u64);

#[async_trait]
impl tally_serve::Running for Counted {
    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn queued_rows(&self) -> usize {
        0
    }

    fn measure(&self, scrape: &mut Scrape) {
        scrape.put(ROWS, &[("domain", self.0)], self.1);
    }

    async fn finished(&self) {}
}

fn started(domain: Counted, doors: Doors) -> Started {
    Started { name: domain.0, running: std::sync::Arc::new(domain), doors, tasks: Tasks::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_share_a_family_and_routes_are_counted_by_their_pattern() {
    let page = get(async || "here");
    let domains = vec![
        started(Counted("one", 3), Doors::new().pages(Pages::new().page("/of/{name}", page))),
        started(Counted("two", 4), Doors::new()),
    ];
    let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
    let server = Running::with(domains, Drain::new(), listener).await;
    let get = |path: &str| ask(server.address, &format!("GET {path}"), &["host: localhost"]);
    get("/of/a?b=c");
    get("/of/b");
    // Refused before it has a route.
    ask(server.address, "GET /of/c", &["host: evil.example"]);
    let answer = get("/metrics");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    let scraped = families(body).expect("the format is right");
    let rows = |domain| scraped["rows_total"].value(&[("domain", domain)]);
    assert_eq!((rows("one"), rows("two")), (Some(3.0), Some(4.0)));
    let requests: &Family = &scraped["tally_http_requests_total"];
    let of =
        |route, class| requests.value(&[("route", route), ("method", "GET"), ("class", class)]);
    assert_eq!((of("/of/{name}", "2xx"), of("/of/{name}", "5xx")), (Some(2.0), Some(0.0)));
    assert_eq!(of("/metrics", "2xx"), Some(0.0), "it is there before the first one is answered");
    assert_eq!(requests.sum(), 2.0);
    server.stop().await;
}
