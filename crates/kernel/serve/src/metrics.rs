//! `GET /metrics`: what a scrape is told of the server and its domains, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use tally_runtime::metrics::{CONTENT_TYPE, Metric, Scrape};
use tally_runtime::{faults, telemetry};
use tokio::sync::watch;

use crate::Domains;
use crate::admission::is_grpc;
use crate::clients::Clients;
use crate::health::Readiness;
use crate::needs::Declared;

const READY: Metric =
    Metric::gauge("tally_ready", "Whether the server is ready: what /readyz says.");
const HTTP_REQUESTS: Metric = Metric::counter(
    "tally_http_requests_total",
    "Requests of HTTP, without gRPC, by the pattern of their route, method and class of status.",
);

/// The route of requests that have none.
const UNKNOWN: &str = "unknown";
/// The methods that are told apart.
const METHODS: [&str; 8] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
const OTHER: &str = "other";
/// From 1xx on.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Tells a scrape more.
pub(crate) type Measure = Box<dyn Fn(&mut Scrape) + Send + Sync>;

/// The requests of HTTP so far. Routes are those of the code, so there are few.
#[derive(Debug)]
pub(crate) struct Requests(Mutex<ByRoute>);

type ByRoute = BTreeMap<String, BTreeMap<&'static str, [u64; CLASSES.len()]>>;

/// What the route needs.
pub(crate) struct Metrics {
    pub(crate) requests: Requests,
    pub(crate) domains: Domains,
    pub(crate) readiness: watch::Receiver<Readiness>,
    pub(crate) more: Vec<Measure>,
    pub(crate) clients: Clients,
}

// === impl Requests ===

impl Requests {
    /// None yet. All routes that a server has are there from the start.
    pub(crate) fn of(declared: &Declared) -> Self {
        let mut routes = ByRoute::new();
        for (route, method) in declared.routes() {
            routes.entry(route.to_owned()).or_default().entry(known(method)).or_default();
        }
        Self(Mutex::new(routes))
    }

    fn note(&self, route: &str, method: &Method, status: StatusCode) {
        let method = known(method.as_str());
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.with(|routes| {
            if !routes.contains_key(route) {
                routes.insert(route.to_owned(), BTreeMap::new());
            }
            let known = routes.get_mut(route).expect("it was just inserted");
            known.entry(method).or_default()[class] += 1;
        });
    }

    fn measure(&self, scrape: &mut Scrape) {
        self.with(|routes| {
            for (route, methods) in routes {
                for (method, classes) in methods {
                    for (class, requests) in CLASSES.into_iter().zip(classes) {
                        let labels = [("route", &**route), ("method", method), ("class", class)];
                        scrape.put(HTTP_REQUESTS, &labels, *requests);
                    }
                }
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut ByRoute) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One of few methods.
fn known(method: &str) -> &'static str {
    METHODS.into_iter().find(|one| one.eq_ignore_ascii_case(method)).unwrap_or(OTHER)
}

/// Counts a request when the head of its answer is there.
pub(crate) async fn count(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().cloned();
    if route.is_none() && is_grpc(request.headers()) {
        return next.run(request).await;
    }
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(UNKNOWN, MatchedPath::as_str);
    metrics.requests.note(route, &method, response.status());
    response
}

/// Answers a scrape.
pub(crate) async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response<Body> {
    let Metrics { requests, domains, readiness, more, clients } = &*metrics;
    faults::panic_point("scrape");
    let mut scrape = Scrape::new();
    more.iter().for_each(|measure| measure(&mut scrape));
    scrape.put(READY, &[], readiness.borrow().is_ready());
    domains.measure(&mut scrape);
    clients.measure(&mut scrape);
    requests.measure(&mut scrape);
    telemetry::measure(&mut scrape);
    scrape.put_process();
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], scrape.finish()).into_response()
}
