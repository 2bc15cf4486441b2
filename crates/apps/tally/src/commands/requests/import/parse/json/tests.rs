//! JSON as servers write it, and as they should not.

use proptest::prelude::*;

use super::*;
use crate::commands::requests::import::parse::Reading;
use crate::commands::requests::import::parse::fields::{JsonFields, Named};

const MICROS: i64 = 1_431_857_103_123_456;

fn with(parser: &Parser, line: &[u8]) -> Result<(i32, String, i64), Malformed> {
    let entry = parse(line, &[], parser)?.expect("a request");
    Ok((entry.method, entry.path.into_owned(), entry.micros))
}

fn read(line: &str) -> Result<(i32, String, i64), Malformed> {
    with(&Parser::default(), line.as_bytes())
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
        // Traefik, Google Cloud, Istio, ECS, API Gateway, Cloudflare.
        r#"{"RequestMethod":"GET","RequestPath":"/a?b","StartUTC":"2015-05-17T10:05:03.123456789Z","time":"2015-05-17T10:05:04Z","Duration":1234567890}"#,
        r#"{"httpRequest":{"requestMethod":"GET","requestUrl":"https://h/a?b","latency":"0.1s"},"receiveTimestamp":"2015-05-18T00:00:00Z","timestamp":"2015-05-17T10:05:03.123456Z"}"#,
        r#"{"method":"GET","path":"/a?b","start_time":"2015-05-17T10:05:03.123456Z","duration":3}"#,
        r#"{"@timestamp":"2015-05-17T10:05:03.123456Z","http":{"request":{"method":"GET"}},"url":{"path":"/a"}}"#,
        r#"{"httpMethod":"GET","path":"/a","requestTime":"17/May/2015:10:05:03.123456 +0000"}"#,
        r#"{"ClientRequestMethod":"GET","ClientRequestURI":"/a?b","EdgeStartTimestamp":1431857103123456000}"#,
    ] {
        assert_eq!(read(line), get, "{line}");
    }
    let local = r#"{"request":"GET /a HTTP/2","time_local":"[17/May/2015:10:05:03 +0000]"}"#;
    assert_eq!(read(local), Ok((3, "/a".to_owned(), 1_431_857_103_000_000)));
}

