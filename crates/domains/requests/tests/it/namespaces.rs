//! What one namespace does is neither seen nor changed from another one. Somebody makes every call, with all
//! that a neighbour has, on a database where there is one and on a database where there is none: the answers are
//! the same. And the neighbour's own are the same before and after.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use regex_lite::Regex;
use tally_access::{Caller, Scope};
use tally_outbox::{Outbox, Webhooks};
use tally_producers::{Terms, short_id};
use tally_proto::FILE_DESCRIPTOR_SET;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::count::v1::{
    CountDailyTotalsRequest, GetPeriodTotalsRequest, ListDailyTotalsRequest,
};
use tally_proto::google::r#type::Date;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::book_service_client::BookServiceClient;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::rule::Limit;
use tally_proto::tally::requests::v1::rule_service_client::RuleServiceClient;
use tally_proto::tally::requests::v1::selection::PathIs;
use tally_requests::{Service, Settings};
use tally_runtime::{Drain, ManualClock, Namespace, Tasks};
use tally_serve::Parts;
use tally_store::Database;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service as HttpService, http};
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::backend::{Backend, NOW, TERMS, TODAY, at, day, one_day};
use crate::conformance::on_every_backend;
use crate::server::{get, settings};

on_every_backend!(crate::namespaces:
    a_neighbour_is_neither_seen_nor_disturbed,
    a_full_neighbour_takes_no_room,
    every_call_bears_the_tables_of_the_next_version,
);

pub(crate) const NEIGHBOUR: Namespace = Namespace(1);
pub(crate) const OWN: Namespace = Namespace(2);

/// What the neighbour's client and correction are called by. So are those of whoever looks.
pub(crate) const PRODUCER: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_a1fa_0001);
const CORRECTION: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_a1fa_0002);

/// What concerns all namespaces, and only the operator may ask for.
const OF_OPERATOR: [&str; 1] = ["RequestService/Fold"];

/// A server of gRPC with a caller of a namespace, without a connection.
#[derive(Clone)]
struct As(Caller, Arc<dyn Fn(http::Request<Body>) -> Answering + Send + Sync>);

type Answering = BoxFuture<http::Response<Body>, Infallible>;

/// Somebody who asks.
pub(crate) struct Asking {
    count: CountServiceClient<As>,
    requests: RequestServiceClient<As>,
    books: BookServiceClient<As>,
    rules: RuleServiceClient<As>,
    /// The calls and their answers, without what differs from time to time.
    answers: Vec<(&'static str, String)>,
}

// === impl As ===

impl As {
    fn new<S>(caller: &Caller, server: S) -> Self
    where
        S: HttpService<http::Request<Body>, Future = Answering> + Clone + Send + Sync + 'static,
    {
        Self(caller.clone(), Arc::new(move |request| server.clone().call(request)))
    }
}

impl HttpService<http::Request<Body>> for As {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        request.extensions_mut().insert(self.0.clone());
        (self.1)(request)
    }
}

// === impl Asking ===

impl Asking {
    pub(crate) fn of(service: &Service, namespace: Namespace) -> Self {
        let caller = Caller::new("a test", namespace, Scope::Admin);
        Self {
            count: CountServiceClient::new(As::new(&caller, service.count_service())),
            requests: RequestServiceClient::new(As::new(&caller, service.request_service())),
            books: BookServiceClient::new(As::new(&caller, service.book_service())),
            rules: RuleServiceClient::new(As::new(&caller, service.rule_service())),
            answers: Vec::new(),
        }
    }

