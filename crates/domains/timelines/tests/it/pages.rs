//! The pages say what the API says, of the caller's namespace only.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tally_access::{Key, Keys, Scope, Secret, Store};
use tally_runtime::Namespace;
use tally_serve::Access;
use tally_timelines::Settings;

use crate::backend::{Backend, Server, migrated, open, time};
use crate::doors::Door;
use crate::timelines::on;

mod sqlite {
    super::on!(sqlite: contexts_and_their_timelines_say_how_things_stand, a_context_and_its_names_say_how_long_all_took,
        names_stay_in_their_place);
}
mod postgres {
    super::on!(postgres: contexts_and_their_timelines_say_how_things_stand, a_context_and_its_names_say_how_long_all_took);
}
mod cockroach {
    super::on!(cockroach: contexts_and_their_timelines_say_how_things_stand, a_context_and_its_names_say_how_long_all_took);
}

mod cockroach_on_postgres {
    super::on!(cockroach_on_postgres: contexts_and_their_timelines_say_how_things_stand, a_context_and_its_names_say_how_long_all_took);
}

mod timeline;

const HTML: &str = "accept: text/html";
const JSON: &str = "content-type: application/json";

// === impl Door ===

impl Door {
    #[track_caller]
    fn page(&self, path: &str) -> String {
        let answer = self.ask(&format!("GET {path}"), &[HTML], &Value::Null);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    #[track_caller]
    fn say(&self, message: &Value) {
        self.ok("POST /api/v1/timelines", message);
    }

    /// Tells that an event starts and ends, in minutes and seconds after 06:00.
    #[track_caller]
    fn event(&self, context: &str, name: &str, (start, end): (&str, &str), status: &str) {
        self.event_in((context, ""), name, (start, end), status);
    }

    /// The same in a timeline with a label.
    #[track_caller]
    fn event_in(
        &self,
        (context, timeline): (&str, &str),
        name: &str,
        (start, end): (&str, &str),
        status: &str,
    ) {
        let at = |of: &str| format!("2030-06-15T06:{of}Z");
        self.say(&json!({"kind": "start", "context": context, "timeline": timeline, "name": name,
            "time": at(start)}));
        self.say(&json!({"kind": "end", "context": context, "timeline": timeline, "name": name,
            "time": at(end), "status": status}));
    }

    #[track_caller]
    fn new_timeline(&self, context: &str, label: &str) {
        self.say(&json!({"kind": "new", "context": context, "timeline": label}));
    }

    #[track_caller]
    fn every_link_leads_somewhere(&self, pages: &[&str]) {
        let links = |page: &&str| -> Vec<String> {
            let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            let own = links.filter(|link| link.starts_with('/') && !link.starts_with("/static"));
            let plain =
                |link: &str| link.split('#').next().unwrap_or_default().replace("&amp;", "&");
            own.map(plain).collect()
        };
        for link in pages.iter().flat_map(links).collect::<BTreeSet<_>>() {
            self.page(&link);
        }
    }
}

#[track_caller]
fn has(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

/// The contexts of a page, in their order, each with how its newest timeline stands.
fn rows(page: &str) -> Vec<(String, String)> {
    let row = |row: &str| {
        let context = row.split("href=\"/timelines/").nth(1)?.split('"').next()?;
        let badge = row.split("class=\"badge ").nth(1)?.split(['>', '<']).nth(1)?;
        Some((context.to_owned(), badge.to_owned()))
    };
    page.split("<tr>").filter_map(row).collect()
}

/// At 06:01:00: `build` runs, and `deploy/eu` failed.
fn fill(backend: &Backend, door: &Door) {
    backend.set("2030-06-15T06:00:30Z");
    for (label, end, status) in
        [("v1", "00:10", "ok"), ("v2", "00:20", "ok"), ("v3", "00:05", "failed")]
    {
        door.event_in(("deploy/eu", label), "db.migrate", ("00:00", end), status);
    }
    door.event_in(("deploy/eu", "v1"), "smoke", ("00:00", "00:12"), "ok");
    backend.set("2030-06-15T06:00:40Z");
    door.event("build", "compile", ("00:00", "00:40"), "ok");
    door.new_timeline("build", "");
    door.say(&json!({"kind": "start", "context": "build", "name": "compile",
        "time": "2030-06-15T06:00:30Z"}));
    backend.set("2030-06-15T06:01:00Z");
}

async fn contexts_and_their_timelines_say_how_things_stand(backend: Backend) {
    let door = Door::open(&backend.one).await;
    has(&door.page("/timelines"), &["Draw the first timeline", "tally timelines start deploy"]);
    has(&door.page("/"), &["There is none yet"]);
    fill(&backend, &door);
    let contexts = door.page("/timelines");
    let stands = |(context, state): (&str, &str)| (context.to_owned(), state.to_owned());
    let expected = [("build", "open"), ("deploy%2Feu", "failed")].map(stands);
    assert_eq!(rows(&contexts), expected, "the one that was heard of last first: {contexts}");
    has(&contexts, &["30.0 s", "16.0 s", "20 s ago", "v3"]);
    for (query, found) in [
        ("search=DEPLOY", &["deploy%2Feu"][..]),
        ("search=%2F", &["deploy%2Feu"]),
        ("search=x", &[]),
    ] {
        let shown = rows(&door.page(&format!("/timelines?{query}")));
        assert_eq!(
            shown.iter().map(|(context, _)| &**context).collect::<Vec<_>>(),
            found,
            "{query}"
        );
    }
    let wrong = door.ask("GET /timelines?after=x&more=1", &[HTML], &Value::Null);
    assert_eq!(wrong.status, 400, "{wrong:?}");
    has(&wrong.body, &[">after<", ">more<"]);
    has(&door.page("/"), &["href=\"/timelines/build\"", "href=\"/timelines/deploy%2Feu\""]);
    door.every_link_leads_somewhere(&[&contexts]);
    for (path, status) in [
        ("/timelines/none", 404),
        ("/timelines/%00", 404),
        ("/timelines/none/durations/a", 404),
        ("/timelines/build/9", 404),
        ("/timelines/build?before=0", 400),
        ("/timelines/build/1?from=x", 400),
        ("/timelines/build/1?with=9", 404),
    ] {
        let answer = door.ask(&format!("GET {path}"), &[HTML], &Value::Null);
        assert_eq!((answer.status, answer.body.contains("<h1>")), (status, true), "{path}");
    }
    door.close().await;
}

async fn a_context_and_its_names_say_how_long_all_took(backend: Backend) {
    let door = Door::open(&backend.one).await;
    fill(&backend, &door);
    let context = door.page("/timelines/deploy%2Feu");
    has(
        &context,
        &[
            "deploy/eu",
            "Median <strong>16.0 s</strong>, from 12.0 s to 20.0 s",
            "of 2 timelines that ended well; 1 failed",
            "Timeline 3 v3: failed after 5.0 s",
            "href=\"/timelines/deploy%2Feu/durations/db.migrate\"",
            "15 Jun 2030 06:00:00 UTC",
        ],
    );
    let at =
        |text: &str| context.find(text).unwrap_or_else(|| panic!("{text} is not in {context}"));
    assert!(at("Timeline 1 v1: ok") < at("Timeline 3 v3: failed"), "the last one is on the right");
    let earlier = door.page("/timelines/deploy%2Feu?before=3");
    assert!(!earlier.contains("v3") && earlier.contains("The latest"), "{earlier}");
    let durations = door.page("/timelines/deploy%2Feu/durations/db.migrate");
    has(
        &durations,
        &["db.migrate", "Median <strong>15.0 s</strong>", "did not end well", "Timeline 3: failed"],
    );
    let none = door.page("/timelines/deploy%2Feu/durations/nothing");
    has(&none, &["No event of this name has ended in timelines 1 to 3"]);
    let running = door.page("/timelines/build");
    has(&running, &["Timeline 2: open after 30.0 s", "<title>build: open"]);
    door.every_link_leads_somewhere(&[&context, &earlier, &durations, &running]);
    // Events are gone, and how long they took is known.
    backend.one.sweep("2030-10-15T06:00:00Z").await;
    let gone = door.page("/timelines/build");
    has(&gone, &["None of its timelines is kept any more", "/durations/compile"]);
    has(&door.page("/timelines"), &["not kept"]);
    has(&door.page("/timelines/build/durations/compile"), &["Timeline 1: 40.0 s"]);
    door.close().await;
}

/// Whatever strangers call things, the links of a page lead to them, and nothing of it is markup.
async fn names_stay_in_their_place(backend: Backend) {
    let door = Door::open(&backend.one).await;
    let contexts =
        ["a/../b?c#d%2e", "<script>alert(1)</script>", "\u{202e}gnp\u{1f680} سوق", "..."];
    for context in contexts {
        door.event_in((context, "\"><img src=x>"), "x/y.<b>ü</b>", ("00:00", "00:01"), "ok");
    }
    let list = door.page("/timelines");
    assert_eq!(rows(&list).len(), contexts.len(), "{list}");
    for (path, _) in rows(&list) {
        let page = door.page(&format!("/timelines/{path}"));
        let durations = page.split("href=\"").find(|rest| rest.contains("/durations/"));
        let durations = durations.and_then(|rest| rest.split('"').next()).expect("a link");
        let name = door.page(durations);
        has(&name, &["&lt;b&gt;ü&lt;/b&gt;", "Timeline 1: 1.0 s"]);
        let timeline = door.page(&format!("/timelines/{path}/newest?by=host&event=1"));
        for page in [&list, &page, &name, &timeline] {
            for markup in ["<script>alert", "<img", "<b>", "\u{202e}"] {
                assert!(!page.contains(markup), "{markup} in {page}");
            }
        }
        door.every_link_leads_somewhere(&[&page, &name, &timeline]);
    }
    door.close().await;
}

/// Lists have a bounded number of rows, and lead to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lists_have_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let server = Server::with(&migrated(&url).await, &Settings::default());
    let door = Door::open(&server).await;
    let new = |context: &str, label: String| json!({"kind": "new", "context": context, "timeline": label});
    let contexts: Vec<_> =
        (0..120).map(|number| new(&format!("context-{number:03}"), String::new())).collect();
    let timelines: Vec<_> =
        (0..119).map(|number| new("context-000", format!("run {number}"))).collect();
    for batch in [contexts, timelines] {
        door.ok("POST /api/v1/timelines/batch", &Value::Array(batch));
    }
    for (first, next, expected) in [
        ("/timelines", ">The next 50<", [50, 50, 20]),
        ("/timelines/context-000", ">The 50 before<", [50, 50, 20]),
    ] {
        let (mut path, mut seen) = (first.to_owned(), Vec::new());
        loop {
            let page = door.page(&path);
            seen.push(page.matches("<tr><th").count() - page.matches("<thead><tr><th").count());
            assert!(page.len() < 100_000, "{} bytes", page.len());
            let Some(next) = page.split("href=\"").find(|rest| rest.contains(next)) else { break };
            path = next.split('"').next().expect("a link").replace("&amp;", "&");
        }
        assert_eq!(seen, expected, "{first}");
    }
    door.close().await;
}

/// A key sees the timelines of its namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_see_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let server = Server::with(&migrated(&url).await, &Settings::default());
    let database = open(&format!("sqlite:{}", folder.path().join("keys.db").display())).await;
    for set in [tally_producers::MIGRATIONS, tally_access::MIGRATIONS] {
        set.run(&database).await.expect("the tables");
    }
    let store = Store::new(database);
    let mut bearers = Vec::new();
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
            created: time("2030-06-15T06:00:00Z"),
            expires: None,
            revoked: None,
            last_used: None,
        };
        assert!(store.add(&key).await.expect("it is stored"), "the name is new");
        bearers.push(format!("authorization: Bearer {}", secret.reveal()));
    }
    let keys = Keys::open(store, None, Arc::clone(&server.clock) as _).await.expect("keys");
    let door = Door::guarded(&server, Access::Keys(keys)).await;
    for (kind, second) in [("start", "00"), ("end", "01")] {
        let said = json!({"kind": kind, "context": "mine", "name": "a.b",
            "time": format!("2030-06-15T06:00:{second}Z")});
        let told = door.ask("POST /api/v1/timelines", &[JSON, &bearers[0]], &said);
        assert_eq!(told.status, 200, "{told:?}");
    }
    for path in ["/timelines", "/", "/timelines?search=mine"] {
        let [own, other] = [0, 1]
            .map(|at| door.ask(&format!("GET {path}"), &[HTML, &bearers[at]], &Value::Null).body);
        assert!(own.contains("/timelines/mine") && !other.contains("/timelines/mine"), "{path}");
    }
    for path in ["/timelines/mine", "/timelines/mine/newest", "/timelines/mine/durations/a.b"] {
        for (bearer, status) in bearers.iter().zip([200, 404]) {
            let seen = door.ask(&format!("GET {path}"), &[HTML, bearer], &Value::Null);
            assert_eq!(seen.status, status, "{path}: {seen:?}");
        }
    }
    door.close().await;
}
