//! Lines with a time and, somewhere after it, a request in quotes.
//!
//! | accepted | by | source |
//! |---|---|---|
//! | `… [TIME] … "REQUEST" …` | Apache's and nginx's own formats, Tomcat, Jetty, Traefik | their manuals |
//! | `[2026-03-02T10:00:00.000Z] "REQUEST" …` | Envoy and Istio, default format | Envoy, "Access logging", default format string |
//! | `TYPE 2026-03-02T10:00:00.000000Z … "REQUEST" …` | AWS ALB | Elastic Load Balancing, "Access log entries" |
//! | `2026-03-02T10:00:00.000000Z … "REQUEST" …` | AWS ELB; servers that write no time, behind a prefix of CRI or Heroku | the same; Kubernetes, CRI logging |
//! | `OWNER BUCKET [TIME] … "REQUEST" …` | AWS S3 | S3, "Server access log format" |
//! | `… [02/Mar/2026:10:00:00.000] … "REQUEST"` | HAProxy, `option httplog`; its times need `--tz` | HAProxy's manual, 8.2.3 |
//!
//! A prefix, such as syslog's, is ignored. TIME is the Common Log Format's or RFC 3339. The request
//! directly follows the time, or is the first quoted piece after it if that is a whole request line,
//! or the only one that is. HAProxy's is the last one, because headers precede it.
//!
//! The status follows the request, with more behind it: three digits at the end of a line may be the
//! bytes. (`clf` reads a request that directly follows its time, and takes them for the status there.)
//! AWS's load balancers write `STATUS STATUS BYTES BYTES` before the request, and HAProxy
//! `FRONTEND BACKEND/SERVER TIMERS STATUS` behind the time.

use super::clf::{closing_quote, entry, following_status};
use super::malformed::quote;
use super::status::status;
use super::target::is_whole_request_line;
use super::time::{BadTime, parse_date_and_time};
use super::{Entry, Malformed, Reading};

/// The longest time in brackets, with room for nanoseconds and a wrong month.
const TIME_BYTES_MAX: usize = 48;

/// HAProxy's status is this word behind the time, from 0.
const HAPROXY_STATUS_AT: usize = 3;

/// How many words may hold a time without brackets.
const LEADING_WORDS_MAX: usize = 6;

/// A quoted piece: where its content begins and ends.
#[derive(Debug, Clone, Copy)]
struct Quoted {
    begin: usize,
    end: usize,
    closed: bool,
}

/// What looks like a time, and where the rest begins.
#[derive(Debug, Clone, Copy)]
struct Time<'a> {
    text: &'a [u8],
    micros: Result<i64, BadTime>,
    behind: usize,
    in_brackets: bool,
}

pub(crate) fn parse<'a>(line: &'a [u8], reading: &Reading) -> Result<Entry<'a>, Malformed> {
    let quoted = quoted(line);
    let time = time(line, &quoted, reading)?;
    let micros = time.micros.map_err(|why| Malformed::time(time.text, why))?;
    let behind: Vec<_> = quoted.into_iter().filter(|piece| piece.begin > time.behind).collect();
    let request = if time.is_haproxys() {
        let is_request = |piece: &&Quoted| piece.closed && is_whole_request_line(piece.of(line));
        let last = behind.iter().rfind(is_request);
        last.ok_or_else(|| no_request(line, &time, &behind)).copied()
    } else {
        request(line, &time, &behind)
    }?;
    entry(request.of(line), status_of(line, request, &time), micros, reading)
}

/// The status of a request, where its server writes it.
fn status_of(line: &[u8], request: Quoted, time: &Time<'_>) -> u16 {
    let words = |text| <[u8]>::split(text, |byte| *byte == b' ');
    if time.is_haproxys() {
        let behind = line[time.behind..].trim_ascii_start();
        return words(behind).nth(HAPROXY_STATUS_AT).map_or(0, status);
    }
    let after = &line[request.end + 1..];
    if after.get(4) == Some(&b' ')
        && let Some(code) = following_status(after)
        && code > 0
    {
        return code;
    }
    let before = line[time.behind.min(request.begin - 1)..request.begin - 1].trim_ascii_end();
    let is_number = |word: &&[u8]| *word == b"-" || word.iter().all(u8::is_ascii_digit);
    let mut last = before.rsplit(|byte| *byte == b' ').take(4).filter(is_number);
    match (last.next(), last.next(), last.next(), last.next()) {
        (Some(_), Some(_), Some(_), Some(code)) if !time.in_brackets => status(code),
        _ => 0,
    }
}

