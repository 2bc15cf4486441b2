//! What is too long, too much, too early or too late.

use super::*;

on_every_backend!(
    bad_messages_are_refused_and_leave_the_others_as_they_are,
    odd_texts_and_times_are_kept_as_they_are,
    there_are_no_more_contexts_and_events_than_allowed,
);

async fn bad_messages_are_refused_and_leave_the_others_as_they_are(backend: Backend) {
    let server = &backend.one;
    let of = |change: fn(&mut proto::RecordRequest)| {
        let mut said = say(Kind::Start, "a", 1);
        change(&mut said);
        said
    };
    let wrong = [
        (of(|said| said.kind = 0), "kind: "),
        (of(|said| said.kind = 99), "kind: "),
        (of(|said| said.context.clear()), "context: "),
        (of(|said| said.context = "..".into()), "context: "),
        (of(|said| said.name = "x".repeat(10_000)), "name: "),
        (of(|said| said.name = vec!["a"; 1_000].join(".")), "name: "),
        (of(|said| said.name = "a\0b".into()), "name: "),
        (of(|said| said.host = "x".repeat(256)), "host: "),
        (of(|said| said.timeline = "newest".into()), "timeline: "),
        (of(|said| said.span = "\n".into()), "span: "),
        (of(|said| said.status = 1), "status: "),
        (of(|said| said.phase = 7), "phase: "),
        (of(|said| said.time = Some(Timestamp { seconds: i64::MIN, nanos: 0 })), "time: "),
        (of(|said| said.time = Some(Timestamp { seconds: 0, nanos: -1 })), "time: "),
        (of(|said| said.time = Some(Timestamp { seconds: 10_000_000_000, nanos: 0 })), "time: "),
        (of(|said| said.idempotency_key = "a b".into()), "idempotency_key: "),
        (of(|said| drop(said.attributes.insert("x".into(), "y".repeat(1_001)))), "attributes: "),
        (of(|said| drop(said.attributes.insert("x".into(), "\0".into()))), "attributes: "),
    ];
    let mut messages = vec![say(Kind::Start, "good", 1)];
    messages.extend(wrong.iter().map(|(said, _)| said.clone()));
    messages.push(say(Kind::End, "good", 2));
    let request = asked(proto::RecordAllRequest { messages });
    let answer = TimelineService::record_all(&server.service, request).await.expect("an answer");
    let results = answer.into_inner().results;
    assert_eq!(results.len(), wrong.len() + 2);
    for (at, result) in results.into_iter().enumerate() {
        match (result.result.expect("a result"), wrong.get(at.wrapping_sub(1))) {
            (RecordResult::Recorded(_), None) => {}
            (RecordResult::Refusal(refusal), Some((_, field))) => {
                assert!(refusal.message.starts_with(field), "{field}: {refusal:?}");
                assert_eq!(refusal.code, 3, "{refusal:?}");
                assert!(refusal.message.len() < 300, "{refusal:?}");
            }
            (result, _) => panic!("{at}: {result:?}"),
        }
    }
    assert_eq!(server.seen("").await, [seen("good", "ok", 1, 1, 2)]);
    // Every mistake of a message is told.
    let many = proto::RecordRequest { kind: 0, status: 9, ..say(Kind::Start, "a..b", 1) };
    let refused = server.record(many).await.expect_err("refused");
    for field in ["kind: ", "status: ", "name: "] {
        assert!(refused.message().contains(field), "{refused}");
    }
    let messages = vec![say(Kind::Point, "p", 1); 1_001];
    let request = asked(proto::RecordAllRequest { messages });
    let refused = TimelineService::record_all(&server.service, request).await;
    assert_eq!(refused.err().map(|status| status.code()), Some(Code::InvalidArgument));
}

