//! Rules are judged by what is counted, on every database: told once, in their order, and nothing false.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tally_access::Caller;
use tally_outbox::{Courier, Outbox, Secrets, Webhooks};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::rule::Limit;
use tally_proto::tally::requests::v1::rule_service_server::RuleService as _;
use tally_requests::{Named, Rows, Series, Service};
use tally_runtime::{Drain, ManualClock, Tasks};
use tally_serve::Parts;
use tally_store::Database;
use tally_testkit::{Disturbance, Hook, Reply};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::backend::{Backend, append_named, at, batch};
use crate::conformance::on_every_backend;
use crate::server::settings;

/// What the tests' webhooks begin with. Nothing is sent there.
const HOOK: &str = "https://hooks.example.com/tally/";

/// What somebody asks for who needs no key.
pub(crate) fn asked<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::open());
    request
}

/// A server that judges when the test says so.
struct Judging {
    service: Service,
    clock: Arc<ManualClock>,
}

// === impl Judging ===

impl Judging {
    async fn new(database: &Database) -> Self {
        Self::telling(database, HOOK).await.0
    }

    /// With other receivers, and who delivers to them.
    async fn telling(database: &Database, allowed: &str) -> (Self, Courier) {
        let secrets: Secrets = format!("whsec_{}", "A".repeat(32)).parse().expect("a secret");
        let webhooks = Webhooks::new(allowed.parse().expect("a prefix"), secrets);
        let (clock, drain) = (Arc::new(ManualClock::new(time("12:00:00"))), Drain::new());
        drain.begin();
        let parts = Parts {
            database: database.clone(),
            clock: Arc::clone(&clock) as _,
            drain,
            tasks: Tasks::new(),
            outbox: Outbox::new(database.clone(), webhooks),
        };
        let courier = Courier::new(parts.outbox.clone(), Arc::clone(&clock) as _);
        let service = Service::start(parts, settings()).await.expect("the service starts");
        (Self { service, clock }, courier)
    }

    async fn add(&self, rule: proto::Rule) -> Result<proto::AddRuleResponse, Status> {
        let request = proto::AddRuleRequest { rule: Some(rule) };
        self.service.add_rule(asked(request)).await.map(tonic::Response::into_inner)
    }

    async fn show(&self, rule: &str) -> proto::ShowRuleResponse {
        let request = proto::ShowRuleRequest { rule: rule.to_owned() };
        self.service.show_rule(asked(request)).await.expect("it is there").into_inner()
    }

    /// Judges at this time.
    async fn judge(&self, now: &str) {
        self.clock.set(time(now));
        let done = self.service.judge().tick().await;
        done.unwrap_or_else(|error| panic!("{now}: {}", tally_runtime::chain(&error)));
    }

    /// Judges each minute, from the first to the last, and returns when which events came.
    async fn judge_all(&self, rule: &str, first: &str, last: &str) -> Vec<(String, String)> {
        let (mut now, mut told) = (time(first), Vec::new());
        while now <= time(last) {
            let before = self.events(rule).await.len();
            self.judge(&now.to_string()[11..19]).await;
            for event in &self.events(rule).await[before..] {
                told.push((now.to_string()[11..16].to_owned(), kind(event).to_owned()));
            }
            now += SignedDuration::from_mins(1);
        }
        told
    }

    /// The texts of its events, in their order.
    async fn events(&self, rule: &str) -> Vec<Value> {
        let events = self.show(rule).await.events;
        let body = |event: &proto::Event| serde_json::from_str(&event.body).expect("JSON");
        events.iter().rev().map(body).collect()
    }
}

/// A time of the tests' day.
fn time(text: &str) -> Timestamp {
    format!("2030-06-15T{text}Z").parse().expect("a time")
}

fn kind(event: &Value) -> &str {
    event["type"].as_str().and_then(|kind| kind.rsplit('.').next()).expect("a type")
}

fn rule(name: &str, limit: Limit) -> proto::Rule {
    proto::Rule {
        name: name.to_owned(),
        services: vec!["shop".to_owned()],
        limit: Some(limit),
        window_minutes: 15,
        webhook: format!("{HOOK}s3cret"),
        ..proto::Rule::default()
    }
}