fn request(line: &[u8], time: &Time<'_>, behind: &[Quoted]) -> Result<Quoted, Malformed> {
    let Some((first, rest)) = behind.split_first() else {
        return Err(no_request(line, time, behind));
    };
    if !first.closed {
        return Err(no_request(line, time, behind));
    }
    let after = &line[first.end + 1..];
    let is_whole = is_whole_request_line(first.of(line));
    if (time.in_brackets && following_status(after).is_some())
        || (is_whole && after.starts_with(b" "))
    {
        return Ok(*first);
    }
    if is_whole && after.is_empty() {
        return Err(Malformed::NoStatus(quote(first.of(line))));
    }
    let whole = |piece: &&Quoted| {
        let followed = piece.closed && line[piece.end + 1..].starts_with(b" ");
        followed && is_whole_request_line(piece.of(line))
    };
    let mut candidates = rest.iter().filter(whole);
    match (candidates.next(), candidates.next()) {
        // Error logs quote requests too, after their message.
        (Some(only), None) if time.in_brackets => Ok(*only),
        (Some(one), Some(two)) => {
            Err(Malformed::TwoRequests(Malformed::two(one.of(line), two.of(line))))
        }
        _ if line[time.behind..first.begin].trim_ascii() == b"\"" => {
            Err(Malformed::NoStatus(quote(first.of(line))))
        }
        _ => Err(no_request(line, time, behind)),
    }
}

fn no_request(line: &[u8], time: &Time<'_>, behind: &[Quoted]) -> Malformed {
    match behind.last() {
        Some(last) if !last.closed => Malformed::RequestNotClosed(quote(last.of(line))),
        _ => Malformed::NoRequest(quote(line[time.behind..].trim_ascii())),
    }
}

fn time<'a>(line: &'a [u8], quoted: &[Quoted], reading: &Reading) -> Result<Time<'a>, Malformed> {
    let outside = |at: usize| !quoted.iter().any(|piece| (piece.begin..piece.end).contains(&at));
    let mut found: Option<Time<'_>> = None;
    for open in memchr::memchr_iter(b'[', line).filter(|open| outside(*open)) {
        let inner = &line[open + 1..];
        let Some(end) = memchr::memchr(b']', &inner[..inner.len().min(TIME_BYTES_MAX)]) else {
            continue;
        };
        let text = &inner[..end];
        let micros = parse_date_and_time(text, reading.zone.as_ref());
        if micros == Err(BadTime::Form) {
            continue;
        }
        let time = Time { text, micros, behind: open + end + 2, in_brackets: true };
        if line[time.behind..].trim_ascii_start().starts_with(b"\"") {
            return Ok(time);
        }
        match found {
            Some(before) if before.micros != micros => {
                return Err(Malformed::TwoTimes(Malformed::two(before.text, text)));
            }
            Some(_) => {}
            None => found = Some(time),
        }
    }
    found.or_else(|| leading_time(line, reading)).ok_or_else(|| without_time(line))
}

/// An RFC 3339 time among the first words; the last one is the server's own.
fn leading_time<'a>(line: &'a [u8], reading: &Reading) -> Option<Time<'a>> {
    let mut begin = 0;
    let mut found = None;
    let end = memchr::memchr(b'"', line).unwrap_or(line.len());
    for word in line[..end].split(|&byte| byte == b' ').take(LEADING_WORDS_MAX) {
        if word.len() > 19 && word[10] == b'T' {
            let micros = parse_date_and_time(word, reading.zone.as_ref());
            if micros != Err(BadTime::Form) {
                found = Some(Time {
                    text: word,
                    micros,
                    behind: begin + word.len(),
                    in_brackets: false,
                });
            }
        }
        begin += word.len() + 1;
    }
    found
}