/// dash0hq/otel-cicd-action#19, ahrefs/ocannl#918: reversed times. jaegertracing/jaeger#1459,
/// grafana/tempo#3930, grafana/grafana#93060: clocks differ.
async fn odd_texts_and_times_are_kept_as_they_are(backend: Backend) {
    let (one, other) = (&backend.one, &backend.other);
    let names =
        ["größe: 3 % #1; x,y", "gantt", "'; DROP TABLE x; --", "日本.語", "\u{202e}back", " "];
    for (name, second) in names.iter().zip(1..) {
        one.said(say(Kind::Start, name, second)).await;
    }
    let mut stored: Vec<_> = other.events("").await.into_iter().map(|one| one.name).collect();
    stored.sort();
    let mut expected = names;
    expected.sort_unstable();
    assert_eq!(stored, expected);
    one.said(new_timeline()).await;
    // Years before its start, and a clock that is a day behind.
    let years = 20 * 366 * 86_400;
    one.said(say(Kind::Start, "a", 0)).await;
    one.said(say(Kind::End, "a", -years)).await;
    let behind = |kind, second: i64| proto::RecordRequest {
        host: "old".to_owned(),
        ..say(kind, "b", second - 86_400)
    };
    one.said(behind(Kind::Start, 0)).await;
    one.said(behind(Kind::End, 5)).await;
    let shown = other.shown("").await.expect("it is there");
    let event = |name: &str| {
        let row = shown.rows.iter().find(|row| row.name == name).expect("a row");
        row.event.clone().expect("an event")
    };
    let (a, b) = (event("a"), event("b"));
    assert_eq!((a.start, a.end), (at(0, 0), at(-years, 0)));
    assert_eq!(a.took.map(|took| took.seconds), Some(0));
    assert_eq!(a.reversed.map(|reversed| reversed.seconds), Some(years));
    assert_eq!((b.start, b.start_received_at), (at(-86_400, 0), at(0, 0)));
    assert_eq!(b.took.map(|took| took.seconds), Some(5));
    let clocks: Vec<_> = shown
        .clocks
        .iter()
        .map(|one| (&*one.host, one.behind.as_ref().map(|one| one.seconds)))
        .collect();
    assert_eq!(clocks, [("old", Some(86_395))]);
}

async fn there_are_no_more_contexts_and_events_than_allowed(backend: Backend) {
    let (one, other) = (&backend.one, &backend.other);
    let of = |context: &str| proto::RecordRequest {
        context: context.to_owned(),
        ..say(Kind::Point, "p", 1)
    };
    for number in 0..5 {
        one.said(of(&format!("c{number}"))).await;
    }
    for server in [one, other] {
        let full = server.record(of("more")).await.expect_err("full");
        assert_eq!(full.code(), Code::ResourceExhausted);
        assert!(full.message().contains("--timelines-contexts-max"), "{full}");
        assert_eq!(server.said(of("c1")).await, (1, true));
    }
    // What comes beyond a timeline's events begins the next one, unless it names the timeline.
    let points = |label: &str| {
        let point = |number| proto::RecordRequest {
            context: "c0".to_owned(),
            timeline: label.to_owned(),
            ..say(Kind::Point, "q", number)
        };
        asked(proto::RecordAllRequest { messages: (0..301).map(point).collect() })
    };
    let last = |answer: Result<Response<proto::RecordAllResponse>, Status>| {
        let mut results = answer.expect("an answer").into_inner().results;
        results.pop().and_then(|last| last.result).expect("a result")
    };
    match last(TimelineService::record_all(&one.service, points("")).await) {
        RecordResult::Recorded(last) => assert_eq!(last.timeline.expect("one").number, 2),
        RecordResult::Refusal(refusal) => panic!("{refusal:?}"),
    }
    match last(TimelineService::record_all(&one.service, points("named")).await) {
        RecordResult::Refusal(full) => assert_eq!((full.code, &*full.reason), (8, "LIMIT")),
        RecordResult::Recorded(last) => panic!("{last:?}"),
    }
}
