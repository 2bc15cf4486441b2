//! What other products send of their traces becomes events, once, and nothing of it is lost without a word.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use tally_proto::opentelemetry as proto;
use tally_proto::opentelemetry::any_value::Value as Any;
use tally_proto::opentelemetry::trace_service_server::TraceService as _;
use tally_testkit::{Response, http};

use crate::backend::{Backend, asked, time};
use crate::doors::{Door, JSON};
use crate::timelines::on;

mod sqlite {
    super::on!(
        sqlite: spans_are_events_below_their_parents, the_same_span_is_stored_once, odd_spans_are_told_and_the_others_are_stored,
        what_is_no_trace_is_refused, builds_are_timelines, odd_events_are_told_and_the_others_are_stored,
        an_export_comes_in_again
    );
}

const PROTOBUF: &str = "content-type: application/x-protobuf";
const GZIP: &str = "content-encoding: gzip";

fn nanos(second: i64) -> u64 {
    u64::try_from(time("2030-06-15T06:00:00Z").as_second() + second).expect("later") * 1_000_000_000
}

fn text(key: &str, value: &str) -> proto::KeyValue {
    let value = proto::AnyValue { value: Some(Any::StringValue(value.to_owned())) };
    proto::KeyValue { key: key.to_owned(), value: Some(value) }
}

fn span(name: &str, own: u8, parent: u8, from: i64, until: i64) -> proto::Span {
    let id = |id: u8| if id == 0 { Vec::new() } else { vec![id; 8] };
    proto::Span {
        trace_id: vec![0xab; 16],
        span_id: id(own),
        parent_span_id: id(parent),
        name: name.to_owned(),
        start_time_unix_nano: nanos(from),
        end_time_unix_nano: nanos(until),
        ..Default::default()
    }
}