/// Why there is no time, judged by what the line resembles.
fn without_time(line: &[u8]) -> Malformed {
    let text = line.trim_ascii();
    let looks_like_a_date = |text: &[u8]| {
        let form = b"0000-00-00?00:00:00";
        text.len() > form.len()
            && form.iter().zip(text).all(|(form, byte)| match form {
                b'0' => byte.is_ascii_digit(),
                b'?' => matches!(byte, b' ' | b'\t'),
                _ => form == byte,
            })
    };
    match text {
        [b'[', .., b']'] if memchr::memchr(b'{', text).is_some() => Malformed::JsonArray,
        [b'[' | b']' | b'{' | b'}'] | [b']' | b'}', b','] | [b'}', b']'] => Malformed::JsonPiece,
        [b'"', ..] if memchr::memmem::find(text, b"\": ").is_some() => Malformed::JsonPiece,
        _ if text.iter().filter(|byte| **byte == 0).count() * 4 > text.len() => Malformed::Nuls,
        _ if looks_like_a_date(text) => Malformed::NoFields(quote(text)),
        _ if memchr::memmem::find(text, b"message repeated ").is_some() => {
            Malformed::RepeatsUnsaid(quote(text))
        }
        _ => Malformed::NoTime(quote(text)),
    }
}

/// All quoted pieces; the last may be cut off.
fn quoted(line: &[u8]) -> Vec<Quoted> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(at) = memchr::memchr(b'"', &line[from..]) {
        let begin = from + at + 1;
        match closing_quote(&line[begin..]) {
            Some(length) => {
                pieces.push(Quoted { begin, end: begin + length, closed: true });
                from = begin + length + 1;
            }
            None => {
                pieces.push(Quoted { begin, end: line.len(), closed: false });
                break;
            }
        }
    }
    pieces
}

// === impl Quoted ===

impl Quoted {
    fn of<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        &line[self.begin..self.end]
    }
}

// === impl Time ===

