//! Which JSON entries are requests, and lines of a log wrapped in JSON.
//!
//! Of entries with an object `request`, such as Caddy's, and of wrapped lines:
//!
//! | entry | by | meaning |
//! |---|---|---|
//! | `logger` is `http.log.access` or begins with `http.log.access.` | Caddy | a request |
//! | `logger` begins with `http.` otherwise, such as `http.log.error` | Caddy | the same request, once more |
//! | `msg` is `upstream roundtrip`, or there is an `err_id` | Caddy, without `logger` | the same |
//! | `level` is `debug`, and the request is in an object `request` | Caddy, without `logger` | the same |
//! | `log` | Docker's json-file, Fluent Bit | a line of a log, unless there are a method and a path |
//! | `MESSAGE`, as text or as an array of bytes | `journalctl -o json` | the same |
//! | `message`, `textPayload` | Logstash, Beats, Google Cloud | the same |
//!
//! The user's conditions (`--where`) replace the first four.

use std::borrow::Cow;

use super::fields::{Found, JsonFields};
use super::malformed::quote;
use super::{Malformed, json};

/// Whether an entry with a request is the one to count.
pub(crate) fn is_request<'a>(
    fields: &JsonFields,
    found: &Found<'a>,
    text: &'a str,
) -> Result<bool, serde_json::Error> {
    let is_caddys = fields.request.raw(found).is_some_and(|raw| raw.starts_with('{'));
    if !is_caddys {
        return Ok(true);
    }
    if let Some(logger) = fields.logger.text(found) {
        return Ok(logs_requests(logger.trim_matches('"').as_bytes()));
    }
    let mut rare = Found::default();
    fields.rare_keys.find(text, &mut rare)?;
    let is_debug =
        fields.level.text(&rare).is_some_and(|level| level.eq_ignore_ascii_case("\"debug\""));
    let is_roundtrip = fields.message.text(&rare) == Some("\"upstream roundtrip\"");
    Ok(!is_debug && !is_roundtrip && fields.error.text(&rare).is_none())
}

/// Whether the entries of this logger of Caddy's, or of another program, are requests.
pub(crate) fn logs_requests(logger: &[u8]) -> bool {
    match logger.strip_prefix(b"http.log.access") {
        Some(name) => name.is_empty() || name.starts_with(b"."),
        None => !logger.starts_with(b"http."),
    }
}

