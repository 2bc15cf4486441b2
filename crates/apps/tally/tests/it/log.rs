//! The server's log: as JSON it is that throughout, and it keeps the trace that a request belongs to.

use serde_json::Value;
use tally_testkit::{Stream, http, run_with};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use crate::support::{Home, LIMIT, Server, request, wait_for};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID: &str = "b7ad6b7169203331";

fn traceparent() -> String {
    format!("00-{TRACE_ID}-{SPAN_ID}-01")
}

/// Each line as an object.
#[track_caller]
fn objects(log: &str) -> Vec<Value> {
    let object = |line: &str| {
        let object: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?} in {log}"));
        // Some libraries log fields only.
        let is_own = object["target"].as_str().is_none_or(|target| target.starts_with("tally"));
        assert!(object["message"].is_string() || !is_own, "{object}");
        assert!(object["level"].is_string(), "{object}");
        let time = object["timestamp"].as_str().expect("a text");
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 27, "{time}");
        object
    };
    log.lines().map(object).collect()
}

fn has(objects: &[Value], level: &str, words: &str) -> bool {
    let is_it = |one: &&Value| {
        one["level"] == level
            && one["message"].as_str().is_some_and(|message| message.contains(words))
    };
    objects.iter().any(|one| is_it(&one))
}

#[test]
fn a_log_in_json_is_nothing_else() {
    let home = Home::sqlite();
    let json = ["--log-format", "json", "--log-level", "trace"];
    let mut command = home.serve_command(&json);
    // A variable that no command has, and a panic in a call.
    command.env("TALLY_UNHEARD_OF", "x").env("TALLY_FAULT", "scrape");
    let server = Server::start(&command);
    server.ok(&["add", "GET", "/hello"]);
    server.ok(&["roll-up", "today"]);
    let _ = http(&server.url, "GET /requests", &["accept: text/html"], "");
    let _ = http(&server.url, "DELETE /nothing", &[], "");
    // The connection ends without an answer.
    let scraped = std::net::TcpStream::connect(server.url.trim_start_matches("http://"));
    let mut scraped = scraped.expect("it listens");
    let ask = format!(
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\ntraceparent: {}\r\n\r\n",
        traceparent()
    );
    std::io::Write::write_all(&mut scraped, ask.as_bytes()).expect("it reads");
    server.process.wait_for_line(Stream::Stderr, "panicked", LIMIT);
    // An error that has several lines.
    let public = ["serve", "--listen", "0.0.0.0:0", "--database-url", "sqlite:other.db"];
    let refused = run_with(&home.command(&[&public, &json[..]].concat()), b"", LIMIT, None);
    let wrong = ["serve", "--requests-totals-max", "many", "--log-format", "json"];
    let wrong = run_with(&home.command(&wrong), b"", LIMIT, None);
    server.process.signal("TERM");
    let ended = server.process.wait(LIMIT);

    let log = objects(&ended.stderr);
    for (level, words) in [
        ("WARN", "unknown variables, ignored: TALLY_UNHEARD_OF"),
        ("INFO", "listens on http://127.0.0.1:"),
        ("INFO", "access: anyone on this machine"),
        ("INFO", "ready"),
        ("ERROR", "panicked: a test asked for this: scrape"),
        ("INFO", "stopping: storing what was accepted"),
        ("INFO", "stopped: everything that was acknowledged is stored"),
    ] {
        assert!(has(&log, level, words), "{level}: {words:?} is not in {}", ended.stderr);
    }
    let panicked =
        log.iter().find(|one| one["message"].as_str().is_some_and(|m| m.starts_with("panicked")));
    let panicked = panicked.expect("it is there");
    assert!(
        panicked["place"].as_str().is_some_and(|place| place.contains("faults.rs")),
        "{panicked}"
    );
    assert_eq!((&panicked["trace_id"], &panicked["span_id"]), (&TRACE_ID.into(), &SPAN_ID.into()));
    assert_eq!((refused.status.code(), wrong.status.code()), (Some(1), Some(2)));
    assert!(has(&objects(&refused.stderr), "ERROR", "\n  ask for keys:"), "{}", refused.stderr);
    assert!(has(&objects(&wrong.stderr), "ERROR", "a setting is wrong: --requests-totals-max"));
}

/// What is logged of a request has the ids of the trace that it belongs to, over HTTP and gRPC; an answer has
/// nothing of it.
#[test]
fn the_log_keeps_the_trace_of_a_request() {
    let home = Home::sqlite();
    let (right, wrong) = (traceparent(), traceparent().replacen("00-", "ff-", 1));
    let fold = |server: &Server, headers: &[&str]| {
        let headers = [&["content-type: application/json"], headers].concat();
        let answer = http(&server.url, "POST /api/v1/requests/fold", &headers, "{}");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!format!("{answer:?}").contains(TRACE_ID), "{answer:?}");
    };
    let server = home.serve(&["--log-format", "json", "--log-level", "info"]);
    let header = |value: &str| format!("traceparent: {value}");
    fold(&server, &[&header(&right)]);
    fold(&server, &[&header(&wrong)]);
    fold(&server, &[&header(&right), &header(&right)]);
    fold(&server, &[]);
    let ended = wait_for(async {
        let channel = Channel::from_shared(server.url.clone()).expect("an address").connect().await;
        let mut client =
            tally_proto::tally::requests::v1::request_service_client::RequestServiceClient::new(
                channel.expect("it listens"),
            );
        let mut folding = tonic::Request::new(tally_proto::tally::requests::v1::FoldRequest {});
        let value: MetadataValue<_> = right.parse().expect("letters and digits");
        folding.metadata_mut().insert("traceparent", value);
        client.fold(folding).await
    });
    let ended = format!("{:?}", ended.expect("a fold"));
    assert!(!ended.contains(TRACE_ID), "{ended}");
    server.stop();
    let log = objects(&server.log());
    let audited: Vec<_> = log.iter().filter(|one| one["target"] == "audit").collect();
    let ids: Vec<_> = audited.iter().map(|one| (&one["trace_id"], &one["span_id"])).collect();
    let (with, without) =
        ((&Value::from(TRACE_ID), &Value::from(SPAN_ID)), (&Value::Null, &Value::Null));
    assert_eq!(ids, [with, without, without, without, with], "{audited:?}");

    let server = home.serve(&["--log-level", "info"]);
    fold(&server, &[&header(&right)]);
    server.process.wait_for_line(
        Stream::Stderr,
        &format!("trace_id={TRACE_ID} span_id={SPAN_ID}"),
        LIMIT,
    );
    wait_for(async {
        server.client().await.add(tokio_stream::iter([request("/a")])).await.expect("counted")
    });
    server.stop();
}