impl Time<'_> {
    /// Only HAProxy writes a fraction of a second without an offset.
    fn is_haproxys(&self) -> bool {
        self.in_brackets
            && self.text.contains(&b'.')
            && self.text.contains(&b'/')
            && !self.text.contains(&b' ')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::commands::requests::import::parse::tests::{counted, read_as, status_of};
    use crate::commands::requests::import::parse::{Context, Parser};

    fn refused(line: &str) -> Malformed {
        read_as(&Parser::default(), line).expect_err(line)
    }

    const TIME: &str = "[17/May/2015:10:05:03 +0000]";

    #[test]
    fn what_stands_around_does_not_matter() {
        for line in [
            format!("shop:443 192.0.2.1, 192.0.2.2 - - {TIME} \"GET /a HTTP/1.1\" 200 5"),
            format!(
                "shop \"192.0.2.1, 192.0.2.2\" 192.0.2.3 - - {TIME} \"GET /a?b HTTP/1.1\" 200 5"
            ),
            format!(
                "[2001:db8::1]:443 [x] - {TIME} 0/799 \"GET /a HTTP/1.1\" 200 5 \"-\" \"curl\""
            ),
            format!("{TIME} [shop:443] [client 192.0.2.1] \"GET /a HTTP/1.1\" 200 17 \"curl\""),
            format!("{TIME} 192.0.2.1 exec-19 u@System \"GET /a HTTP/1.1\" 200 353 6ms"),
            format!("{TIME} 192.0.2.1 TLSv1.2 ECDHE-RSA \"GET /a HTTP/1.1\" 1375"),
            format!("{TIME} \"shop.example\" \"GET /a HTTP/1.1\" 200 1"),
            "h - - [2015-05-17T10:05:03Z] \"GET /a HTTP/1.1\" 200 5".to_owned(),
            "h - - [7/may/2015:10:05:03.294 +05:30] \"GET /a HTTP/1.1\" 200 5".to_owned(),
        ] {
            assert_eq!(counted(&line), (3, "/a".to_owned()), "{line}");
        }
    }

    #[test]
    fn proxies_and_clouds() {
        for line in [
            // Envoy, Istio.
            r#"[2015-05-17T10:05:03.310Z] "GET /a?b HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "curl" "cc21d9b0" "locations" "tcp://10.0.2.1:80""#,
            r#"[2015-05-17T10:05:03.409Z] "GET /a HTTP/1.1" 418 - via_upstream - "-" 0 135 3 1 "-" "curl" "84961386" "httpbin:8000" "127.0.0.1:80" inbound|80|| 127.0.0.6:3 10.0.0.1:80 - default"#,
            // ALB, ELB, S3.
            r#"https 2015-05-17T10:05:03.186641Z app/lb/50dc 192.0.2.1:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/a?b HTTP/2.0" "curl/7.46.0" TLS arn:aws "Root=1-58" "www.example.com" "arn:aws" 1 2015-05-17T10:05:00.364000Z "forward" "-""#,
            r#"2015-05-17T10:05:03.945958Z lb 192.0.2.1:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "GET http://www.example.com:80/a HTTP/1.1" "curl/7.38.0" - -"#,
            r#"79a59df9 bucket [17/May/2015:10:05:03 +0000] 192.0.2.3 79a59df9 3E57427F REST.GET.OBJECT a "GET /a?versioning HTTP/1.1" 200 - 113 - 7 - "-" "S3Console/0.4" - x= SigV4 ECDHE AuthHeader b.s3.amazonaws.com TLSV1.2 - -"#,
            // Behind prefixes.
            r#"<190>May 17 10:05:03 host nginx: h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5"#,
            r#"<190>1 2015-05-17T10:05:03Z host nginx 12 - - h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5"#,
            r#"2015-05-17T10:05:03.123456789Z stdout F h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5"#,
            r#"web-1  | h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5"#,
            r#"2015-05-17T10:05:03+00:00 app[web.1]: h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5"#,
            // Uvicorn writes no time, and CRI does.
            r#"2015-05-17T10:05:03.123456789Z stdout F INFO:     127.0.0.1:5000 - "GET /a HTTP/1.1" 200 OK"#,
        ] {
            assert_eq!(counted(line), (3, "/a".to_owned()), "{line}");
        }
    }

    #[test]
    fn the_status_is_where_the_server_writes_it() {
        for (line, status) in [
            (format!("shop {TIME} 0/799 \"GET /a HTTP/1.1\" 404 5 \"-\""), 404),
            // The bytes.
            (format!("{TIME} 192.0.2.1 TLSv1.2 ECDHE-RSA \"GET /a HTTP/1.1\" 137"), 0),
            (format!("{TIME} 192.0.2.1 TLSv1.2 ECDHE-RSA \"GET /a HTTP/1.1\" 1375"), 0),
            (r#"[2015-05-17T10:05:03.310Z] "GET /a?b HTTP/2" 204 - 154 0 226 100 "10.0.35.28""#.to_owned(), 204),
            (r#"[2015-05-17T10:05:03.310Z] "GET /a HTTP/2" 0 DC 154 0 226 - "-""#.to_owned(), 0),
            (r#"https 2015-05-17T10:05:03.186641Z app/lb/50dc 192.0.2.1:2817 10.0.0.1:80 0.086 0.048 0.037 502 200 0 57 "GET https://h:443/a HTTP/2.0" "curl/7.46.0" TLS"#.to_owned(), 502),
            (r#"https 2015-05-17T10:05:03.186641Z app/lb/50dc 192.0.2.1:2817 - -1 -1 -1 460 - 0 57 "GET https://h:443/a HTTP/2.0" "curl/7.46.0" TLS"#.to_owned(), 460),
            (r#"2015-05-17T10:05:03.945958Z lb 192.0.2.1:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 500 0 29 "GET http://h:80/a HTTP/1.1" "curl/7.38.0" - -"#.to_owned(), 200),
            (r#"79a59df9 bucket [17/May/2015:10:05:03 +0000] 192.0.2.3 79a59df9 3E57427F REST.GET.OBJECT a "GET /a?versioning HTTP/1.1" 403 AccessDenied 113 - 7 - "-""#.to_owned(), 403),
            (r#"2015-05-17T10:05:03.123456789Z stdout F INFO:     127.0.0.1:5000 - "GET /a HTTP/1.1" 200 OK"#.to_owned(), 200),
        ] {
            assert_eq!(status_of(&line), status, "{line}");
        }
    }

    #[test]
    fn haproxy_needs_a_zone() {
        let head = "May 17 10:05:03 lb haproxy[1]: 192.0.2.1:1 [17/May/2015:12:05:03.294] fe~ be/s 0/0/0/6/6";
        let line = format!(
            "{head} 200 867 - - ---- 1/1/0/0/0 0/0 {{\"GET /x HTTP/1.1\"}} \"GET /a HTTP/1.1\""
        );
        let why = refused(&line).to_string();
        assert!(why.contains("17/May/2015:12:05:03.294") && why.contains("--tz"), "{why}");
        let zone = Some("+02:00".parse().expect("a zone"));
        let parser =
            Parser { reading: Reading { zone, ..Reading::default() }, ..Parser::default() };
        let micros = 1_431_857_103_294_000;
        assert_eq!(read_as(&parser, &line), Ok(Some((3, "/a".to_owned(), micros, 1))));
        let entry = parser.parse(line.as_bytes(), &mut Context::default(), i64::MAX);
        assert_eq!(entry.expect("a line").expect("a request").status, 200);
        for (rest, expected) in [
            ("400 0 - - PR-- 0/0 \"<BADREQ>\"", "no request in quotes"),
            ("200 0 - - ---- 0/0 \"GET /cut/off", "not closed"),
        ] {
            let why = read_as(&parser, &format!("{head} {rest}")).expect_err(rest).to_string();
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn what_is_not_a_line_is_refused_with_its_reason() {
        for (line, words) in [
            ("free text".to_owned(), "no time in brackets"),
            ("h - - [yesterday] \"GET / HTTP/1.1\" 200 1".to_owned(), "in \"h - - [yesterday]"),
            ("h - - [31/Feb/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1".to_owned(), "31/Feb/2015"),
            ("h - - [02/Okt/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1".to_owned(), "02/Okt/2015"),
            ("h - - [02/M\u{e4}r/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1".to_owned(), "M\u{e4}r"),
            ("h - - [17/May/2015:10:05:03] \"GET / HTTP/1.1\" 200 1".to_owned(), "--tz"),
            ("h - - [17/May/2015 10:05:03] \"GET / HTTP/1.1\" 200 1".to_owned(), "--tz"),
            ("h - - [17/May/2015:10:05:03 +9959] \"GET / HTTP/1.1\" 200 1".to_owned(), "offset"),
            (format!("{TIME} GET / 200 1"), "no request in quotes"),
            (format!("{TIME} \"GET /torn"), "not closed"),
            (format!("{TIME} \"GET /torn\\"), "not closed"),
            (format!("{TIME} 0/1 \"GET /torn HT"), "not closed"),
            (format!("{TIME} \"GET /\""), "no status"),
            (format!("{TIME} \"GET / HTTP/1.1\""), "no status"),
            (format!("{TIME} \"GET /\" 20"), "no status"),
            (format!("{TIME} \"-\" 400 0 \"-\" \"GET /fake HTTP/1.1\" 1"), "\"-\" is not a request"),
            (format!("{TIME} 12 \"hello\" 400 0 \"GET /fake HTTP/1.1\" 1"), "\"hello\" is not"),
            (format!("{TIME} \"a\" \"GET /b HTTP/1.1\" \"GET /c HTTP/1.1\" 1"), "two pieces"),
            (format!("{TIME} [18/May/2015:10:05:03 +0000] 0 \"GET / HTTP/1.1\" 200"), "two different times"),
            ("2026-03-02 10:00:01 ::1 GET / - 80 - ::1 curl - 200".to_owned(), "#Fields:"),
            ("[".to_owned(), "jq -c"),
            ("    \"requestMethod\": \"GET\",".to_owned(), "jq -c"),
            ("[{\"method\":\"GET\"}]".to_owned(), "jq -c"),
            ("2015-05-17T10:05:03Z host nginx: 2015/05/17 10:05:03 [error] 1#0: *1 x, request: \"GET / HTTP/1.1\", host: \"a\"".to_owned(), "no request in quotes"),
        ] {
            let why = refused(&line).to_string();
            assert!(why.contains(words), "{line}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..120), text in "[\\[\"\\]0-9T:/ A-Z.-]{0,80}") {
            let _ = parse(&line, &Reading::default());
            let _ = parse(text.as_bytes(), &Reading::default());
            let _ = parse(&[TIME.as_bytes(), b" ", &line].concat(), &Reading::default());
        }
    }
}
