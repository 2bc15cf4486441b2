//! The pages of timelines: how they look, that they follow what happens, and that they need no script.

use serde_json::{Value, json};
use tally_runtime::{Clock as _, SystemClock};
use tally_testkit::http;

use crate::clean::{check, looks};
use crate::driver::{Browser, Look};
use crate::support::{Home, Server};

/// The pages, and what their pictures are called.
const PAGES: &[(&str, &str)] = &[
    ("timelines", "/timelines"),
    ("timelines-none", "/timelines?search=nothing"),
    ("timelines-context", "/timelines/deploy"),
    ("timelines-hostile", "/timelines/%3Cb%3Ex%3C%2Fb%3E"),
    ("timelines-durations", "/timelines/deploy/durations/db.migrate"),
    ("timelines-overview", "/"),
    ("timeline", "/timelines/deploy/newest"),
    ("timeline-hosts", "/timelines/deploy/newest?by=host"),
    ("timeline-critical", "/timelines/deploy/13?only=critical"),
    ("timeline-event", "/timelines/deploy/13?event=4&from=5&to=70"),
    ("timeline-beside", "/timelines/deploy/13?with=build%205"),
    ("timeline-hostile", "/timelines/%3Cb%3Ex%3C%2Fb%3E/newest?event=1"),
];

/// Sends what is said in batches.
#[track_caller]
fn say(server: &Server, messages: &[Value]) {
    for batch in messages.chunks(1_000) {
        let body = Value::Array(batch.to_vec()).to_string();
        let headers = ["content-type: application/json"];
        let answer = http(&server.url, "POST /api/v1/timelines/batch", &headers, &body);
        assert!(answer.status == 200 && !answer.body.contains("refusal\":{"), "{answer:?}");
    }
}

/// What is said of one timeline.
struct Told<'a> {
    context: &'a str,
    timeline: String,
    /// When it begins, in seconds before now.
    ago: f64,
    said: Vec<Value>,
}

// === impl Told ===

impl<'a> Told<'a> {
    fn new(context: &'a str, timeline: impl Into<String>, ago: f64) -> Self {
        Self { context, timeline: timeline.into(), ago, said: Vec::new() }
    }

    fn tell(&mut self, kind: &str, (name, host): (&str, &str), at: f64, more: &Value) {
        let now = SystemClock.now().as_millisecond();
        let millis = now - ((self.ago - at) * 1_000.0) as i64;
        let time = jiff::Timestamp::from_millisecond(millis).expect("a time").to_string();
        let mut said = json!({"kind": kind, "context": self.context, "timeline": self.timeline,
            "name": name, "host": host, "time": time});
        let more = more.as_object().cloned().unwrap_or_default();
        said.as_object_mut().expect("members").extend(more);
        self.said.push(said);
    }

    /// An event that ends with a status, or is open.
    fn event(&mut self, of: (&str, &str), from: f64, until: Option<f64>, status: &str) {
        self.tell("start", of, from, &json!({}));
        if let Some(until) = until {
            self.tell("end", of, until, &json!({"status": status}));
        }
    }
}

/// A deployment with everything that there is to see: it waits, fails, is skipped, and goes on.
fn deployment(number: u32, ago: f64, slower: f64, is_over: bool) -> Vec<Value> {
    let mut told = Told::new("deploy", format!("build {number}"), ago);
    let at = |second: f64| second * slower;
    told.tell("start", ("queue", "ci-1"), 0.0, &json!({"phase": "waiting"}));
    told.tell("end", ("queue", "ci-1"), at(8.0), &json!({}));
    told.event(("build.checkout", "ci-1"), at(8.0), Some(at(11.0)), "ok");
    told.event(("build.compile", "ci-1"), at(11.0), Some(at(42.0)), "ok");
    told.event(("build.test.unit", "ci-1"), at(42.0), Some(at(61.0)), "ok");
    if number % 4 == 1 {
        told.event(("build.test.browser", "ci-2"), at(42.0), Some(at(58.0)), "failed");
    }
    told.event(("build.test.browser", "ci-2"), at(59.0), Some(at(75.0)), "ok");
    told.event(("build.docs", "ci-2"), at(42.0), Some(at(42.0)), "skipped");
    told.tell("point", ("tagged", ""), at(76.0), &json!({"attributes": {"tag": "v1.7"}}));
    told.tell("start", ("db.migrate", "web-1"), at(77.0), &json!({"phase": "waiting"}));
    told.tell("phase", ("db.migrate", "web-1"), at(82.0), &json!({"phase": "working"}));
    told.tell("end", ("db.migrate", "web-1"), at(96.0), &json!({"attributes": {"rows": "120000"}}));
    for host in ["web-1", "web-2", "web-3"] {
        let late = if host == "web-2" { 4.0 } else { 0.0 };
        told.event(
            (&format!("roll out.{host}.drain"), host),
            at(96.0 + late),
            Some(at(99.0 + late)),
            "ok",
        );
        let until = (is_over || host == "web-1").then_some(at(118.0 + late));
        told.event((&format!("roll out.{host}.start"), host), at(99.0 + late), until, "ok");
    }
    told.said
}