fn request(resource: &[(&str, &str)], spans: Vec<proto::Span>) -> proto::ExportTraceServiceRequest {
    let attributes = resource.iter().map(|(key, value)| text(key, value)).collect();
    proto::ExportTraceServiceRequest {
        resource_spans: vec![
            proto::ResourceSpans {
                resource: Some(proto::Resource { attributes }),
                scope_spans: vec![proto::ScopeSpans { spans }],
            }
            .encode_to_vec(),
        ],
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("it is coded")
}

// === impl Door ===

impl Door {
    #[track_caller]
    fn send(
        &self,
        request: &proto::ExportTraceServiceRequest,
    ) -> proto::ExportTraceServiceResponse {
        let body = gzip(&request.encode_to_vec());
        let answer = http(&self.address, "POST /v1/traces", &[PROTOBUF, GZIP], &body);
        let content_type = answer.header("content-type");
        assert_eq!(
            (answer.status, content_type),
            (200, Some("application/x-protobuf")),
            "{answer:?}"
        );
        proto::ExportTraceServiceResponse::decode(&*answer.bytes).expect("an answer")
    }

    /// The names of a timeline's rows, each with how its event stands, and how long it took in seconds.
    #[track_caller]
    fn rows(&self, context: &str, timeline: &str) -> Vec<(String, String, i64)> {
        let chart =
            self.ok(&format!("GET /api/v1/timelines/contexts/{context}/{timeline}"), &Value::Null);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = chart["rows"].as_array().expect("rows").iter();
        let took =
            |row: &Value| row["event"]["took_us"].as_i64().map_or(-1, |took| took / 1_000_000);
        rows.map(|row| (text(&row["name"]), text(&row["event"]["state"]), took(row))).collect()
    }
}

fn row(name: &str, state: &str, took: i64) -> (String, String, i64) {
    (name.to_owned(), state.to_owned(), took)
}

/// open-telemetry/opentelemetry-specification#373, #4993: what runs now is invisible until it ends; a span whose end
/// is 0 is open here. equinix-labs/otel-cli#344, tobert/otel-cli#10: nesting fails, because a span is sent when it
/// ends, before what is above it.
async fn spans_are_events_below_their_parents(backend: Backend) {
    let door = Door::open(&backend.one).await;
    let shop = [("service.name", "shop"), ("host.name", "web-1")];
    let mut failed = span("pay", 3, 2, 5, 7);
    failed.status = Some(proto::SpanStatus { message: "no funds".into(), code: 2 });
    failed.attributes = vec![text("bank", "x"), text("", "nothing")];
    failed.events = vec![proto::SpanEvent {
        time_unix_nano: nanos(6),
        name: "exception".into(),
        attributes: vec![text("exception.message", "no")],
    }];
    let sent = door.send(&request(&shop, vec![failed, span("order", 2, 1, 2, 8)]));
    assert_eq!(sent, proto::ExportTraceServiceResponse::default());
    let trace = "ab".repeat(16);
    let expected = [
        row("order", "ok", 6),
        row("order.pay", "failed", 2),
        row("order.pay.exception", "point", -1),
    ];
    assert_eq!(door.rows("shop", &trace), expected, "its root has not come");
    let mut open = span("mail", 4, 1, 8, 0);
    open.end_time_unix_nano = 0;
    door.send(&request(&shop, vec![span("GET /cart", 1, 0, 1, 9), open]));
    let expected = [
        row("GET /cart", "ok", 8),
        row("GET /cart.order", "ok", 6),
        row("GET /cart.order.pay", "failed", 2),
        row("GET /cart.order.pay.exception", "point", -1),
        row("GET /cart.mail", "open", -1),
    ];
    assert_eq!(door.rows("shop", "newest"), expected);
    let path = "GET /api/v1/timelines/contexts/shop/newest/events";
    let events = door.ok(path, &Value::Null);
    let pay = events["events"].as_array().expect("a list").iter().find(|one| one["name"] == "pay");
    let pay = pay.expect("it is stored under its own name");
    assert_eq!((&pay["host"], &pay["span"]), (&json!("web-1"), &json!("0303030303030303")));
    let attributes = json!({"bank": "x", "status_message": "no funds", "parent_span": "02".repeat(8),
        "attributes_left_out": "1"});
    assert_eq!(pay["attributes"], attributes);
    // Of several programs, a trace is one timeline if they name its context.
    let pipeline = [
        ("service.name", "runner"),
        ("cicd.pipeline.name", "deploy"),
        ("cicd.pipeline.run.id", "17"),
    ];
    door.send(&request(&pipeline, vec![span("build", 1, 0, 0, 1)]));
    let headers = [PROTOBUF, "tally-context: deploy"];
    let builder = [("service.name", "builder"), ("cicd.pipeline.run.id", "17")];
    let other = request(&builder, vec![span("link", 2, 1, 0, 1)]);
    let answer = http(&door.address, "POST /v1/traces", &headers, other.encode_to_vec());
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected = [row("build", "ok", 1), row("build.link", "ok", 1)];
    assert_eq!(door.rows("deploy", "17"), expected, "a label may look like a number");
    door.close().await;
}

/// Over HTTP in both forms and gRPC it is the same span. honeycombio/gha-buildevents#226: one id used by several spans
/// merges them; here each is stored.
async fn the_same_span_is_stored_once(backend: Backend) {
    let door = Door::open(&backend.one).await;
    let one = request(&[("service.name", "shop")], vec![span("pay", 7, 0, 1, 3)]);
    door.send(&one);
    door.send(&one);
    let grpc = backend.other.service.export(asked(one.clone())).await.expect("it is taken");
    assert_eq!(grpc.into_inner().partial_success, None);
    let written = json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{"scope": {"name": "x"}, "spans": [{
            "traceId": "AB".repeat(16), "spanId": "07".repeat(8), "parentSpanId": "", "name": "pay", "kind": 2,
            "startTimeUnixNano": nanos(1).to_string(), "endTimeUnixNano": nanos(3), "links": null,
            "attributes": [{"key": "n", "value": {"intValue": "5"}}, {"key": "none", "value": null},
                {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}}],
            "status": {}, "somethingNew": [1]}]}],
        "schemaUrl": "x"}]});
    assert_eq!(door.ok("POST /v1/traces", &written), json!({}));
    assert_eq!(door.rows("shop", "newest"), [row("pay", "ok", 2)]);
    door.send(&request(&[("service.name", "shop")], vec![span("mail", 7, 0, 2, 3)]));
    assert_eq!(door.rows("shop", "newest"), [row("pay", "ok", 2), row("mail", "ok", 1)]);
    door.close().await;
}

