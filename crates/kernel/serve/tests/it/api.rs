//! An HTTP API of a made-up domain: its routes, its refusals, its description.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tally_runtime::{Drain, Tasks};
use tally_serve::Needs;
use tally_serve::api::{
    Api, Body, FORMAT, Format, Operation, Parameter, Parameters, Problem, Reply, Values, json,
    json_of, streamed, tag_of, tagged, untagged,
};
use tally_serve::{Doors, Listener, Started};
use tally_testkit::eventually;

use crate::admission::ask;
use crate::support::{Idle, LIMIT, Running};

const NAME: Parameter =
    Parameter { name: "name", about: "Which.", values: Values::Name, is_repeated: true };
const SIZE: Parameter = Parameter {
    name: "size",
    about: "How large.",
    values: Values::Whole(1, 9),
    is_repeated: false,
};

static LIST: Operation = Operation {
    method: "get",
    path: "/api/v1/things",
    needs: Needs::Read,
    id: "listThings",
    summary: "Lists things",
    about: "All of them.",
    parameters: &[NAME, SIZE, FORMAT],
    headers: &[],
    body: None,
    replies: &[Reply {
        status: 200,
        about: "The things.",
        media_types: &[("application/json", Some("Things")), ("text/csv", None)],
    }],
};
static ADD: Operation = Operation {
    method: "post",
    id: "addThings",
    summary: "Adds things",
    parameters: &[],
    body: Some(Body { about: "Things.", media_types: &[("application/json", Some("Things"))] }),
    ..LIST
};
static ENDLESS: Operation = Operation { path: "/api/v1/endless", id: "endless", ..LIST };

/// How many bytes of endless bodies were made, and how many bodies there are.
#[derive(Clone, Default)]
struct Made {
    bytes: Arc<AtomicUsize>,
    bodies: Arc<()>,
}

async fn list(request: Request) -> Result<Response, Problem> {
    let mut given = Parameters::of(request.uri().query(), LIST.parameters);
    let format = Format::of(&mut given, request.headers())?;
    let names: Vec<_> = given.all(&NAME).map(str::to_owned).collect();
    let size = given.whole::<u8>(&SIZE);
    given.check()?;
    let text = format!("{names:?} {size:?} {format:?}");
    let body = || text.clone().into();
    Ok(tagged(request.headers(), tag_of(&text), format.content_type(), body))
}

async fn add(request: Request) -> Result<Response, Problem> {
    Ok(json(&json_of::<Value>(request, 5).await?))
}

async fn endless(State(made): State<Made>) -> Response {
    let Made { bytes, bodies } = made;
    let body = streamed(move |part| {
        let _ = &bodies;
        part.extend_from_slice(&[b'a'; 1_000]);
        bytes.fetch_add(1_000, Ordering::SeqCst);
        Ok(true)
    });
    untagged("text/plain", body)
}

async fn start(made: Made) -> Running {
    let api = Api::new("things", "Things of a test.")
        .route(&LIST, get(list))
        .route(&ADD, post(add))
        .route(&ENDLESS, get(endless).with_state(made))
        .schema("Things", json!({"type": "array"}));
    let doors = Doors::new().api(api);
    let started = Started { name: "idle", running: Arc::new(Idle), doors, tasks: Tasks::new() };
    let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
    Running::with(vec![started], Drain::new(), listener).await
}

