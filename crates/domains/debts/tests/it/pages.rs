//! The pages say what the API says, of the caller's namespace only, and forms tell all mistakes at their fields.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use tally_access::{Key, Keys, Scope, Secret, Store};
use tally_debts::Settings;
use tally_runtime::{Drain, Namespace, Tasks};
use tally_serve::{Access, Listener, Started};
use tally_testkit::{Response, http};

use crate::backend::{Backend, HOOK, Server, migrated, open, time};
use crate::debts::on_every_backend;

on_every_backend!(
    the_board_and_a_debt_say_how_things_stand,
    a_debt_says_what_happened_and_who_was_told,
    forms_and_buttons_do_what_they_say,
);

const HTML: &str = "accept: text/html";
const JSON: &str = "content-type: application/json";
const FORM: &str = "content-type: application/x-www-form-urlencoded";

/// A server's own port, until its drain begins.
struct Door {
    address: String,
    drain: Drain,
    tasks: Tasks,
}

// === impl Door ===

impl Door {
    async fn open(server: &Server, access: Access) -> Self {
        let (drain, tasks) = (Drain::new(), Tasks::new());
        let started = Started {
            name: "debts",
            running: Arc::new(server.service.clone()),
            doors: server.service.doors(),
            tasks: Tasks::new(),
        };
        let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.address().to_string();
        let opened = tally_serve::Server::open("a test", "", vec![started], &drain).await;
        let opened = opened.expect("no sockets").guarded(access, Arc::clone(&server.clock) as _);
        let until = drain.clone();
        tasks.spawn("server", async move {
            let probe = || async { Ok(()) };
            opened.run(listener, probe, &until).await.expect("it serves");
        });
        Self { address, drain, tasks }
    }

    /// Ends what serves; the service goes on.
    async fn close(self) {
        self.drain.begin();
        self.tasks.finished().await;
    }

    #[track_caller]
    fn ask(&self, line: &str, headers: &[&str], body: &str) -> Response {
        http(&self.address, line, headers, body)
    }

