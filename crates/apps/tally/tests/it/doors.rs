//! The same rules for methods, paths and times, whichever way a request arrives.

use jiff::{SignedDuration, Timestamp};
use tally_client::{Method, Producer, Row};
use tally_proto::count::v1::AddRequest;
use tally_proto::{methods, wire};
use tally_runtime::{Clock as _, SystemClock};
use tonic::codegen::http;

use crate::support::{Home, Server, Totals, totals};

/// A method token, a path and a time.
struct Case {
    token: &'static str,
    path: String,
    time: Timestamp,
}

fn cases() -> Vec<Case> {
    let long = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
    let cases = [
        ("GET", "/a".to_owned(), 0),
        ("get", "/a".to_owned(), 23),
        ("PROPFIND", "/a".to_owned(), 0),
        ("propfind", "/a".to_owned(), -100_000),
        ("GET", long(2_048), 0),
        ("GET", long(2_049), 0),
        ("POST", "/nul\0".to_owned(), 0),
        ("PUT", "/ahead".to_owned(), 25),
    ];
    let at = |hours| SystemClock.now() + SignedDuration::from_hours(hours);
    cases.map(|(token, path, hours)| Case { token, path, time: at(hours) }).into()
}

/// The expected totals of the cases.
fn expected() -> Totals {
    let long = format!("GET /{}", "x".repeat(2_047));
    totals([("GET /a", 2), ("PROPFIND /a", 2), (&long, 1), ("GET _other", 1), ("POST _other", 1)])
}

fn server() -> (Home, Server) {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    (home, server)
}

#[tokio::test]
async fn by_add() {
    let (_home, server) = server();
    let requests = cases().into_iter().map(|case| AddRequest {
        method: methods::number_of_token(case.token.as_bytes()),
        path: case.path,
        request_timestamp: Some(wire::timestamp(case.time.as_microsecond())),
    });
    let requests: Vec<_> = requests.collect();
    let ended = server.client().await.add(tokio_stream::iter(requests)).await;
    let status = ended.expect_err("one is ahead");
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    assert_eq!(server.live(), expected());
}

#[tokio::test]
async fn by_record() {
    let (_home, server) = server();
    let mut producer = Producer::builder(&server.url).connect().await.expect("it starts");
    for Case { token, path, time } in cases() {
        let method = http::Method::from_bytes(token.as_bytes()).expect("a token");
        let series = producer.endpoint(Method::from(&method), &path);
        let given = producer.send(vec![Row::one(series, time.as_microsecond())]).await;
        assert_eq!(given.is_err(), path == "/ahead", "{path}");
    }
    producer.close().await;
    assert_eq!(server.live(), expected());
}

fn by_import(line: impl Fn(Case) -> String) {
    let (home, server) = server();
    let lines: String = cases().into_iter().map(line).collect();
    let said = server.ok(&["import", &home.file("access.log", lines)]).stderr;
    assert!(said.contains("counted 7 requests, 1 malformed"), "{said}");
    assert_eq!(server.live(), expected());
}

#[test]
fn by_a_log_in_common_log_format() {
    by_import(|Case { token, path, time }| {
        let (time, path) = (time.strftime("%d/%b/%Y:%H:%M:%S +0000"), path.replace('\0', "\\x00"));
        format!("h - - [{time}] \"{token} {path} HTTP/1.1\" 200 1\n")
    });
}

#[test]
fn by_a_log_in_json() {
    by_import(|Case { token, path, time }| {
        let path = path.replace('\0', "\\u0000");
        format!("{{\"method\":\"{token}\",\"path\":\"{path}\",\"time\":\"{time}\"}}\n")
    });
}

#[test]
fn by_tally_add() {
    let (_home, server) = server();
    // Arguments cannot contain NUL.
    for Case { token, path, time } in cases().into_iter().filter(|case| !case.path.contains('\0')) {
        let at = time.to_string();
        let added = server.run(&["add", token, &path, "--at", &at]);
        assert_eq!(added.status.success(), path != "/ahead", "{added:?}");
    }
    let mut expected = expected();
    expected.remove("POST _other");
    assert_eq!(server.live(), expected);
}
