//! Who served a request, and on whose behalf.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::future::ready;
use std::os::unix::ffi::OsStringExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use futures_util::FutureExt as _;
use http::{Request, Response};
use tally_client::{CountLayer, Method, Queue};
use tonic::service::Interceptor as _;
use tower::{Layer as _, Service as _, service_fn};

use crate::lines::Lines;
use crate::mock::Mock;

/// Asks a service in the layer on behalf of these customers.
fn ask<'c>(layer: &CountLayer, customers: impl IntoIterator<Item = &'c str>) {
    let inner = service_fn(|_| ready(Ok::<_, Infallible>(Response::new(String::new()))));
    let mut service = layer.layer(inner);
    for customer in customers {
        let request = Request::get("/a").header("key", customer).body(()).expect("a request");
        let answer = service.call(request).now_or_never().expect("it waits for nothing");
        assert!(answer.is_ok());
    }
}

/// A layer that takes the header `key` for the customer.
fn layer(queue: &Queue) -> CountLayer {
    queue.layer().unmatched("/a").customer(|head| {
        let key = head.headers.get("key")?.to_str().ok()?;
        (key != "nobody").then(|| key.into())
    })
}

/// What a queue has counted under `/a` with status 200, by customer.
fn customers(queue: &Queue) -> BTreeMap<String, u64> {
    let counted = queue.series_counts().into_iter().map(|(key, count)| {
        assert_eq!((key.path, key.status), ("/a", 200));
        (key.customer.to_owned(), count)
    });
    counted.collect()
}

fn counts<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected.map(|(name, count)| (name.to_owned(), count)).into()
}

#[test]
fn each_customer_has_its_own_count() {
    let queue = Queue::in_memory();
    ask(&layer(&queue), ["acme", "zeta", "acme", "nobody", ""]);
    assert_eq!(customers(&queue), counts([("", 2), ("acme", 2), ("zeta", 1)]));
}

#[test]
fn a_customer_that_cannot_be_stored_is_other() {
    let queue = Queue::in_memory();
    let (longest, too_long) = ("c".repeat(256), "c".repeat(257));
    ask(&layer(&queue), [&*longest, &too_long]);
    assert_eq!(customers(&queue), counts([(&longest, 1), ("_other", 1)]));
}

/// Customers that a client makes up take no room from the routes.
#[test]
fn beyond_their_limit_customers_are_other() {
    let queue = Queue::in_memory();
    let many: Vec<_> = (0..1_500).map(|n| format!("customer {n}")).collect();
    for _ in 0..2 {
        ask(&layer(&queue), many.iter().map(String::as_str));
    }
    let counted = customers(&queue);
    assert_eq!(counted.len(), 1_001);
    assert_eq!(counted["_other"], 1_000);
    assert!((0..1_000).all(|n| counted[&many[n]] == 2));
}

#[test]
fn a_closure_for_customers_that_panics_counts() {
    let queue = Queue::in_memory();
    let layer = queue.layer().customer(|head| panic!("on purpose: {}", head.path()));
    assert!(catch_unwind(AssertUnwindSafe(|| ask(&layer, ["acme"]))).is_err());
    let counted: Vec<_> = queue.series_counts();
    assert_eq!((counted.len(), counted[0].0.status, counted[0].0.customer), (1, 500, ""));
}

#[tokio::test]
async fn the_limits_and_the_service_are_settings_of_the_queue() {
    let mock = Mock::good();
    let server = mock.start();
    let builder = server.queue().service("shop").customers_max(1);
    let queue = builder.connect().await.expect("a queue");
    ask(&layer(&queue), ["acme", "zeta"]);
    queue.record_or_drop(queue.endpoint(Method::PUT, "/b"));
    queue.interceptor("pkg.Service").call(tonic::Request::new(())).expect("it refuses none");
    queue.close().await;
    let database = mock.database();
    let mut named: Vec<_> = database
        .series
        .keys()
        .map(|key| (&*key.method, &*key.path, key.status, &*key.service, &*key.customer))
        .collect();
    named.sort_unstable();
    let expected = [
        ("GET", "/a", 200, "shop", "_other"),
        ("GET", "/a", 200, "shop", "acme"),
        ("GRPC", "pkg.Service", 0, "shop", ""),
        ("PUT", "/b", 0, "shop", ""),
    ];
    assert_eq!(named, expected);
}

/// Without room for a series, its path and its customer are lost, its service and status are not.
#[tokio::test]
async fn beyond_the_limit_of_series_each_status_is_exact() {
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().service("shop").series_max(3).connect().await.expect("a queue");
    let inner = service_fn(|request: Request<()>| {
        let status = if request.uri().path() == "/missing" { 404 } else { 200 };
        let answer = Response::builder().status(status).body(String::new());
        ready(Ok::<_, Infallible>(answer.expect("an answer")))
    });
    let layer = queue.layer().raw_path().customer(|_| Some("acme".into()));
    let mut service = layer.layer(inner);
    for _ in 0..10 {
        for uri in ["/a", "/b", "/c", "/missing"] {
            let request = Request::get(uri).body(()).expect("a request");
            assert!(service.call(request).await.is_ok());
        }
    }
    queue.close().await;
    let database = mock.database();
    let counted: BTreeMap<_, _> = database
        .series
        .iter()
        .map(|(key, count)| ((&*key.service, &*key.path, key.status, &*key.customer), *count))
        .collect();
    let expected = [
        (("shop", "/a", 200, "acme"), 10),
        (("shop", "_other", 200, ""), 20),
        (("shop", "_other", 404, ""), 10),
    ];
    assert_eq!(counted, expected.into());
}

/// It runs itself again to see the variable, because a process cannot change its own safely.
#[tokio::test]
async fn the_service_is_that_of_the_environment_or_the_program() {
    let program = std::env::current_exe().expect("a program");
    let stem = program.file_stem().expect("a name").to_string_lossy().into_owned();
    let set = std::env::var_os("TALLY_SERVICE").filter(|set| !set.is_empty());
    let (expected, problem) = match set.clone().map(OsString::into_string) {
        None => (stem, None),
        Some(Ok(set)) if set.len() <= 128 => (set, None),
        Some(Ok(_)) => (stem, Some("129 bytes")),
        Some(Err(_)) => (stem, Some("UTF-8")),
    };
    let (lines, _captured) = Lines::take();
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().connect().await.expect("a queue");
    queue.record_or_drop(queue.endpoint(Method::GET, "/a"));
    queue.close().await;
    let services: Vec<_> = mock.database().series.keys().map(|key| key.service.clone()).collect();
    assert_eq!(services, [&*expected]);
    let said = lines.with("TALLY_SERVICE");
    assert_eq!(said.len(), usize::from(problem.is_some()), "{said:?}");
    assert!(
        said.iter().all(|line| line.contains(problem.unwrap_or("")) && line.contains(&expected))
    );
    if set.is_none() {
        let name = "layer::keys::the_service_is_that_of_the_environment_or_the_program";
        let long = "a".repeat(129).into();
        for set in ["from the environment".into(), long, OsString::from_vec(vec![0xff])] {
            let mut again = Command::new(&program);
            let output = again.args(["--exact", name]).env("TALLY_SERVICE", &set).output();
            let output = output.expect("it runs");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{set:?}: {said}");
        }
    }
}
