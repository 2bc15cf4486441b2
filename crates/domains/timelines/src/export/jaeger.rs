//! Jaeger's own JSON, which its page takes as a file: a trace is a timeline, a process is a host, and a span is an
//! event that is over.

use serde_json::{Map, Value, json};

use super::spans::{Span, by_host, span_id, trace_id};
use crate::message::Status;
use crate::model::Standing;
use crate::service::Shown;

/// The document.
pub(super) fn json(context: &str, shown: &Shown) -> Vec<u8> {
    let trace = trace_id(shown);
    let (mut processes, mut spans) = (Map::new(), Vec::new());
    for (at, (host, of_host)) in by_host(&shown.events).into_iter().enumerate() {
        let process = format!("p{}", at + 1);
        let mut tags = vec![tag("tally.timeline", shown.timeline.number)];
        if !host.is_empty() {
            tags.push(tag("hostname", host));
        }
        if !shown.timeline.label.is_empty() {
            tags.push(tag("tally.label", &*shown.timeline.label));
        }
        if !of_host.left_out.is_empty() {
            tags.push(tag("tally.left_out", of_host.left_out.join("\n")));
        }
        spans.extend(of_host.spans.iter().map(|one| span(one, &trace, &process, shown)));
        processes.insert(process, json!({"serviceName": context, "tags": tags}));
    }
    let trace = json!({"traceID": trace, "spans": spans, "processes": processes, "warnings": null});
    serde_json::to_vec(&json!({"data": [trace]})).expect("it is JSON")
}

fn span(of: &Span<'_>, trace: &str, process: &str, shown: &Shown) -> Value {
    let event = of.event;
    let standing = event.standing();
    let mut tags = vec![tag("tally.state", standing.name())];
    if standing == Standing::Ended(Status::Failed) {
        tags.push(tag("error", true));
    }
    if event.rank > 1 {
        tags.push(tag("tally.attempt", event.rank));
    }
    if !event.key.span.is_empty() {
        tags.push(tag("tally.span", &*event.key.span));
    }
    let waited = event.spent(shown.now).waiting;
    if !waited.is_zero() {
        let micros = i64::try_from(waited.as_micros()).unwrap_or(i64::MAX);
        tags.push(tag("tally.waited_us", micros));
    }
    tags.extend(of.attributes().iter().map(|(name, value)| tag(name, &**value)));
    let reversed = event.attempt.reversed();
    let warnings = reversed.map(|by| {
        json!([format!("its end is {} before its start", tally_runtime::text::lasted(by))])
    });
    let parent = of
        .parent
        .map(|parent| json!({"refType": "CHILD_OF", "traceID": trace, "spanID": span_id(parent)}));
    // Both are rounded down, so that what is below another one stays within it.
    let (start, end) = (of.start / 1_000, of.end / 1_000);
    json!({
        "traceID": trace,
        "spanID": span_id(event.number),
        "processID": process,
        "operationName": of.name,
        "startTime": start,
        "duration": end - start,
        "references": parent.into_iter().collect::<Vec<_>>(),
        "tags": tags,
        "logs": [],
        "warnings": warnings,
    })
}

fn tag(key: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    let kind = match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        _ => "string",
    };
    json!({"key": key, "type": kind, "value": value})
}
