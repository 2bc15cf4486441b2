//! JSON lines: one object a line, as nginx, Caddy and most frameworks write them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::target::{path, request_line, utf8};
use super::time::{parse_number, parse_text};
use super::{Malformed, Record};
use crate::methods;

/// Where the method is: nginx, Caddy, and plain.
const METHOD_FIELDS: &[&str] = &["request_method", "request.method", "method"];

/// Where the path is: nginx (as it was sent, then normalised), Caddy, and plain.
const PATH_FIELDS: &[&str] = &["request_uri", "request.uri", "uri", "path", "url"];

/// Where a whole request line is, `GET / HTTP/1.1`: nginx.
const REQUEST_FIELDS: &[&str] = &["request"];

/// Where the time is: nginx, Caddy (`ts`), and plain. The finest comes first.
const TIME_FIELDS: &[&str] =
    &["msec", "time_iso8601", "time_local", "ts", "time", "timestamp", "@timestamp"];

/// The fields that a line's method, path and time may be in, in order of preference.
#[derive(Debug, Clone)]
pub(crate) struct JsonFields {
    method: Wanted,
    path: Wanted,
    request: Wanted,
    time: Wanted,
    tree: Vec<Node>,
    slots: usize,
}

/// The names of one field, and where its values will be.
#[derive(Debug, Clone)]
struct Wanted {
    names: Vec<String>,
    first_slot: usize,
}

/// A key of an object, the slots for its value, and what is wanted from inside it.
#[derive(Debug, Clone, Default)]
struct Node {
    key: String,
    slots: Vec<usize>,
    children: Vec<Node>,
}

/// Reads one line, without its end.
pub(crate) fn parse<'a>(
    line: &'a [u8],
    fields: &JsonFields,
    keep_query: bool,
) -> Result<Record<'a>, Malformed> {
    match utf8(line) {
        Cow::Borrowed(text) => parse_object(text, fields, keep_query),
        Cow::Owned(text) => {
            let Record { method, path, micros } = parse_object(&text, fields, keep_query)?;
            Ok(Record { method, path: Cow::Owned(path.into_owned()), micros })
        }
    }
}

fn parse_object<'a>(
    text: &'a str,
    fields: &JsonFields,
    keep_query: bool,
) -> Result<Record<'a>, Malformed> {
    let mut found = vec![None; fields.slots];
    collect(text, &fields.tree, &mut found).map_err(|error| Malformed::Json(error.to_string()))?;
    let micros = match fields.time.pick(&found) {
        Some(raw) if raw.starts_with('"') => parse_text(&string(raw)?),
        Some(raw) => parse_number(raw),
        None => return Err(fields.time.missing("time")),
    };
    let micros = micros.map_err(Malformed::Time)?;
    let method = fields.method.pick(&found);
    let target = fields.path.pick(&found).or_else(|| fields.path.pick_empty(&found));
    let line = fields.request.pick(&found).filter(|raw| raw.starts_with('"'));
    let (method, path) = match (method, target, line) {
        (Some(method), Some(target), _) => {
            let method = string(method)?;
            (number(&method)?, in_field(string(target)?, &method, keep_query))
        }
        (method, target, Some(line)) => {
            let line = string(line)?;
            let (own_method, own_path) = in_line(line, keep_query)?;
            match (method, target) {
                (Some(method), _) => (number(&string(method)?)?, own_path),
                (None, Some(target)) => (own_method, in_field(string(target)?, "", keep_query)),
                (None, None) => (own_method, own_path),
            }
        }
        (None, _, None) => return Err(fields.method.missing("method")),
        (_, None, None) => return Err(fields.path.missing("path")),
    };
    Ok(Record { method, path, micros })
}

fn number(method: &str) -> Result<i32, Malformed> {
    if !methods::is_token(method.as_bytes()) {
        return Err(Malformed::Method);
    }
    Ok(methods::number_of_token(method.to_ascii_uppercase().as_bytes()))
}

fn in_field<'a>(target: Cow<'a, str>, method: &str, keep_query: bool) -> Cow<'a, str> {
    let connect = method.eq_ignore_ascii_case("CONNECT");
    match target {
        Cow::Borrowed(target) => path(target.as_bytes(), connect, keep_query),
        Cow::Owned(target) => Cow::Owned(path(target.as_bytes(), connect, keep_query).into_owned()),
    }
}

fn in_line(line: Cow<'_, str>, keep_query: bool) -> Result<(i32, Cow<'_, str>), Malformed> {
    match line {
        Cow::Borrowed(line) => request_line(line.as_bytes(), keep_query),
        Cow::Owned(line) => request_line(line.as_bytes(), keep_query)
            .map(|(method, path)| (method, Cow::Owned(path.into_owned()))),
    }
}

