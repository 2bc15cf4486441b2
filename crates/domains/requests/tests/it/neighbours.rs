//! What one namespace has cannot be seen from another one by HTTP: not by a route, its parameters and cursors, not
//! by a page, nor by any link of one. Somebody asks for all of it, with all that a neighbour has, on a server
//! where there is one and on a server where there is none: the answers are the same, byte by byte.
//!
//! A route is asked for because the server has it, and not because it is named here. A parameter or a method
//! that this test does not know fails it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use serde_json::Value;
use tally_access::{Key, Keys, Scope, Secret, Store};
use tally_runtime::{ManualClock, Namespace};
use tally_serve::Access;
use tally_testkit::{Response, http};
use tempfile::TempDir;

use crate::backend::{Backend, NOW, open};
use crate::namespaces::{Asking, NEIGHBOUR, OWN, PRODUCER, move_in, small};
use crate::server::Counting;

mod sqlite {
    crate::conformance::on!(sqlite, crate::neighbours: a_neighbour_is_not_seen_by_http);
}
mod postgres {
    crate::conformance::on!(postgres, crate::neighbours: a_neighbour_is_not_seen_by_http);
}

/// What the neighbour has sent under which key. So does whoever looks.
const IDEMPOTENCY_KEY: &str = "idempotency-key: alpha-key";
const SENT: &str = r#"[{"method":"GET","path":"/alpha/sent","customer":"alpha-customer"}]"#;
const JSON: &str = "content-type: application/json";
const HTML: &str = "accept: text/html";

/// Bodies for what is not looked at but done. Nobody but the operator may do the last two.
const DONE: [(&str, &str); 5] = [
    ("POST /api/v1/requests", SENT),
    ("POST /api/v1/requests/fold", "{}"),
    ("POST /api/v1/requests/roll-up", r#"{"from":"2030-06-15","to":"2030-06-15"}"#),
    ("POST /login", "key=tally_read_alpha&to=/requests"),
    ("POST /logout", ""),
];

/// Where there is nothing of anybody.
const OF_NOBODY: [&str; 6] =
    ["/api", "/api/v1/openapi.json", "/healthz", "/livez", "/login", "/readyz"];

/// What comes before the time in the CSV of producers.
const PRODUCER_IN_CSV: &str = "a1fa0001,alpha,1,";

/// How many links are followed from where somebody begins.
const DEPTH: usize = 3;

/// A server with keys for three.
struct World {
    counting: Counting,
    keys: BTreeMap<i64, String>,
    _folder: TempDir,
}

/// A request: its first line and its headers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ask {
    line: String,
    headers: Vec<String>,
}

/// What the server has.
struct Map {
    /// Such as `GET /requests`.
    routes: BTreeSet<String>,
    document: Value,
}

type Answers = BTreeMap<Ask, String>;

// === impl Ask ===

impl Ask {
    fn get(target: &str) -> Self {
        // Pages for people, and answers for programs.
        let is_page = !target.starts_with("/api/");
        let headers = is_page.then(|| HTML.to_owned());
        Self { line: format!("GET {target}"), headers: headers.into_iter().collect() }
    }

    /// Its method and its path.
    fn route(&self) -> &str {
        self.line.split('?').next().unwrap_or_default()
    }

    /// Its route and the names of its parameters.
    fn kind(&self) -> String {
        let parameters = self.line.split_once('?').map_or("", |(_, query)| query).split('&');
        let names: BTreeSet<_> =
            parameters.map(|one| one.split('=').next().unwrap_or_default()).collect();
        format!("{} {names:?}", self.route())
    }
}

// === impl World ===

