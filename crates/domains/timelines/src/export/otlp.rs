//! OTLP traces as JSON: a trace is a timeline, a resource is a host, and a span is an event that is over.

use serde_json::{Value, json};

use super::spans::{OfHost, Span, by_host, span_id, trace_id};
use crate::message::Status;
use crate::model::Standing;
use crate::service::Shown;

const OK: u8 = 1;
const ERROR: u8 = 2;
const INTERNAL: u8 = 1;

/// The document.
pub(super) fn json(context: &str, shown: &Shown) -> Vec<u8> {
    let hosts = by_host(&shown.events).into_iter();
    let resources: Vec<Value> =
        hosts.map(|(host, of_host)| resource(context, host, &of_host, shown)).collect();
    serde_json::to_vec(&json!({"resourceSpans": resources})).expect("it is JSON")
}

fn resource(context: &str, host: &str, of_host: &OfHost<'_>, shown: &Shown) -> Value {
    let mut attributes =
        vec![text("service.name", context), whole("tally.timeline", shown.timeline.number)];
    if !host.is_empty() {
        attributes.push(text("host.name", host));
    }
    if !shown.timeline.label.is_empty() {
        attributes.push(text("tally.label", &shown.timeline.label));
    }
    if !of_host.left_out.is_empty() {
        let names: Vec<Value> =
            of_host.left_out.iter().map(|name| json!({"stringValue": name})).collect();
        attributes
            .push(json!({"key": "tally.left_out", "value": {"arrayValue": {"values": names}}}));
    }
    let trace = trace_id(shown);
    let spans: Vec<Value> = of_host.spans.iter().map(|one| span(one, &trace, shown)).collect();
    json!({
        "resource": {"attributes": attributes},
        "scopeSpans": [{
            "scope": {"name": "tally", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
        }],
    })
}

fn span(of: &Span<'_>, trace: &str, shown: &Shown) -> Value {
    let event = of.event;
    let standing = event.standing();
    let mut attributes = vec![text("tally.state", standing.name())];
    if event.rank > 1 {
        attributes.push(whole("tally.attempt", event.rank));
    }
    if !event.key.span.is_empty() {
        attributes.push(text("tally.span", &event.key.span));
    }
    let micros =
        |duration: jiff::SignedDuration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let waited = event.spent(shown.now).waiting;
    if !waited.is_zero() {
        attributes.push(whole("tally.waited_us", micros(waited)));
    }
    if let Some(reversed) = event.attempt.reversed() {
        attributes.push(whole("tally.reversed_us", micros(reversed)));
    }
    attributes.extend(of.attributes().iter().map(|(name, value)| text(name, value)));
    let status = match standing {
        Standing::Ended(Status::Ok) => json!({"code": OK}),
        Standing::Ended(Status::Failed) => json!({"code": ERROR}),
        _ => json!({}),
    };
    let mut span = json!({
        "traceId": trace,
        "spanId": span_id(event.number),
        "name": of.name,
        "kind": INTERNAL,
        // 64-bit numbers are texts in JSON.
        "startTimeUnixNano": of.start.to_string(),
        "endTimeUnixNano": of.end.to_string(),
        "attributes": attributes,
        "status": status,
    });
    if let Some(parent) = of.parent {
        span["parentSpanId"] = span_id(parent).into();
    }
    span
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn whole(key: &str, value: i64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}