/// A server with timelines of every kind.
#[track_caller]
fn open(home: &Home) -> Server {
    let server = home.serve(&[]);
    for number in 1..=12 {
        let ago = 4_000.0 * f64::from(13 - number);
        let slower = 1.0 + f64::from(number * number % 7) / 20.0;
        let mut said = deployment(number, ago, slower, true);
        if number == 5 {
            let mut failed = Told::new("deploy", "build 5", ago);
            failed.event(("smoke", "ci-1"), 130.0, Some(140.0), "failed");
            said.extend(failed.said);
        }
        say(&server, &said);
    }
    say(&server, &deployment(13, 130.0, 1.0, false));
    let mut nightly = Told::new("nightly", "", 90_000.0);
    nightly.event(("backup.dump", "db-1"), 0.0, Some(3_000.5), "ok");
    nightly.event(("backup.copy to the second site", "db-1"), 3_000.5, Some(9_000.0), "ok");
    say(&server, &nightly.said);
    let mut hostile = Told::new("<b>x</b>", "\"><img src=x>\u{202e}", 60.0);
    let long = format!("{}.{}", "Größe-".repeat(30), "日本語".repeat(25));
    hostile.event((&long, &"h".repeat(255)), 0.0, Some(20.0), "failed");
    hostile.event(("<script>alert(1)</script>.\u{202e}gnp", "<img src=x>"), 1.0, Some(0.5), "ok");
    hostile.event(("سوق.🚀", ""), 3.0, None, "ok");
    hostile.tell("end", ("only its end", ""), 9.0, &json!({}));
    say(&server, &hostile.said);
    server
}

#[test]
fn every_page_of_timelines_is_clean_in_every_look() {
    let home = Home::sqlite();
    let server = open(&home);
    let browser = Browser::start();
    for look in looks() {
        browser.look(look);
        for (name, path) in PAGES {
            browser.open(&format!("{}{path}", server.url));
            browser.run("document.querySelectorAll('details').forEach(one => { one.removeAttribute('name'); one.open = true })");
            check(&browser, name, look);
            browser.picture(name, look);
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}, {look:?}");
            let strange = "document.querySelectorAll('main script, main img, main b').length";
            assert_eq!(browser.text(strange), "0", "{name}");
        }
    }
}