/// The status, the head and the body of an answer.
fn answer(address: SocketAddr, line: &str, headers: &[&str]) -> (u16, String, String) {
    let answer = ask(address, line, &[&["host: localhost"], headers].concat());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head[9..12].parse().expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn problem(address: SocketAddr, line: &str, headers: &[&str]) -> (u16, String, Value) {
    let (status, head, body) = answer(address, line, headers);
    assert!(head.contains("\r\ncontent-type: application/problem+json"), "{line}: {head}");
    let problem: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(problem["status"], status, "{line}");
    (status, head, problem)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_a_format_and_a_tag() {
    let server = start(Made::default()).await;
    let list = "GET /api/v1/things?name=a%20b&name=&size=9";
    let (status, head, body) = answer(server.address, list, &[]);
    assert_eq!((status, &*body), (200, "[\"a b\", \"\"] Some(9) Json"));
    assert!(
        head.contains("\r\nvary: accept") && head.contains("\r\ncache-control: private, no-cache")
    );
    let tag = head.split("\r\netag: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let known = format!("if-none-match: {}", tag.expect("a tag").replace("w/", "W/"));
    let (status, _, body) = answer(server.address, list, &[&known]);
    assert_eq!((status, &*body), (304, ""));
    for (line, headers) in [(list, &["accept: text/csv"][..]), (&format!("{list}&format=csv"), &[])]
    {
        let (status, head, body) = answer(server.address, line, headers);
        assert_eq!((status, &*body), (200, "[\"a b\", \"\"] Some(9) Csv"));
        assert!(
            head.contains("\r\ncontent-type: text/csv; charset=utf-8; header=present"),
            "{head}"
        );
    }
    let (status, _, body) = answer(server.address, "HEAD /api/v1/things", &[]);
    assert_eq!((status, &*body), (200, ""));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_problems() {
    let server = start(Made::default()).await;
    let things = "/api/v1/things";
    let (status, _, wrong) =
        problem(server.address, &format!("GET {things}?size=0&nam=x&format=xml"), &[]);
    let mistakes = wrong["mistakes"].as_array().expect("a list");
    let fields: Vec<_> =
        mistakes.iter().map(|one| one["field"].as_str().expect("a text")).collect();
    assert_eq!((status, &*fields), (400, &["nam", "format", "size"][..]));
    let (status, head, _) = problem(server.address, &format!("DELETE {things}"), &[]);
    assert_eq!(status, 405);
    assert!(head.contains("\r\nallow: get,head,post"), "{head}");
    let (status, head, _) = problem(server.address, "POST /livez", &[]);
    assert!(status == 405 && head.contains("\r\nallow: get,head"), "{head}");
    let accept = ["accept: image/png"];
    assert_eq!(problem(server.address, &format!("GET {things}"), &accept).0, 406);
    // Five NULs, which are no JSON.
    let (post, json) = (format!("POST {things}"), "content-type: application/json");
    assert_eq!(problem(server.address, &post, &[json]).0, 400);
    assert_eq!(problem(server.address, &post, &["content-type: text/plain"]).0, 415);
    let long = answer(server.address, &post, &[json, "transfer-encoding: chunked"]);
    assert_eq!(long.0, 400, "a length and chunks: {long:?}");
    assert_eq!(problem(server.address, "GET /nothing", &[]).0, 404);
    let (status, head, page) =
        answer(server.address, "GET /nothing", &["accept: text/html,*/*;q=0.8"]);
    assert!(status == 404 && !head.contains("json"), "{head}");
    assert!(page.contains("/nothing"), "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_what_is_routed() {
    let server = start(Made::default()).await;
    let (status, _, body) = answer(server.address, "GET /api/v1/openapi.json", &[]);
    let document: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    let things = &document["paths"]["/api/v1/things"];
    assert_eq!(things["get"]["operationId"], "listThings");
    assert_eq!(things["get"]["parameters"][0]["schema"]["type"], "array");
    assert_eq!(things["get"]["parameters"][1]["schema"]["maximum"], 9);
    let body = &things["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(body, "#/components/schemas/Things");
    for schema in ["Things", "Problem"] {
        assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
    }
    let (status, head, page) = answer(server.address, "GET /api", &["accept: text/html"]);
    assert!(status == 200 && head.contains("content-security-policy"), "{head}");
    for words in ["GET /api/v1/things", "Adds things", "id=\"schema-Things\""] {
        assert!(page.contains(words), "{words} is not in {page}");
    }
    assert!(!page.contains("style=") && !page.contains("<script>"), "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_made_no_faster_than_it_is_read() {
    const READ_BYTES: usize = 4 << 20;
    /// What the sockets and hyper hold in between.
    const BETWEEN_BYTES_MAX: usize = 16 << 20;
    let made = Made::default();
    let server = start(made.clone()).await;
    let address = server.address;
    tokio::task::block_in_place(|| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET /api/v1/endless HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .expect("it reads");
        stream.read_exact(&mut vec![0; READ_BYTES]).expect("an endless answer");
    });
    let is_dropped = async || Arc::strong_count(&made.bodies) == 2;
    eventually("the body is dropped with its reader", LIMIT, is_dropped).await;
    let bytes = made.bytes.load(Ordering::SeqCst);
    assert!((READ_BYTES..READ_BYTES + BETWEEN_BYTES_MAX).contains(&bytes), "{bytes}");
    server.stop().await;
}
