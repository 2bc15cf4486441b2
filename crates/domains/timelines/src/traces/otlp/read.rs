//! From a span there to a span here.

use jiff::Timestamp;
use serde_json::Value;
use tally_proto::opentelemetry::any_value::Value as Any;
use tally_proto::opentelemetry::{AnyValue, KeyValue, Resource, ResourceSpans};
use tally_proto::opentelemetry::{Span as There, SpanEvent};
use tally_runtime::text::beginning;

use super::super::span::{Gathered, Span};
use crate::message::{Attributes, Status};

const TRACE_ID_BYTES: usize = 16;
const SPAN_ID_BYTES: usize = 8;
/// The status of a span that failed.
const ERROR: i32 = 2;
/// What traces belong to that say nothing of it.
const CONTEXT_USUAL: &str = "traces";

/// What is said of the program that sends.
struct Sender<'a> {
    /// The context that the request names.
    context: Option<&'a str>,
    attributes: &'a [KeyValue],
}

/// All spans, in their order, or what is wrong with each.
pub(super) fn spans(all: Vec<ResourceSpans>, context: Option<&str>) -> Vec<Result<Span, String>> {
    let mut spans = Vec::new();
    for of_sender in all {
        let Resource { attributes } = of_sender.resource.unwrap_or_default();
        let sender = Sender { context, attributes: &attributes };
        let all = of_sender.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(all.map(|span| sender.span(span)));
    }
    spans
}

// === impl Sender ===

impl Sender<'_> {
    fn span(&self, there: There) -> Result<Span, String> {
        let shown = || beginning(&there.name);
        let trace = id(&there.trace_id, TRACE_ID_BYTES);
        let trace = trace.ok_or_else(|| format!("{:?}: its trace id is not 16 bytes", shown()))?;
        let own = id(&there.span_id, SPAN_ID_BYTES);
        let own = own.ok_or_else(|| format!("{:?}: its span id is not 8 bytes", shown()))?;
        let parent = id(&there.parent_span_id, SPAN_ID_BYTES).unwrap_or_default();
        let own_or_sender = |key: &str| text(&there.attributes, key).or_else(|| self.text(key));
        let service = self.text("service.name");
        let named = self.context.map(str::to_owned).or_else(|| own_or_sender("cicd.pipeline.name"));
        let host = self.text("host.name");
        let (context, host) = match (named, service) {
            (Some(context), service) => (context, service.or(host)),
            (None, service) => (service.unwrap_or_else(|| CONTEXT_USUAL.to_owned()), host),
        };
        let status = there.status.clone().unwrap_or_default();
        let mut at_end = Gathered::default();
        if !status.message.is_empty() {
            at_end.put("status_message", &status.message);
        }
        let points = there.events.iter().filter_map(|event| {
            let SpanEvent { time_unix_nano, name, attributes } = event;
            Some((name.clone(), moment(*time_unix_nano)?, gathered(attributes)))
        });
        Ok(Span {
            context,
            trace: own_or_sender("cicd.pipeline.run.id").unwrap_or(trace),
            host: host.unwrap_or_default(),
            id: own,
            parent,
            start: moment(there.start_time_unix_nano),
            end: moment(there.end_time_unix_nano),
            status: standing(status.code, &there.attributes),
            at_end: at_end.finish(),
            attributes: gathered(&there.attributes),
            points: points.collect(),
            name: there.name,
        })
    }

    fn text(&self, key: &str) -> Option<String> {
        text(self.attributes, key)
    }
}

fn standing(code: i32, attributes: &[KeyValue]) -> Status {
    let of = |key| text(attributes, key);
    let result = of("cicd.pipeline.task.run.result").or_else(|| of("cicd.pipeline.result"));
    match result.as_deref() {
        _ if code == ERROR => Status::Failed,
        Some("failure" | "error" | "timeout" | "cancellation") => Status::Failed,
        Some("skip" | "skipped") => Status::Skipped,
        _ => Status::Ok,
    }
}

fn gathered(attributes: &[KeyValue]) -> Attributes {
    let mut gathered = Gathered::default();
    for KeyValue { key, value } in attributes {
        gathered.put(key, &shown(value.as_ref()));
    }
    gathered.finish()
}

/// The text of an attribute that has one.
fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|one| one.key == key)?;
    Some(shown(found.value.as_ref())).filter(|text| !text.is_empty())
}

fn shown(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        value => match json(value) {
            Value::Null => String::new(),
            value => value.to_string(),
        },
    }
}

fn json(value: Option<&Any>) -> Value {
    match value {
        None => Value::Null,
        Some(Any::StringValue(text)) => text.clone().into(),
        Some(Any::BoolValue(value)) => (*value).into(),
        Some(Any::IntValue(value)) => (*value).into(),
        Some(Any::DoubleValue(value)) => (*value).into(),
        Some(Any::BytesValue(bytes)) => hex(bytes).into(),
        Some(Any::ArrayValue(all)) => {
            all.values.iter().map(|one| json(one.value.as_ref())).collect()
        }
        Some(Any::KvlistValue(all)) => {
            let of = |one: &KeyValue| {
                let value = one.value.as_ref().and_then(|value| value.value.as_ref());
                (one.key.clone(), json(value))
            };
            Value::Object(all.values.iter().map(of).collect())
        }
    }
}

/// An id in hex. None if it has another length, or is 0.
fn id(bytes: &[u8], len: usize) -> Option<String> {
    let is_id = bytes.len() == len && bytes.iter().any(|byte| *byte != 0);
    is_id.then(|| hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 0 is none.
fn moment(nanos: u64) -> Option<Timestamp> {
    // All 64 bits are moments that there are.
    (nanos > 0).then(|| Timestamp::from_nanosecond(nanos.into()).unwrap_or(Timestamp::MAX))
}