/// Counts requests of a service, with their statuses, at a time.
async fn count(backend: &Backend, service: &str, statuses: &[u16], when: &str) {
    let series = |status: &u16| {
        let endpoint = Series::of_endpoint(3, "/");
        let series = Series { service: service.into(), status: *status, ..endpoint };
        Arc::new(Named::new(series.id(0), series))
    };
    let names: Vec<_> = statuses.iter().map(series).collect();
    let when = if when.contains('T') { format!("{when}Z") } else { format!("2030-06-15T{when}Z") };
    let micros = at(&when);
    let rows = names.iter().map(|one| (one.id, micros)).collect::<Rows>();
    let chunks = [rows.into()];
    let mut names = names;
    names.sort_by_key(|one| one.id);
    names.dedup_by_key(|one| one.id);
    append_named(&backend.store, &batch(Uuid::now_v7(), 1, &chunks), &names).await.expect("stored");
}

on_every_backend!(crate::rules:
    silence_is_told_once_and_so_is_its_end,
    what_was_not_watched_is_not_silence,
    too_many_are_told_at_once,
    a_share_is_of_what_passes_the_other_filters,
    a_rule_that_fires_is_told_again,
    two_servers_tell_once,
    a_rule_is_kept_once,
    a_test_is_an_event_of_the_rule,
    a_test_takes_the_place_of_one_that_failed,
    tests_do_not_flood_the_outbox,
);

async fn silence_is_told_once_and_so_is_its_end(backend: Backend) {
    let server = Judging::new(&backend.database).await;
    server.clock.set(time("12:05:00"));
    let added = server.add(rule("silent", Limit::Below(1))).await.expect("added");
    let shown = added.rule.and_then(|kept| kept.rule).expect("a rule");
    assert_eq!(shown.webhook, "https://hooks.example.com/\u{2026}", "the rest may be a secret");
    count(&backend, "other", &[200], "12:06:00").await;
    count(&backend, "shop", &[200], "12:04:59").await;
    // A whole window since it was made, and a minute.
    let told = server.judge_all("silent", "12:05:00", "12:51:00").await;
    assert_eq!(told, [("12:31".to_owned(), "firing".to_owned())]);
    let event = &server.events("silent").await[0];
    let window = serde_json::json!({
        "from": "2030-06-15T12:15:00Z", "to": "2030-06-15T12:30:00Z", "requests": 0,
    });
    assert_eq!(event["data"]["window"], window);
    assert_eq!(event["data"]["since"], "2030-06-15T12:31:00Z");
    assert_eq!(event["data"]["number"], 1);
    assert_eq!(
        event["data"]["text"],
        "silent: 0 requests from 2030-06-15T12:15:00Z to 2030-06-15T12:30:00Z; it fires at fewer \
         than 1 request in 15 minutes"
    );
    assert!(!event.to_string().contains("s3cret"), "{event}");
    // As soon as it is not silent any more, whether or not that is folded.
    count(&backend, "shop", &[404], "12:51:30").await;
    backend.store.fold().await.expect("folded");
    let told = server.judge_all("silent", "12:52:00", "13:15:00").await;
    assert_eq!(told, [("12:52".to_owned(), "resolved".to_owned())]);
    let event = &server.events("silent").await[1];
    assert_eq!(event["data"]["window"]["requests"], 1);
    assert_eq!(event["data"]["since"], "2030-06-15T12:31:00Z");
    let told = server.judge_all("silent", "13:16:00", "13:40:00").await;
    assert_eq!(told, [("13:16".to_owned(), "firing".to_owned())]);
}

/// The servers were away, and clients had no one to send to.
async fn what_was_not_watched_is_not_silence(backend: Backend) {
    let server = Judging::new(&backend.database).await;
    server.add(rule("silent", Limit::Below(1))).await.expect("added");
    count(&backend, "shop", &[200], "12:01:00").await;
    assert_eq!(server.judge_all("silent", "12:00:00", "12:20:00").await, []);
    // A server that takes over within minutes has missed nothing.
    let other = Judging::new(&backend.second_database).await;
    assert_eq!(other.judge_all("silent", "12:23:00", "12:26:00").await, []);
    let since = other.show("silent").await.watched_since.expect("it was judged");
    assert_eq!(since.seconds, time("12:00:00").as_second());
    let told = other.judge_all("silent", "12:31:00", "12:31:00").await;
    assert_eq!(told, [], "it was not watched for five minutes");
    assert_eq!(other.judge_all("silent", "12:32:00", "12:46:00").await, []);
    // 12:45 to 13:00 is the first one that was watched as a whole.
    let told = other.judge_all("silent", "12:47:00", "13:05:00").await;
    assert_eq!(told, [("13:01".to_owned(), "firing".to_owned())]);
    // A clock that went back is no watch either.
    server.judge("12:30:00").await;
    let since = other.show("silent").await.watched_since.expect("it was judged");
    assert_eq!(since.seconds, time("12:30:00").as_second());
}

