//! The pages say what the API says, and lead to it.

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::rule::Limit;
use tally_proto::tally::requests::v1::rule_service_server::RuleService as _;
use tally_runtime::Clock as _;
use tally_testkit::Response;

use crate::add::on_sqlite;
use crate::backend::{Backend, NOW, TODAY, at, day, one_day};
use crate::conformance::on_every_backend;
use crate::record::drops;
use crate::recording::Recording;
use crate::rules::asked;
use crate::server::{Counting, settings};

on_every_backend!(crate::pages:
    pages_agree_with_the_api,
    pages_say_what_is_missing,
);

const HTML: &[&str] = &["accept: text/html"];
const HOUR: i64 = 3_600_000_000;

/// Requests of two services over three days and both sides of midnight, from the client on a stream.
async fn count(counting: &Counting) -> Recording {
    let series = |service: &str, path: &str, status, customer: &str| proto::Series {
        service: service.into(),
        method: "GET".into(),
        path: path.into(),
        status,
        customer: customer.into(),
    };
    let mut stream = Recording::start(counting).await;
    stream.send(proto::Batch {
        sequence: 1,
        series: vec![
            series("shop", "/a", 200, "acme"),
            series("shop", "/a", 503, ""),
            series("search", "/b", 404, "acme"),
        ],
        number: vec![0, 1, 2, 0, 1],
        // Each from the one before.
        time_delta: vec![at(NOW) - 50 * HOUR, 20 * HOUR, 10 * HOUR, 10 * HOUR, 10 * HOUR],
        requests: vec![1, 20, 300, 4_000, 50_000],
        count: 5,
        ..Default::default()
    });
    stream.acknowledged(1).await.expect("stored");
    stream
}

#[track_caller]
fn page(counting: &Counting, path: &str) -> Response {
    let reply = counting.http(&format!("GET {path}"), HTML, "");
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply
}

/// The text between two others.
#[track_caller]
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let start = text.find(before).unwrap_or_else(|| panic!("{before} is not in {text}"));
    text[start + before.len()..].split(after).next().unwrap_or_default()
}

/// The number on a page.
#[track_caller]
fn total(page: &Response) -> i64 {
    let text = between(&page.body, "id=\"total\">", "<").replace(',', "");
    text.parse().expect("a number")
}

/// What a CSV sums up to.
#[track_caller]
fn sum(csv: &str) -> i64 {
    let counts = csv.lines().skip(1).map(|line| line.rsplit(',').next().unwrap_or_default());
    counts.map(|count| count.parse::<i64>().expect("a count")).sum()
}

/// Where the links of a page lead to that have this in them.
fn links(page: &Response, part: &str) -> Vec<String> {
    let hrefs = page.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    hrefs.filter(|href| href.contains(part)).map(|href| href.replace("&amp;", "&")).collect()
}

/// All that is seen can be had as CSV, and adds up to the same number: rows, days or months, in any zone.
async fn pages_agree_with_the_api(backend: Backend) {
    let counting = Counting::on(backend.database.clone(), settings()).await;
    count(&counting).await.finish().await.expect("a good end");
    let store = counting.service.store();
    let asked = [
        ("?range=7d", 54_321),
        ("?range=today", 54_000),
        ("?range=today&tz=Asia/Kolkata", 54_000),
        ("?range=7d&tz=America/St_Johns&by=day", 54_321),
        ("?range=7d&service=shop&status=5xx", 50_020),
        ("?range=30d&path_prefix=/b", 300),
        ("?from=2030-06-14&to=2030-06-14", 320),
    ];
    for state in ["rows", "folded", "rolled up"] {
        match state {
            "folded" => drop(store.fold().await.expect("folds")),
            "rolled up" => drop(store.roll_up(one_day("2030-06-13")).await.expect("rolls up")),
            _ => {}
        }
        for (query, expected) in asked {
            let page = page(&counting, &format!("/requests{query}"));
            assert_eq!(total(&page), expected, "{query}, {state}");
            let links = links(&page, "/api/v1/requests/totals");
            assert!(links.len() >= 3, "{links:?}");
            for link in links {
                let csv = counting.http(&format!("GET {link}"), &[], "");
                assert_eq!(csv.status, 200, "{link}: {csv:?}");
                assert_eq!(sum(&csv.body), expected, "{link}, {state}");
            }
        }
        // One that is cached is asked for by its tag.
        let whole = page(&counting, "/requests?range=7d");
        let tag = whole.header("etag").expect("a tag").to_owned();
        let again = counting.http(
            "GET /requests?range=7d",
            &["accept: text/html", &format!("if-none-match: {tag}")],
            "",
        );
        assert_eq!((again.status, &*again.body), (304, ""), "{state}");
    }
    counting.stop().await;
}

