//! Events are paired, kept and abandoned, each once, on every database.

use prost_types::Timestamp;
use tally_access::{Caller, Scope};
use tally_proto::tally::timelines::v1 as proto;
use tally_proto::tally::timelines::v1::Kind;
use tally_proto::tally::timelines::v1::record_result::Result as RecordResult;
use tally_proto::tally::timelines::v1::timeline_service_server::TimelineService;
use tally_runtime::Namespace;
use tally_serve::Running as _;
use tonic::{Code, Request, Response, Status};

use crate::backend::{Backend, Server, asked, time};

/// Defines a test of each case on each backend; missing backends are skipped loudly.
macro_rules! on_every_backend {
    ($($case:ident),* $(,)?) => {
        mod sqlite { crate::timelines::on!(sqlite: $($case),*); }
        mod postgres { crate::timelines::on!(postgres: $($case),*); }
        mod cockroach { crate::timelines::on!(cockroach: $($case),*); }
        mod cockroach_on_postgres { crate::timelines::on!(cockroach_on_postgres: $($case),*); }
    };
}

macro_rules! on {
    ($backend:ident: $($case:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let hint = concat!("timelines_", stringify!($case));
                if let Some(backend) = crate::backend::Backend::$backend(hint).await {
                    super::$case(backend).await;
                }
            }
        )*
    };
}

pub(crate) use on;

mod datagrams;
mod kept;
mod odd;

on_every_backend!(
    a_start_is_seen_at_once_and_its_end_finds_it,
    what_comes_again_changes_nothing,
    an_end_finds_its_start_wherever_it_is,
    attempts_and_hosts_are_told_apart,
    messages_at_once_through_two_servers_are_each_stored_once,
    a_namespace_has_its_own_contexts,
    lists_go_on_where_they_ended,
);

/// The second of the tests' day, which begins at 06:00, and its nanoseconds.
fn at(second: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds: time("2030-06-15T06:00:00Z").as_second() + second, nanos })
}

fn say(kind: Kind, name: &str, second: i64) -> proto::RecordRequest {
    proto::RecordRequest {
        kind: kind.into(),
        context: "deploy".to_owned(),
        name: name.to_owned(),
        time: at(second, 0),
        ..Default::default()
    }
}

fn new_timeline() -> proto::RecordRequest {
    proto::RecordRequest { name: String::new(), time: None, ..say(Kind::New, "", 0) }
}

impl Server {
    async fn record(&self, said: proto::RecordRequest) -> Result<proto::RecordResponse, Status> {
        let recorded = TimelineService::record(&self.service, asked(said)).await;
        recorded.map(Response::into_inner)
    }

    /// Says it, and returns the number of the timeline that it went to, and whether it was stored before.
    async fn said(&self, said: proto::RecordRequest) -> (i64, bool) {
        let recorded = self.record(said.clone()).await;
        let recorded = recorded.unwrap_or_else(|status| panic!("{said:?}: {status}"));
        (recorded.timeline.expect("a timeline").number, recorded.is_repeated)
    }

    async fn shown(&self, timeline: &str) -> Result<proto::ShowTimelineResponse, Status> {
        let (context, timeline) = ("deploy".to_owned(), timeline.to_owned());
        let request = proto::ShowTimelineRequest { context, timeline };
        self.service.show_timeline(asked(request)).await.map(Response::into_inner)
    }

    async fn events(&self, timeline: &str) -> Vec<proto::Event> {
        let request = proto::ListEventsRequest {
            context: "deploy".to_owned(),
            timeline: timeline.to_owned(),
            after: 0,
            limit: 1_000,
        };
        self.service.list_events(asked(request)).await.expect("a list").into_inner().events
    }

    /// The events of a timeline by their names and starts: state, attempt, start and end.
    async fn seen(&self, timeline: &str) -> Vec<(String, String, i64, Option<i64>, Option<i64>)> {
        let second = |at: Option<Timestamp>| {
            at.map(|at| at.seconds - time("2030-06-15T06:00:00Z").as_second())
        };
        let one = |event: proto::Event| {
            (event.name, event.state, event.attempt, second(event.start), second(event.end))
        };
        let mut seen: Vec<_> = self.events(timeline).await.into_iter().map(one).collect();
        seen.sort();
        seen
    }

