//! Lines of known text, and random requests, written as each format has them and read back.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::format::LogFormat;
use super::*;
use crate::commands::requests::methods;

/// Reads a line as `tally import` does: method, path, microseconds, times.
pub(crate) fn read_as(
    parser: &Parser,
    line: &str,
) -> Result<Option<(i32, String, i64, u32)>, Malformed> {
    let entry = parser.parse(line.as_bytes(), &mut Context::default(), i64::MAX)?;
    Ok(entry.map(|of| (of.method, of.path.into_owned(), of.micros, of.times)))
}

/// As [`read_as`], of a line that counts: method and path.
#[track_caller]
pub(crate) fn counted(line: &str) -> (i32, String) {
    match read_as(&Parser::default(), line) {
        Ok(Some((method, path, _, 1))) => (method, path),
        other => panic!("{line}: {other:?}"),
    }
}

/// The status of a line that counts.
#[track_caller]
pub(crate) fn status_of(line: &str) -> u16 {
    let parsed = Parser::default().parse(line.as_bytes(), &mut Context::default(), i64::MAX);
    parsed.expect("well-formed").expect("a request").status
}

#[test]
fn the_form_is_decided_line_by_line() {
    let parser = Parser::default();
    let clf = br#"h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 1"#;
    let json = br#"  {"method":"GET","path":"/a","status":200,"time":"2015-05-17T10:05:03Z"}"#;
    let micros = 1_431_857_103_000_000;
    let entry = Entry { method: 3, path: Cow::Borrowed("/a"), status: 200, micros, times: 1 };
    let expected = Ok(Some(entry));
    let mut context = Context::default();
    assert_eq!(parser.parse(clf, &mut context, micros), expected);
    assert_eq!(parser.parse(json, &mut context, micros), expected);
    let future = parser.parse(clf, &mut context, micros - 1);
    assert_eq!(future, Err(Malformed::Future("2015-05-17T10:05:03Z".to_owned())));
    let only_clf = Parser { format: LogFormat::Clf, ..parser };
    let refused = only_clf.parse(json, &mut context, micros);
    assert!(matches!(refused, Err(Malformed::NoTime(_))), "{refused:?}");
}

#[test]
fn a_line_that_stands_for_several_counts_as_many() {
    let line = "Mar  2 10:00:05 web nginx: message repeated 3 times: [ h - - \
                [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1 \"-\" \"curl\"]";
    let read = read_as(&Parser::default(), line);
    assert_eq!(read, Ok(Some((3, "/a".to_owned(), 1_431_857_103_000_000, 3))));
}

/// A request, as a server knows it.
#[derive(Debug, Clone)]
struct Request {
    method: &'static str,
    path: String,
    query: String,
    agent: String,
    seconds: i64,
}

fn requests() -> impl Strategy<Value = Request> {
    let method =
        prop::sample::select(vec!["GET", "POST", "HEAD", "PATCH", "PROPFIND", "PURGE", "get"]);
    let path = "/[!-~&&[^?]\u{e4}\u{1f600}]{0,20}";
    let agent = "[ -~\u{e4}]{0,20}";
    (method, path, "[a-z=&\"]{0,8}", agent, 1_000_000_000..1_700_000_000_i64).prop_map(
        |(method, path, query, agent, seconds)| Request { method, path, query, agent, seconds },
    )
}

/// A byte that is not plain, as nginx and Apache write it.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| match byte {
        b'"' | b'\\' | 0..=0x1f | 0x7f.. => text + &format!("\\x{byte:02X}"),
        _ => text + &char::from(byte).to_string(),
    })
}

/// As URLs have it in the logs of clouds, where nothing else is escaped.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| match byte {
        b'"' | b'\\' | b' ' | 0..=0x1f | 0x7f.. => text + &format!("%{byte:02X}"),
        _ => text + &char::from(byte).to_string(),
    })
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("text")
}