#[test]
fn the_status_is_the_first_that_is_one() {
    let request = r#""method":"GET","path":"/a","ts":1431857103.123456"#;
    let status = |parser: &Parser, rest: &str| {
        let line = format!("{{{request},{rest}}}");
        parse(line.as_bytes(), &[], parser).expect("well-formed").expect("a request").status
    };
    for (rest, expected) in [
        (r#""status":200"#, 200),
        (r#""status":"404""#, 404),
        (r#""DownstreamStatus":502,"OriginStatus":200"#, 502),
        (r#""httpRequest":{"status":301}"#, 301),
        (r#""http":{"response":{"status_code":503}}"#, 503),
        (r#""status":"ok","statusCode":201"#, 201),
        (r#""status":0"#, 0),
        (r#""status":200.0"#, 0),
        (r#""status":{"code":200}"#, 0),
        (r#""status":null"#, 0),
        (r#""duration":200"#, 0),
        // A line counts whatever it says of this, even twice.
        (r#""status":200,"status":404"#, 404),
    ] {
        assert_eq!(status(&Parser::default(), rest), expected, "{rest}");
    }
    let named = Named { status: Some("code".to_owned()), ..Named::default() };
    let parser = Parser { fields: JsonFields::new(named), ..Parser::default() };
    assert_eq!(status(&parser, r#""status":200,"code":418"#), 418);
}

#[test]
fn what_the_client_asked_for_comes_first() {
    let time = r#""ts":1431857103.123456"#;
    for (fields, method, path) in [
        (r#""request":"GET /a?b HTTP/1.1","uri":"/index.php""#, 3, "/a"),
        (r#""request":"GET /a HTTP/1.1","request_uri":"/b","uri":"/c""#, 3, "/a"),
        (r#""method":"GET","request":"GET /a HTTP/1.1","url":"/b""#, 3, "/a"),
        (r#""request_uri":"/a","uri":"/b","path":"/c","method":"POST""#, 6, "/a"),
        (r#""uri":"/a","path":"/b","url":"/c","method":"POST""#, 6, "/a"),
        (r#""path":"/a","url":"/c","method":"POST""#, 6, "/a"),
        // It is a path, or something else.
        (r#""request":"/a?b","uri":"/c","method":"POST""#, 6, "/a"),
        (r#""request":"https://h/a?b","uri":"/c","method":"POST""#, 6, "/a"),
        (r#""request":"id-7","uri":"/a","method":"POST""#, 6, "/a"),
        (r#""request":"-","request_uri":"/a","method":"POST""#, 6, "/a"),
    ] {
        let line = format!("{{{fields},{time}}}");
        assert_eq!(read(&line), Ok((method, path.to_owned(), MICROS)), "{line}");
    }
    // A user knows better.
    let named = Named { path: Some("uri".to_owned()), ..Named::default() };
    let parser = Parser { fields: JsonFields::new(named), ..Parser::default() };
    let line = format!(r#"{{"request":"GET /a HTTP/1.1","uri":"/b",{time}}}"#);
    assert_eq!(with(&parser, line.as_bytes()), Ok((3, "/b".to_owned(), MICROS)));
    let named = Named { method: Some("m".to_owned()), ..Named::default() };
    let parser = Parser { fields: JsonFields::new(named), ..Parser::default() };
    let line = format!(r#"{{"request":"GET /a HTTP/1.1","m":"PURGE","method":"PUT",{time}}}"#);
    assert_eq!(with(&parser, line.as_bytes()), Ok((132, "/a".to_owned(), MICROS)));
}

#[test]
fn a_duration_is_no_time() {
    let read = |times: &str| read(&format!(r#"{{"method":"GET","path":"/a",{times}}}"#));
    let expected = Ok((3, "/a".to_owned(), MICROS));
    for times in [
        r#""timestamp":"2015-05-17T10:05:03.123456Z","time":0.003"#,
        r#""timestamp":"2015-05-17T10:05:03.123456Z","time":"0.012""#,
        r#""time":"12ms","@timestamp":"2015-05-17T10:05:03.123456Z""#,
        r#""ts":151234567,"time":1431857103.123456"#,
    ] {
        assert_eq!(read(times), expected, "{times}");
    }
    for times in [r#""time":"0.003""#, r#""time":12"#, r#""time":-1"#, r#""ts":0"#] {
        let why = read(times).expect_err(times).to_string();
        assert!(why.contains("2001-09-09"), "{why}");
    }
    let twice = r#""time":"2015-05-17T10:05:03Z","time":"0.003""#;
    assert_eq!(read(twice), Err(Malformed::Twice("time".to_owned())));
    // What is no date is not another one.
    let why = read(r#""time":"2015-02-30T00:00:00Z","@timestamp":"2015-05-17T10:05:03Z""#);
    assert_eq!(why, Err(Malformed::time(b"2015-02-30T00:00:00Z", BadTime::Date)));
}

#[test]
fn named_fields_may_be_nested() {
    let name = |name: &str| Some(name.to_owned());
    let named = Named {
        method: name("http.verb"),
        path: name("http.route.path"),
        time: name("at"),
        ..Named::default()
    };
    let parser = Parser { fields: JsonFields::new(named), ..Parser::default() };
    let at = "1431857103.123456";
    let nested = format!(
        r#"{{"http":{{"verb":"PUT","route":{{"path":"users"}}}},"at":{at},"method":"GET"}}"#
    );
    assert_eq!(with(&parser, nested.as_bytes()), Ok((7, "users".to_owned(), MICROS)));
    let flat = format!(r#"{{"http.verb":"PUT","http.route.path":"/u","at":{at}}}"#);
    assert_eq!(with(&parser, flat.as_bytes()), Ok((7, "/u".to_owned(), MICROS)));
    let missing = with(&parser, br#"{"at":0,"method":"GET"}"#).expect_err("no verb").to_string();
    let words = "no method (looked for http.verb), no path (looked for http.route.path), no time";
    assert!(missing.starts_with(words), "{missing}");
}

#[test]
fn what_is_not_a_request_is_refused() {
    let time = r#""time":"2015-05-17T10:05:03Z""#;
    assert_eq!(read("{"), Err(Malformed::JsonPiece));
    assert_eq!(read("[]"), Err(Malformed::JsonArray));
    assert!(matches!(read("{} {}"), Err(Malformed::Json(_))));
    assert!(matches!(read(r#"{"a":"b""#), Err(Malformed::Json(_))));
    let method = |method: &str| read(&format!(r#"{{"method":{method},"path":"/",{time}}}"#));
    assert_eq!(method("3"), Err(Malformed::Method("3".to_owned())));
    assert_eq!(method("\"PROPFIND\"").map(|(method, ..)| method), Ok(101));
    assert_eq!(method("\"XYZ\"").map(|(method, ..)| method), Ok(0));
    assert!(matches!(method(r#""\ud800""#), Err(Malformed::Json(_))));
    let path = |path: &str| read(&format!(r#"{{"method":"GET","path":{path},{time}}}"#));
    for absent in ["\"\"", "\"-\"", "null", "7", "{}"] {
        let why = path(absent).expect_err(absent).to_string();
        assert!(why.starts_with("no path (looked for request_uri"), "{why}");
    }
    assert!(matches!(path(r#""/\ud83d""#), Err(Malformed::Json(_))));
    for (field, value) in [("path", "/b"), ("method", "PUT")] {
        let line = format!(r#"{{"method":"GET","path":"/a","{field}":"{value}",{time}}}"#);
        assert_eq!(read(&line), Err(Malformed::Twice(field.to_owned())));
    }
    let both =
        format!(r#"{{"request":{{"method":"GET"}},"request.method":"GET","path":"/a",{time}}}"#);
    assert_eq!(read(&both), Err(Malformed::Twice("request.method".to_owned())));
    let tls = format!(
        r#"{{"request_method":"","request_uri":"","request":"\u0016\u0003\u0001",{time}}}"#
    );
    assert!(matches!(read(&tls), Err(Malformed::Method(_))));
}

#[test]
fn what_nginx_wrote_without_escape_json() {
    let read = |fields: &str| {
        read(&format!(r#"{{"msec":1431857103.123456,"request_method":"GET",{fields}}}"#))
    };
    for (fields, path) in [
        (r#""request_uri":"/a","agent":"Tab 10\x22 \xC3\xA3\x5C""#, "/a"),
        (r#""request_uri":"/a\x22b""#, "/a\"b"),
        (r#""request":"GET /a?x=\x22a\x22 HTTP/1.1""#, "/a"),
        (r#""request_uri":"/a","time":,"status":200"#, "/a"),
        (r#""request_uri":"/a","time":-,"status":200"#, "/a"),
        (r#""request_uri":"/a","#, "/a"),
    ] {
        assert_eq!(read(fields), Ok((3, path.to_owned(), MICROS)), "{fields}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_encoded() {
    let line = |byte: u8| {
        [&b"{\"method\":\"GET\",\"path\":\"/"[..], &[byte], b"\",\"ts\":1431857103.123456}"]
            .concat()
    };
    let read = |byte| with(&Parser::default(), &line(byte));
    assert_eq!(read(0xe9), Ok((3, "/%E9".to_owned(), MICROS)));
    assert_eq!(read(0xff), Ok((3, "/%FF".to_owned(), MICROS)));
}

#[test]
fn an_object_behind_a_prefix_is_found() {
    for line in
        [r#"{"a":1}"#, r#"  { "a":1}"#, r#"web-1  | {"a":1}"#, r#"<190>May 1 h x[7]: {"a"}"#]
    {
        let at = object_in(line.as_bytes()).expect(line);
        assert!(line[at..].starts_with('{'), "{line}");
    }
    for line in ["", "{}", r#"h "GET / HTTP/1.1" {"a":1}"#, r#"h {Mozilla "q"} "GET /""#] {
        assert_eq!(object_in(line.as_bytes()), None, "{line}");
    }
}

proptest! {
    #[test]
    fn any_path_survives(path in "/[^?\\x00]{0,40}", micros in 1_000_000_000_000_000..99_999_999_999_000_000_i64) {
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let text = serde_json::to_string(&path).expect("text");
        let line = format!(r#"{{"path":{text},"ts":{seconds}.{rest:06},"method":"GET"}}"#);
        prop_assert_eq!(read(&line), Ok((3, path, micros)));
    }

    #[test]
    fn no_text_panics(line in "\\PC{0,60}", object in "\\{[\"a-z:,0-9{}\\[\\]\\\\-]{0,60}\\}") {
        let parser = Parser { reading: Reading::default(), ..Parser::default() };
        let _ = parse(line.as_bytes(), &[], &parser);
        let _ = parse(object.as_bytes(), b"web | ", &parser);
    }
}
