//! How many parts a body has, before it is read: two bytes can be an empty span, which takes a hundred times as much
//! memory.

/// How many parts a request may have: spans, attributes, values.
pub(super) const PARTS_MAX: usize = 400_000;
/// How deep messages may be in each other, as protobuf's readers have it.
const DEPTH_MAX: usize = 100;

/// A message of OTLP that has others in it.
#[derive(Clone, Copy)]
enum Message {
    ResourceSpans,
    Resource,
    ScopeSpans,
    Span,
    SpanEvent,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
}

/// Whether a request has too many parts.
pub(super) const TOO_MANY: &str = "it has more than 400,000 parts; send fewer at once";

// === impl Message ===

impl Message {
    /// What a field of it is, if that has others in it.
    fn field(self, number: u64) -> Option<Self> {
        match (self, number) {
            (Self::ResourceSpans, 1) => Some(Self::Resource),
            (Self::ResourceSpans, 2) => Some(Self::ScopeSpans),
            (Self::ScopeSpans, 2) => Some(Self::Span),
            (Self::Resource, 1)
            | (Self::Span, 9)
            | (Self::SpanEvent, 3)
            | (Self::KeyValueList, 1) => Some(Self::KeyValue),
            (Self::Span, 11) => Some(Self::SpanEvent),
            (Self::KeyValue, 2) | (Self::ArrayValue, 1) => Some(Self::AnyValue),
            (Self::AnyValue, 5) => Some(Self::ArrayValue),
            (Self::AnyValue, 6) => Some(Self::KeyValueList),
            _ => None,
        }
    }
}

/// Whether these `ResourceSpans` have at most so many parts in all. What is not right is for whoever reads it to tell.
pub(super) fn are_few_enough(all: &[Vec<u8>]) -> bool {
    let mut left = PARTS_MAX;
    all.iter().all(|one| count(one, Message::ResourceSpans, &mut left, DEPTH_MAX))
}

fn count(mut rest: &[u8], of: Message, left: &mut usize, depth: usize) -> bool {
    while let Some(tag) = varint(&mut rest) {
        let Some(fewer) = left.checked_sub(1) else { return false };
        *left = fewer;
        let len = match tag & 7 {
            0 => {
                varint(&mut rest);
                continue;
            }
            1 => 8,
            5 => 4,
            2 => varint(&mut rest).and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX),
            _ => return true,
        };
        let Some((part, after)) = rest.split_at_checked(len) else { return true };
        rest = after;
        let inner = of.field(tag >> 3).filter(|_| tag & 7 == 2 && depth > 0);
        if inner.is_some_and(|inner| !count(part, inner, left, depth - 1)) {
            return false;
        }
    }
    true
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..10 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The same of JSON: whatever takes memory follows one of these signs.
pub(super) fn are_few_enough_in_json(text: &[u8]) -> bool {
    text.iter().filter(|byte| matches!(byte, b'{' | b'[' | b',')).count() <= PARTS_MAX
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tally_proto::opentelemetry as proto;

    use super::*;

    fn of(spans: Vec<proto::Span>) -> Vec<Vec<u8>> {
        let scope_spans = vec![proto::ScopeSpans { spans }];
        vec![proto::ResourceSpans { resource: None, scope_spans }.encode_to_vec()]
    }

    #[test]
    fn what_would_take_much_memory_is_seen_before_it_does() {
        let attribute = proto::KeyValue { key: "k".into(), value: None };
        let attributes = vec![attribute; 50];
        let usual = proto::Span { name: "a".into(), attributes, ..Default::default() };
        assert!(are_few_enough(&of(vec![usual.clone(); 2_000])));
        assert!(!are_few_enough(&of(vec![usual; 4_000])));
        let empty = of(vec![proto::Span::default(); PARTS_MAX]);
        assert!(empty[0].len() < 3 * PARTS_MAX && !are_few_enough(&empty));
        let attributes = vec![proto::KeyValue::default(); PARTS_MAX];
        assert!(!are_few_enough(&of(vec![proto::Span { attributes, ..Default::default() }])));
        for garbage in [&[0xff; 20][..], &[0x12, 0x7f], &[0x12], &[0x0b], &[]] {
            assert!(are_few_enough(&[garbage.to_vec()]), "{garbage:?}: whoever reads it tells");
        }
        assert!(are_few_enough_in_json(b"[{}, {}]"));
        assert!(!are_few_enough_in_json(format!("[{}]", "{},".repeat(PARTS_MAX / 2)).as_bytes()));
    }
}