async fn odd_spans_are_told_and_the_others_are_stored(backend: Backend) {
    backend.set("2030-06-16T06:00:10Z");
    let door = Door::open(&backend.one).await;
    let mut no_id = span("no id", 1, 0, 1, 2);
    no_id.span_id = vec![0; 8];
    let mut no_trace = span("no trace", 1, 0, 1, 2);
    no_trace.trace_id.clear();
    let mut late = span("late", 9, 0, 1, 2);
    late.end_time_unix_nano = u64::MAX;
    let mut no_start = span("no start", 8, 0, 1, 2);
    no_start.start_time_unix_nano = 0;
    let spans = vec![
        span(&"x".repeat(10_000), 2, 0, 1, 2),
        span(&["a"; 1_000].join("."), 3, 0, 1, 2),
        no_id,
        no_trace,
        late,
        no_start,
        // dash0hq/otel-cicd-action#19, ahrefs/ocannl#918: reversed times give 584 years.
        span("reversed", 4, 0, 3, -100_000_000),
        // jaegertracing/jaeger#1459, grafana/tempo#3930: a clock that is wrong by a day is told, and shifts nothing.
        span("a day ago", 5, 0, 1, 2),
        span("..", 6, 0, 1, 2),
    ];
    let answer = door.send(&request(&[("service.name", "shop"), ("host.name", "w")], spans));
    let part = answer.partial_success.expect("some are refused");
    assert_eq!(part.rejected_spans, 6, "{}", part.error_message);
    for told in [
        "name: it has 10000 bytes, and may have 500",
        "name: it has 1000 parts, and may have 32",
        "\"no id\": its span id is not 8 bytes",
        "\"no trace\": its trace id is not 16 bytes",
        "\"late\": time: it is not between the years 1678 and 2261",
        "\"no start\": start: it is missing",
    ] {
        assert!(part.error_message.contains(told), "{told}: {}", part.error_message);
    }
    let rows = door.rows("shop", "newest");
    let expected =
        [row("a day ago", "ok", 1), row("\u{2024}\u{2024}", "ok", 1), row("reversed", "ok", 0)];
    assert_eq!(rows, expected, "and nothing of what was refused");
    let chart = door.ok("GET /api/v1/timelines/contexts/shop/newest", &Value::Null);
    let behind = chart["clocks"][0]["behind_us"].as_i64().expect("a clock is off");
    assert_eq!(behind / 1_000_000, 86_400 + 7);
    let many = (0..30).map(|_| span("a..b", 0, 0, 1, 2)).collect();
    let part = door.send(&request(&[], many)).partial_success.expect("all are refused");
    assert!(part.error_message.ends_with("; and 20 more"), "{}", part.error_message);
    door.close().await;
}