impl World {
    async fn open(backend: &Backend) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.db");
        let database = open(&format!("sqlite:{}", path.display())).await;
        for set in [tally_producers::MIGRATIONS, tally_access::MIGRATIONS] {
            set.run(&database).await.expect("the tables");
        }
        let (store, mut keys) = (Store::new(database), BTreeMap::new());
        let now: Timestamp = NOW.parse().expect("a time");
        for (name, right) in [("default", Namespace::DEFAULT), ("alpha", NEIGHBOUR), ("own", OWN)] {
            let namespace = store.some_namespace(name).await.expect("a namespace");
            assert_eq!(namespace, right);
            let secret = Secret::of_key(Scope::Admin);
            let key = Key {
                digest: secret.digest(),
                name: format!("key-of-{name}"),
                namespace,
                namespace_name: name.to_owned(),
                scope: Scope::Admin,
                created: now,
                expires: None,
                revoked: None,
                last_used: None,
            };
            assert!(store.add(&key).await.expect("it is stored"), "the name is new");
            keys.insert(namespace.0, format!("authorization: Bearer {}", secret.reveal()));
        }
        let clock = std::sync::Arc::new(ManualClock::new(now));
        let access = Access::Keys(Keys::open(store, None, clock).await.expect("keys"));
        let counting = Counting::guarded(backend.database.clone(), small(), access).await;
        Self { counting, keys, _folder: folder }
    }

    fn asking(&self, namespace: Namespace) -> Asking {
        Asking::of(&self.counting.service, namespace)
    }

    fn ask(&self, of: Namespace, ask: &Ask, body: &str) -> Response {
        let headers = ask.headers.iter().map(String::as_str).chain([&*self.keys[&of.0]]);
        http(&self.counting.address().to_string(), &ask.line, &headers.collect::<Vec<_>>(), body)
    }

    /// All answers, several at a time.
    fn ask_all(&self, of: Namespace, asks: &[Ask]) -> Vec<Response> {
        let (next, answers) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = || {
            while let Some((at, ask)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                asks.get(at).map(|ask| (at, ask))
            } {
                let answer = self.ask(of, ask, "");
                answers.lock().expect("no panic").insert(at, answer);
            }
        };
        tokio::task::block_in_place(|| {
            std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
        });
        answers.into_inner().expect("no panic").into_values().collect()
    }

    /// What is the same at all times and ports.
    fn text(&self, answer: &Response) -> String {
        let address = self.counting.address().to_string();
        let mut text = answer.body.replace(&address, "ADDRESS");
        // When the database says that a producer was there: in JSON, in CSV, and on a page.
        for (before, after) in
            [("\"last_seen\":\"", '"'), (PRODUCER_IN_CSV, ','), ("span title=\"", '"')]
        {
            let mut parts = text.split(before);
            let mut masked = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                masked.push_str(before);
                masked.push_str(part.split_once(after).map_or(part, |(_, rest)| rest));
            }
            text = masked;
        }
        let is_masked = text != answer.body;
        text = format!("{}\n{text}\n", answer.status);
        for (name, value) in &answer.headers {
            if name != "date" && !(is_masked && ["content-length", "etag"].contains(&&**name)) {
                let _ = write!(text, "\n{name}: {value}");
            }
        }
        text
    }

    /// Asks for these, and for where the pages among them lead to, and these lead to. What differs in the values
    /// of its parameters alone is asked for once.
    fn look(&self, of: Namespace, first: impl IntoIterator<Item = Ask>) -> Answers {
        let (mut answers, mut kinds) = (Answers::new(), BTreeSet::new());
        let mut open: Vec<Ask> = first.into_iter().collect();
        kinds.extend(open.iter().map(Ask::kind));
        for _ in 0..=DEPTH {
            let asked = self.ask_all(of, &open);
            let mut next = Vec::new();
            for (ask, answer) in open.into_iter().zip(asked) {
                if ask.headers.iter().any(|one| one == HTML) {
                    next.extend(links(&answer.body).filter(|link| kinds.insert(link.kind())));
                }
                answers.insert(ask, self.text(&answer));
            }
            open = next;
        }
        answers
    }

    /// What the server has, as it says itself.
    fn map(&self) -> Map {
        let get = |path: &str| {
            self.ask(Namespace::DEFAULT, &Ask { line: format!("GET {path}"), headers: vec![] }, "")
                .body
        };
        let label = |labels: &str, name: &str| {
            let at = labels.split(&format!("{name}=\"")).nth(1);
            at.and_then(|rest| rest.split('"').next()).expect("a label").to_owned()
        };
        let metrics = get("/metrics");
        let lines = metrics.lines().filter(|line| line.starts_with("tally_http_requests_total{"));
        let routes =
            lines.map(|labels| format!("{} {}", label(labels, "method"), label(labels, "route")));
        let routes = routes.filter(|route| !route.contains("/static/")).collect();
        let document = serde_json::from_str(&get("/api/v1/openapi.json")).expect("JSON");
        Map { routes, document }
    }

    /// All that somebody can ask for who knows what the neighbour has.
    fn targets(&self, map: &Map) -> Vec<Ask> {
        let mut targets: Vec<String> = Vec::new();
        for route in map.routes.iter().filter_map(|route| route.strip_prefix("GET ")) {
            assert!(!route.contains('{'), "{route}: what is in the path is not known here");
            targets.push(route.to_owned());
        }
        for (path, methods) in map.document["paths"].as_object().expect("paths") {
            let parameters = methods["get"]["parameters"].as_array();
            let parameters =
                parameters.into_iter().flatten().filter_map(|one| one["name"].as_str());
            for parameter in parameters {
                targets.extend(
                    values(parameter).iter().map(|value| format!("{path}?{parameter}={value}")),
                );
            }
            if parameters_have(methods, "after") {
                let more =
                    if path.ends_with("/totals") { "?group_by=path&limit=1" } else { "?limit=1" };
                let first = format!("{path}{more}");
                let answer = self.ask(NEIGHBOUR, &Ask::get(&first), "");
                let json: Value = serde_json::from_str(&answer.body).expect("JSON");
                if let Some(next) = json["next"].as_str() {
                    targets.push(format!("{first}&after={next}"));
                }
                targets.push(first);
            }
        }
        targets.iter().map(|target| Ask::get(target)).collect()
    }
}