/// Drops of clients make a range short; one without them is complete.
async fn pages_say_what_is_missing(backend: Backend) {
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let mut stream = count(&counting).await;
    let complete = page(&counting, "/requests");
    assert!(complete.body.contains(">Complete<"), "{}", complete.body);
    stream.send(drops(2, &[(day(TODAY).0, 1_234)]));
    stream.acknowledged(2).await.expect("stored");
    stream.finish().await.expect("a good end");
    for path in ["/requests", "/requests?range=today", "/requests/producers", "/"] {
        let page = page(&counting, path);
        assert!(page.body.contains("Short by 1,234"), "{path}: {}", page.body);
    }
    let other = page(&counting, "/requests?from=2030-05-01&to=2030-05-31");
    assert!(other.body.contains(">Complete<"), "{}", other.body);
    counting.stop().await;
}

/// Requests without a service or a customer, or without a status, are chosen like any others, by the link that
/// a ranking has.
#[tokio::test(flavor = "multi_thread")]
async fn none_is_chosen_as_a_name_is() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let series = |service: &str, status, customer: &str| proto::Series {
        method: "GET".into(),
        path: "/a".into(),
        service: service.into(),
        status,
        customer: customer.into(),
    };
    let mut stream = Recording::start(&counting).await;
    stream.send(proto::Batch {
        sequence: 1,
        series: vec![series("shop", 200, "acme"), series("", 200, "acme"), series("shop", 0, "")],
        number: vec![0, 1, 2],
        time_delta: vec![at(NOW) - 3, 1, 1],
        requests: vec![1, 20, 300],
        count: 3,
        ..Default::default()
    });
    stream.acknowledged(1).await.expect("stored");
    stream.finish().await.expect("a good end");
    let all = page(&counting, "/requests");
    assert_eq!(total(&all), 321);
    for (query, expected) in [("?service=", 20), ("?customer=", 300), ("?status=0", 300)] {
        let link = format!("/requests{query}");
        assert!(links(&all, &link).contains(&link), "{link}: {}", all.body);
        let chosen = page(&counting, &link);
        assert_eq!(total(&chosen), expected, "{link}");
        let csv = links(&chosen, "/api/v1/requests/totals").remove(0);
        assert_eq!(sum(&counting.http(&format!("GET {csv}"), &[], "").body), expected, "{csv}");
    }
    // As the form says that nothing is chosen.
    assert_eq!(total(&page(&counting, "/requests?any=service&service=")), 321);
    counting.stop().await;
}

/// The snippet of the empty page counts each time that it is pasted, whatever body it has.
#[tokio::test(flavor = "multi_thread")]
async fn the_snippet_counts_whenever_it_is_pasted() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let first = page(&counting, "/requests").body;
    let code = between(&first, "<code>curl ", "</code>").replace("&quot;", "\"");
    let mut keys = Vec::new();
    for (at, path) in ["/hello", "/other"].into_iter().enumerate() {
        // The command says what it was given. `RANDOM` is what some shells have; the time is another soon.
        let script = format!(
            "RANDOM={at}; curl() {{ printf '%s\\n' \"$@\"; }}; curl {}",
            code.replace("/hello", path)
        );
        let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("sh");
        let said = String::from_utf8(output.stdout).expect("a text");
        let words: Vec<_> = said.lines().collect();
        let [_, "-H", kind, "-H", key, "-d", body] = *words else { panic!("{said:?}") };
        let posted = counting.http("POST /api/v1/requests", &[kind, key], body);
        assert_eq!(posted.status, 200, "{posted:?}");
        keys.push(key.to_owned());
    }
    assert_ne!(keys[0], keys[1]);
    assert_eq!(total(&page(&counting, "/requests")), 2);
    counting.stop().await;
}

