//! The method and the path of requests that no router has matched.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{Request, Response, Uri};
use tally_client::{CountLayer, Queue};
use tower::{Layer as _, Service as _, service_fn};

use super::support::{assert_counts, assert_paths};

/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 2_048;

fn answer(_: Request<()>) -> Ready<Result<Response<String>, Infallible>> {
    ready(Ok(Response::default()))
}

/// Calls a service in the layer, once for each method and URI.
fn call(layer: &CountLayer, requests: &[(&str, &str)]) {
    let mut service = layer.layer(service_fn(answer));
    for (method, uri) in requests {
        let request = Request::builder().method(*method).uri(*uri).body(());
        drop(service.call(request.expect("a request that can be made")));
    }
}

fn call_grpc(layer: &CountLayer, method: &str, content_type: &str, uri: &str) {
    let request =
        Request::builder().method(method).uri(uri).header("content-type", content_type).body(());
    let mut service = layer.layer(service_fn(answer));
    drop(service.call(request.expect("a request that can be made")));
}

#[test]
fn without_a_router_every_path_is_unmatched() {
    let queue = Queue::in_memory();
    call(&queue.layer(), &[("GET", "/a"), ("GET", "/b?c=d"), ("POST", "/a")]);
    assert_paths(&queue, [("GET _unmatched", 2), ("POST _unmatched", 1)]);
}

#[test]
fn unmatched_requests_have_the_name_that_is_given() {
    let queue = Queue::in_memory();
    call(&queue.layer().unmatched("/none"), &[("GET", "/a")]);
    call(&queue.layer().unmatched(""), &[("GET", "/a")]);
    assert_paths(&queue, [("GET /none", 1), ("GET _unmatched", 1)]);
}

#[test]
fn a_raw_path_has_no_query_and_no_host() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path();
    let uris = ["/a?b=c", "/a", "/a/", "/", "http://host:1/a?b", "http://host"];
    call(&layer, &uris.map(|uri| ("GET", uri)));
    call(&layer, &[("OPTIONS", "*")]);
    let expected = [("GET /", 2), ("GET /a", 3), ("GET /a/", 1), ("OPTIONS *", 1)];
    assert_paths(&queue, expected);
}

#[test]
fn every_method_has_its_own_count_and_unknown_ones_share_one() {
    let queue = Queue::in_memory();
    let known = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH"];
    let layer = queue.layer().raw_path();
    call(&layer, &known.map(|method| (method, "/a")));
    call(&layer, &[("BREW", "/a"), ("PROPFIND", "/a"), ("get", "/a"), ("GRPC", "/a")]);
    let expected = [
        ("? /a", 2),
        ("CONNECT /a", 1),
        ("DELETE /a", 1),
        ("GET /a", 2),
        ("HEAD /a", 1),
        ("OPTIONS /a", 1),
        ("PATCH /a", 1),
        ("POST /a", 1),
        ("PROPFIND /a", 1),
        ("PUT /a", 1),
        ("TRACE /a", 1),
    ];
    assert_paths(&queue, expected);
}

#[test]
fn a_request_without_a_path_is_unmatched() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path();
    call(&layer, &[("CONNECT", "example.com:443"), ("CONNECT", "scanner.test:22")]);
    call(&layer.path(|_| Some("".into())), &[("GET", "/a")]);
    assert_paths(&queue, [("CONNECT _unmatched", 2), ("GET _unmatched", 1)]);
}

#[test]
fn a_path_that_is_too_long_is_other() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path();
    let longest = format!("/{}", "a".repeat(PATH_BYTES_MAX - 1));
    let too_long = format!("{longest}a");
    let ten_kb = format!("/{}", "%ff".repeat(10_000 / 3));
    // Percent escapes aside, a path may have characters of several bytes.
    let wide = format!("/{}", "é".repeat(PATH_BYTES_MAX / 2));
    for uri in [&longest, &too_long, &ten_kb, &wide] {
        call(&layer, &[("GET", uri)]);
    }
    call_grpc(&layer, "POST", "application/grpc", &too_long);
    call(&layer.unmatched(&too_long), &[("CONNECT", "example.com:443")]);
    let kept = format!("GET {longest}");
    let expected = [("CONNECT _other", 1), (&*kept, 1), ("GET _other", 3), ("GRPC _other", 1)];
    assert_paths(&queue, expected);
}

#[test]
fn percent_escapes_stay_as_they_were_sent() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path();
    call(&layer, &[("GET", "/caf%C3%A9"), ("GET", "/%ff%fe"), ("GET", "/%00"), ("GET", "/%zz")]);
    let expected = [("GET /%00", 1), ("GET /%ff%fe", 1), ("GET /%zz", 1), ("GET /caf%C3%A9", 1)];
    assert_paths(&queue, expected);
}

