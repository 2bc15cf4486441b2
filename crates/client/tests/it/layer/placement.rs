//! The layer's places in axum: in a router, on a route, around the whole.

use std::convert::Infallible;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{any, get, post};
use http::StatusCode;
use tally_client::Queue;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::support::{assert_counts, request, status};

/// Answers with the matched path.
async fn ok() -> &'static str {
    "ok"
}

/// A layer that itself answers requests without a token.
async fn refuse(request: Request, next: Next) -> Result<Response, StatusCode> {
    if request.headers().contains_key("authorization") {
        return Ok(next.run(request).await);
    }
    Err(StatusCode::UNAUTHORIZED)
}

fn users() -> Router {
    Router::new().route("/users", get(ok).post(ok)).route("/users/{id}", get(ok))
}

#[tokio::test]
async fn in_a_router_every_request_is_counted_by_its_route() {
    let queue = Queue::in_memory();
    let app = users().route("/files/{*path}", any(ok)).layer(queue.layer());
    for (method, uri, answer) in [
        ("GET", "/users", 200),
        ("POST", "/users?x=y", 200),
        ("GET", "/users/7", 200),
        ("GET", "/users/8", 200),
        ("HEAD", "/users/8", 200),
        ("BREW", "/files/a/b/c", 200),
        // Not allowed, not found.
        ("DELETE", "/users/7", 405),
        ("GET", "/nothing", 404),
        ("GET", "/users/7/", 404),
    ] {
        assert_eq!(status(&app, method, uri).await, answer, "{method} {uri}");
    }
    let expected = [
        ("? /files/{*path} 200", 1),
        ("DELETE /users/{id} 405", 1),
        ("GET /users 200", 1),
        ("GET /users/{id} 200", 2),
        ("GET _unmatched 404", 2),
        ("HEAD /users/{id} 200", 1),
        ("POST /users 200", 1),
    ];
    assert_counts(&queue, expected);
}

#[tokio::test]
async fn a_route_with_a_path_of_10_kb_is_counted_by_its_route() {
    let queue = Queue::in_memory();
    let app = Router::new().route("/files/{*path}", get(ok)).layer(queue.layer());
    assert_eq!(status(&app, "GET", &format!("/files/{}", "%ff".repeat(3_400))).await, 200);
    assert_counts(&queue, [("GET /files/{*path} 200", 1)]);
}

#[tokio::test]
async fn as_a_route_layer_it_leaves_out_what_is_not_found() {
    let queue = Queue::in_memory();
    let app = users().route_layer(queue.layer()).fallback(ok);
    assert_eq!(status(&app, "GET", "/users/7").await, 200);
    assert_eq!(status(&app, "DELETE", "/users/7").await, 405);
    assert_eq!(status(&app, "GET", "/nothing").await, 200);
    assert_counts(&queue, [("DELETE /users/{id} 405", 1), ("GET /users/{id} 200", 1)]);
}

#[tokio::test]
async fn on_a_handler_it_counts_that_route_alone() {
    let queue = Queue::in_memory();
    let app = users().route("/paid/{id}", get(ok).post(ok).layer(queue.layer()));
    assert_eq!(status(&app, "GET", "/paid/1").await, 200);
    assert_eq!(status(&app, "POST", "/paid/2").await, 200);
    assert_eq!(status(&app, "GET", "/users").await, 200);
    assert_counts(&queue, [("GET /paid/{id} 200", 1), ("POST /paid/{id} 200", 1)]);
}

#[tokio::test]
async fn a_fallback_is_unmatched() {
    let queue = Queue::in_memory();
    let app = users().fallback(ok).layer(queue.layer());
    assert_eq!(status(&app, "GET", "/nothing").await, 200);
    assert_eq!(status(&app, "GET", "/").await, 200);
    assert_eq!(status(&app, "CONNECT", "example.com:443").await, 200);
    assert_counts(&queue, [("CONNECT _unmatched 200", 1), ("GET _unmatched 200", 2)]);
}

#[tokio::test]
async fn routes_come_before_raw_paths() {
    let queue = Queue::in_memory();
    let app = users().layer(queue.layer().raw_path());
    assert_eq!(status(&app, "GET", "/users/7").await, 200);
    assert_eq!(status(&app, "GET", "/nothing?x").await, 404);
    assert_counts(&queue, [("GET /nothing 404", 1), ("GET /users/{id} 200", 1)]);
}