async fn too_many_are_told_at_once(backend: Backend) {
    let server = Judging::new(&backend.database).await;
    let hour = proto::Rule { window_minutes: 60, ..rule("busy", Limit::Above(5)) };
    server.add(hour).await.expect("added");
    count(&backend, "shop", &[200; 3], "11:20:00").await;
    assert_eq!(server.judge_all("busy", "12:00:00", "12:02:00").await, []);
    count(&backend, "shop", &[200; 3], "12:02:30").await;
    count(&backend, "other", &[200; 30], "12:02:30").await;
    backend.store.fold().await.expect("folded");
    // By 12:15 the first ones are in the window no more, and by 13:15 all are not.
    let told = server.judge_all("busy", "12:03:00", "12:40:00").await;
    let expected = [("12:03", "firing"), ("12:31", "resolved")];
    let expected = expected.map(|(at, kind)| (at.to_owned(), kind.to_owned()));
    assert_eq!(told, expected);
    let window = &server.events("busy").await[0]["data"]["window"];
    let expected = serde_json::json!({
        "from": "2030-06-15T11:15:00Z", "to": "2030-06-15T12:03:00Z", "requests": 6,
    });
    assert_eq!(*window, expected);
}

async fn a_share_is_of_what_passes_the_other_filters(backend: Backend) {
    let server = Judging::new(&backend.database).await;
    let errors = proto::Rule {
        status_classes: vec![5],
        statuses: vec![429],
        at_least: 10,
        ..rule("errors", Limit::ShareAboveMillionths(200_000))
    };
    server.add(errors).await.expect("added");
    count(&backend, "other", &[200; 100], "12:00:30").await;
    count(&backend, "shop", &[200, 200, 200, 200, 200, 500, 503], "12:00:30").await;
    assert_eq!(server.judge_all("errors", "12:01:00", "12:01:00").await, [], "too few for a share");
    count(&backend, "shop", &[404, 404, 404], "12:01:30").await;
    assert_eq!(server.judge_all("errors", "12:02:00", "12:02:00").await, [], "20% is not more");
    count(&backend, "shop", &[429], "12:02:30").await;
    let told = server.judge_all("errors", "12:03:00", "12:20:00").await;
    assert_eq!(told, [("12:03".to_owned(), "firing".to_owned())]);
    let event = &server.events("errors").await[0];
    assert_eq!(event["data"]["window"]["requests"], 3);
    assert_eq!(event["data"]["window"]["of_requests"], 11);
    let text = event["data"]["text"].as_str().expect("a text");
    assert!(text.starts_with("errors: 3 of 11 requests (27.2727%) from"), "{text}");
    // Without enough requests it stays as it is; with them, it is fine at the end of a quarter-hour.
    assert_eq!(server.judge_all("errors", "12:21:00", "12:40:00").await, []);
    count(&backend, "shop", &[200; 10], "12:40:30").await;
    let told = server.judge_all("errors", "12:41:00", "12:50:00").await;
    assert_eq!(told, [("12:46".to_owned(), "resolved".to_owned())]);
}

async fn a_rule_that_fires_is_told_again(backend: Backend) {
    let server = Judging::new(&backend.database).await;
    let again = proto::Rule { repeat_minutes: 20, ..rule("busy", Limit::Above(0)) };
    let again = proto::Rule { window_minutes: 60, ..again };
    server.add(again).await.expect("added");
    count(&backend, "shop", &[200], "12:00:30").await;
    let told = server.judge_all("busy", "12:01:00", "12:50:00").await;
    let expected = ["12:01", "12:21", "12:41"].map(|at| (at.to_owned(), "firing".to_owned()));
    assert_eq!(told, expected);
    let events = server.events("busy").await;
    let repeated = events.iter().map(|event| event["data"]["is_repeated"].as_bool());
    assert!(repeated.eq([Some(false), Some(true), Some(true)]));
    let since = events.iter().map(|event| event["data"]["since"].as_str());
    assert!(since.eq([Some("2030-06-15T12:01:00Z"); 3]));
}