    async fn contexts(&self, request: proto::ListContextsRequest) -> proto::ListContextsResponse {
        self.service.list_contexts(asked(request)).await.expect("a list").into_inner()
    }

    async fn timelines(&self, before: i64, limit: u32) -> proto::ListTimelinesResponse {
        let request = proto::ListTimelinesRequest { context: "deploy".to_owned(), before, limit };
        self.service.list_timelines(asked(request)).await.expect("a list").into_inner()
    }
}

fn seen(
    name: &str,
    state: &str,
    attempt: i64,
    start: i64,
    end: i64,
) -> (String, String, i64, Option<i64>, Option<i64>) {
    let some = |second| Some(second).filter(|second| *second != NEVER);
    (name.to_owned(), state.to_owned(), attempt, some(start), some(end))
}

const NEVER: i64 = i64::MIN;

/// open-telemetry/opentelemetry-specification#373, #4993: what runs now is invisible until it ends. Here a start
/// that was stored is in the next answer. jenkinsci/opentelemetry-plugin#9, #16: a restart between start and end
/// loses the pairing. Here another server takes the end.
async fn a_start_is_seen_at_once_and_its_end_finds_it(backend: Backend) {
    let (one, other) = (&backend.one, &backend.other);
    let start = proto::RecordRequest {
        time: at(0, 250_000_001),
        host: "web-1".to_owned(),
        attributes: [("ref", "a1b2"), ("by", "anna")].map(|(a, b)| (a.into(), b.into())).into(),
        ..say(Kind::Start, "db.migrate", 0)
    };
    assert_eq!(one.said(start.clone()).await, (1, false));
    backend.set("2030-06-15T06:01:00Z");
    let shown = other.shown("").await.expect("it is there");
    let timeline = shown.timeline.expect("a timeline");
    assert_eq!((&*timeline.state, timeline.events, timeline.open), ("open", 1, 1));
    let [parent, row] = &shown.rows[..] else { panic!("{:?}", shown.rows) };
    assert_eq!((&*parent.name, parent.depth, parent.is_open), ("db", 0, true));
    assert_eq!((parent.from, parent.until), (at(0, 250_000_001), at(60, 0)));
    let event = row.event.as_ref().expect("an event");
    assert_eq!((event.start, event.end, &event.took), (at(0, 250_000_001), None, &None));
    assert_eq!((&*event.state, event.start_received_at, event.attempt), ("open", at(0, 0), 1));
    let end = proto::RecordRequest {
        kind: Kind::End.into(),
        time: at(61, 250_000_002),
        status: proto::Status::Failed.into(),
        attributes: [("by".to_owned(), "boris".to_owned())].into(),
        ..start
    };
    assert_eq!(other.said(end).await, (1, false));
    let [event] = &one.events("newest").await[..] else { panic!("one event") };
    assert_eq!((event.end, &*event.state), (at(61, 250_000_002), "failed"));
    assert_eq!((event.end_received_at, event.reversed), (at(60, 0), None));
    assert_eq!(event.took, Some(prost_types::Duration { seconds: 61, nanos: 1 }));
    assert_eq!((&*event.attributes["ref"], &*event.attributes["by"]), ("a1b2", "boris"));
    let timeline = one.shown("1").await.expect("it is there").timeline.expect("a timeline");
    assert_eq!((&*timeline.state, timeline.open, timeline.failed), ("failed", 0, 1));
    assert_eq!((timeline.first, timeline.last), (at(0, 250_000_001), at(61, 250_000_002)));
    for text in [&timeline.id, "newest", "1"] {
        let found = one.shown(text).await.expect("it is there").timeline.expect("a timeline");
        assert_eq!(found.id, timeline.id, "{text}");
    }
    for text in ["2", "nightly", "00000000-0000-0000-0000-000000000000", "a\0b"] {
        assert_eq!(one.shown(text).await.expect_err("none").code(), Code::NotFound, "{text}");
    }
}