#[tokio::test]
async fn a_closure_knows_the_route() {
    let queue = Queue::in_memory();
    let layer = queue.layer().path(|head| head.route().map(|route| format!("/v1{route}").into()));
    let app = users().layer(layer);
    assert_eq!(status(&app, "GET", "/users/7").await, 200);
    assert_eq!(status(&app, "GET", "/nothing").await, 404);
    assert_counts(&queue, [("GET /v1/users/{id} 200", 1), ("GET _unmatched 404", 1)]);
}

#[tokio::test]
async fn outside_of_nested_routers_the_whole_template_counts() {
    let queue = Queue::in_memory();
    let tenants = Router::new().nest("/{tenant}", users());
    let app = Router::new().nest("/api", tenants).layer(queue.layer());
    assert_eq!(status(&app, "GET", "/api/acme/users/7").await, 200);
    assert_eq!(status(&app, "PUT", "/api/acme/users/7").await, 405);
    assert_eq!(status(&app, "GET", "/api/acme/nothing").await, 404);
    assert_eq!(status(&app, "GET", "/nothing").await, 404);
    let expected = [
        ("GET /api/{tenant}/users/{id} 200", 1),
        ("GET _unmatched 404", 2),
        ("PUT /api/{tenant}/users/{id} 405", 1),
    ];
    assert_counts(&queue, expected);
}

#[tokio::test]
async fn on_a_nested_router_the_whole_template_counts() {
    let queue = Queue::in_memory();
    let tenants = Router::new().nest("/{tenant}", users().layer(queue.layer()));
    let app = Router::new().nest("/api", tenants);
    assert_eq!(status(&app, "GET", "/api/acme/users/7").await, 200);
    // It goes to the outer router, which is not counted.
    assert_eq!(status(&app, "GET", "/api/acme/nothing").await, 404);
    assert_eq!(status(&app, "GET", "/nothing").await, 404);
    assert_counts(&queue, [("GET /api/{tenant}/users/{id} 200", 1)]);
}

#[tokio::test]
async fn the_fallback_of_a_nested_router_is_counted_with_it() {
    let queue = Queue::in_memory();
    let app = Router::new().nest("/api", users().fallback(ok).layer(queue.layer()));
    assert_eq!(status(&app, "GET", "/api/nothing").await, 200);
    assert_eq!(status(&app, "GET", "/nothing").await, 404);
    assert_counts(&queue, [("GET _unmatched 200", 1)]);
}

#[tokio::test]
async fn raw_paths_in_a_nested_router_have_the_prefix() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path().skip(|head| head.path() == "/api/healthz");
    let app = Router::new().nest("/api", users().fallback(ok).layer(layer));
    assert_eq!(status(&app, "GET", "/api/nothing?x").await, 200);
    assert_eq!(status(&app, "GET", "/api/healthz").await, 200);
    assert_counts(&queue, [("GET /api/nothing 200", 1)]);
    assert_eq!(queue.stats().skipped, 1);
}

#[tokio::test]
async fn inside_of_a_nested_service_the_whole_template_counts() {
    let queue = Queue::in_memory();
    let app = Router::new().nest_service("/api", users().layer(queue.layer()));
    assert_eq!(status(&app, "GET", "/api/users/7").await, 200);
    assert_eq!(status(&app, "GET", "/api/nothing").await, 404);
    assert_counts(&queue, [("GET /api/users/{id} 200", 1), ("GET _unmatched 404", 1)]);
}

#[tokio::test]
async fn outside_of_a_nested_service_no_route_is_known_yet() {
    let queue = Queue::in_memory();
    let app = Router::new().nest_service("/api", users()).layer(queue.layer());
    assert_eq!(status(&app, "GET", "/api/users/7").await, 200);
    // The nesting prefix is a route of its own.
    assert_eq!(status(&app, "GET", "/api").await, 404);
    assert_counts(&queue, [("GET /api 404", 1), ("GET _unmatched 200", 1)]);
}

#[tokio::test]
async fn merged_routers_are_counted_where_they_have_the_layer() {
    let queue = Queue::in_memory();
    let counted = users().layer(queue.layer());
    let other = Router::new().route("/other", post(ok));
    let app = counted.merge(other.clone());
    assert_eq!(status(&app, "GET", "/users").await, 200);
    assert_eq!(status(&app, "POST", "/other").await, 200);
    assert_counts(&queue, [("GET /users 200", 1)]);

    let both = Queue::in_memory();
    let app = users().merge(other).layer(both.layer());
    assert_eq!(status(&app, "GET", "/users").await, 200);
    assert_eq!(status(&app, "POST", "/other").await, 200);
    assert_counts(&both, [("GET /users 200", 1), ("POST /other 200", 1)]);
}