/// Rules and how they stand; one that fires is on the overview, and leads to what it is about.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_fires_is_seen_at_once() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let none = page(&counting, "/requests/rules");
    assert!(none.body.contains("There are no rules yet"), "{}", none.body);
    for (name, limit) in [("<b>errors", Limit::Above(10)), ("silence", Limit::Below(1))] {
        let rule = proto::Rule {
            name: name.into(),
            services: vec!["shop".into()],
            status_classes: vec![5],
            limit: Some(limit),
            window_minutes: 90,
            ..Default::default()
        };
        let request = proto::AddRuleRequest { rule: Some(rule) };
        counting.service.add_rule(asked(request)).await.expect("added");
    }
    let fine = page(&counting, "/requests/rules");
    assert!(fine.body.contains("No rule fires"), "{}", fine.body);
    count(&counting).await.finish().await.expect("a good end");
    // The server may have judged by itself a moment ago.
    counting.clock.set(counting.clock.now() + jiff::SignedDuration::from_secs(61));
    counting.service.judge().tick().await.expect("judged");
    let rules = page(&counting, "/requests/rules");
    for text in [
        "1 rule fires",
        "&lt;b&gt;errors",
        "more than 10 requests in 90 minutes",
        "Fires since 15 Jun 2030 12:01 UTC",
        "fewer than 1 request",
    ] {
        assert!(rules.body.contains(text), "{text}: {}", rules.body);
    }
    assert!(page(&counting, "/").body.contains("1 rule fires"));
    let about = links(&rules, "status=5xx").remove(0);
    assert_eq!(total(&page(&counting, &about)), 50_000, "{about}");
    counting.stop().await;
}

/// A page is for people: nothing of it is inline, from elsewhere or guessed.
#[tokio::test(flavor = "multi_thread")]
async fn pages_forbid_what_they_do_not_need() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let first = page(&counting, "/requests");
    assert!(first.body.contains("Count the first request"), "{}", first.body);
    count(&counting).await.finish().await.expect("a good end");
    for path in [
        "/",
        "/requests",
        "/requests/endpoint?method=GET&path=/a",
        "/requests/producers",
        "/requests/rules",
        "/about",
    ] {
        let page = page(&counting, path);
        let policy = page.header("content-security-policy").expect("a policy").to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(!page.body.contains(" style=") && !page.body.contains("<script>"), "{path}");
        for asset in links(&page, "/static/") {
            let asset = counting.http(&format!("GET {asset}"), &[], "");
            assert_eq!(asset.status, 200, "{asset:?}");
            let kept = asset.header("cache-control").expect("a rule");
            assert!(kept.contains("immutable"), "{kept}");
        }
    }
    // Programs get what they always got.
    let text = counting.http("GET /", &["accept: */*"], "");
    assert!(text.body.contains("count.v1.CountService"), "{}", text.body);
    counting.stop().await;
}

/// Every mistake of an address is on the page that refuses it, and nothing of it is markup.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_for_is_said() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let line = "GET /requests?from=%3Cb%3E&tz=Berlin&status=9xx&nothing=1";
    let refused = counting.http(line, HTML, "");
    assert_eq!(refused.status, 400, "{refused:?}");
    for text in ["&lt;b&gt;", "Europe/Berlin", "5xx", "nothing"] {
        assert!(refused.body.contains(text), "{text}: {}", refused.body);
    }
    assert!(!refused.body.contains("<b>"), "{}", refused.body);
    // One endpoint's page is of one, and the pages of producers and rules take nothing.
    for path in [
        "/requests/endpoint",
        "/requests/endpoint?method=GET",
        "/requests/endpoint?path=/a",
        "/requests/producers?frob=1",
        "/requests/rules?frob=1",
    ] {
        let refused = counting.http(&format!("GET {path}"), HTML, "");
        assert_eq!(refused.status, 400, "{path}: {refused:?}");
    }
    let unknown = counting.http("GET /nowhere/%3Cb%3E", HTML, "");
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert!(unknown.body.contains("There is no such page") && !unknown.body.contains("<b>"));
    counting.stop().await;
}