/// What a raw value says as text: a string's content, or anything else as it stands.
fn string(raw: &str) -> Result<Cow<'_, str>, Malformed> {
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw)
            .map(Cow::Owned)
            .map_err(|error| Malformed::Json(error.to_string())),
        None => Ok(Cow::Borrowed(raw)),
    }
}

/// Puts the wanted values of an object into their slots; a later duplicate wins.
fn collect<'de>(
    text: &'de str,
    nodes: &[Node],
    found: &mut [Option<&'de str>],
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Object { nodes, found })?;
    deserializer.end()
}

struct Object<'n, 'f, 'de> {
    nodes: &'n [Node],
    found: &'f mut [Option<&'de str>],
}

/// Finds the node of a key without copying the key.
struct Key<'n>(&'n [Node]);

// === impl JsonFields ===

impl Default for JsonFields {
    fn default() -> Self {
        Self::new(None, None, None)
    }
}

impl JsonFields {
    /// The usual fields, or the given ones instead. A dot goes into a nested object; a key
    /// that itself contains the dots is found as well.
    pub(crate) fn new(method: Option<&str>, path: Option<&str>, time: Option<&str>) -> Self {
        let mut tree = Vec::new();
        let mut slots = 0;
        let mut wanted = |given: Option<&str>, usual: &[&str]| {
            let names = match given {
                Some(name) => vec![name.to_owned()],
                None => usual.iter().map(|&name| name.to_owned()).collect(),
            };
            let first_slot = slots;
            for name in &names {
                insert(&mut tree, name, slots);
                if name.contains('.') {
                    node(&mut tree, name).slots.push(slots);
                }
                slots += 1;
            }
            Wanted { names, first_slot }
        };
        let method = wanted(method, METHOD_FIELDS);
        let path = wanted(path, PATH_FIELDS);
        let request = wanted(None, REQUEST_FIELDS);
        let time = wanted(time, TIME_FIELDS);
        Self { method, path, request, time, tree, slots }
    }
}

fn insert(nodes: &mut Vec<Node>, name: &str, slot: usize) {
    match name.split_once('.') {
        Some((key, rest)) => insert(&mut node(nodes, key).children, rest, slot),
        None => node(nodes, name).slots.push(slot),
    }
}

fn node<'n>(nodes: &'n mut Vec<Node>, key: &str) -> &'n mut Node {
    let at = nodes.iter().position(|node| node.key == key).unwrap_or_else(|| {
        nodes.push(Node { key: key.to_owned(), ..Node::default() });
        nodes.len() - 1
    });
    &mut nodes[at]
}

// === impl Wanted ===

impl Wanted {
    /// The first field that is there and says something.
    fn pick<'a>(&self, found: &[Option<&'a str>]) -> Option<&'a str> {
        self.present(found).find(|raw| *raw != "\"\"")
    }

    /// The first field that is there, even if it is empty.
    fn pick_empty<'a>(&self, found: &[Option<&'a str>]) -> Option<&'a str> {
        self.present(found).next()
    }

    fn present<'a>(&self, found: &[Option<&'a str>]) -> impl Iterator<Item = &'a str> {
        let values = &found[self.first_slot..self.first_slot + self.names.len()];
        values
            .iter()
            .flatten()
            .copied()
            .filter(|raw| !raw.starts_with(['{', '[']) && *raw != "null")
    }

    fn missing(&self, what: &'static str) -> Malformed {
        Malformed::Missing { what, names: self.names.join(", ") }
    }
}

// === impl Object ===

impl<'de> Visitor<'de> for Object<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(node) = map.next_key_seed(Key(self.nodes))? {
            let Some(node) = node else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw = map.next_value::<&'de RawValue>()?.get();
            for &slot in &node.slots {
                self.found[slot] = Some(raw);
            }
            if !node.children.is_empty() && raw.starts_with('{') {
                collect(raw, &node.children, self.found).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}

// === impl Key ===

impl<'de, 'n> DeserializeSeed<'de> for Key<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: serde::Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|node| node.key == key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::time::BadTime;

    const MICROS: i64 = 1_431_857_103_123_456;

    fn with(fields: &JsonFields, line: &str) -> Result<(i32, String, i64), Malformed> {
        let record = parse(line.as_bytes(), fields, false)?;
        Ok((record.method, record.path.into_owned(), record.micros))
    }

    fn read(line: &str) -> Result<(i32, String, i64), Malformed> {
        with(&JsonFields::default(), line)
    }