/// Both believe that they are to judge.
async fn two_servers_tell_once(backend: Backend) {
    let one = Judging::new(&backend.database).await;
    let two = Judging::new(&backend.second_database).await;
    one.add(rule("busy", Limit::Above(0))).await.expect("added");
    let mut now = time("12:00:30");
    for round in 1..=6 {
        count(&backend, "shop", &[200], &now.to_string()[11..19]).await;
        // Fires, and is fine again a quarter-hour later.
        for (pause, events) in [(30, 2 * round - 1), (1_800, 2 * round)] {
            now += SignedDuration::from_secs(pause);
            one.clock.set(now);
            two.clock.set(now);
            let judges = [one.service.judge(), two.service.judge()];
            let (first, second) = tokio::join!(judges[0].tick(), judges[1].tick());
            for done in [first, second] {
                done.unwrap_or_else(|error| panic!("{}", tally_runtime::chain(&error)));
            }
            assert_eq!(one.events("busy").await.len(), events, "{now}");
        }
    }
    let events = one.events("busy").await;
    let numbers: Vec<_> = events.iter().map(|event| event["data"]["number"].as_i64()).collect();
    assert_eq!(numbers, (1..=12).map(Some).collect::<Vec<_>>());
}

async fn a_rule_is_kept_once(backend: Backend) {
    let server = Judging::new(&backend.database).await;
    let services = |services: [&str; 3]| services.map(str::to_owned).to_vec();
    let first =
        proto::Rule { services: services(["a", "b", "a"]), ..rule("silent", Limit::Below(1)) };
    let added = server.add(first.clone()).await.expect("added");
    let same = proto::Rule { services: services(["b", "a", "b"]), ..first.clone() };
    let again = server.add(same).await.expect("it is there");
    assert!(!added.is_repeated && again.is_repeated);
    assert_eq!(added.rule, again.rule);
    let by_method = |methods: [&str; 3]| proto::Rule {
        methods: methods.map(str::to_owned).to_vec(),
        ..rule("by method", Limit::Below(1))
    };
    let of_methods = server.add(by_method(["get", "unspecified", "3"])).await.expect("added");
    let again = server.add(by_method(["GET", "", "Get"])).await.expect("it is there");
    assert!(again.is_repeated);
    assert_eq!(of_methods.rule.and_then(|kept| kept.rule).expect("a rule").methods, ["", "GET"]);
    let error = server.add(by_method(["GET", "a b", ""])).await.expect_err("no method");
    assert!(error.message().contains("methods: a b: not a method"), "{error:?}");
    let by_method = proto::RemoveRuleRequest { rule: "by method".into() };
    server.service.remove_rule(asked(by_method)).await.expect("it is there");
    for other in [
        proto::Rule { window_minutes: 30, ..first.clone() },
        proto::Rule { webhook: String::new(), ..first.clone() },
    ] {
        assert_eq!(server.add(other).await.expect_err("another one").code(), Code::AlreadyExists);
    }
    let wrong = proto::Rule {
        name: String::new(),
        window_minutes: 7,
        webhook: "http://127.0.0.1/".to_owned(),
        ..first.clone()
    };
    let error = server.add(wrong).await.expect_err("wrong");
    assert_eq!(error.code(), Code::InvalidArgument);
    for field in ["name: ", "window_minutes: ", "webhook: "] {
        assert!(error.message().contains(field), "{error:?}");
    }
    let error = server.add(proto::Rule { limit: None, ..first }).await.expect_err("no limit");
    assert!(error.message().contains("limit: is missing"), "{error:?}");
    for number in 1..100 {
        server.add(rule(&format!("rule {number:02}"), Limit::Below(1))).await.expect("added");
    }
    let error = server.add(rule("one more", Limit::Below(1))).await.expect_err("too many");
    assert_eq!(error.code(), Code::ResourceExhausted);
    let listed = server.service.list_rules(asked(proto::ListRulesRequest {})).await;
    let listed = listed.expect("a list").into_inner().rules;
    let names = listed.iter().filter_map(|kept| Some(&*kept.rule.as_ref()?.name));
    assert!(names.is_sorted() && listed.len() == 100);
    let id = added.rule.expect("a rule").id;
    let request = || asked(proto::RemoveRuleRequest { rule: id.clone() });
    server.service.remove_rule(request()).await.expect("by its id");
    let error = server.service.remove_rule(request()).await.expect_err("it is gone");
    assert_eq!(error.code(), Code::NotFound);
    server.add(rule("one more", Limit::Below(1))).await.expect("there is room");
}