    fn note(&mut self, call: &'static str, answer: impl Debug) {
        let mut text = format!("{answer:?}");
        for (pattern, mask) in [
            (r"seconds: \d+, nanos: \d+", "TIME"),
            // The server begins to watch a rule when it is time.
            (r"watched_since: (None|Some\(Timestamp \{ TIME \}\))", "watched_since: TIME"),
            (r"epoch: \d+", "EPOCH"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        ] {
            let pattern = Regex::new(pattern).expect("a regex");
            text = pattern.replace_all(&text, mask).into_owned();
        }
        self.answers.push((call, text));
    }

    pub(crate) async fn add(&mut self, paths: &[&str]) {
        let requests: Vec<_> = paths.iter().map(|path| get(path, NOW)).collect();
        let answer = self.count.add(tokio_stream::iter(requests)).await;
        self.note("CountService/Add", answer.map(tonic::Response::into_inner));
    }

    /// One batch of a producer: two requests, five that were dropped, and a checkpoint.
    pub(crate) async fn record(&mut self, id: Uuid, name: &str) {
        let open = producers::Open {
            producer_id: id.as_bytes().to_vec(),
            claims: vec![7],
            name: name.to_owned(),
            ..Default::default()
        };
        let batch = proto::Batch {
            sequence: 1,
            series: vec![series(name)],
            number: vec![0],
            time_delta: vec![at(NOW)],
            requests: vec![2],
            count: 1,
            drops: vec![producers::Drops { day: day("2030-06-15").0, count: 5 }],
            checkpoint: name.as_bytes().to_vec(),
        };
        let messages = [Kind::Open(open), Kind::Batch(batch)];
        let messages = messages.map(|kind| proto::RecordRequest { kind: Some(kind) });
        let answers = self.requests.record(tokio_stream::iter(messages)).await;
        let (mut opened, mut committed, mut end) = (None, 0, None);
        match answers {
            Err(status) => end = Some(status),
            Ok(answers) => {
                let mut answers = answers.into_inner();
                loop {
                    match answers.message().await {
                        Ok(None) => break,
                        Err(status) => break end = Some(status),
                        Ok(Some(answer)) => {
                            opened = answer.opened.map(|opened| opened.checkpoint).or(opened);
                            committed = answer.committed_sequence;
                        }
                    }
                }
            }
        }
        self.note("RequestService/Record", (opened, committed, end));
    }

    pub(crate) async fn correct(&mut self, name: &str, is_dry_run: bool) {
        let request = proto::CorrectRequest {
            id: CORRECTION.as_bytes().to_vec(),
            day: Some(today()),
            series: Some(series(name)),
            requests: 3,
            reason: format!("{name} asks"),
            author: name.to_owned(),
            dry_run: is_dry_run,
        };
        let answer = self.books.correct(request).await;
        self.note("BookService/Correct", answer.map(tonic::Response::into_inner));
    }

    async fn merge(&mut self, path: &str, into: &str) {
        let request = proto::MergeRequest {
            selection: selected(path),
            into_path: Some(into.to_owned()),
            author: "somebody".to_owned(),
            ..Default::default()
        };
        let answer = self.books.merge(request).await;
        self.note("BookService/Merge", answer.map(tonic::Response::into_inner));
    }

    async fn forget(&mut self, path: &str) {
        let request = proto::ForgetRequest {
            selection: selected(path),
            author: "somebody".to_owned(),
            ..Default::default()
        };
        let answer = self.books.forget(request).await;
        self.note("BookService/Forget", answer.map(tonic::Response::into_inner));
    }

    pub(crate) async fn add_rule(&mut self, name: &str) -> Option<String> {
        let rule = proto::Rule {
            name: name.to_owned(),
            limit: Some(Limit::Above(1_000_000)),
            window_minutes: 15,
            ..Default::default()
        };
        let answer = self.rules.add_rule(proto::AddRuleRequest { rule: Some(rule) }).await;
        let answer = answer.map(tonic::Response::into_inner);
        let id = answer.as_ref().ok().and_then(|answer| Some(answer.rule.as_ref()?.id.clone()));
        self.note("RuleService/AddRule", answer);
        id
    }

    /// Everything that only looks.
    async fn look(&mut self) {
        let query = proto::QueryTotalsRequest {
            live: true,
            with_corrections: true,
            group_by: (1..=6).collect(),
            ..Default::default()
        };
        for query in [proto::QueryTotalsRequest { live: false, ..query.clone() }, query] {
            let answer = self.requests.query_totals(query).await;
            let answer = all(answer).await;
            self.note("RequestService/QueryTotals", answer);
        }
        let days = (Some(today()), Some(today()));
        let request = ListDailyTotalsRequest { start_date: days.0, end_date: days.1 };
        let answer = self.count.list_daily_totals(request).await;
        self.note("CountService/ListDailyTotals", answer.map(tonic::Response::into_inner));
        let request =
            GetPeriodTotalsRequest { period: Some(Date { year: 2030, month: 0, day: 0 }) };
        let answer = self.count.get_period_totals(request).await;
        self.note("CountService/GetPeriodTotals", answer.map(tonic::Response::into_inner));
        let request = proto::ListProducersRequest { with_workers: true };
        let answer = self.requests.list_producers(request).await;
        let answer = all(answer).await;
        self.note("RequestService/ListProducers", answer);
        let answer = self.books.list_corrections(proto::ListCorrectionsRequest::default()).await;
        let answer = all(answer).await;
        self.note("BookService/ListCorrections", answer);
        let answer = self.rules.list_rules(proto::ListRulesRequest {}).await;
        self.note("RuleService/ListRules", answer.map(tonic::Response::into_inner));
    }

    /// Everything that names one rule.
    async fn of_rule(&mut self, rule: &str) {
        let rule = rule.to_owned();
        let answer = self.rules.show_rule(proto::ShowRuleRequest { rule: rule.clone() }).await;
        self.note("RuleService/ShowRule", answer.map(tonic::Response::into_inner));
        let answer = self.rules.test_rule(proto::TestRuleRequest { rule: rule.clone() }).await;
        self.note("RuleService/TestRule", answer.map(tonic::Response::into_inner));
        let answer = self.rules.remove_rule(proto::RemoveRuleRequest { rule }).await;
        self.note("RuleService/RemoveRule", answer.map(tonic::Response::into_inner));
    }

    /// Everything that names one producer.
    async fn of_producer(&mut self, id: &str) {
        let request = proto::ForgetProducerRequest { id: id.to_owned() };
        let answer = self.requests.forget_producer(request).await;
        self.note("RequestService/ForgetProducer", answer.map(tonic::Response::into_inner));
        for short_id in [id, "all"] {
            let request = proto::ClearSetbacksRequest { short_id: short_id.to_owned() };
            let answer = self.requests.clear_setbacks(request).await;
            self.note("RequestService/ClearSetbacks", answer.map(tonic::Response::into_inner));
        }
    }

    async fn strike_drops(&mut self) {
        let request = proto::StrikeDropsRequest {
            reason: "nobody believes it".to_owned(),
            author: "somebody".to_owned(),
            ..Default::default()
        };
        let answer = self.books.strike_drops(request).await;
        self.note("BookService/StrikeDrops", answer.map(tonic::Response::into_inner));
    }

    pub(crate) async fn roll_up(&mut self) {
        let request = CountDailyTotalsRequest { date: Some(today()) };
        let answer = self.count.count_daily_totals(request).await;
        self.note("CountService/CountDailyTotals", answer.map(tonic::Response::into_inner));
    }
}

fn today() -> Date {
    Date { year: 2030, month: 6, day: 15 }
}

fn series(name: &str) -> proto::Series {
    proto::Series {
        service: format!("{name}-service"),
        method: "GET".to_owned(),
        path: format!("/{name}/recorded"),
        status: 200,
        customer: format!("{name}-customer"),
    }
}

fn selected(path: &str) -> Option<proto::Selection> {
    let path_is = Some(PathIs::Path(path.to_owned()));
    Some(proto::Selection { path_is, ..Default::default() })
}

async fn all<T>(answer: Result<tonic::Response<Streaming<T>>, Status>) -> Result<Vec<T>, Status> {
    let (mut messages, mut all) = (answer?.into_inner(), Vec::new());
    while let Some(message) = messages.message().await? {
        all.push(message);
    }
    Ok(all)
}

async fn start(database: &Database, settings: Settings) -> (Service, Drain) {
    let drain = Drain::new();
    let parts = Parts {
        database: database.clone(),
        clock: Arc::new(ManualClock::new(NOW.parse().expect("a time"))),
        drain: drain.clone(),
        tasks: Tasks::new(),
        outbox: Outbox::new(database.clone(), Webhooks::default()),
    };
    (Service::start(parts, settings).await.expect("the service starts"), drain)
}

pub(crate) fn small() -> Settings {
    Settings { series_max: 16, terms: Terms { producers_max: 1, ..TERMS }, ..settings() }
}

/// A neighbour who has something of everything. Returns the id of its rule.
pub(crate) async fn move_in(asking: &mut Asking) -> String {
    asking.add(&["/alpha/a", "/alpha/a", "/alpha/b", "/alpha/gone"]).await;
    asking.record(PRODUCER, "alpha").await;
    asking.roll_up().await;
    asking.correct("alpha", false).await;
    asking.merge("/alpha/b", "/alpha/a").await;
    asking.add(&["/alpha/c"]).await;
    asking.merge("/alpha/c", "/alpha/d").await;
    asking.forget("/alpha/gone").await;
    asking.roll_up().await;
    let rule = asking.add_rule("alpha-rule").await.expect("a rule");
    for answer in &asking.answers {
        assert!(!answer.1.starts_with("Err"), "{answer:?}");
    }
    rule
}

/// Every call, with what the neighbour has.
async fn walk(asking: &mut Asking, rule: &str) {
    asking.look().await;
    asking.of_rule(rule).await;
    asking.of_rule("alpha-rule").await;
    asking.of_producer(&PRODUCER.to_string()).await;
    asking.of_producer(&short_id(PRODUCER)).await;
    asking.correct("alpha", true).await;
    asking.correct("alpha", false).await;
    asking.merge("/alpha/recorded", "/mine").await;
    // What is merged or forgotten there is neither here.
    asking.forget("/alpha/recorded").await;
    asking.add(&["/alpha/b", "/alpha/gone", "/mine", "/mine"]).await;
    asking.merge("/mine", "/alpha/gone").await;
    asking.merge("/alpha/gone", "/alpha/b").await;
    asking.add(&["/alpha/a", "/alpha/b"]).await;
    // The same as the neighbour has merged; and what comes later follows it.
    asking.add(&["/alpha/c"]).await;
    asking.merge("/alpha/c", "/alpha/d").await;
    asking.add(&["/alpha/c"]).await;
    asking.record(PRODUCER, "mine").await;
    asking.record(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_a1fa_0003), "another").await;
    asking.roll_up().await;
    asking.correct("mine", false).await;
    asking.add_rule("alpha-rule").await;
    asking.look().await;
    asking.of_rule("alpha-rule").await;
    asking.strike_drops().await;
    asking.of_producer(&short_id(PRODUCER)).await;
    asking.look().await;
}