/// Whether the conditions hold; a missing field may be one of the entry around this one.
pub(crate) fn meets(
    fields: &JsonFields,
    found: &Found<'_>,
    around: &[Option<String>],
) -> Result<bool, Malformed> {
    for (at, (condition, _)) in fields.conditions.iter().enumerate() {
        let value = match value(fields, found, at)? {
            Some(value) => Some(value),
            None => around.get(at).and_then(Option::as_deref).map(Cow::Borrowed),
        };
        if !condition.holds(value.as_deref()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The values of the conditions' fields, for the entry inside this one.
pub(crate) fn values(
    fields: &JsonFields,
    found: &Found<'_>,
    around: &[Option<String>],
) -> Result<Vec<Option<String>>, Malformed> {
    let value = |at| {
        let own = value(fields, found, at)?.map(Cow::into_owned);
        Ok(own.or_else(|| around.get(at).cloned().flatten()))
    };
    (0..fields.conditions.len()).map(value).collect()
}

fn value<'a>(
    fields: &JsonFields,
    found: &Found<'a>,
    at: usize,
) -> Result<Option<Cow<'a, str>>, Malformed> {
    fields.conditions[at].1.raw(found).map(json::string).transpose()
}

/// The line that is wrapped in an entry without a request.
pub(crate) fn wrapped(
    fields: &JsonFields,
    found: &Found<'_>,
) -> Result<Option<Vec<u8>>, Malformed> {
    if let Some(raw) = fields.wrapped.text(found) {
        return Ok(Some(json::string(raw)?.into_owned().into_bytes()));
    }
    // journald writes other text than UTF-8 as an array of bytes.
    match fields.wrapped.raw(found) {
        Some(raw) if raw.starts_with('[') => serde_json::from_str(raw)
            .map(Some)
            .map_err(|_| Malformed::Json(format!("no bytes in {}", quote(raw.as_bytes())))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::requests::import::parse::fields::{JsonFields, Named};
    use crate::commands::requests::import::parse::tests::{counted, read_as};
    use crate::commands::requests::import::parse::{Malformed, Parser};

    const REQUEST: &str = r#""ts":1431857103.5,"request":{"method":"GET","uri":"/a?b"}"#;

    fn counts(rest: &str) -> bool {
        let line = format!("{{{rest},{REQUEST}}}");
        let read = read_as(&Parser::default(), &line).unwrap_or_else(|why| panic!("{line}: {why}"));
        read.is_some()
    }

    #[test]
    fn a_request_is_in_one_entry_of_caddys() {
        for rest in [
            r#""logger":"http.log.access""#,
            r#""logger":"http.log.access.log0","level":"error""#,
            r#""logger":"shop.requests""#,
            r#""level":"info","msg":"handled request""#,
        ] {
            assert!(counts(rest), "{rest}");
        }
        for rest in [
            r#""logger":"http.log.error""#,
            r#""logger":"http.log.error.log0""#,
            r#""logger":"http.log.accessory""#,
            r#""logger":"http.handlers.reverse_proxy","level":"debug","msg":"upstream roundtrip""#,
            r#""level":"debug","msg":"upstream roundtrip""#,
            r#""level":"info","msg":"upstream roundtrip""#,
            r#""level":"DEBUG","msg":"matched""#,
            r#""level":"error","err_id":"aaaaaaaa1""#,
        ] {
            assert!(!counts(rest), "{rest}");
        }
        let other = r#"{"logger":"http.server","method":"GET","path":"/a","ts":1431857103}"#;
        assert_eq!(counted(other).1, "/a", "not Caddy's");
        let admin = r#"{"level":"info","ts":1431857103.5,"logger":"admin","msg":"started"}"#;
        let why = read_as(&Parser::default(), admin).expect_err("no request");
        assert!(matches!(why, Malformed::Missing(_)), "{why}");
    }

    #[test]
    fn caddys_console() {
        let line = |logger: &str, time: &str| {
            format!(
                "{time}\tINFO\t{logger}\thandled request\t{{\"request\": {{\"method\": \"GET\", \"uri\": \"/a\"}}}}"
            )
        };
        let parser = Parser::default();
        assert_eq!(counted(&line("http.log.access", "2015/05/17 10:05:03.327Z")).1, "/a");
        let error = line("http.log.error", "2015/05/17 10:05:03.327Z");
        assert_eq!(read_as(&parser, &error), Ok(None));
        let why = read_as(&parser, &line("http.log.access", "2015/05/17 10:05:03.327"));
        assert!(why.expect_err("no zone").to_string().contains("--tz"));
    }

    #[test]
    fn wrapped_lines() {
        let clf = r#"h - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1"#;
        let json = r#"{\"method\":\"GET\",\"path\":\"/a\",\"time\":\"2015-05-17T10:05:03Z\"}"#;
        let bytes = r#"h - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 1"#.as_bytes();
        for line in [
            format!(r#"{{"log":"{clf}\n","stream":"stdout","time":"2015-05-18T10:05:03.1Z"}}"#),
            format!(r#"{{"log":"{json}\n","stream":"stdout","time":"2015-05-18T10:05:03.1Z"}}"#),
            format!(r#"{{"__REALTIME_TIMESTAMP":"1431943503000000","MESSAGE":"{clf}"}}"#),
            format!(r#"{{"__REALTIME_TIMESTAMP":"1431943503000000","MESSAGE":{bytes:?}}}"#),
            format!(r#"{{"@timestamp":"2015-05-18T10:05:03Z","message":"{clf}"}}"#),
            // Behind a prefix, in Docker's JSON.
            format!(r#"{{"log":"May 17 host nginx: {json}\n","stream":"stdout"}}"#),
        ] {
            let read = read_as(&Parser::default(), &line);
            let expected = (3, "/a".to_owned(), 1_431_857_103_000_000, 1);
            assert_eq!(read, Ok(Some(expected)), "{line}");
        }
        // The time around it, where the line has none.
        let bare = r#"{\"method\":\"GET\",\"path\":\"/a\"}"#;
        for line in [
            format!(r#"{{"log":"{bare}","stream":"stdout","time":"2015-05-17T10:05:03Z"}}"#),
            format!(r#"{{"__REALTIME_TIMESTAMP":"1431857103000000","MESSAGE":"{bare}"}}"#),
            r#"2015-05-17T10:05:03.000000001Z stdout F {"method":"GET","path":"/a"}"#.to_owned(),
        ] {
            let read = read_as(&Parser::default(), &line);
            assert_eq!(read, Ok(Some((3, "/a".to_owned(), 1_431_857_103_000_000, 1))), "{line}");
        }
        let why = read_as(&Parser::default(), r#"{"log":"started\n","stream":"stderr"}"#);
        assert!(matches!(why, Err(Malformed::NoTime(_))), "{why:?}");
    }

    #[test]
    fn conditions_say_what_a_request_is() {
        let read = |conditions: &[&str], line: &str| {
            let conditions = conditions.iter().map(|text| text.parse().expect("one")).collect();
            let fields = JsonFields::new(Named { conditions, ..Named::default() });
            read_as(&Parser { fields, ..Parser::default() }, line).map(|read| read.is_some())
        };
        let line =
            format!(r#"{{"logger":"http.log.error","status":200,"a":{{"b":"c"}},{REQUEST}}}"#);
        assert_eq!(read(&["logger=http.log.error"], &line), Ok(true));
        assert_eq!(read(&["status=200", "a.b=c"], &line), Ok(true));
        assert_eq!(read(&["status=200", "a.b!=c"], &line), Ok(false));
        assert_eq!(read(&["status=201"], r#"{"msg":"no request at all"}"#), Ok(false));
        let text = r#"h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 1"#;
        assert!(matches!(read(&["a=b"], text), Err(Malformed::Fieldless(_))));
        assert_eq!(read(&["a=b"], "  at Object.<anonymous> (/app/x.js:1:2)"), Ok(false));
        assert_eq!(read(&["a!=b"], text), Ok(true));
        // What is around a line counts for it.
        let wrapped = r#"{"UNIT":"nginx","MESSAGE":"{\"ts\":1431857103,\"method\":\"GET\",\"path\":\"/a\",\"kind\":\"x\"}"}"#;
        assert_eq!(read(&["UNIT=nginx", "kind=x"], wrapped), Ok(true));
        assert_eq!(read(&["UNIT=caddy"], wrapped), Ok(false));
    }
}
