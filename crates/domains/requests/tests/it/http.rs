//! The HTTP API: shapes, pages, refusals, and readers that take their time.

use serde_json::{Value, json};
use tally_proto::tally::requests::v1 as proto;
use tally_testkit::Response;

use crate::add::on_sqlite;
use crate::backend::{Backend, NOW, TODAY, at, day};
use crate::conformance::on_every_backend;
use crate::record::drops;
use crate::recording::Recording;
use crate::server::{Counting, settings};

on_every_backend!(crate::http:
    lists_are_searched_and_paged,
    totals_come_in_pages,
);

const TOTALS: &str = "GET /api/v1/requests/totals";

/// A formula, quotes, a comma, and what JSON escapes.
const NAMES: [&str; 4] = ["=1+1", "/a,\"b\"", "/ä\n;=x", "'/c"];

/// Counts some requests of each series, one of them a day before.
async fn count(counting: &Counting, series: Vec<proto::Series>) {
    let mut stream = Recording::start(counting).await;
    let count = u32::try_from(series.len()).expect("few");
    stream.send(proto::Batch {
        sequence: 1,
        number: (0..count).collect(),
        time_delta: (0..count)
            .map(|n| if n == 0 { at(NOW) - DAY } else { i64::from(n == 1) * DAY })
            .collect(),
        requests: (1..=count).collect(),
        series,
        count,
        ..Default::default()
    });
    stream.acknowledged(1).await.expect("stored");
    stream.finish().await.expect("a good end");
}

const DAY: i64 = 86_400_000_000;

fn series(service: &str, method: &str, path: &str, status: u32, customer: &str) -> proto::Series {
    let [service, method, path, customer] = [service, method, path, customer].map(str::to_owned);
    proto::Series { service, method, path, status, customer }
}

fn json_of(reply: &Response) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

#[track_caller]
fn ok(counting: &Counting, line: &str) -> Value {
    let reply = counting.http(line, &[], "");
    assert_eq!(reply.status, 200, "{line}: {reply:?}");
    assert!(reply.is_whole, "{line}");
    json_of(&reply)
}