async fn a_neighbour_is_neither_seen_nor_disturbed(backend: Backend) {
    let (service, drain) = start(&backend.database, small()).await;
    let mut neighbour = Asking::of(&service, NEIGHBOUR);
    let rule = move_in(&mut neighbour).await;
    neighbour.answers.clear();
    neighbour.look().await;
    let before = std::mem::take(&mut neighbour.answers);
    for call in ["QueryTotals", "GetPeriodTotals", "ListProducers", "ListCorrections", "ListRules"]
    {
        let has = before.iter().any(|(name, text)| name.ends_with(call) && text.contains("alpha"));
        assert!(has, "{call} shows nothing of it: {before:?}");
    }
    let mut own = Asking::of(&service, OWN);
    walk(&mut own, &rule).await;
    neighbour.look().await;
    for (before, after) in before.iter().zip(&neighbour.answers) {
        assert_eq!(before, after);
    }
    drain.begin();

    let control = Backend::sqlite("no neighbour").await.expect("SQLite is always there");
    let (service, drain) = start(&control.database, small()).await;
    let mut alone = Asking::of(&service, OWN);
    walk(&mut alone, &Uuid::now_v7().to_string()).await;
    drain.begin();
    assert_eq!(own.answers.len(), alone.answers.len());
    for (with, without) in own.answers.iter().zip(&alone.answers) {
        assert_eq!(with, without);
    }
    let called: BTreeSet<String> = own.answers.iter().map(|(call, _)| (*call).to_owned()).collect();
    let known = OF_OPERATOR.map(str::to_owned).into_iter().chain(called);
    assert_eq!(known.collect::<BTreeSet<_>>(), described(), "a call is missing in this test");
}