    #[test]
    fn what_servers_write() {
        let get = Ok((3, "/a".to_owned(), MICROS));
        for line in [
            r#"{"method":"GET","path":"/a","time":"2015-05-17T10:05:03.123456Z"}"#,
            r#"{"method":"get","url":"http://host/a?b","@timestamp":"2015-05-17T12:05:03.123456+02:00"}"#,
            r#"{"level":"info","ts":1431857103.1234567,"request":{"method":"GET","uri":"/a?b=c","headers":{"A":["b"]}},"status":200}"#,
            r#"{"request_method":"GET","request_uri":"/a?x","uri":"/index","msec":"1431857103.123456"}"#,
            r#"{"request":"GET /a HTTP/1.1","ts":1431857103123456,"status":"200"}"#,
            r#"{"request":"GET /a HTTP/1.1","method":"","path":null,"timestamp":1431857103123456000}"#,
            r#"{"request.method":"GET","path":"\/\u0061","ts":1.431857103123456e9}"#,
            r#"{"method":"POST","method":"GET","path":"/a","ts":1431857103.123456} "#,
        ] {
            assert_eq!(read(line), get, "{line}");
        }
        let local = r#"{"request":"GET /a HTTP/2","time_local":"17/May/2015:10:05:03 +0000"}"#;
        assert_eq!(read(local), Ok((3, "/a".to_owned(), 1_431_857_103_000_000)));
    }

    #[test]
    fn named_fields_may_be_nested() {
        let fields = JsonFields::new(Some("http.verb"), Some("http.route.path"), Some("at"));
        let nested = r#"{"http":{"verb":"PUT","route":{"path":"users"}},"at":0,"method":"GET"}"#;
        assert_eq!(with(&fields, nested), Ok((7, "users".to_owned(), 0)));
        let flat = r#"{"http.verb":"PUT","http.route.path":"/u","at":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(with(&fields, flat), Ok((7, "/u".to_owned(), 0)));
        let missing = with(&fields, r#"{"at":0,"method":"GET"}"#).expect_err("no verb");
        assert_eq!(missing.to_string(), "no method in it; looked for http.verb");
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        let time = r#""time":"2015-05-17T10:05:03Z""#;
        assert!(matches!(read("{"), Err(Malformed::Json(_))));
        assert!(matches!(read("[]"), Err(Malformed::Json(_))));
        assert!(matches!(read("{} {}"), Err(Malformed::Json(_))));
        assert!(matches!(read(r#"{"method":"\ud800"}"#), Err(Malformed::Missing { .. })));
        let method = |method: &str| read(&format!(r#"{{"method":{method},"path":"/",{time}}}"#));
        assert_eq!(method("\"-\""), Err(Malformed::Method));
        assert_eq!(method("3"), Err(Malformed::Method));
        assert_eq!(method("\"PROPFIND\"").map(|(method, ..)| method), Ok(0));
        assert!(matches!(method(r#""\ud800""#), Err(Malformed::Json(_))));
        let path = |path: &str| read(&format!(r#"{{"method":"GET","path":"{path}",{time}}}"#));
        assert_eq!(path(r"\u0000").map(|(_, path, _)| path), Ok("\0".to_owned()));
        assert_eq!(path("").map(|(_, path, _)| path), Ok("/".to_owned()));
        let time = |time: &str| read(&format!(r#"{{"method":"GET","path":"/","time":{time}}}"#));
        assert_eq!(time("true"), Err(Malformed::Time(BadTime::Form)));
        assert_eq!(time("\"2015-02-30T00:00:00Z\""), Err(Malformed::Time(BadTime::Date)));
        assert!(matches!(time("null"), Err(Malformed::Missing { what: "time", .. })));
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_encoded() {
        let line = b"{\"method\":\"GET\",\"path\":\"/\xff\",\"ts\":0}";
        let record = parse(line, &JsonFields::default(), false).expect("a request");
        assert_eq!(record.path, "/%FF");
    }

    proptest! {
        #[test]
        fn any_path_survives(path in "/[^?\\x00]{0,40}", micros in 0..99_999_999_999_i64) {
            let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
            let text = serde_json::to_string(&path).expect("text");
            let line = format!(r#"{{"path":{text},"ts":{seconds}.{rest:06},"method":"GET"}}"#);
            prop_assert_eq!(read(&line), Ok((3, path, micros)));
        }

        #[test]
        fn no_text_panics(line in "\\PC{0,60}", object in "\\{[\"a-z:,0-9{}\\[\\]\\\\]{0,60}\\}") {
            let _ = read(&line);
            let _ = read(&object);
        }
    }
}
