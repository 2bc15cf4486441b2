//! Requests that are not gRPC, or come from another site's page, reach no method.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use tally_serve::Listener;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower_service::Service as _;

use crate::support::{Gate, METHOD, Running};

const GRPC: &str = "content-type: application/grpc";

#[tokio::test(flavor = "multi_thread")]
async fn over_http_1_no_method_runs() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    let ask = |line: &str, headers: &[&str]| ask(server.address, line, headers);
    let post = format!("POST {METHOD}");
    for kind in ["text/plain", "application/grpc-web+proto", "application/grpc-web-text", ""] {
        let answer = ask(&post, &["host: localhost", &format!("content-type: {kind}")]);
        assert!(answer.starts_with("HTTP/1.1 415 "), "{kind}: {answer}");
        assert!(answer.contains("use a gRPC client"), "{kind}: {answer}");
    }
    for kind in [GRPC, "content-type: application/grpc+proto"] {
        let answer = ask(&post, &["host: localhost", kind]);
        assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
        assert!(answer.contains("gRPC needs HTTP/2"), "{answer}");
    }
    for method in ["GET", "PUT", "OPTIONS"] {
        let answer = ask(&format!("{method} {METHOD}"), &["host: localhost", GRPC]);
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(answer.contains("\r\nallow: POST\r\n"), "{answer}");
    }
    let health = "POST /grpc.health.v1.Health/Check";
    assert!(ask(health, &["host: localhost"]).starts_with("HTTP/1.1 415 "));
    assert_eq!(gate.calls(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_2_only_a_post_of_grpc_runs() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    let own = format!("http://{}", server.address);
    let wrong = [
        ("POST", "text/plain", 415),
        ("POST", "application/grpc-web+proto", 415),
        ("POST", "", 415),
        ("GET", "application/grpc", 405),
        ("OPTIONS", "application/grpc", 405),
    ];
    for (method, kind, status) in wrong {
        let (answer, _) =
            call(server.address, &own, method, METHOD, &[("content-type", kind)]).await;
        assert_eq!(answer, status, "{method} {kind}");
    }
    assert_eq!(call(server.address, &own, "POST", METHOD, &[]).await, (415, None));
    assert_eq!(gate.calls(), 0);
    let grpc = &[("content-type", "application/grpc")];
    assert_eq!(call(server.address, &own, "POST", METHOD, grpc).await, (200, Some("0".to_owned())));
    assert_eq!(gate.calls(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sites_page_is_refused_on_every_route() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    let address = server.address;
    for origin in ["https://evil.example", "null", "http://localhost:1", "http://localhost"] {
        let origin = format!("origin: {origin}");
        for line in [&format!("POST {METHOD}"), "GET /", "GET /healthz", "POST /nothing"] {
            let host = format!("host: localhost:{}", address.port());
            let answer = ask(address, line, &[&host, &origin, GRPC]);
            assert!(answer.starts_with("HTTP/1.1 403 "), "{line} {origin}: {answer}");
        }
    }
    let preflight = [
        "host: localhost",
        "origin: https://evil.example",
        "access-control-request-method: POST",
        "access-control-request-headers: content-type",
    ];
    let answer = ask(address, &format!("OPTIONS {METHOD}"), &preflight);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
    let foreign = &[("content-type", "application/grpc"), ("origin", "https://evil.example")];
    let own = format!("http://{address}");
    assert_eq!(call(address, &own, "POST", METHOD, foreign).await, (403, None));
    assert_eq!(gate.calls(), 0);
    let own_page = ask(address, "GET /", &["host: localhost:1", "origin: http://LOCALHOST:1"]);
    assert!(own_page.starts_with("HTTP/1.1 200 "), "{own_page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_loopback_a_foreign_name_of_the_server_is_refused() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    let address = server.address;
    for line in ["GET /", "GET /healthz", &format!("POST {METHOD}")] {
        let answer = ask(address, line, &["host: evil.example"]);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{line}: {answer}");
        assert!(answer.contains("Host: localhost"), "the advice: {answer}");
    }
    let absolute = ask(address, "GET http://evil.example/", &["host: localhost"]);
    assert!(absolute.starts_with("HTTP/1.1 403 "), "{absolute}");
    for host in ["localhost", "tally.localhost:7", "127.0.0.1", "[::1]:80", "127.1.2.3:1"] {
        let answer = ask(address, "GET /", &[&format!("host: {host}")]);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    // A gRPC client shows the reason like any other.
    let grpc = &[("content-type", "application/grpc")];
    let refused = call(address, "http://evil.example", "POST", METHOD, grpc).await;
    assert_eq!(refused, (200, Some("7".to_owned())));
    assert_eq!(gate.calls(), 0);
    let named = call(address, "http://localhost:9", "POST", METHOD, grpc).await;
    assert_eq!(named, (200, Some("0".to_owned())));
    server.stop().await;
}

/// A site can give its name this server's address. Then its page is of the same origin.
#[tokio::test(flavor = "multi_thread")]
async fn on_other_addresses_a_browser_may_not_use_the_name_of_a_site() {
    let gate = Gate::new(true);
    let listener = Listener::bind("0.0.0.0:0").await.expect("a free port");
    let listener = listener.named("tally.example".parse().expect("a name"));
    let server = Running::on(&gate, listener).await;
    let address = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    let (origin, language) = ("origin: http://evil.example:7777", "accept-language: en");
    for header in [origin, language, "accept-language:", "sec-fetch-mode: cors"] {
        for line in ["GET /", "POST /nothing", "GET /healthz", &format!("POST {METHOD}")] {
            let answer = ask(address, line, &["host: evil.example:7777", header]);
            assert!(answer.starts_with("HTTP/1.1 403 "), "{line} {header}: {answer}");
            assert!(answer.contains("--host-names (TALLY_HOST_NAMES)"), "the advice: {answer}");
        }
        let target = ask(address, "GET http://evil.example/", &["host: localhost", header]);
        assert!(target.starts_with("HTTP/1.1 403 "), "{target}");
    }
    assert_eq!(gate.calls(), 0);
    for host in ["tally.example", "TALLY.example:1", "127.0.0.1:80", "10.0.0.1", "nas", "localhost"]
    {
        let own = [format!("host: {host}"), format!("origin: https://{host}")];
        let answer = ask(address, "GET /", &[&own[0], &own[1], language]);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    let answer = ask(address, "GET /", &["host: tally.example", "origin: https://evil.example"]);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    // A program.
    let answer = ask(address, "GET /", &["host: other.example"]);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.stop().await;
}

/// One request over HTTP/1.1, and the whole answer.
pub(crate) fn ask(address: SocketAddr, line: &str, headers: &[&str]) -> String {
    tokio::task::block_in_place(|| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let rest = "connection: close\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0";
        write!(stream, "{line} HTTP/1.1\r\n{headers}{rest}").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("a complete answer");
        answer
    })
}

/// One request over HTTP/2 to a server that the client knows by `origin`: the HTTP status and
/// the gRPC status.
pub(crate) async fn call(
    address: SocketAddr,
    origin: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, Option<String>) {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let origin = origin.parse().expect("an origin");
    let mut channel = endpoint.origin(origin).connect().await.expect("it listens");
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("it is connected");
    let answer = channel.call(request).await.expect("an answer");
    let status = answer.headers().get("grpc-status");
    let status = status.map(|status| status.to_str().expect("a number").to_owned());
    (answer.status().as_u16(), status)
}