async fn what_is_no_trace_is_refused(backend: Backend) {
    let door = Door::open(&backend.one).await;
    let ask = |headers: &[&str], body: &[u8]| http(&door.address, "POST /v1/traces", headers, body);
    let bomb = gzip(&vec![0; 9 << 20]);
    let refusal =
        |answer: &Response| -> Value { serde_json::from_str(&answer.body).expect("JSON") };
    for (headers, body, status, code) in [
        (&[JSON][..], &b"7"[..], 400, 3),
        (
            &[JSON],
            br#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xy"}]}]}]}"#,
            400,
            3,
        ),
        (&[JSON, GZIP], b"{}", 400, 3),
        (&[JSON, GZIP], &bomb, 413, 3),
        (&[JSON, "content-encoding: zstd"], b"{}", 415, 13),
    ] {
        let answer = ask(headers, body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(refusal(&answer)["code"], code, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let empty = vec![proto::Span::default(); 400_000];
    let answer = ask(&[PROTOBUF], &request(&[], empty).encode_to_vec());
    assert!(answer.status == 400 && answer.body.contains("400,000 parts"), "{answer:?}");
    let answer = ask(&[PROTOBUF], b"\x0a\xff");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (400, Some("application/x-protobuf"))
    );
    let refusal = proto::Refusal::decode(&*answer.bytes).expect("a status");
    assert!(refusal.message.contains("body: it is no trace: "), "{refusal:?}");
    assert_eq!(ask(&["content-type: text/plain"], b"{}").status, 415);
    assert_eq!(http(&door.address, "GET /v1/traces", &[], "").status, 405);
    assert_eq!(door.ok("POST /v1/traces", &json!({})), json!({}), "no spans are fine");
    door.close().await;
}

/// An event as `buildevents` sends it, in a batch of its own.
fn built(
    name: &str,
    span: &str,
    parent: Option<&str>,
    second: i64,
    millis: f64,
    more: &Value,
) -> Value {
    let mut data = json!({"trace.trace_id": "ci-17", "trace.span_id": span, "name": name,
        "service_name": name, "duration_ms": millis, "meta.version": "dev", "ci_provider": "make"});
    if let Some(parent) = parent {
        data["trace.parent_id"] = parent.into();
    }
    let more = more.as_object().expect("members").clone();
    data.as_object_mut().expect("members").extend(more);
    let time = time("2030-06-15T06:00:00Z").as_second() + second;
    let time = jiff::Timestamp::from_second(time).expect("a time");
    json!([{"data": data, "time": time.to_string(), "samplerate": 2}])
}

/// What `buildevents cmd`, `step` and `build` send, in their order: what was done comes before what it is a part of.
async fn builds_are_timelines(backend: Backend) {
    let door = Door::open(&backend.one).await;
    let auth = door.ok("GET /1/auth", &Value::Null);
    assert!(auth["team"]["slug"].is_string() && auth["environment"]["slug"].is_string(), "{auth}");
    let cmd =
        json!({"command_name": "cmd", "status": "failure", "cmd": "make", "failure_reason": "2"});
    let step = json!({"command_name": "step"});
    let build = json!({"command_name": "build", "status": "success"});
    for (event, coding) in [
        (built("make all", "f1", Some("s1"), 1, 1_500.5, &cmd), "zstd"),
        (built("compile", "s1", Some("ci-17"), 1, 2_000.0, &step), "gzip"),
        (built("", "ci-17", None, 0, 4_000.0, &build), "zstd"),
    ] {
        let text = event.to_string();
        let body = match coding {
            "gzip" => gzip(text.as_bytes()),
            _ => compress_to_vec(text.as_bytes(), CompressionLevel::Fastest),
        };
        let coding = format!("content-encoding: {coding}");
        for _ in 0..2 {
            let answer = http(&door.address, "POST /1/batch/my%20builds", &[JSON, &coding], &body);
            assert_eq!(
                (answer.status, answer.body.trim()),
                (200, "[{\"status\":202}]"),
                "{answer:?}"
            );
        }
    }
    let expected = [
        row("build", "ok", 4),
        row("build.compile", "ok", 2),
        row("build.compile.make all", "failed", 1),
    ];
    assert_eq!(door.rows("my%20builds", "ci-17"), expected);
    let path = "GET /api/v1/timelines/contexts/my%20builds/ci-17/events?limit=1";
    let first = &door.ok(path, &Value::Null)["events"][0];
    assert_eq!(
        (&first["took_us"], &first["attributes"]["cmd"]),
        (&json!(1_500_500), &json!("make"))
    );
    let single = json!({"trace.trace_id": "ci-17", "trace.span_id": "e", "trace.parent_id": "ci-17", "name": "note"});
    let headers = [JSON, "x-honeycomb-event-time: 2030-06-15T06:00:03Z"];
    let answer = http(&door.address, "POST /1/events/my%20builds", &headers, single.to_string());
    assert_eq!((answer.status, &*answer.body), (200, ""), "{answer:?}");
    assert!(door.rows("my%20builds", "newest").contains(&row("build.note", "open", -1)));
    door.close().await;
}

async fn odd_events_are_told_and_the_others_are_stored(backend: Backend) {
    let door = Door::open(&backend.one).await;
    let data = |more: Value| {
        let mut data =
            json!({"trace.trace_id": "t", "trace.span_id": "s", "name": "a", "duration_ms": 1});
        let more = more.as_object().expect("members").clone();
        data.as_object_mut().expect("members").extend(more);
        json!({"data": data, "time": "2030-06-15T06:00:01.5Z"})
    };
    let batch = json!([
        data(json!({"trace.trace_id": null})),
        data(json!({"trace.span_id": ""})),
        data(json!({"duration_ms": "long"})),
        data(json!({"duration_ms": 1e300})),
        data(json!({"name": "x".repeat(10_000)})),
        data(json!({"trace.trace_id": "newest"})),
        {"data": {"trace.trace_id": "t", "trace.span_id": "s"}},
        {"data": {"trace.trace_id": "t", "trace.span_id": "s"}, "time": "yesterday"},
        7,
        data(json!({"duration_ms": -5, "name": "reversed"})),
    ]);
    let answers = door.ok("POST /1/batch/ci", &batch);
    let answers = answers.as_array().expect("a list");
    let told = [
        "no trace.trace_id",
        "no trace.span_id",
        "duration_ms is no",
        "duration_ms is no",
        "10000 bytes",
        "this word stands",
        "no time",
        "\"yesterday\" is no moment",
        "invalid type",
    ];
    for (answer, told) in answers.iter().zip(told) {
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(answer["status"] == 400 && error.contains(told), "{told}: {answer}");
    }
    assert_eq!((answers.len(), &answers[9]), (10, &json!({"status": 202})));
    assert_eq!(door.rows("ci", "newest"), [row("reversed", "ok", 0)]);
    let bomb = compress_to_vec(&vec![0_u8; 9 << 20][..], CompressionLevel::Fastest);
    for (headers, body, status) in [
        (&["content-encoding: zstd"][..], &bomb[..], 413),
        (&["content-encoding: zstd"], b"[]", 400),
        (&["content-encoding: br"], b"[]", 415),
        (&[], b"{}", 400),
    ] {
        let answer = http(&door.address, "POST /1/batch/ci", headers, body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.starts_with("{\"error\":\""), "{answer:?}");
    }
    let answer = http(&door.address, "POST /1/events/ci", &[], "{}");
    assert_eq!((answer.status, answer.body.contains("trace.trace_id")), (400, true), "{answer:?}");
    door.close().await;
}

/// What is exported for OpenTelemetry is taken by its door, and is the same chart then.
async fn an_export_comes_in_again(backend: Backend) {
    let door = Door::open(&backend.one).await;
    let shop = [("service.name", "shop"), ("host.name", "web-1")];
    let mut failed = span("pay", 2, 1, 2, 3);
    failed.status = Some(proto::SpanStatus { message: String::new(), code: 2 });
    door.send(&request(&shop, vec![span("order", 1, 0, 1, 4), failed]));
    let path = "GET /api/v1/timelines/contexts/shop/newest/export?format=otlp";
    let exported = door.ok(path, &Value::Null);
    let answer = http(
        &door.address,
        "POST /v1/traces",
        &[JSON, "tally-context: again"],
        exported.to_string(),
    );
    assert_eq!((answer.status, answer.body.trim()), (200, "{}"), "{answer:?}");
    assert_eq!(door.rows("again", "newest"), door.rows("shop", "newest"));
    for (query, status) in [
        ("", 400),
        ("?format=pdf", 400),
        ("?format=csv&part=2", 400),
        ("?format=mermaid&part=2", 400),
        ("?format=mermaid&part=1", 200),
        ("?format=svg", 200),
    ] {
        let line = format!("GET /api/v1/timelines/contexts/shop/newest/export{query}");
        let answer = http(&door.address, &line, &[], "");
        assert_eq!(answer.status, status, "{query}: {answer:?}");
    }
    door.close().await;
}