/// upto: a datagram received twice changes nothing.
async fn what_comes_again_changes_nothing(backend: Backend) {
    let (one, other) = (&backend.one, &backend.other);
    let (start, end) = (say(Kind::Start, "a", 1), say(Kind::End, "a", 2));
    let point = proto::RecordRequest { time: at(3, 7), ..say(Kind::Point, "p", 3) };
    for said in [&start, &end, &point] {
        for (server, is_repeated) in [(one, false), (one, true), (other, true)] {
            assert_eq!(server.said(said.clone()).await, (1, is_repeated), "{said:?}");
        }
    }
    let ends = [seen("a", "ok", 1, 1, 2), seen("p", "point", 1, 3, NEVER)];
    assert_eq!(one.seen("").await, ends);
    let keyed = proto::RecordRequest {
        idempotency_key: "k1".to_owned(),
        time: None,
        ..say(Kind::Start, "b", 0)
    };
    for (server, is_repeated) in [(one, false), (one, true), (other, true)] {
        assert_eq!(server.said(keyed.clone()).await, (1, is_repeated));
    }
    let different = proto::RecordRequest { name: "c".to_owned(), ..keyed.clone() };
    let refused = other.record(different).await.expect_err("other content");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    // Another context has keys of its own.
    let build = proto::RecordRequest { context: "build".to_owned(), ..keyed };
    assert_eq!(one.said(build).await, (1, false));
    // Without a time and a key each is another one.
    let untold = proto::RecordRequest { time: None, ..say(Kind::Start, "d", 0) };
    for _ in 0..2 {
        assert_eq!(one.said(untold.clone()).await, (1, false));
    }
    assert_eq!(one.events("").await.len(), 5);
    // Nothing has come to the new timeline, so it is the same one.
    assert_eq!(one.said(new_timeline()).await, (2, false));
    assert_eq!(other.said(new_timeline()).await, (2, true));
    assert_eq!(one.said(start).await, (1, true));
}

/// upto: an end that arrives before its start pairs with it, a new timeline leaves open events in their old one,
/// and their ends find them there.
async fn an_end_finds_its_start_wherever_it_is(backend: Backend) {
    let (one, other) = (&backend.one, &backend.other);
    assert_eq!(one.said(say(Kind::End, "early", 5)).await, (1, false));
    assert_eq!(one.seen("").await, [seen("early", "unstarted", 0, NEVER, 5)]);
    assert_eq!(other.said(say(Kind::Start, "early", 4)).await, (1, false));
    assert_eq!(one.seen("").await, [seen("early", "ok", 1, 4, 5)]);
    one.said(say(Kind::Start, "long", 6)).await;
    one.said(say(Kind::End, "late", 9)).await;
    assert_eq!(other.said(new_timeline()).await.0, 2);
    assert_eq!(other.said(say(Kind::Start, "other", 10)).await.0, 2);
    assert_eq!(other.said(say(Kind::Start, "late", 8)).await.0, 1);
    let waits = |name, second| proto::RecordRequest {
        phase: proto::Phase::Waiting.into(),
        ..say(Kind::Phase, name, second)
    };
    assert_eq!(other.said(waits("long", 11)).await.0, 1);
    // It was overtaken by the end of its event.
    assert_eq!(other.said(waits("late", 8)).await.0, 1);
    assert_eq!(other.said(say(Kind::End, "long", 20)).await.0, 1);
    let expected =
        [seen("early", "ok", 1, 4, 5), seen("late", "ok", 1, 8, 9), seen("long", "ok", 1, 6, 20)];
    assert_eq!(one.seen("1").await, expected);
    assert_eq!(one.seen("2").await, [seen("other", "open", 1, 10, NEVER)]);
    let shown = one.shown("1").await.expect("it is there");
    assert_eq!(shown.waited.map(|waited| waited.seconds), Some(1 + 9));
    assert_eq!(shown.worked.map(|worked| worked.seconds), Some(1 + 5));
    // What its senders call it.
    let labelled = proto::RecordRequest { timeline: "run 7".to_owned(), ..new_timeline() };
    assert_eq!(one.said(labelled.clone()).await, (3, false));
    assert_eq!(other.said(labelled).await, (3, true));
    let there = |kind, second| proto::RecordRequest {
        timeline: "run 7".to_owned(),
        ..say(kind, "other", second)
    };
    assert_eq!(other.said(there(Kind::Start, 30)).await.0, 3);
    assert_eq!(one.said(there(Kind::End, 31)).await.0, 3);
    assert_eq!(one.seen("run 7").await, [seen("other", "ok", 1, 30, 31)]);
}