/// Three series, the first one of yesterday.
async fn three() -> (tempfile::TempDir, Counting) {
    let (folder, counting) = on_sqlite(settings()).await;
    let all = vec![
        series("shop", "GET", "/a", 200, "acme"),
        series("shop", "GET", "/a", 503, ""),
        series("", "GRPC", "/x.Y/Z", 0, ""),
    ];
    count(&counting, all).await;
    (folder, counting)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_repeats_the_query_and_is_flat() {
    let (_folder, counting) = three().await;
    let query = "?from=2030-06-14&to=today&tz=Europe/Berlin&live=true\
                 &group_by=status,service,status_class,method";
    let answer = ok(&counting, &format!("{TOTALS}{query}"));
    assert_eq!(
        answer["totals"],
        json!([
            {"time": "2030-06-14T00:00:00+02:00", "status": 200, "service": "shop", "status_class": "2xx",
             "method": "GET", "count": 1},
            {"time": "2030-06-15T00:00:00+02:00", "status": 503, "service": "shop", "status_class": "5xx",
             "method": "GET", "count": 2},
            {"time": "2030-06-15T00:00:00+02:00", "status": null, "service": "", "status_class": "",
             "method": "GRPC", "count": 3},
        ])
    );
    assert_eq!((&answer["complete"], &answer["dropped"]), (&json!(true), &json!(0)));
    assert_eq!((&answer["requests"], &answer["next"]), (&json!(6), &Value::Null));
    let asked = &answer["query"];
    assert_eq!(asked["from"], "2030-06-14T00:00:00+02:00");
    assert_eq!(asked["to"], "2030-06-16T00:00:00+02:00");
    assert_eq!((&asked["by"], &asked["tz"]), (&json!("day"), &json!("Europe/Berlin")));
    let tzdb = &answer["tzdb"];
    assert!(tzdb.as_str().is_some_and(|version| version.starts_with("20")), "{tzdb}");
    // Asked for as it was understood, with a `+` that is not encoded.
    let again = "?from=2030-06-14T00:00:00+02:00&to=2030-06-16T00:00:00%2B02:00&tz=Europe/Berlin\
                 &live=true&group_by=status,service,status_class,method";
    assert_eq!(ok(&counting, &format!("{TOTALS}{again}")), answer);
    let csv = counting.http(&format!("{TOTALS}{query}&format=csv"), &[], "");
    assert_eq!(
        csv.body,
        "date,status,service,status_class,method,count\r\n2030-06-14,200,shop,2xx,GET,1\r\n\
         2030-06-15,503,shop,5xx,GET,2\r\n2030-06-15,,,,GRPC,3\r\n"
    );
    let asked = csv.header("tally-query").expect("the query").to_owned();
    let again = counting.http(&format!("{TOTALS}?{asked}"), &["accept: text/csv"], "");
    assert_eq!(again.body, csv.body, "{asked}");
    assert_eq!(csv.header("tally-complete"), Some("true"));
    counting.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_filters_and_periods_are_those_that_are_asked_for() {
    let (_folder, counting) = three().await;
    for (query, expected) in [
        ("?live=true&by=whole&group_by=none", json!([{"time": null, "count": 6}])),
        (
            "?live=true&from=2030&by=whole&group_by=none",
            json!([{"time": "2030-01-01T00:00:00Z", "count": 6}]),
        ),
        (
            "?live=true&by=whole&status=5xx&group_by=path",
            json!([{"time": null, "path": "/a", "count": 2}]),
        ),
        (
            "?live=true&by=whole&status=0&group_by=path",
            json!([{"time": null, "path": "/x.Y/Z", "count": 3}]),
        ),
        (
            "?live=true&by=whole&service=&customer=&group_by=none",
            json!([{"time": null, "count": 3}]),
        ),
        (
            "?live=true&by=hour&from=2030-06-15T11:59:59Z&to=2030-06-15T12:00:01Z&group_by=none&tz=+05:45",
            json!([{"time": "2030-06-15T17:00:00+05:45", "count": 5}]),
        ),
        (
            "?live=true&by=quarter&from=today&group_by=none&tz=Asia/Kathmandu",
            json!([{"time": "2030-06-15T17:45:00+05:45", "count": 5}]),
        ),
        ("?live=false", json!([])),
        ("?by=whole&group_by=none", json!([{"time": null, "count": 6}])),
    ] {
        assert_eq!(ok(&counting, &format!("{TOTALS}{query}"))["totals"], expected, "{query}");
    }
    counting.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_exact_in_json_and_harmless_in_csv() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let all = NAMES.map(|path| series("-s", "GET", path, 200, "@c")).to_vec();
    count(&counting, all).await;
    let query = "?live=true&by=whole&group_by=path,service,customer";
    let answer = ok(&counting, &format!("{TOTALS}{query}"));
    let totals = answer["totals"].as_array().expect("a list");
    let mut paths: Vec<_> =
        totals.iter().map(|one| one["path"].as_str().expect("a text")).collect();
    paths.sort_unstable();
    let mut expected = NAMES;
    expected.sort_unstable();
    assert_eq!(paths, expected);
    let csv = counting.http(&format!("{TOTALS}{query}&format=csv"), &[], "").body;
    let mut lines: Vec<_> = csv.split("\r\n").collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "",
            ",\"''/c\",\"'-s\",\"'@c\",4",
            ",\"'=1+1\",\"'-s\",\"'@c\",1",
            ",\"/a,\"\"b\"\"\",\"'-s\",\"'@c\",2",
            ",\"/ä\n;'=x\",\"'-s\",\"'@c\",3",
            "date,path,service,customer,count",
        ]
    );
    for path in NAMES {
        let encoded: String = path.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = ok(&counting, &format!("{TOTALS}?live=true&path={encoded}&group_by=none"));
        assert_eq!(answer["totals"].as_array().map(Vec::len), Some(1), "{path}");
    }
    counting.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_changes_with_the_answer() {
    let (_folder, counting) = on_sqlite(settings()).await;
    count(&counting, vec![series("", "GET", "/a", 200, "")]).await;
    let line = format!("{TOTALS}?live=true");
    let first = counting.http(&line, &[], "");
    let tag = first.header("etag").expect("a tag").to_owned();
    assert_eq!(first.header("vary"), Some("accept"));
    let known = format!("if-none-match: {tag}");
    let same = counting.http(&line, &[&known], "");
    assert_eq!((same.status, &*same.body), (304, ""));
    assert_eq!(counting.http(&line, &[&known, "accept: text/csv"], "").status, 200);
    count(&counting, vec![series("", "GET", "/a", 200, "")]).await;
    let next = counting.http(&line, &[&known], "");
    assert!(next.status == 200 && next.header("etag") != Some(&tag), "{next:?}");
    counting.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_by_how_many_it_is_short() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let mut stream = Recording::start(&counting).await;
    stream.send(drops(1, &[(day(TODAY).0, 7)]));
    stream.acknowledged(1).await.expect("stored");
    stream.finish().await.expect("a good end");
    let line = format!("{TOTALS}?from=today");
    let answer = ok(&counting, &line);
    assert_eq!((&answer["complete"], &answer["dropped"]), (&json!(false), &json!(7)));
    let csv = counting.http(&line, &["accept: text/csv"], "");
    assert_eq!(csv.header("tally-complete"), Some("false"));
    assert_eq!(csv.header("tally-dropped"), Some("7"));
    assert_eq!(ok(&counting, &format!("{TOTALS}?to=2030-06-13"))["complete"], true);
    counting.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_of_a_query_is_told_at_once() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let wrong = "?from=2015-02-30&to=2015-01-01T00:00:00&tz=Asia/Calcuta&by=minute&group_by=path,color\
                 &method=a%20b&status=6xx&live=1&limit=0&after=zz&formt=csv&sort=name&by=day";
    let reply = counting.http(&format!("{TOTALS}{wrong}"), &[], "");
    assert_eq!(reply.status, 400, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = json_of(&reply);
    let told: Vec<_> = problem["mistakes"].as_array().expect("a list").iter().collect();
    for (field, words) in [
        ("from", "there is no such day"),
        ("to", "with its offset"),
        ("tz", "\u{201c}Asia/Calcuta\u{201d}: no time zone of the tz database"),
        ("tz", "did you mean Asia/Calcutta?"),
        ("by", "write one of quarter, hour, day"),
        ("by", "given several times"),
        ("group_by", "write one of service"),
        ("method", "not a method"),
        ("status", "as 404"),
        ("live", "write true or false"),
        ("limit", "from 1 to"),
        ("after", "in next"),
        ("formt", "did you mean format?"),
        ("sort", "write one of path, count"),
    ] {
        let is = |one: &&&Value| {
            one["field"] == field && one["detail"].as_str().is_some_and(|text| text.contains(words))
        };
        assert!(told.iter().any(|one| is(&one)), "{field}: {words}: {problem:#}");
    }
    assert_eq!(told.len(), 13, "{problem:#}");
    for (query, field) in [
        ("?from=2016&to=2015", "to"),
        ("?from=today&to=yesterday", "to"),
        ("?from=2030-06-15T12:00:00Z&to=2030-06-15T11:00:00Z", "to"),
        ("?tz=Africa/Monrovia&from=1971", "from"),
        ("?group_by=none,path", "group_by"),
        ("?sort=count", "limit"),
        ("?sort=count&limit=10001", "limit"),
    ] {
        let problem = json_of(&counting.http(&format!("{TOTALS}{query}"), &[], ""));
        assert_eq!(problem["mistakes"][0]["field"], field, "{query}: {problem}");
        assert_eq!(problem["mistakes"].as_array().map(Vec::len), Some(1), "{problem}");
    }
    counting.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_reason_of_grpc() {
    let (_folder, counting) =
        on_sqlite(tally_requests::Settings { totals_max: 1, ..settings() }).await;
    count(&counting, ["/a", "/b"].map(|path| series("", "GET", path, 0, "")).to_vec()).await;
    let reply = counting.http(&format!("{TOTALS}?live=true"), &[], "");
    let problem = json_of(&reply);
    assert_eq!((reply.status, &problem["reason"]), (400, &json!("ANSWER_TOO_LARGE")), "{reply:?}");
    counting.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_answered_when_they_are_committed() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let json = "content-type: application/json";
    count(&counting, ["/a", "/b"].map(|path| series("", "GET", path, 0, "")).to_vec()).await;
    let fold = "POST /api/v1/requests/fold";
    let folded = counting.http(fold, &[json], "{}");
    assert_eq!((folded.status, json_of(&folded)), (200, json!({"requests": 3})), "{folded:?}");
    let roll_up = "POST /api/v1/requests/roll-up";
    let yesterday = json_of(&counting.http(roll_up, &[json], "{}"));
    let expected = json!({
        "from": "2030-06-14", "to": "2030-06-14", "days": [{"day": "2030-06-14", "requests": 1}],
    });
    assert_eq!(yesterday, expected);
    let month = counting.http(roll_up, &[json], "{\"period\": \"2030-06-14..2030\"}");
    assert_eq!(json_of(&month)["to"], "2030-06-16", "no later than tomorrow");
    assert_eq!(json_of(&month)["days"][1], json!({"day": "2030-06-15", "requests": 2}));
    assert_eq!(ok(&counting, TOTALS)["requests"], 3);
    for (headers, body, status) in [
        (&[json][..], "{\"period\": \"2031\"}", 400),
        (&[json], "{\"period\": \"2016..2015\"}", 400),
        (&[json], "{\"period\": 7}", 400),
        (&[json], "{\"days\": \"today\"}", 400),
        (&[json], "", 400),
        (&[json], &format!("{{\"period\": \"{}\"}}", "x".repeat(5_000)), 413),
        (&[], "{}", 415),
        (&["content-type: application/x-www-form-urlencoded"], "period=today", 415),
    ] {
        let reply = counting.http(roll_up, headers, body);
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
    let wrong = counting.http("GET /api/v1/requests/fold", &[], "");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")), "{wrong:?}");
    counting.stop().await;
}

async fn lists_are_searched_and_paged(backend: Backend) {
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let all = vec![
        series("shop", "GET", "/b", 200, "acme"),
        series("shop", "POST", "/b", 200, "zeta"),
        series("Pay", "GET", "/Basket", 500, ""),
        series("", "GET", "/a", 200, "acme"),
    ];
    count(&counting, all).await;
    let list =
        |name: &str, query: &str| ok(&counting, &format!("GET /api/v1/requests/{name}{query}"));
    let expected = json!([
        {"method": "GET", "path": "/Basket"}, {"method": "GET", "path": "/a"},
        {"method": "GET", "path": "/b"}, {"method": "POST", "path": "/b"},
    ]);
    assert_eq!(list("endpoints", "")["endpoints"], expected);
    let mut paged = Vec::new();
    let mut after = String::new();
    for _ in 0..3 {
        let page = list("endpoints", &format!("?limit=3&after={after}"));
        paged.extend(page["endpoints"].as_array().expect("a list").clone());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(Value::from(paged), expected);
    assert_eq!(list("endpoints", "?search=bask")["endpoints"].as_array().map(Vec::len), Some(1));
    assert_eq!(list("services", "")["services"], json!([{"service": "Pay"}, {"service": "shop"}]));
    assert_eq!(list("customers", "?search=E&limit=1")["customers"], json!([{"customer": "acme"}]));
    let producers = list("producers", "?workers=true&search=TEST");
    assert_eq!(producers["producers"][0]["name"], "a test", "{producers}");
    assert_eq!(producers["producers"][0]["accepted"], 10);
    assert_eq!(producers["setbacks"], json!([]));
    let csv = counting.http("GET /api/v1/requests/services?format=csv&limit=1", &[], "");
    assert_eq!(csv.body, "service\r\nPay\r\n");
    assert!(csv.header("tally-next").is_some(), "{csv:?}");
    counting.stop().await;
}

async fn totals_come_in_pages(backend: Backend) {
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let paths = ["/e", "/d", "/c", "/b", "/a"];
    count(&counting, paths.map(|path| series("s", "GET", path, 200, "c")).to_vec()).await;
    for by in ["hour", "day", "week", "whole"] {
        let query = format!("?live=true&by={by}&group_by=path,customer,status&tz=Asia/Kolkata");
        let all = ok(&counting, &format!("{TOTALS}{query}"))["totals"].clone();
        let (mut paged, mut next, mut left) = (Vec::new(), String::new(), Vec::new());
        for _ in 0..4 {
            let page = ok(&counting, &format!("{TOTALS}{query}&limit=2&after={next}"));
            paged.extend(page["totals"].as_array().expect("a list").clone());
            left.push(page["omitted"]["totals"].as_i64());
            match page["next"].as_str() {
                Some(cursor) => next = cursor.to_owned(),
                None => break,
            }
        }
        assert_eq!(Value::from(paged), all, "{by}");
        assert_eq!(left, [Some(3), Some(1), None], "{by}");
    }
    let top = ok(&counting, &format!("{TOTALS}?live=true&by=whole&sort=count&limit=2"));
    let total = |path: &str, count: i64| json!({"time": null, "method": "GET", "path": path, "count": count});
    assert_eq!(top["totals"], json!([total("/a", 5), total("/b", 4)]));
    assert_eq!((&top["next"], &top["omitted"]["requests"]), (&Value::Null, &json!(6)));
    counting.stop().await;
}