impl Request {
    fn target(&self) -> String {
        match &*self.query {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    fn line(&self) -> String {
        format!("{} {} HTTP/1.1", self.method, self.target())
    }

    fn time(&self, format: &str) -> String {
        let time = Timestamp::from_second(self.seconds).expect("a time").to_zoned(TimeZone::UTC);
        time.strftime(format).to_string()
    }

    fn clf(&self) -> String {
        self.time("%d/%b/%Y:%H:%M:%S +0000")
    }

    fn iso(&self) -> String {
        self.time("%Y-%m-%dT%H:%M:%SZ")
    }
}

/// What `--format` says, a line, and the path that it is to be counted under.
type Written = (&'static str, String, String);

/// A request in each format.
fn written(of: &Request) -> Vec<Written> {
    let auto = |(line, path)| ("auto", line, path);
    let texts = texts(of).into_iter().map(auto);
    let jsons = jsons(of).into_iter().map(|line| auto((line, of.path.clone())));
    texts.chain(jsons).chain(templates(of)).collect()
}

fn combined(of: &Request) -> String {
    let (clf, line, agent) = (of.clf(), escaped(&of.line()), escaped(&of.agent));
    format!("192.0.2.1 - - [{clf}] \"{line}\" 200 5 \"-\" \"{agent}\"")
}

fn texts(of: &Request) -> Vec<(String, String)> {
    let (clf, iso, line, agent) = (of.clf(), of.iso(), escaped(&of.line()), escaped(&of.agent));
    let combined = combined(of);
    let plain = [
        combined.clone(),
        format!("Mar  2 10:00:00 web nginx: {combined}"),
        format!("web-1  | {combined}"),
        format!("{iso} stdout F {combined}"),
        format!("[{clf}] 192.0.2.1 TLSv1.3 X \"{line}\" 1375"),
        format!("[{iso}] \"{line}\" 200 - 0 5 1 \"-\" \"{agent}\""),
        format!(
            "o b [{clf}] h - 3E57 REST.GET.OBJECT k \"{line}\" 200 - 5 - 7 - \"-\" \"{agent}\" -"
        ),
    ];
    let url = format!("https://www.example.com:443{}", encoded(&of.target()));
    let (method, numbers) = (of.method, "192.0.2.1:1 - 0 0 0 200 200 0 5");
    let clouds = [
        format!("h2 {iso} app/x {numbers} \"{method} {url} HTTP/2.0\" \"{agent}\" -"),
        format!("{iso} lb {numbers} \"{method} {url} HTTP/1.1\" \"{agent}\" - -"),
    ];
    let plain = plain.map(|line| (line, of.path.clone()));
    plain.into_iter().chain(clouds.map(|line| (line, encoded(&of.path)))).collect()
}

fn jsons(of: &Request) -> Vec<String> {
    let (iso, method) = (of.iso(), of.method);
    let (line, bytes) = (escaped(&of.line()), escaped(&of.agent));
    let (target, agent) = (json(&of.target()), json(&of.agent));
    let caddy = format!(
        "{{\"logger\":\"http.log.access\",\"ts\":{}.5,\"request\":{{\"method\":\"{method}\",\
         \"uri\":{target},\"headers\":{{\"User-Agent\":[{agent}]}}}}}}",
        of.seconds
    );
    let traefik = format!(
        "{{\"RequestMethod\":\"{method}\",\"RequestPath\":{target},\"StartUTC\":\"{iso}\",\"x\":{agent}}}"
    );
    vec![
        format!("{{\"time_iso8601\":\"{iso}\",\"request\":\"{line}\",\"x\":\"{bytes}\",\"y\":-}}"),
        format!("{{\"log\":{},\"stream\":\"stdout\"}}", json(&(combined(of) + "\n"))),
        format!("{{\"MESSAGE\":{}}}", json(&caddy)),
        caddy,
        format!("web-1  | {traefik}"),
        traefik,
    ]
}

fn templates(of: &Request) -> Vec<Written> {
    let (clf, line, agent) = (of.clf(), escaped(&of.line()), escaped(&of.agent));
    let target = escaped(&of.target());
    let lines = [
        (
            "log_format x '$remote_addr [$time_local] \"$request\" $status \"$http_user_agent\"';",
            format!("192.0.2.1 [{clf}] \"{line}\" 200 \"{agent}\""),
        ),
        (
            "$msec $status $request_method $request_uri",
            format!("{}.000 200 {} {target}", of.seconds, of.method),
        ),
        (
            r#"LogFormat "%h %l %u %t \"%r\" %>s %b \"%{User-Agent}i\"" x"#,
            format!("192.0.2.1 - - [{clf}] \"{line}\" 200 5 \"{agent}\""),
        ),
    ];
    lines.map(|(format, line)| (format, line, of.path.clone())).into()
}

proptest! {
    #[test]
    fn every_format_is_read_as_it_is_written(request in requests()) {
        for (format, line, path) in written(&request) {
            let log_format: LogFormat = format.parse().expect(format);
            let parser = Parser { format: log_format, ..Parser::default() };
            let read = parser.parse(line.as_bytes(), &mut Context::default(), i64::MAX);
            let entry = match read {
                Ok(Some(entry)) => entry,
                other => return Err(TestCaseError::fail(format!("{line}: {other:?}"))),
            };
            prop_assert_eq!(&*entry.path, &*path, "{}", line);
            prop_assert_eq!(entry.method, methods::number_of_token(request.method.as_bytes()));
            prop_assert_eq!(entry.micros.div_euclid(1_000_000), request.seconds, "{}", line);
            prop_assert_eq!(entry.times, 1);
        }
    }

    #[test]
    fn haproxy_is_read_in_its_zone(request in requests(), header in "[ -~&&[^\"]]{0,10}") {
        let zone = Some("+00:00".parse().expect("a zone"));
        let parser = Parser { reading: Reading { zone, ..Reading::default() }, ..Parser::default() };
        let line = format!(
            "Mar  2 10:00:01 lb haproxy[1]: 192.0.2.1:1 [{}] fe~ be/s 0/0 200 8 - - ---- 0/0 {{{header}}} \"{} {} HTTP/1.1\"",
            request.time("%d/%b/%Y:%H:%M:%S.123"), request.method, encoded(&request.target()),
        );
        let read = parser.parse(line.as_bytes(), &mut Context::default(), i64::MAX);
        let entry = read.map_err(|why| TestCaseError::fail(format!("{line}: {why}")))?.expect("a request");
        prop_assert_eq!(&*entry.path, encoded(&request.path));
        prop_assert_eq!(entry.micros, request.seconds * 1_000_000 + 123_000);
    }

    #[test]
    fn w3c_is_read_as_its_columns_say(request in requests(), tabs: bool) {
        let mut context = Context::default();
        let parser = Parser::default();
        let fields = b"#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status";
        prop_assert_eq!(parser.parse(fields, &mut context, i64::MAX), Ok(None));
        let line = format!(
            "{} {} 192.0.2.1 {} {} - 200",
            request.time("%Y-%m-%d"), request.time("%H:%M:%S"), request.method, encoded(&request.path),
        );
        let line = if tabs { line.replace(' ', "\t") } else { line };
        let entry = parser.parse(line.as_bytes(), &mut context, i64::MAX).expect("good").expect("a request");
        prop_assert_eq!(&*entry.path, encoded(&request.path));
        prop_assert_eq!(entry.micros, request.seconds * 1_000_000);
    }

    /// What is cut off is never counted under another path.
    #[test]
    fn what_is_cut_off_counts_right_or_not_at_all(request in requests(), cut in 0..400_usize) {
        for (format, line, path) in written(&request) {
            let log_format: LogFormat = format.parse().expect(format);
            let parser = Parser { format: log_format, ..Parser::default() };
            // A path at the end of a line may be cut off, and nobody knows.
            if format.ends_with("$request_uri") {
                continue;
            }
            let line = &line.as_bytes()[..cut.min(line.len())];
            if let Ok(Some(entry)) = parser.parse(line, &mut Context::default(), i64::MAX) {
                prop_assert_eq!(&*entry.path, &*path, "{}", line.escape_ascii());
            }
        }
    }
}