async fn a_test_is_an_event_of_the_rule(backend: Backend) {
    let server = Judging::new(&backend.database).await;
    server.add(rule("busy", Limit::Above(0))).await.expect("added");
    let request = |name: &str| asked(proto::TestRuleRequest { rule: name.to_owned() });
    let id =
        server.service.test_rule(request("busy")).await.expect("written").into_inner().event_id;
    let events = server.events("busy").await;
    assert_eq!(events.len(), 1);
    assert_eq!((kind(&events[0]), events[0]["id"].as_str()), ("test", Some(&*id)));
    let error = server.service.test_rule(request("busy")).await.expect_err("it is on its way");
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("still on its way"), "{error:?}");
    // It stands before no verdict, and has no number among them.
    count(&backend, "shop", &[200], "12:00:30").await;
    server.judge("12:01:00").await;
    let events = server.events("busy").await;
    let numbers: Vec<_> = events.iter().map(|one| one["data"]["number"].as_i64()).collect();
    assert_eq!(numbers, [None, Some(1)]);
    // What is told of a rule that is gone is gone with it.
    let remove = asked(proto::RemoveRuleRequest { rule: "busy".to_owned() });
    server.service.remove_rule(remove).await.expect("removed");
    assert_eq!(backend.count("tally_outbox").await, 0);
    let silent = proto::Rule { webhook: String::new(), ..rule("quiet", Limit::Above(0)) };
    server.add(silent).await.expect("added");
    let error = server.service.test_rule(request("quiet")).await.expect_err("no webhook");
    assert_eq!(error.code(), Code::FailedPrecondition);
    let error = server.service.test_rule(request("busy")).await.expect_err("none");
    assert_eq!(error.code(), Code::NotFound);
    // It can be looked at all the same.
    server.judge("12:02:00").await;
    let shown = server.show("quiet").await;
    assert!(shown.rule.is_some_and(|kept| kept.firing_since.is_some()));
    assert_eq!(shown.running.expect("a window").requests, 1);
}

/// Whoever has mended what it failed for need not wait for the next attempt.
async fn a_test_takes_the_place_of_one_that_failed(backend: Backend) {
    let hook = Hook::start();
    let (server, courier) = Judging::telling(&backend.database, &hook.url("/")).await;
    let rule = proto::Rule { webhook: hook.url("/a"), ..rule("busy", Limit::Above(0)) };
    server.add(rule).await.expect("added");
    let test = async || {
        let request = asked(proto::TestRuleRequest { rule: "busy".to_owned() });
        let tested = server.service.test_rule(request).await;
        tested.map(|tested| tested.into_inner().event_id).map_err(|status| status.code())
    };
    let first = test().await.expect("written");
    assert_eq!(test().await, Err(Code::FailedPrecondition), "it is on its way");
    hook.reply([Reply::status("500 Internal Server Error")]);
    assert_eq!(courier.deliver().await.expect("the database is there"), 1);
    let second = test().await.expect("the first one has failed");
    assert_eq!(test().await, Err(Code::FailedPrecondition), "it is on its way");
    assert_eq!(courier.deliver().await.expect("the database is there"), 1);
    let ids: Vec<_> = hook.posted().iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(ids, [first, second], "the first one is tried no more");
    test().await.expect("the second one has arrived");
}

/// Of many at the same time, one is written, whichever server is asked.
async fn tests_do_not_flood_the_outbox(backend: Backend) {
    let one = Judging::new(&backend.database).await;
    let two = Judging::new(&backend.second_database).await;
    one.add(rule("busy", Limit::Above(0))).await.expect("added");
    let test = async |server: &Judging| {
        let request = asked(proto::TestRuleRequest { rule: "busy".to_owned() });
        server.service.test_rule(request).await.map_err(|status| status.code())
    };
    let all = tokio::join!(test(&one), test(&two), test(&one), test(&two));
    let all = [all.0, all.1, all.2, all.3];
    assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 1, "{all:?}");
    let is_refused = |one: &Code| *one == Code::FailedPrecondition;
    assert!(all.iter().filter_map(|one| one.as_ref().err()).all(is_refused), "{all:?}");
    assert_eq!(backend.count("tally_outbox").await, 1);
}

