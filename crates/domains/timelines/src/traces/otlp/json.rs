//! The JSON form of the messages: keys in lowerCamelCase, ids in hex, numbers of 64 bits as texts or numbers. What is
//! not known is skipped, and null is nothing.

use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tally_proto::opentelemetry as proto;
use tally_proto::opentelemetry::any_value::Value as Any;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    #[serde(deserialize_with = "or_none")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceSpans {
    #[serde(deserialize_with = "or_none")]
    resource: Resource,
    #[serde(deserialize_with = "or_none")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource {
    #[serde(deserialize_with = "or_none")]
    attributes: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScopeSpans {
    #[serde(deserialize_with = "or_none")]
    spans: Vec<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Span {
    #[serde(deserialize_with = "hex")]
    trace_id: Vec<u8>,
    #[serde(deserialize_with = "hex")]
    span_id: Vec<u8>,
    #[serde(deserialize_with = "hex")]
    parent_span_id: Vec<u8>,
    #[serde(deserialize_with = "or_none")]
    name: String,
    #[serde(deserialize_with = "number")]
    start_time_unix_nano: u64,
    #[serde(deserialize_with = "number")]
    end_time_unix_nano: u64,
    #[serde(deserialize_with = "or_none")]
    attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "or_none")]
    events: Vec<SpanEvent>,
    #[serde(deserialize_with = "or_none")]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpanEvent {
    #[serde(deserialize_with = "number")]
    time_unix_nano: u64,
    #[serde(deserialize_with = "or_none")]
    name: String,
    #[serde(deserialize_with = "or_none")]
    attributes: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(deserialize_with = "or_none")]
    message: String,
    #[serde(deserialize_with = "or_none")]
    code: i32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KeyValue {
    #[serde(deserialize_with = "or_none")]
    key: String,
    #[serde(deserialize_with = "or_none")]
    value: AnyValue,
}

/// One of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AnyValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    #[serde(deserialize_with = "number_or_none")]
    int_value: Option<i64>,
    #[serde(deserialize_with = "number_or_none")]
    double_value: Option<f64>,
    array_value: Option<List<AnyValue>>,
    kvlist_value: Option<List<KeyValue>>,
    bytes_value: Option<String>,
}

#[derive(Debug, Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    values: Vec<T>,
}

/// Reads a request. All that is of no known member is skipped.
pub(super) fn read(text: &[u8]) -> serde_json::Result<Vec<proto::ResourceSpans>> {
    let Request { resource_spans } = serde_json::from_slice(text)?;
    Ok(resource_spans.into_iter().map(ResourceSpans::read).collect())
}

// === impl ResourceSpans ===

impl ResourceSpans {
    fn read(self) -> proto::ResourceSpans {
        let of_scope = |scope: ScopeSpans| proto::ScopeSpans {
            spans: scope.spans.into_iter().map(Span::read).collect(),
        };
        proto::ResourceSpans {
            resource: Some(proto::Resource { attributes: attributes(self.resource.attributes) }),
            scope_spans: self.scope_spans.into_iter().map(of_scope).collect(),
        }
    }
}

// === impl Span ===

impl Span {
    fn read(self) -> proto::Span {
        let event = |event: SpanEvent| proto::SpanEvent {
            time_unix_nano: event.time_unix_nano,
            name: event.name,
            attributes: attributes(event.attributes),
        };
        let Status { message, code } = self.status;
        proto::Span {
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_span_id: self.parent_span_id,
            name: self.name,
            start_time_unix_nano: self.start_time_unix_nano,
            end_time_unix_nano: self.end_time_unix_nano,
            attributes: attributes(self.attributes),
            events: self.events.into_iter().map(event).collect(),
            status: Some(proto::SpanStatus { message, code }),
        }
    }
}

// === impl AnyValue ===

impl AnyValue {
    fn read(self) -> proto::AnyValue {
        let array = |List { values }| {
            let values = values.into_iter().map(Self::read).collect();
            Any::ArrayValue(proto::ArrayValue { values })
        };
        let kvlist =
            |List { values }| Any::KvlistValue(proto::KeyValueList { values: attributes(values) });
        let value = (self.string_value.or(self.bytes_value).map(Any::StringValue))
            .or(self.bool_value.map(Any::BoolValue))
            .or(self.int_value.map(Any::IntValue))
            .or(self.double_value.map(Any::DoubleValue))
            .or(self.array_value.map(array))
            .or(self.kvlist_value.map(kvlist));
        proto::AnyValue { value }
    }
}

fn attributes(all: Vec<KeyValue>) -> Vec<proto::KeyValue> {
    let read = |one: KeyValue| proto::KeyValue { key: one.key, value: Some(one.value.read()) };
    all.into_iter().map(read).collect()
}

fn or_none<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A number, or a text that is one.
fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de> + FromStr,
{
    number_or_none(deserializer).map(Option::unwrap_or_default)
}

fn number_or_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + FromStr,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<T> {
        Number(T),
        Text(String),
    }
    match Option::deserialize(deserializer)? {
        None => Ok(None),
        Some(Written::Number(number)) => Ok(Some(number)),
        Some(Written::Text(text)) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(D::Error::custom(format!("{:?} is no number of 64 bits", short(&text)))),
        },
    }
}

fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text: String = or_none(deserializer)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    let read = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?));
    read.collect::<Option<_>>()
        .ok_or_else(|| D::Error::custom(format!("{:?} is not in hex", short(&text))))
}

fn short(text: &str) -> String {
    tally_runtime::text::beginning(text)
}