fn parameters_have(methods: &Value, name: &str) -> bool {
    let all = methods["get"]["parameters"].as_array();
    all.into_iter().flatten().any(|one| one["name"] == name)
}

/// What the neighbour has of it, and what is asked for besides.
fn values(parameter: &str) -> &'static [&'static str] {
    match parameter {
        "search" => &["alpha"],
        "workers" => &["true"],
        "limit" => &["1"],
        // Cursors are the neighbour's, and are asked for below.
        "after" => &["00"],
        "format" => &["csv"],
        "from" | "to" => &["2030-06-15"],
        "by" => &["whole", "hour", "quarter"],
        "tz" => &["Asia/Kathmandu"],
        "group_by" => &["service,method,path,status,customer", "none"],
        "service" => &["alpha-service"],
        "method" => &["GET"],
        "path" => &["/alpha/a", "/alpha/sent"],
        "path_prefix" => &["/alpha/"],
        "status" => &["200"],
        "customer" => &["alpha-customer"],
        "live" => &["false"],
        "sort" => &["count"],
        other => panic!("the parameter {other} is not known here"),
    }
}

/// Where a page leads to.
fn links(page: &str) -> impl Iterator<Item = Ask> {
    let hrefs = page.split("href=\"").skip(1).filter_map(|rest| rest.split(['"', '#']).next());
    let own = hrefs.filter(|href| href.starts_with('/') && !href.starts_with("/static/"));
    own.map(|href| Ask::get(&href.replace("&amp;", "&")))
}

/// Looks, does all that can be done with what the neighbour has, and looks again.
async fn walk(world: &World, asks: &[Ask]) -> Vec<(String, String)> {
    let named = |when: &str, answers: Answers| -> Vec<_> {
        answers.into_iter().map(|(ask, text)| (format!("{when}: {ask:?}"), text)).collect()
    };
    let mut all = named("with nothing", world.look(OWN, asks.to_vec()));
    for (line, body) in DONE {
        let form = "content-type: application/x-www-form-urlencoded";
        let kind = if line.contains("/api/") { JSON } else { form };
        let headers = vec![kind.to_owned(), IDEMPOTENCY_KEY.to_owned()];
        let ask = Ask { line: line.to_owned(), headers };
        all.push((line.to_owned(), world.text(&world.ask(OWN, &ask, body))));
    }
    let mut own = world.asking(OWN);
    own.add(&["/alpha/a", "/alpha/b", "/mine"]).await;
    own.record(PRODUCER, "alpha").await;
    world.asking(Namespace::DEFAULT).roll_up().await;
    own.correct("alpha", false).await;
    own.add_rule("alpha-rule").await;
    all.extend(named("with the same", world.look(OWN, asks.to_vec())));
    all
}