    #[track_caller]
    fn page(&self, path: &str) -> String {
        let answer = self.ask(&format!("GET {path}"), &[HTML], "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    #[track_caller]
    fn json(&self, line: &str, body: &serde_json::Value) {
        let answer = self.ask(line, &[JSON], &body.to_string());
        assert!((200..300).contains(&answer.status), "{line}: {answer:?}");
    }

    /// Sends a form, and says where it leads.
    #[track_caller]
    fn send(&self, path: &str, form: &str) -> Result<String, Response> {
        let answer = self.ask(&format!("POST {path}"), &[FORM, HTML], form);
        match answer.status {
            303 => Ok(answer.header("location").expect("a place").to_owned()),
            _ => Err(answer),
        }
    }
}

#[track_caller]
fn has(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

/// The debts of a board, in their order, each with how it stands.
fn rows(page: &str) -> Vec<(String, String)> {
    let row = |row: &str| {
        let slug = row.split("href=\"/debts/").nth(1)?.split('"').next()?;
        let badge = row.split("class=\"badge ").nth(1)?.split('"').next()?;
        Some((slug.to_owned(), badge.to_owned()))
    };
    page.split("<tr>").filter_map(row).collect()
}

/// At 07:20: `failing` failed, `beat` is late, `backup` was paid, and `old` is paused.
async fn fill(server: &Server, door: &Door) {
    let add = |debt: serde_json::Value| door.json("POST /api/v1/debts", &debt);
    let hook = format!("{HOOK}s3cret");
    add(json!({"slug": "backup", "name": "Nightly <b>", "tags": ["db"], "cron": "0 3 * * *",
        "time_zone": "Europe/Berlin", "grace": "1h", "notify": [hook]}));
    add(json!({"slug": "beat", "every": "1h", "grace": "30m"}));
    add(json!({"slug": "failing", "run_limit": "10m", "notify": [hook]}));
    add(json!({"slug": "old", "every": "1d"}));
    door.json("POST /api/v1/debts/old/pause", &json!({}));
    let pay = |debt: &str, payment: serde_json::Value| {
        door.json(&format!("POST /api/v1/debts/{debt}/payments"), &payment);
    };
    for (at, run, kind) in [
        ("06:01:00", "a", "start"),
        ("06:04:05", "a", "success"),
        ("06:10:00", "b", "start"),
        ("06:11:00", "b", "fail"),
        ("07:19:00", "c", "start"),
    ] {
        server.clock.set(time(at));
        pay("failing", json!({"kind": kind, "run": run, "body": "<i>\u{202e}out</i>\nend"}));
    }
    server.clock.set(time("07:20:00"));
    pay("backup", json!({}));
}

#[track_caller]
fn every_link_leads_somewhere(door: &Door, pages: &[String]) {
    let links = |page: &String| -> Vec<String> {
        let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let own = links.filter(|link| link.starts_with('/') && !link.starts_with("/static"));
        own.map(|link| link.replace("&amp;", "&")).collect()
    };
    for link in pages.iter().flat_map(links).collect::<BTreeSet<_>>() {
        door.page(&link);
    }
}

async fn the_board_and_a_debt_say_how_things_stand(backend: &Backend) {
    let server = &backend.one;
    let door = Door::open(server, Access::Anyone).await;
    has(&door.page("/debts"), &["Add the first debt", "tally debts add backup", "/debts/new/form"]);
    has(&door.page("/"), &["There are none yet"]);
    fill(server, &door).await;
    let board = door.page("/debts");
    let expected = [("failing", "down"), ("beat", "late"), ("backup", "up"), ("old", "idle")];
    let stands = |(slug, badge): &(&str, &str)| ((*slug).to_owned(), (*badge).to_owned());
    assert_eq!(rows(&board), expected.iter().map(stands).collect::<Vec<_>>(), "{board}");
    has(&board, &["Nightly &lt;b&gt;", "Europe/Berlin", "due <time", "overdue <time", "in 10 min"]);
    for (query, slugs) in [
        ("status=down", &["failing"][..]),
        ("status=late", &["beat"]),
        ("status=late&search=x", &[]),
        ("status=up", &["backup"]),
        ("status=new", &[]),
        ("status=paused", &["old"]),
        ("search=NIGHT", &["backup"]),
        ("tag=db", &["backup"]),
        ("tag=none", &[]),
    ] {
        let shown: Vec<_> = rows(&door.page(&format!("/debts?{query}")));
        let shown: Vec<_> = shown.iter().map(|(slug, _)| &**slug).collect();
        assert_eq!(shown, slugs, "{query}");
    }
    let wrong = door.ask("GET /debts?status=bad&after=x&more=1", &[HTML], "");
    assert_eq!(wrong.status, 400);
    has(&wrong.body, &["<code><bdi dir=\"ltr\">status", ">after<", ">more<"]);
    let list = door.ask("GET /debts", &[], "").body;
    assert!(list.starts_with('['), "who does not ask for a page has a list: {list}");
    let late = door.page("/debts?status=late");
    has(&late, &["href=\"/api/v1/debts?format=csv&amp;limit=1000&amp;status=late\""]);
    let glance = door.page("/");
    assert!(!glance.contains("href=\"/debts/backup\""), "only what is overdue is named: {glance}");
    has(&glance, &["1 overdue", "href=\"/debts/failing\"", "status=late\">1 late</a>"]);
    let one = door.page("/debts/failing");
    has(
        &one,
        &[
            "failing is down",
            "class=\"badge down\"",
            "it failed",
            "Median <strong>2 min 2 s</strong>, from 60 s to 3 min 5 s",
            "Run 2 b: failed after 60 s",
            "Run 3 c: open after 60 s",
            "&lt;i&gt;",
            "U+202E",
            "hooks.example.com",
            "is to be told at",
            "tally debts run failing",
            "/api/v1/debts/failing/payments?format=csv",
        ],
    );
    assert!(!one.contains("s3cret") && !one.contains("<i>"), "{one}");
    let slots = door.page("/debts/backup");
    let days: Vec<_> =
        (16..21).map(|day| format!("{day} Jun 2030 03:00:00 Europe/Berlin")).collect();
    has(&slots, &days.iter().map(String::as_str).collect::<Vec<_>>());
    has(&slots, &["0 3 * * *  TALLY_SERVER=http://"]);
    // Its number leads to the same page.
    assert_eq!(door.page("/debts/1"), slots);
    every_link_leads_somewhere(&door, &[board, one, slots, door.page("/debts/old")]);
    // Programs get JSON at the same addresses.
    let program = door.ask("GET /debts/failing", &[], "");
    assert!(program.body.starts_with('{') && program.status == 200, "{program:?}");
    assert_eq!(door.ask("GET /debts/none", &[HTML], "").status, 404);
    door.close().await;
}

async fn a_debt_says_what_happened_and_who_was_told(backend: &Backend) {
    let server = &backend.one;
    let door = Door::open(server, Access::Anyone).await;
    let hook = format!("{HOOK}s3cret");
    door.json(
        "POST /api/v1/debts",
        &json!({"slug": "job", "every": "1h", "grace": "30m", "notify": [hook]}),
    );
    let pay = |at: &str, payment: serde_json::Value| {
        server.clock.set(time(at));
        door.json("POST /api/v1/debts/job/payments", &payment);
    };
    let lines: Vec<_> = (1..=25).map(|line| format!("line {line} of 25")).collect();
    pay("06:01:00", json!({"kind": "start", "run": "a"}));
    pay("06:02:00", json!({"kind": "fail", "run": "a", "body": lines.join("\n")}));
    has(
        &door.page("/debts/job"),
        &["<h1><bdi dir=\"ltr\">job", "for <time", ": <bdi dir=\"ltr\">it failed"],
    );
    door.json("POST /api/v1/debts/job/pause", &json!({}));
    let standing = |page: &str| {
        let line = page.split("id=\"standing\"").nth(1).expect("how it stands");
        line.split("</p>").next().expect("a line").to_owned()
    };
    let paused = standing(&door.page("/debts/job"));
    assert!(paused.contains("Paused") && !paused.contains("failed"), "{paused}");
    door.json("POST /api/v1/debts/job/resume", &json!({}));
    pay("06:20:00", json!({"kind": "start", "run": "b"}));
    // When it was said to be, which is not when it came.
    pay("06:30:00", json!({"run": "b", "time": "2030-06-15T06:25:00Z"}));
    let page = door.page("/debts/job");
    has(&page, &["15 Jun 2030 06:25:00", "… 5 lines before", "line 6 of 25", "Recovered"]);
    assert!(!page.contains("line 5 of 25"), "only the end is shown: {page}");
    let of_payments = page.split("id=\"payments\"").nth(1).expect("payments");
    has(of_payments, &["<p class=\"when\"><time datetime=\"2030-06-15T06:25:00Z\">"]);
    let told = ["is to be told at", "is to be told after what was before"];
    assert_eq!(told.map(|text| page.matches(text).count()), [1, 1], "each flip once: {page}");
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
    assert!(
        at("Run 1 a: failed") < at("Run 2 b: succeeded"),
        "the last one is on the right: {page}"
    );
    // Up and late at once.
    server.clock.set(time("07:40:00"));
    let board = door.page("/debts");
    has(&board, &["Late <span class=\"count\">1<", "Up <span class=\"count\">0<"]);
    door.close().await;
}

async fn forms_and_buttons_do_what_they_say(backend: &Backend) {
    let server = &backend.one;
    let door = Door::open(server, Access::Anyone).await;
    has(&door.page("/debts/new/form"), &["action=\"/debts/new/form\"", "name=\"slug\""]);
    // Everything that is wrong is told at once, at its field, and what was filled in is still there.
    let wrong = "slug=Bad&cron=0+0+30+2+*&time_zone=Berlin&grace=-1h&rate_payments=x&stages=upload\
                 &notify=http://elsewhere/&tags=%22%3E%3Cscript%3E&run_limit=0s";
    let refused = door.send("/debts/new/form", wrong).expect_err("it is wrong");
    assert_eq!(refused.status, 400, "{refused:?}");
    let invalid = "aria-invalid=\"true\" aria-describedby=\"";
    for field in ["slug", "time_zone", "grace", "rate_payments", "stages", "notify", "run_limit"] {
        has(
            &refused.body,
            &[
                &format!("{invalid}{field}-wrong {field}-help"),
                &format!("id=\"{field}-wrong\""),
                &format!("href=\"#{field}\""),
            ],
        );
    }
    let told = refused.body.matches("href=\"#rate_payments\"").count();
    assert_eq!(told, 1, "each mistake once: {}", refused.body);
    has(&refused.body, &["value=\"Bad\"", "value=\"&quot;&gt;&lt;script&gt;\"", "<details open>"]);
    assert!(!refused.body.contains("<script>"), "{}", refused.body);
    // What cannot be read is not left out.
    let unread = door.send("/debts/new/form", "slug=a1&every=1h&rate_payments=x");
    has(&unread.expect_err("it is wrong").body, &["id=\"rate_payments-wrong\""]);
    let two = door.send("/debts/new/form", "slug=a1&every=1h&deadline=2031-01-01T00:00:00Z");
    has(&two.expect_err("two schedules").body, &["id=\"every-wrong\"", "give one of every, cron"]);
    // A debt may be called new: its page is not the form.
    let hook = format!("{HOOK}s3cret");
    let added = door.send("/debts/new/form", &format!("slug=new&every=1h&grace=5m&notify={hook}"));
    assert_eq!(added.expect("added"), "/debts/new");
    let taken = door.send("/debts/new/form", "slug=new&every=2h").expect_err("it is taken");
    has(&taken.body, &["id=\"slug-wrong\"", "another debt has it, number 1"]);
    let form = door.page("/debts/new/edit");
    has(&form, &["value=\"1h\"", "https://hooks.example.com", "action=\"/debts/new/edit\""]);
    assert!(!form.contains("s3cret"), "{form}");
    // What is left out of an address that is shown stays what it is.
    let changed = "slug=renamed&every=2h&notify=https%3A%2F%2Fhooks.example.com/%E2%80%A6";
    assert_eq!(door.send("/debts/new/edit", changed).expect("changed"), "/debts/renamed");
    let debt = door.ask("GET /api/v1/debts/renamed", &[], "").body;
    has(&debt, &["\"every\":\"2h\"", "hooks.example.com"]);
    assert!(!debt.contains("grace"), "{debt}");
    assert_eq!(door.send("/debts/renamed/pause", "").expect("paused"), "/debts/renamed");
    has(&door.page("/debts/renamed"), &[">Paused<", "action=\"/debts/renamed/resume\""]);
    assert_eq!(door.send("/debts/renamed/resume", "").expect("resumed"), "/debts/renamed");
    has(&door.page("/debts/renamed"), &[">New<", "action=\"/debts/renamed/pause\""]);
    has(&door.page("/debts/renamed/forget"), &["cannot be undone", "Forget it"]);
    // A page of another site cannot do it.
    let origin = "origin: https://evil.example";
    let foreign = door.ask("POST /debts/renamed/forget", &[FORM, origin], "");
    assert_eq!(foreign.status, 403, "{foreign:?}");
    assert_eq!(door.send("/debts/renamed/forget", "").expect("forgotten"), "/debts");
    assert_eq!(door.send("/debts/renamed/pause", "").expect_err("it is gone").status, 404);
    let large = format!("slug=a&description={}", "x".repeat(65 << 10));
    assert_eq!(door.send("/debts/new/form", &large).expect_err("too large").status, 413);
    door.close().await;
}

/// A board has a bounded number of rows, and leads to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_board_has_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let server = Server::with(&migrated(&url).await, Settings::default());
    let door = Door::open(&server, Access::Anyone).await;
    for number in 0..250 {
        door.json(
            "POST /api/v1/debts",
            &json!({"slug": format!("debt-{number:04}"), "every": "1h"}),
        );
    }
    let (mut path, mut seen) = ("/debts".to_owned(), Vec::new());
    loop {
        let page = door.page(&path);
        seen.push(rows(&page).len());
        assert!(page.len() < 100_000, "{} bytes", page.len());
        let Some(next) = page.split("href=\"").find(|rest| rest.contains(">The next 100<")) else {
            break;
        };
        path = next.split('"').next().expect("a link").replace("&amp;", "&");
    }
    assert_eq!(seen, [100, 100, 50]);
    door.close().await;
}

/// A key sees the debts of its namespace, and a browser that is logged in shows commands in place of buttons.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_see_their_own_and_a_session_only_looks() {
    let backend = Backend::sqlite("keys").await.expect("SQLite is always there");
    let server = &backend.one;
    let folder = tempfile::tempdir().expect("a folder");
    let database = open(&format!("sqlite:{}", folder.path().join("keys.db").display())).await;
    for set in [tally_producers::MIGRATIONS, tally_access::MIGRATIONS] {
        set.run(&database).await.expect("the tables");
    }
    let store = Store::new(database);
    let mut keys = Vec::new();
    for name in ["default", "shop"] {
        let namespace = store.some_namespace(name).await.expect("a namespace");
        assert_eq!(namespace == Namespace::DEFAULT, name == "default");
        let secret = Secret::of_key(Scope::Admin);
        let key = Key {
            digest: secret.digest(),
            name: format!("key-of-{name}"),
            namespace,
            namespace_name: name.to_owned(),
            scope: Scope::Admin,
            created: time("06:00:00"),
            expires: None,
            revoked: None,
            last_used: None,
        };
        assert!(store.add(&key).await.expect("it is stored"), "the name is new");
        keys.push(secret.reveal().to_owned());
    }
    let open = Keys::open(store, None, Arc::clone(&server.clock) as _).await.expect("keys");
    let door = Door::open(server, Access::Keys(open)).await;
    let bearers = [0, 1].map(|at| format!("authorization: Bearer {}", keys[at]));
    let add = |slug: &str, bearer: &str| {
        let body = json!({"slug": slug, "every": "1h"}).to_string();
        let added = door.ask("POST /api/v1/debts", &[JSON, bearer], &body);
        assert_eq!(added.status, 201, "{added:?}");
    };
    add("mine", &bearers[0]);
    for path in ["/debts", "/", "/debts?search=mine", "/debts?status=late"] {
        let seen = door.ask(&format!("GET {path}"), &[HTML, &bearers[1]], "");
        assert!(seen.status == 200 && !seen.body.contains("/debts/mine"), "{path}: {seen:?}");
    }
    for path in ["", "/edit", "/forget"] {
        let seen = door.ask(&format!("GET /debts/mine{path}"), &[HTML, &bearers[1]], "");
        assert_eq!(seen.status, 404, "{path}: {seen:?}");
    }
    for does in ["edit", "pause", "resume", "forget"] {
        let done =
            door.ask(&format!("POST /debts/mine/{does}"), &[FORM, HTML, &bearers[1]], "slug=b");
        assert!([400, 404].contains(&done.status), "{does}: {done:?}");
    }
    let login = door.ask("POST /login", &[FORM], &format!("key={}", keys[0]));
    let cookie = login.header("set-cookie").expect("a cookie").split(';').next().expect("a value");
    let cookie = format!("cookie: {cookie}");
    let looks = |path: &str| door.ask(&format!("GET {path}"), &[HTML, &cookie], "").body;
    let page = looks("/debts/mine");
    assert!(page.contains("mine") && !page.contains("method=\"post\" action=\"/debts"), "{page}");
    has(&looks("/debts/new/form"), &["only looks", "tally debts add"]);
    has(&looks("/debts/mine/edit"), &["tally debts change mine --every 1h"]);
    has(&looks("/debts/mine/forget"), &["tally debts forget mine"]);
    let refused = door.ask("POST /debts/mine/forget", &[FORM, &cookie], "");
    assert_eq!(refused.status, 403, "{refused:?}");
    has(&looks("/debts/mine"), &["Payments"]);
    door.close().await;
}