/// For a moment at the end of a window: what clients could not send then is still with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_with_clients_is_not_silence() {
    let Some(backend) = Backend::postgres("rules_return").await else { return };
    let server = Judging::new(&backend.database).await;
    server.add(rule("silent", Limit::Below(1))).await.expect("added");
    assert_eq!(server.judge_all("silent", "12:00:00", "12:15:00").await, []);
    let client = backend.connect().await;
    let lock = "BEGIN; LOCK TABLE tally_requests IN EXCLUSIVE MODE";
    client.batch_execute(lock).await.expect("locked");
    server.clock.set(time("12:15:50"));
    server.service.judge().tick().await.expect_err("nothing can be stored");
    client.batch_execute("COMMIT").await.expect("free again");
    server.judge("12:16:10").await;
    assert_eq!(server.events("silent").await, [] as [Value; 0]);
    // It was watched all the time.
    let told = server.judge_all("silent", "12:16:50", "12:17:50").await;
    assert_eq!(told, [("12:16".to_owned(), "firing".to_owned())]);
}

/// Clients had a server to send to, and it refused what they sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_stored_is_not_silence() {
    let Some(backend) = Backend::postgres("rules_refused").await else { return };
    let server = Judging::new(&backend.database).await;
    server.add(rule("silent", Limit::Below(1))).await.expect("added");
    server.add(rule("busy", Limit::Above(0))).await.expect("added");
    count(&backend, "shop", &[200], "12:01:00").await;
    assert_eq!(server.judge_all("silent", "12:00:00", "12:14:00").await, []);
    let client = backend.connect().await;
    let lock = "BEGIN; LOCK TABLE tally_requests IN EXCLUSIVE MODE";
    client.batch_execute(lock).await.expect("locked");
    // What is counted can be read, and is judged.
    for now in ["12:16:00", "12:19:00", "12:22:00", "12:25:00", "12:28:00", "12:31:00"] {
        server.clock.set(time(now));
        let error = server.service.judge().tick().await.expect_err("nothing can be stored");
        let error = tally_runtime::chain(&error);
        assert!(error.contains("see whether requests can be stored"), "{error}");
        assert_eq!(server.events("silent").await, [] as [Value; 0], "{now}");
    }
    let kinds: Vec<_> =
        server.events("busy").await.iter().map(|one| kind(one).to_owned()).collect();
    assert_eq!(kinds, ["firing", "resolved"]);
    client.batch_execute("COMMIT").await.expect("free again");
    // 12:45 to 13:00 is the first one that was watched as a whole.
    let told = server.judge_all("silent", "12:32:00", "13:05:00").await;
    assert_eq!(told, [("13:01".to_owned(), "firing".to_owned())]);
}

/// One statement after the other goes wrong in every way. Each verdict is told once, at once or by the next
/// round, and nothing else is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failure_of_the_database_loses_or_doubles_a_verdict() {
    let Some(backend) = Backend::cockroach_on_postgres("rules_disturbed").await else { return };
    let undisturbed = Judging::new(&backend.database).await;
    let (backend, disturber) = backend.disturbed().await;
    let server = Judging::new(&backend.database).await;
    undisturbed.add(rule("busy", Limit::Above(0))).await.expect("added");
    let mut now = time("12:05:00");
    let (mut told, mut fires) = (0, true);
    count(&backend, "shop", &[200], "12:04:00").await;
    server.clock.set(now);
    disturber
        .at_every_statement(
            &Disturbance::ALL,
            async || server.service.judge().tick().await,
            async |when, done| {
                if done.is_err() {
                    server.clock.set(now + SignedDuration::from_secs(60));
                    server.service.judge().tick().await.expect("the next round");
                }
                told += 1;
                let events = undisturbed
                    .service
                    .show_rule(asked(proto::ShowRuleRequest { rule: "busy".to_owned() }));
                let events = events.await.expect("it is there").into_inner().events;
                let last: Value = serde_json::from_str(&events[0].body).expect("JSON");
                assert_eq!(last["data"]["number"], told, "{when}");
                assert_eq!(kind(&last), if fires { "firing" } else { "resolved" }, "{when}");
                // By turns it is fine again, half an hour later, and fires again.
                fires = !fires;
                now += SignedDuration::from_mins(30);
                server.clock.set(now);
                if fires {
                    count(&backend, "shop", &[200], &now.to_string()[..19]).await;
                }
            },
        )
        .await;
}
