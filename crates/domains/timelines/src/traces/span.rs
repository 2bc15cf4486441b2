//! A span of any product, and the event that it is.

use jiff::Timestamp;
use tally_runtime::{Namespace, tell, text};

use crate::error::Error;
use crate::message::{
    ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX,
    Attributes, Kind, Message, Status, Written, Wrong,
};
use crate::nested::PARENT_SPAN;
use crate::service::{MESSAGES_MAX, Service};

/// What tells how many attributes had no room.
const LEFT_OUT: &str = "attributes_left_out";
/// What is kept free for it, and for [`PARENT_SPAN`].
const RESERVED: usize = 2;
const RESERVED_BYTES: usize = 200;

/// A span as a door has read it.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) context: String,
    /// The label of its timeline.
    pub(super) trace: String,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) id: String,
    /// Empty: it is a root.
    pub(super) parent: String,
    pub(super) start: Option<Timestamp>,
    /// None: it goes on.
    pub(super) end: Option<Timestamp>,
    pub(super) status: Status,
    /// What is said of its end alone.
    pub(super) at_end: Attributes,
    pub(super) attributes: Attributes,
    /// What happened in it.
    pub(super) points: Vec<(String, Timestamp, Attributes)>,
}

/// Attributes as far as there is room for them.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    attributes: Attributes,
    bytes: usize,
    left_out: usize,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Of each span, why it was refused.
    pub(super) refused: Vec<Option<String>>,
}

// === impl Gathered ===

impl Gathered {
    /// Adds one; its value is cut off where it is too long.
    pub(super) fn put(&mut self, name: &str, value: &str) {
        let end = value.floor_char_boundary(ATTRIBUTE_VALUE_BYTES_MAX);
        let value = value[..end].replace('\0', "\u{fffd}");
        let end = value.floor_char_boundary(ATTRIBUTE_VALUE_BYTES_MAX);
        let name = name.replace('\0', "\u{fffd}");
        let bytes = self.bytes + name.len() + end;
        let is_full = self.attributes.len() >= ATTRIBUTES_MAX - RESERVED
            || bytes > ATTRIBUTES_BYTES_MAX - RESERVED_BYTES
            || name.is_empty()
            || name.len() > ATTRIBUTE_NAME_BYTES_MAX;
        if is_full {
            self.left_out += 1;
        } else {
            self.bytes = bytes;
            self.attributes.insert(name, value[..end].to_owned());
        }
    }

    pub(super) fn finish(mut self) -> Attributes {
        if self.left_out > 0 {
            self.attributes.insert(LEFT_OUT.to_owned(), self.left_out.to_string());
        }
        self.attributes
    }
}

// === impl Span ===

impl Span {
    /// What is said of it, message by message.
    fn said(self) -> Result<Vec<Written>, Error> {
        let start = self.start.ok_or_else(|| Error::wrong("start", "it is missing"))?;
        let name = name(&self.name);
        let base = Written {
            context: self.context,
            timeline: self.trace,
            name,
            host: self.host,
            span: self.id,
            ..Written::default()
        };
        let below = |mut attributes: Attributes, span: &str| {
            if !span.is_empty() {
                attributes.insert(PARENT_SPAN.to_owned(), span.to_owned());
            }
            attributes
        };
        let attributes = below(self.attributes, &self.parent);
        let mut said =
            vec![Written { kind: Kind::Start, time: Some(start), attributes, ..base.clone() }];
        if let Some(end) = self.end {
            let (status, attributes) = (self.status, self.at_end);
            let end =
                Written { kind: Kind::End, time: Some(end), status, attributes, ..base.clone() };
            said.push(end);
        }
        for (point, time, attributes) in self.points {
            let attributes = below(attributes, &base.span);
            let name = self::name(&point);
            let point =
                Written { kind: Kind::Point, time: Some(time), name, attributes, ..base.clone() };
            said.push(point);
        }
        Ok(said)
    }

    /// The same as messages, or what is wrong with one of them: then none is stored.
    fn messages(self, service: &Service, namespace: Namespace) -> Result<Vec<Message>, Error> {
        let said = self.said()?.into_iter();
        said.map(|said| service.message(namespace, said, None, Wrong::new())).collect()
    }
}

// === impl Service ===

impl Service {
    /// Stores spans: the same span again changes nothing. What is wrong with one leaves the others as they are.
    pub(super) async fn record_spans(
        &self,
        namespace: Namespace,
        spans: Vec<Result<Span, String>>,
    ) -> Result<Outcome, Error> {
        let mut outcome = Outcome { refused: Vec::with_capacity(spans.len()) };
        let (mut messages, mut of) = (Vec::new(), Vec::new());
        for (at, span) in spans.into_iter().enumerate() {
            let read = span.and_then(|span| {
                let shown = text::beginning(&span.name);
                let read = span.messages(self, namespace);
                read.map_err(|error| format!("{shown:?}: {error}"))
            });
            outcome.refused.push(match read {
                Ok(read) => {
                    of.extend(vec![at; read.len()]);
                    messages.extend(read);
                    None
                }
                Err(why) => Some(why),
            });
        }
        let mut of = of.into_iter();
        while !messages.is_empty() {
            let rest = messages.split_off(messages.len().min(MESSAGES_MAX));
            let some = std::mem::replace(&mut messages, rest);
            let names: Vec<_> = some.iter().map(|one| text::beginning(&one.said.name)).collect();
            for ((result, at), name) in self.record(some).await?.into_iter().zip(&mut of).zip(names)
            {
                if let Err(error) = result {
                    let why = format!("{name:?}: {}", tell(&error, error.kind()));
                    outcome.refused[at].get_or_insert(why);
                }
            }
        }
        Ok(outcome)
    }
}

/// A name of a span as that of an event: dots in it are levels, unless a level would be empty.
fn name(name: &str) -> String {
    let name: String = name.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    match name.as_str() {
        "" => "unnamed".to_owned(),
        _ if name.split('.').any(str::is_empty) => name.replace('.', "\u{2024}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_spans_are_names_of_events() {
        for (of, expected) in [
            ("db.migrate", "db.migrate"),
            ("", "unnamed"),
            (".", "\u{2024}"),
            ("v1..2", "v1\u{2024}\u{2024}2"),
            ("a\nb\0", "a b "),
        ] {
            let said = Written {
                kind: Kind::Start,
                context: "c".into(),
                name: name(of),
                ..Written::default()
            };
            assert_eq!((&*said.name, said.wrong()), (expected, Wrong::new()), "{of:?}");
        }
    }

    #[test]
    fn attributes_have_room_for_what_is_needed() {
        let mut gathered = Gathered::default();
        for at in 0..40 {
            gathered.put(&format!("{at:02}"), &"ä\0".repeat(10 * at));
        }
        gathered.put("long", &"ä".repeat(2_000));
        gathered.put(&"x".repeat(101), "");
        gathered.put("", "");
        let mut attributes = gathered.finish();
        assert_eq!(attributes[LEFT_OUT], "25");
        attributes.insert(PARENT_SPAN.to_owned(), "0".repeat(100));
        let (kind, context, name) = (Kind::Start, "c".to_owned(), "n".to_owned());
        assert_eq!(Written { kind, context, name, attributes, ..Written::default() }.wrong(), []);
        let mut gathered = Gathered::default();
        gathered.put("long", &"ä".repeat(2_000));
        assert_eq!(gathered.finish()["long"].len(), 1_000);
    }
}