async fn a_neighbour_is_not_seen_by_http(backend: Backend) {
    let world = World::open(&backend).await;
    let mut neighbour = world.asking(NEIGHBOUR);
    move_in(&mut neighbour).await;
    let headers = vec![JSON.to_owned(), IDEMPOTENCY_KEY.to_owned()];
    let sent = Ask { line: DONE[0].0.to_owned(), headers };
    let sent = world.ask(NEIGHBOUR, &sent, SENT);
    assert_eq!(sent.status, 200, "{sent:?}");
    world.asking(Namespace::DEFAULT).roll_up().await;

    let map = world.map();
    let targets = world.targets(&map);
    let before = world.look(NEIGHBOUR, targets.clone());
    let mut asks: BTreeSet<Ask> = before.keys().cloned().collect();
    for ask in &targets {
        // With the tag of what the neighbour was answered, too.
        if let Some(tag) = before[ask].lines().find_map(|line| line.strip_prefix("etag: ")) {
            let mut ask = ask.clone();
            ask.headers.push(format!("if-none-match: {tag}"));
            asks.insert(ask);
        }
    }
    every_route_is_asked_for(&map, &before);
    let asks: Vec<_> = asks.into_iter().collect();
    let own = walk(&world, &asks).await;
    for (ask, answer) in targets.iter().zip(world.ask_all(NEIGHBOUR, &targets)) {
        same(&format!("the neighbour's: {ask:?}"), &before[ask], &world.text(&answer));
    }
    world.counting.stop().await;

    let control = Backend::sqlite("no neighbour").await.expect("SQLite is always there");
    let world = World::open(&control).await;
    let alone = walk(&world, &asks).await;
    for ((asked, with), (_, without)) in own.iter().zip(&alone) {
        same(asked, with, without);
    }
    assert_eq!(own.len(), alone.len());
    world.counting.stop().await;
}

/// Fails with where two answers differ.
#[track_caller]
fn same(asked: &str, with: &str, without: &str) {
    let both = with.bytes().zip(without.bytes());
    let at = both.take_while(|(one, other)| one == other).count();
    let part = |text: &str| {
        let part = text.as_bytes().iter().skip(at.saturating_sub(150)).take(300).copied();
        String::from_utf8_lossy(&part.collect::<Vec<_>>()).into_owned()
    };
    assert!(with == without, "{asked}:\n{}\nand without:\n{}", part(with), part(without));
}

/// All that the server has is asked for, and all that has something of somebody shows it to the neighbour.
#[track_caller]
fn every_route_is_asked_for(map: &Map, of_neighbour: &Answers) {
    let (mut asked, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for (ask, answer) in of_neighbour {
        let of_operator = answer.starts_with("403");
        asked.insert(ask.route().to_owned());
        if of_operator || answer.contains("alpha") {
            shown.insert(ask.route().to_owned());
        }
    }
    asked.extend(DONE.map(|(line, _)| line.to_owned()));
    let missing: Vec<_> = map.routes.difference(&asked).collect();
    assert!(missing.is_empty(), "not asked for: {missing:?}");
    let gets = map.routes.iter().filter(|route| route.starts_with("GET "));
    let empty: Vec<_> =
        gets.filter(|route| !shown.contains(*route) && !OF_NOBODY.contains(&&route[4..])).collect();
    assert!(empty.is_empty(), "nothing of the neighbour is in {empty:?}");
    assert!(of_neighbour.len() > 80, "pages lead nowhere: {}", of_neighbour.len());
}
