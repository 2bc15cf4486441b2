//! Formats as they stand in configurations, and lines that were written by them.

use proptest::prelude::*;

use super::*;

const MICROS: i64 = 1_431_857_103_000_000;

fn template(text: &str) -> Template {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
}

fn read(format: &str, line: &str) -> Result<(i32, String, i64), Malformed> {
    let entry = template(format).parse(line.as_bytes(), &Reading::default())?;
    Ok((entry.method, entry.path.into_owned(), entry.micros))
}

#[test]
fn formats_as_they_stand_in_configurations() {
    let nginx = "log_format main '$remote_addr - $remote_user [$time_local] \"$request\" '\n    \
                 '$status $body_bytes_sent \"$http_referer\" '\n    '\"$http_user_agent\"';";
    let combined = r#"192.0.2.1 - x - [y] [17/May/2015:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "cu\x22rl""#;
    let apache =
        r#"LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"" combined"#;
    for (format, line) in [
        (nginx, combined),
        (
            apache,
            r#"192.0.2.1 - x [17/May/2015:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "cu\"rl""#,
        ),
        (
            "$time_iso8601|$host|$request_method|$request_uri|$status",
            "2015-05-17T10:05:03+00:00|www|GET|/a?b|200",
        ),
        ("'$msec $request_method $uri$is_args$args'", "1431857103.000 GET /a?b=c d"),
        (
            "$status $scheme://$host$request_uri $request_method $msec",
            "200 http://h/a?b GET 1431857103.000",
        ),
        (
            "log_format j escape=json '{\"t\":\"$time_iso8601\",\"r\":\"$request\",\"a\":\"$http_user_agent\"}';",
            r#"{"t":"2015-05-17T10:05:03Z","r":"GET \u002fa HTTP/1.1","a":"\"{"}"#,
        ),
        ("%m %U%q %H %{%Y-%m-%dT%H:%M:%S%z}t", "GET /a?b HTTP/1.1 2015-05-17T10:05:03+0000"),
        (
            "[%{%d/%b/%Y:%H:%M:%S}t.%{msec_frac}t %{%z}t] \"%r\" %>s",
            "[17/May/2015:12:05:03.000 +0200] \"GET /a HTTP/1.1\" 200",
        ),
        (
            "%{usec}t %!200,304{Referer}i \\\"%r\\\" 100%%",
            "1431857103000000 a b \"GET /a HTTP/1.1\" 100%",
        ),
    ] {
        assert_eq!(read(format, line), Ok((3, "/a".to_owned(), MICROS)), "{format}");
    }
}

#[test]
fn the_status_has_a_variable() {
    let status = |format: &str, line: &str| {
        template(format).parse(line.as_bytes(), &Reading::default()).map(|entry| entry.status)
    };
    for (format, line, expected) in [
        ("$msec $status \"$request\"", "1431857103.000 404 \"GET /a HTTP/1.1\"", 404),
        ("$msec $status \"$request\"", "1431857103.000 000 \"GET /a HTTP/1.1\"", 0),
        ("$msec $request_method $uri $status", "1431857103.000 GET /a 500", 500),
        ("$msec $request_method $uri", "1431857103.000 GET /a", 0),
        ("%{sec}t \"%r\" %>s %b", "1431857103 \"GET /a HTTP/1.1\" 304 -", 304),
        ("%{sec}t \"%r\" %s", "1431857103 \"GET /a HTTP/1.1\" -", 0),
        ("%{sec}t %s %m %U", "1431857103 201 GET /a", 201),
        (
            "log_format j escape=json '{\"t\":$msec,\"r\":\"$request\",\"s\":$status}';",
            "{\"t\":1431857103.000,\"r\":\"GET /a HTTP/1.1\",\"s\":403}",
            403,
        ),
        // Two readings of the same request, which differ in the status only.
        ("$msec $a|$status|$b $request_method $request_uri", "1431857103.000 x|200|404|y GET /", 0),
    ] {
        assert_eq!(status(format, line), Ok(expected), "{format}");
    }
}

#[test]
fn what_cannot_be_told_apart_is_refused_by_name() {
    for (format, words) in [
        ("$remote_addr$request [$time_local]", "$remote_addr and $request are adjacent"),
        ("%h %t %>s", "the method ($request"),
        ("$request_method $time_local", "the path"),
        ("%r", "the time"),
        ("LogFormat \"%r %t", "not closed"),
        ("log_format x escape=json '$request $msec' foo;", "foo"),
        ("$", "no variable"),
    ] {
        let why = format.parse::<Template>().expect_err(format);
        assert!(why.contains(words), "{format}: {why}");
    }
    // Two values with spaces, and a space between them.
    let format = "$http_a [$time_local] $http_b $request_method $request_uri";
    let line = "a [17/May/2015:10:05:03 +0000] b GET /x GET /y";
    let why = read(format, line);
    assert!(matches!(why, Err(Malformed::TwoReadings(..))), "{why:?}");
}

#[test]
fn a_line_of_another_format_is_refused_from_where_it_differs() {
    let format = "$remote_addr [$time_local] \"$request\" $status";
    let why = read(format, "h [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\"|200");
    assert_eq!(why, Err(Malformed::NotAsFormat("GET / HTTP/1.1\"|200".to_owned())));
    let why = read(format, "h [17/May/2015:10:05:03 +0000] \"-\" 400");
    assert_eq!(why, Err(Malformed::Method("-".to_owned())));
    let why = read(format, "h [31/Feb/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 400");
    assert!(matches!(why, Err(Malformed::Time { .. })), "{why:?}");
}

proptest! {
    #[test]
    fn no_format_and_no_line_panics(format in "[$%{}\"'\\\\ a-z>_]{0,40}", line in "[\\[\\]\" a-z0-9:/+]{0,60}") {
        let _ = format.parse::<Template>();
        let _ = template("%h %l %u %t \"%r\" %>s %b").parse(line.as_bytes(), &Reading::default());
        let _ = template("$a $b $c \"$d\" $request [$time_local]").parse(line.as_bytes(), &Reading::default());
    }
}