#[tokio::test]
async fn routes_that_are_added_after_it_are_not_counted() {
    let queue = Queue::in_memory();
    let app = users().layer(queue.layer()).route("/later", get(ok));
    assert_eq!(status(&app, "GET", "/later").await, 200);
    assert_counts(&queue, []);
}

#[tokio::test]
async fn a_routed_service_is_counted_by_its_route() {
    let queue = Queue::in_memory();
    let files = service_fn(|_: Request| async { Ok::<_, Infallible>("a file".to_owned()) });
    let app = Router::new().route_service("/files/{name}", files).layer(queue.layer());
    assert_eq!(status(&app, "GET", "/files/a").await, 200);
    assert_counts(&queue, [("GET /files/{name} 200", 1)]);
}

#[tokio::test]
async fn outside_of_another_layer_it_counts_what_that_one_refuses() {
    let queue = Queue::in_memory();
    let app = users().layer(from_fn(refuse)).layer(queue.layer());
    assert_eq!(status(&app, "GET", "/users/7").await, 401);
    assert_counts(&queue, [("GET /users/{id} 401", 1)]);
}

#[tokio::test]
async fn inside_of_another_layer_it_counts_what_that_one_lets_pass() {
    let queue = Queue::in_memory();
    let app = users().layer(queue.layer()).layer(from_fn(refuse));
    assert_eq!(status(&app, "GET", "/users/7").await, 401);
    assert_counts(&queue, []);
    let mut allowed = request("GET", "/users/7");
    allowed.headers_mut().insert("authorization", http::HeaderValue::from_static("yes"));
    let Ok(response) = app.oneshot(allowed).await;
    assert_eq!(response.status(), 200);
    assert_counts(&queue, [("GET /users/{id} 200", 1)]);
}

#[tokio::test]
async fn around_the_whole_router_no_route_is_known_yet() {
    let queue = Queue::in_memory();
    let app = queue.layer().layer(users());
    for uri in ["/users/7", "/nothing"] {
        app.clone().oneshot(request("GET", uri)).await.expect("an answer");
    }
    assert_counts(&queue, [("GET _unmatched 200", 1), ("GET _unmatched 404", 1)]);
}

#[tokio::test]
async fn around_the_whole_router_paths_are_raw_or_of_a_closure() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path().path(|head| {
        let rest = head.path().strip_prefix("/users/")?;
        (!rest.contains('/')).then(|| "/users/{id}".into())
    });
    let app = layer.layer(users());
    for uri in ["/users/7", "/users/8", "/nothing?x"] {
        app.clone().oneshot(request("GET", uri)).await.expect("an answer");
    }
    assert_counts(&queue, [("GET /nothing 404", 1), ("GET /users/{id} 200", 2)]);
}

#[tokio::test]
async fn two_layers_count_twice() {
    let queue = Queue::in_memory();
    let app = users().layer(queue.layer()).layer(queue.layer());
    assert_eq!(status(&app, "GET", "/users").await, 200);
    assert_counts(&queue, [("GET /users 200", 2)]);
}

#[tokio::test]
async fn grpc_in_a_router_is_counted_by_its_full_method_path() {
    let queue = Queue::in_memory();
    let answer = || async { ([("content-type", "application/grpc")], "") };
    let services = Router::new().route("/pkg.Service/{*rest}", post(answer));
    let app = services.clone().nest("/grpc", services).layer(queue.layer());
    for uri in ["/pkg.Service/Method", "/grpc/pkg.Service/Method"] {
        let mut call = request("POST", uri);
        let content_type = http::HeaderValue::from_static("application/grpc");
        call.headers_mut().insert("content-type", content_type);
        let Ok(response) = app.clone().oneshot(call).await;
        assert_eq!(response.status(), 200);
        to_bytes(response.into_body(), 10).await.expect("a short body");
    }
    let expected = [("GRPC /grpc/pkg.Service/Method 2", 1), ("GRPC /pkg.Service/Method 2", 1)];
    assert_counts(&queue, expected);
}