#[test]
fn a_path_in_utf_8_stays_as_it_was_sent() {
    let queue = Queue::in_memory();
    let uri = Uri::from_maybe_shared("/café".as_bytes()).expect("UTF-8 is allowed");
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    let mut service = queue.layer().raw_path().layer(service_fn(answer));
    drop(service.call(request));
    assert_paths(&queue, [("GET /café", 1)]);
}

#[test]
fn a_closure_names_what_it_knows_and_leaves_the_rest() {
    let queue = Queue::in_memory();
    let layer = queue.layer().path(|head| {
        let mut parts = head.path().split('/').skip(1);
        match (parts.next()?, parts.next()) {
            ("downloads", Some(_)) => Some("/downloads/{file}".into()),
            ("tenants", Some(tenant)) => Some(format!("/tenants/{}", tenant.len()).into()),
            ("raw", _) => Some(head.uri.path().into()),
            _ => None,
        }
    });
    let paths = ["/downloads/a", "/downloads/b?c", "/tenants/acme", "/raw/1?c", "/downloads"];
    call(&layer, &paths.map(|path| ("GET", path)));
    let expected = [
        ("GET /downloads/{file}", 2),
        ("GET /raw/1", 1),
        ("GET /tenants/4", 1),
        ("GET _unmatched", 1),
    ];
    assert_paths(&queue, expected);
}

#[test]
fn a_closure_sees_the_head_and_comes_before_grpc() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path().path(|head| {
        let is_known = head.is_grpc() && head.headers.contains_key("content-type");
        is_known.then(|| format!("{:?} {}", head.version, head.path()).into())
    });
    call_grpc(&layer, "POST", "application/grpc", "/pkg.Service/Method");
    call_grpc(&layer, "POST", "text/plain", "/pkg.Service/Method");
    let expected = [("GRPC HTTP/1.1 /pkg.Service/Method", 1), ("POST /pkg.Service/Method", 1)];
    assert_paths(&queue, expected);
}

#[test]
fn grpc_is_a_post_of_its_content_type() {
    let queue = Queue::in_memory();
    let layer = queue.layer();
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc-web"] {
        call_grpc(&layer, "POST", content_type, "/pkg.Service/Method");
    }
    call_grpc(&layer, "POST", "application/grpcx", "/pkg.Service/Method");
    call_grpc(&layer, "GET", "application/grpc", "/pkg.Service/Method");
    call_grpc(&layer, "OPTIONS", "application/grpc-web", "/pkg.Service/Method");
    let expected = [
        ("GET _unmatched", 1),
        ("GRPC _unmatched", 3),
        ("OPTIONS _unmatched", 1),
        ("POST _unmatched", 1),
    ];
    assert_paths(&queue, expected);
}

#[test]
fn what_is_skipped_is_counted_apart() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path().skip(|head| head.path() == "/healthz");
    call(&layer, &[("GET", "/healthz"), ("GET", "/a"), ("HEAD", "/healthz?full")]);
    assert_paths(&queue, [("GET /a", 1)]);
    assert_eq!(queue.stats().skipped, 2);
}

#[test]
fn a_layer_that_is_changed_leaves_its_clones_as_they_were() {
    let queue = Queue::in_memory();
    let layer = queue.layer();
    let changed = layer.clone().raw_path().unmatched("/none").skip(|_| true);
    call(&layer, &[("GET", "/a")]);
    call(&changed, &[("GET", "/a")]);
    assert_paths(&queue, [("GET _unmatched", 1)]);
    assert_eq!(queue.stats().skipped, 1);
}

#[test]
fn a_request_on_which_a_closure_panics_is_counted() {
    let queue = Queue::in_memory();
    let layers = [
        queue.layer().path(|head| panic!("on purpose: {}", head.path())),
        queue.layer().skip(|head| panic!("on purpose: {}", head.path())),
    ];
    for layer in layers {
        let called = catch_unwind(AssertUnwindSafe(|| call(&layer, &[("GET", "/a")])));
        assert!(called.is_err());
    }
    assert_counts(&queue, [("GET _unmatched 500", 2)]);
}

/// A layer that sees no route at all is a mistake; a service with some unknown paths is not.
#[test]
fn a_layer_without_routes_says_so_once() {
    const SAID: &str = "no request had a route so far";
    let (lines, _guard) = crate::lines::Lines::take();
    let queue = Queue::in_memory();
    let unrouted = [("GET", "/a"); 99];
    let layer = queue.layer();
    call(&layer, &unrouted);
    assert_eq!(lines.with(SAID).len(), 0);
    call(&layer, &unrouted);
    call(&layer, &unrouted);
    assert_eq!(lines.with(SAID).len(), 1, "{:?}", lines.with(""));
    assert!(lines.with(SAID)[0].contains("CountLayer::raw_path"), "{:?}", lines.with(SAID));

    let layer = queue.layer().path(|head| (head.path() == "/b").then(|| "/b".into()));
    call(&layer, &unrouted);
    call(&layer, &[("GET", "/b")]);
    call(&layer, &unrouted);
    assert_eq!(lines.with(SAID).len(), 1);
}