/// All calls that the domain's services have.
fn described() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("it is generated");
    let of_domain = |file: &&prost_types::FileDescriptorProto| {
        ["count.v1", "tally.requests.v1"].contains(&file.package())
    };
    let services = set.file.iter().filter(of_domain).flat_map(|file| &file.service);
    let name = |service: &prost_types::ServiceDescriptorProto| {
        let of = service.name().to_owned();
        let methods = service.method.iter().map(move |one| format!("{of}/{}", one.name()));
        methods.collect::<Vec<_>>()
    };
    services.flat_map(name).collect()
}

/// Of series and of producers. What comes once is told apart while half of the room is free.
async fn a_full_neighbour_takes_no_room(backend: Backend) {
    let (service, drain) = start(&backend.database, small()).await;
    let mut neighbour = Asking::of(&service, NEIGHBOUR);
    let paths: Vec<String> = (0..100).map(|n| format!("/alpha/{n}")).collect();
    neighbour.add(&paths.iter().map(|path| &**path).collect::<Vec<_>>()).await;
    neighbour.record(PRODUCER, "alpha").await;
    neighbour.record(Uuid::now_v7(), "beyond").await;
    neighbour.look().await;
    let text = format!("{:?}", neighbour.answers);
    assert!(text.contains("_other") && text.contains("TOO_MANY_PRODUCERS"), "{text}");

    let mut own = Asking::of(&service, OWN);
    let paths: Vec<String> = (0..7).map(|n| format!("/mine/{n}")).collect();
    own.add(&paths.iter().map(|path| &**path).collect::<Vec<_>>()).await;
    own.record(PRODUCER, "mine").await;
    own.look().await;
    let text = format!("{:?}", own.answers);
    assert!(paths.iter().all(|path| text.contains(path)), "{text}");
    assert!(!text.contains("_other") && !text.contains("TOO_MANY"), "{text}");
    drain.begin();
}

/// While servers of one version run, those of the next add columns to the tables.
async fn every_call_bears_the_tables_of_the_next_version(backend: Backend) {
    let (service, drain) = start(&backend.database, small()).await;
    // Its answers are those to compare with, and its statements are prepared.
    let mut before = Asking::of(&service, NEIGHBOUR);
    let rule = move_in(&mut before).await;
    walk(&mut before, &rule).await;
    backend.add_columns().await;
    let mut after = Asking::of(&service, OWN);
    let rule = move_in(&mut after).await;
    walk(&mut after, &rule).await;
    assert_eq!(before.answers.len(), after.answers.len());
    for (before, after) in before.answers.iter().zip(&after.answers) {
        assert_eq!(before, after);
    }
    after.add(&["/later"]).await;
    let days = one_day(TODAY);
    assert_eq!(backend.second.roll_up(days).await.expect("another server goes on"), 1);
    drain.begin();
}
