//! A timeline is drawn with all that is known of it, and with no more rows than a page can have.

use serde_json::{Value, json};
use tally_timelines::Settings;

use super::{HTML, has};
use crate::backend::{Backend, Server, migrated, time};
use crate::doors::Door;

/// What is said of an event: from second to second, and how it ended.
fn event(
    timeline: &str,
    (name, host): (&str, &str),
    from: f64,
    until: Option<f64>,
    status: &str,
) -> Vec<Value> {
    let at = |second: f64| {
        let start = time("2030-06-15T06:00:00Z").as_millisecond();
        let at = jiff::Timestamp::from_millisecond(start + (second * 1_000.0) as i64);
        at.expect("a time").to_string()
    };
    let message = |kind: &str, second| json!({"kind": kind, "context": "deploy", "timeline": timeline, "name": name, "host": host, "time": at(second)});
    let mut said = vec![message("start", from)];
    said.extend(until.map(|until| {
        let mut end = message("end", until);
        end["status"] = status.into();
        end
    }));
    said
}

#[track_caller]
fn say(door: &Door, said: Vec<Value>) {
    let answer = door.ok("POST /api/v1/timelines/batch", &Value::Array(said));
    assert!(!answer.to_string().contains("\"status\""), "{answer}");
}

/// The names of the rows of a page, with how each is folded, in their order.
fn rows(page: &str) -> Vec<String> {
    let table = page.split("<table class=\"gantt\"").nth(1).expect("a table");
    let body = table.split("<tbody>").nth(1).and_then(|rest| rest.split("</tbody>").next());
    let name = |row: &str| {
        let what = row.split("class=\"what\">").nth(1)?.split("</span>").next()?;
        let text = what.split("<bdi dir=\"ltr\">").nth(1)?.split("</bdi>").next()?;
        let fold = match row.split("aria-expanded=\"").nth(1) {
            Some(is) if is.starts_with("true") => "- ",
            Some(_) => "+ ",
            None => "",
        };
        Some(format!("{fold}{text}"))
    };
    body.expect("rows").split("<tr ").filter_map(name).collect()
}

/// Two runs that ended well, and one that goes on.
fn fill(door: &Door) {
    for (label, slower) in [("v1", 1.0), ("v2", 2.0)] {
        let mut said = event(label, ("build.compile", "ci"), 0.0, Some(10.0 * slower), "ok");
        said.extend(event(
            label,
            ("build.test", "ci"),
            10.0 * slower,
            Some(10.0 * slower + 5.0),
            "ok",
        ));
        said.extend(event(label, ("gone", ""), 0.0, Some(1.0), "ok"));
        say(door, said);
    }
    let mut said = event("v3", ("build.compile", "ci"), 0.0, Some(12.0), "ok");
    said.extend(event("v3", ("build.test", "ci"), 12.0, Some(30.0), "failed"));
    said.extend(event("v3", ("build.docs", "ci"), 12.0, Some(13.0), "skipped"));
    said.extend(event("v3", ("roll-out", "web-1"), 30.0, None, ""));
    // Its clock is two minutes ahead.
    said.extend(event("v3", ("late", "web-2"), 180.0, Some(170.0), "ok"));
    say(door, said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeline_is_drawn_as_it_is_asked_for() {
    let backend = Backend::sqlite("drawn").await.expect("SQLite is always there");
    let door = Door::open(&backend.one).await;
    backend.set("2030-06-15T06:01:00Z");
    fill(&door);
    let page = door.page("/timelines/deploy/newest");
    has(
        &page,
        &["<title>deploy 3: open", "runs for", "build", "/export?format=svg", "Nothing is shifted"],
    );
    has(&page, &["web-2", "1 min 50 s ahead of the server"]);
    assert_eq!(rows(&page), ["- build", "compile", "docs", "test", "roll-out", "late"], "{page}");
    has(
        &page,
        &[
            "from 10.0 s to 20.0 s, of 2 timelines",
            "<path class=\"cross\"",
            "<path class=\"on\"",
            "<rect class=\"usual\"",
        ],
    );
    let folded = door.page("/timelines/deploy/3?fold=build");
    assert_eq!(rows(&folded), ["+ build", "roll-out", "late"]);
    has(&folded, &["Of 6 rows, 3 are folded"]);
    let critical = door.page("/timelines/deploy/3?only=critical");
    assert!(!rows(&critical).contains(&"docs".to_owned()), "{critical}");
    let early = door.page("/timelines/deploy/3?to=11");
    assert_eq!(rows(&early), ["- build", "compile"], "{early}");
    has(&early, &["4 are not in this time", "from=5.5&amp;to=16.5\">Later", "Zoom out"]);
    let hosts = door.page("/timelines/deploy/3?by=host");
    assert_eq!(rows(&hosts)[0], "- ci", "{hosts}");
    let number = page
        .split("event=")
        .nth(1)
        .and_then(|rest| rest.split(['#', '"']).next())
        .expect("an event");
    let detail = door.page(&format!("/timelines/deploy/3?event={number}"));
    has(
        &detail,
        &["class=\"detail\"", "15 Jun 2030 06:00:00 UTC", "Zoom to it", "/durations/build.compile"],
    );
    let beside = door.page("/timelines/deploy/3?with=v2");
    has(
        &beside,
        &["In 2", "20.0 s", "\u{2212}8.0 s", "Only in 2: <bdi dir=\"ltr\">gone", "timeline other"],
    );
    door.every_link_leads_somewhere(&[&page, &folded, &critical, &early, &hosts, &detail, &beside]);
    // Only what is open makes another page of the same events.
    let headers = |known: &str| door.ask("GET /timelines/deploy/2", &[HTML, known], &Value::Null);
    let tag = headers("x-none: 1").header("etag").expect("a tag").to_owned();
    assert_eq!(headers(&format!("if-none-match: {tag}")).status, 304);
    door.close().await;
}

/// 10,000 events, in a hierarchy and flat: pages are bounded, and say what they leave out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_are_a_page_that_can_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let server = Server::with(&migrated(&url).await, &Settings::default());
    let door = Door::open(&server).await;
    for (label, of_name) in [("deep", "part {}.step {}"), ("flat", "step {}-{}")] {
        for batch in 0..20 {
            let name = |at: usize| {
                of_name.replacen("{}", &(at % 20).to_string(), 1).replacen("{}", &at.to_string(), 1)
            };
            let one = |at: usize| {
                let from = at as f64 / 10.0;
                event(label, (&name(at), "h"), from, Some(from + 3.0), "ok")
            };
            say(&door, (batch * 500..(batch + 1) * 500).flat_map(one).collect());
        }
    }
    let deep = door.page("/timelines/deploy/deep");
    assert_eq!(rows(&deep).len(), 20);
    has(&deep, &["Of 10,020 rows, 10,000 are folded"]);
    let part = door.page("/timelines/deploy/deep?unfold=part%203");
    assert_eq!(rows(&part).len(), 200);
    has(&part, &["320 are not drawn"]);
    let flat = door.page("/timelines/deploy/flat");
    assert_eq!(rows(&flat).len(), 200);
    has(&flat, &["9,800 are not drawn"]);
    let close = door.page("/timelines/deploy/flat?from=100&to=102");
    assert!(rows(&close).len() < 100 && !close.contains("are not drawn"), "{}", rows(&close).len());
    for page in [deep, part, flat, close] {
        assert!(page.len() < 500_000, "{} bytes", page.len());
    }
    door.close().await;
}