/// honeycombio/gha-buildevents#226: one id used by several spans merges them.
async fn attempts_and_hosts_are_told_apart(backend: Backend) {
    let (one, other) = (&backend.one, &backend.other);
    for (kind, second) in
        [(Kind::Start, 1), (Kind::End, 2), (Kind::Start, 3), (Kind::Start, 5), (Kind::End, 6)]
    {
        one.said(say(kind, "a", second)).await;
    }
    let expected =
        [seen("a", "ok", 1, 1, 2), seen("a", "ok", 3, 5, 6), seen("a", "open", 2, 3, NEVER)];
    assert_eq!(other.seen("").await, expected);
    // An attempt that has begun before all of them: each gets another rank.
    other.said(say(Kind::Start, "a", 0)).await;
    let ranks: Vec<_> = one.seen("").await.iter().map(|one| (one.2, one.3)).collect();
    assert_eq!(ranks, [(2, Some(1)), (4, Some(5)), (1, Some(0)), (3, Some(3))]);
    let of_host = |kind, host: &str, second| proto::RecordRequest {
        host: host.to_owned(),
        ..say(kind, "b", second)
    };
    for said in [
        of_host(Kind::Start, "one", 1),
        of_host(Kind::Start, "two", 1),
        of_host(Kind::End, "two", 4),
    ] {
        one.said(said).await;
    }
    let open = one.events("").await.into_iter().filter(|one| one.name == "b");
    let open: Vec<_> = open.map(|one| (one.host, one.state)).collect();
    assert_eq!(open, [("one".into(), "open".into()), ("two".into(), "ok".into())]);
}

/// Starts and ends of forty events, each sent three times in an order of its own, through both servers.
async fn messages_at_once_through_two_servers_are_each_stored_once(backend: Backend) {
    let all: Vec<_> = (0..40_i64)
        .flat_map(|number| {
            let name = format!("step.{}", number % 20);
            [
                say(Kind::Start, &name, 100 * (number / 20)),
                say(Kind::End, &name, 100 * (number / 20) + 50),
            ]
        })
        .collect();
    let batch = |step: usize| {
        let messages = (0..all.len()).map(|at| all[at * step % all.len()].clone()).collect();
        asked(proto::RecordAllRequest { messages })
    };
    let (one, other) = (&backend.one.service, &backend.other.service);
    let sent = tokio::join!(
        TimelineService::record_all(one, batch(1)),
        TimelineService::record_all(other, batch(79)),
        TimelineService::record_all(one, batch(33)),
    );
    let mut stored = 0;
    for answer in [sent.0, sent.1, sent.2] {
        for result in answer.expect("stored").into_inner().results {
            match result.result.expect("a result") {
                RecordResult::Recorded(recorded) => stored += usize::from(!recorded.is_repeated),
                RecordResult::Refusal(refusal) => panic!("{refusal:?}"),
            }
        }
    }
    assert_eq!(stored, all.len());
    let seen = backend.one.seen("").await;
    assert_eq!(seen.len(), 40);
    for (name, state, attempt, start, end) in seen {
        let start = start.expect("a start");
        assert_eq!((&*state, end), ("ok", Some(start + 50)), "{name}");
        assert_eq!(attempt, 1 + start / 100, "{name}");
    }
    let timeline = backend.other.shown("").await.expect("it is there").timeline;
    let timeline = timeline.expect("a timeline");
    assert_eq!((timeline.number, timeline.events, timeline.open), (1, 40, 0));
    one.finished().await;
}