#[test]
fn an_empty_list_of_timelines_says_how_to_begin() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let browser = Browser::start();
    for look in looks() {
        browser.look(look);
        for (name, path) in [("timelines-first", "/timelines"), ("timelines-first-overview", "/")] {
            browser.open(&format!("{}{path}", server.url));
            check(&browser, name, look);
            browser.picture(name, look);
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}, {look:?}");
        }
    }
    // What stands there to be pasted works.
    browser.open(&format!("{}/timelines", server.url));
    let first = browser.text("document.querySelector('pre').textContent.split('\\n')[0]");
    server.ok(&first.split(' ').skip(1).collect::<Vec<_>>());
    browser.await_that("document.querySelector('h1').textContent === 'Timelines'");
    browser.await_that("document.querySelector('.contexts .badge').textContent === 'open'");
    server.ok(&["timelines", "end", "deploy", "db.migrate"]);
    browser.await_that("document.querySelector('.contexts .badge').textContent === 'ok'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Without a script, what is listed leads on, and a search finds.
#[test]
fn lists_of_timelines_need_no_script() {
    let home = Home::sqlite();
    let server = open(&home);
    let browser = Browser::start();
    browser.look(Look { has_scripts: false, ..Look::USUAL });
    browser.open(&format!("{}/timelines", server.url));
    browser.run("document.querySelector('[name=search]').value = 'DEPL'");
    browser.run("document.querySelector('.search button').click()");
    browser.await_that("document.querySelectorAll('.contexts tbody tr').length === 1");
    browser.run("document.querySelector('.contexts tbody a').click()");
    browser.await_that("location.pathname === '/timelines/deploy'");
    assert_eq!(browser.text("document.querySelectorAll('.timelines tbody tr').length"), "13");
    browser.run("document.querySelector('.usual tbody a').click()");
    browser.await_that("location.pathname.startsWith('/timelines/deploy/durations/')");
    browser.await_that("document.querySelectorAll('tbody tr').length === 13");
}

/// What runs is seen to grow, without a reload, and to end.
#[test]
fn bars_grow_while_somebody_looks() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["timelines", "start", "deploy", "db.migrate"]);
    let browser = Browser::start();
    browser.open(&format!("{}/timelines/deploy/newest", server.url));
    let took =
        "document.querySelector('.gantt tbody tr:last-child .number:not(.began)').textContent";
    browser.run(&format!("window.isTheSame = true; window.first = {took}"));
    browser.await_that(&format!("{took} !== window.first && {took}.includes('so far')"));
    browser.await_that("!!document.querySelector('.gantt .on')");
    // A second one gets half of the room.
    server.ok(&["timelines", "start", "deploy", "switch"]);
    browser.await_that("document.querySelectorAll('.gantt .timeline').length === 3");
    server.ok(&["timelines", "end", "deploy", "db.migrate"]);
    server.ok(&["timelines", "end", "deploy", "switch", "--status", "failed"]);
    browser.await_that("document.querySelectorAll('.gantt tbody .on').length === 0");
    browser.await_that("document.querySelectorAll('.gantt tbody .cross').length === 1");
    browser.await_that("document.querySelector('h1 .badge').textContent === 'failed'");
    assert_eq!(browser.text("window.isTheSame"), "true");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Without a script, and without a mouse, rows fold, time is looked at closely, and timelines are side by side.
#[test]
fn a_timeline_needs_no_script_and_no_mouse() {
    const ENTER: char = '\u{e007}';
    let home = Home::sqlite();
    let server = open(&home);
    let browser = Browser::start();
    browser.look(Look { has_scripts: false, ..Look::USUAL });
    browser.open(&format!("{}/timelines/deploy/13", server.url));
    let all = browser.text("document.querySelectorAll('.gantt tbody tr').length");
    let press = |link: &str| {
        browser.await_that(&format!("!!({link})"));
        browser.run(&format!("({link}).focus()"));
        browser.press(ENTER);
    };
    let named = |text: &str| {
        format!(
            "[...document.querySelectorAll('.controls a, .actions a, .controls button')].find(one => one.textContent === '{text}')"
        )
    };
    press(
        "[...document.querySelectorAll('a.fold')].find(one => one.textContent.includes('Fold build'))",
    );
    browser.await_that("location.search === '?fold=build' && location.hash.startsWith('#r')");
    browser.await_that(&format!("document.querySelectorAll('.gantt tbody tr').length < {all}"));
    press("document.querySelector('a.fold[aria-expanded=false]')");
    browser.await_that("location.search === ''");
    browser.await_that(&format!("document.querySelectorAll('.gantt tbody tr').length === {all}"));
    press("[...document.querySelectorAll('.what a')].find(one => one.textContent === 'compile')");
    browser.await_that("document.querySelector('.detail').textContent.includes('build.compile')");
    press(&named("Zoom to it"));
    browser.await_that("location.search.includes('from=4.8&to=48.2')");
    press(&named("Whole"));
    press(&named("By host"));
    browser.await_that("document.querySelectorAll('.gantt .host').length === 6");
    press(&named("Compare"));
    browser.await_that("document.querySelectorAll('.gantt .other').length > 5");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn ten_thousand_events_are_a_page() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let mut told = Told::new("many", "", 2_000.0);
    for at in 0..10_000 {
        let (name, from) = (format!("part {}.step {at}", at % 150), f64::from(at) / 5.0);
        told.event((&name, "host"), from, Some(from + f64::from(at % 97)), "ok");
    }
    say(&server, &told.said);
    let browser = Browser::start();
    for look in looks() {
        browser.look(look);
        for (name, query) in
            [("timeline-many", ""), ("timeline-many-beyond", "?unfold=part%207&unfold=part%208")]
        {
            let begun = std::time::Instant::now();
            browser.open(&format!("{}/timelines/many/newest{query}", server.url));
            println!("{name} opened in {:?}", begun.elapsed());
            check(&browser, name, look);
            browser.picture(name, look);
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}, {look:?}");
        }
    }
}