/// From the holder of an admin key of another namespace.
fn foreign<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::new("shop", Namespace(7), Scope::Admin));
    request
}

async fn a_namespace_has_its_own_contexts(backend: Backend) {
    let server = &backend.one;
    server.said(say(Kind::Start, "a", 1)).await;
    let id = server.shown("").await.expect("it is there").timeline.expect("a timeline").id;
    let service = &server.service;
    for timeline in ["newest", "1", &id] {
        let (context, timeline) = ("deploy".to_owned(), timeline.to_owned());
        let show =
            proto::ShowTimelineRequest { context: context.clone(), timeline: timeline.clone() };
        let events =
            proto::ListEventsRequest { context: context.clone(), timeline, ..Default::default() };
        let list = proto::ListTimelinesRequest { context: context.clone(), ..Default::default() };
        let configure = proto::ConfigureContextRequest { context, ..Default::default() };
        let codes = [
            service.show_timeline(foreign(show)).await.err(),
            service.list_events(foreign(events)).await.err(),
            service.list_timelines(foreign(list)).await.err(),
            service.configure_context(foreign(configure)).await.err(),
        ];
        assert_eq!(codes.map(|error| error.map(|error| error.code())), [Some(Code::NotFound); 4]);
    }
    let listed = service.list_contexts(foreign(proto::ListContextsRequest::default())).await;
    assert_eq!(listed.expect("a list").into_inner().contexts, []);
    // The same message there is another one, of another timeline.
    let recorded = TimelineService::record(service, foreign(say(Kind::Start, "a", 1))).await;
    let recorded = recorded.expect("stored").into_inner();
    let timeline = recorded.timeline.expect("a timeline");
    assert_eq!((recorded.is_repeated, timeline.number, timeline.id == id), (false, 1, false));
    let show = proto::ShowTimelineRequest { context: "deploy".to_owned(), timeline: id };
    let found = service.show_timeline(foreign(show)).await.map(Response::into_inner);
    assert_eq!(found.err().map(|error| error.code()), Some(Code::NotFound));
    assert_eq!(server.events("").await.len(), 1);
}

async fn lists_go_on_where_they_ended(backend: Backend) {
    let server = &backend.one;
    for number in 0..5 {
        server.said(new_timeline()).await;
        server.said(say(Kind::Point, &format!("p{number}"), number)).await;
    }
    for context in ["zoo", "build", "äpfel"] {
        let said = proto::RecordRequest { context: context.to_owned(), ..say(Kind::Point, "p", 1) };
        server.said(said).await;
    }
    let (mut after, mut names) = (String::new(), Vec::new());
    loop {
        let request = proto::ListContextsRequest { after, limit: 2 };
        let answer = server.contexts(request).await;
        names.extend(answer.contexts.into_iter().map(|one| (one.name, one.timelines)));
        after = answer.next;
        if after.is_empty() {
            break;
        }
    }
    names.sort();
    let name = |name: &str, timelines| (name.to_owned(), timelines);
    assert_eq!(names, [name("build", 1), name("deploy", 5), name("zoo", 1), name("äpfel", 1)]);
    let (mut before, mut numbers) = (0, Vec::new());
    loop {
        let answer = server.timelines(before, 2).await;
        numbers.extend(answer.timelines.iter().map(|one| one.number));
        assert_eq!(answer.context.and_then(|one| one.newest).map(|one| one.number), Some(5));
        before = answer.next_before;
        if before == 0 {
            break;
        }
    }
    assert_eq!(numbers, [5, 4, 3, 2, 1]);
    for (limit, code) in [(1_001, Some(Code::InvalidArgument)), (1_000, None)] {
        let request = proto::ListContextsRequest { limit, ..Default::default() };
        let answer = server.service.list_contexts(asked(request)).await;
        assert_eq!(answer.err().map(|status| status.code()), code);
    }
}
