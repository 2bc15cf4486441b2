//! How long things are kept: open events, timelines, what comes again, and what is usual.

use super::*;

on_every_backend!(
    what_nobody_hears_of_is_abandoned_and_never_finished,
    a_context_has_terms_of_its_own,
    what_is_usual_outlives_its_timelines,
    what_came_long_ago_is_not_known_any_more,
);

/// open-telemetry/opentelemetry-specification#2692, open-telemetry/opentelemetry-kotlin#77,
/// open-telemetry/opentelemetry-dotnet-contrib#2682: the reporter crashes, its open spans are lost.
async fn what_nobody_hears_of_is_abandoned_and_never_finished(backend: Backend) {
    let (one, other) = (&backend.one, &backend.other);
    one.said(say(Kind::Start, "a", 0)).await;
    one.said(say(Kind::Start, "b", 0)).await;
    backend.set("2030-06-15T10:00:00Z");
    let waits = proto::RecordRequest {
        phase: proto::Phase::Waiting.into(),
        ..say(Kind::Phase, "b", 4 * 3_600)
    };
    one.said(waits).await;
    one.sweep("2030-06-16T06:00:01Z").await;
    assert_eq!(one.shown("").await.expect("it").timeline.expect("a timeline").open, 2);
    one.sweep("2030-06-16T06:00:02Z").await;
    other.sweep("2030-06-16T06:00:03Z").await;
    let events = other.events("").await;
    let [a, b] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*a.state, a.end, &a.took, a.heard_at), ("abandoned", None, &None, at(0, 0)));
    assert_eq!((a.abandoned_at, a.overdue_at), (at(86_400, 0), None));
    assert_eq!((&*b.state, b.overdue_at), ("open", at(86_400 + 4 * 3_600, 0)));
    let shown = one.shown("").await.expect("it is there");
    let timeline = shown.timeline.expect("a timeline");
    assert_eq!((&*timeline.state, timeline.open, timeline.abandoned), ("open", 1, 1));
    // It is drawn up to when it was last heard of.
    let row = shown.rows.iter().find(|row| row.name == "a").expect("a row");
    assert_eq!((row.is_open, row.until), (false, at(0, 0)));
    // Its end comes all the same.
    backend.set("2030-06-17T06:00:00Z");
    one.said(say(Kind::End, "a", 60)).await;
    assert_eq!(one.seen("").await[0], seen("a", "ok", 1, 0, 60));
    one.sweep("2030-06-17T06:00:00Z").await;
    let timeline = one.shown("").await.expect("it is there").timeline.expect("a timeline");
    assert_eq!((&*timeline.state, timeline.open, timeline.abandoned), ("abandoned", 0, 1));
}

async fn a_context_has_terms_of_its_own(backend: Backend) {
    let (one, other) = (&backend.one, &backend.other);
    let configure = |retention_days, seconds: Option<i64>| {
        let abandon_after = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let context = "deploy".to_owned();
        asked(proto::ConfigureContextRequest { context, retention_days, abandon_after })
    };
    let none = one.service.configure_context(configure(None, None)).await;
    assert_eq!(none.err().map(|status| status.code()), Some(Code::NotFound));
    one.said(say(Kind::Start, "a", 0)).await;
    for wrong in
        [configure(Some(36_501), None), configure(None, Some(0)), configure(None, Some(-5))]
    {
        let refused = one.service.configure_context(wrong).await;
        assert_eq!(refused.err().map(|status| status.code()), Some(Code::InvalidArgument));
    }
    let configured = one.service.configure_context(configure(Some(2), Some(600))).await;
    let context = configured.expect("configured").into_inner().context.expect("a context");
    assert_eq!((context.retention_days, context.newest.is_some()), (Some(2), true));
    // It holds of what is there, and of what comes.
    one.said(say(Kind::Start, "b", 0)).await;
    let overdue: Vec<_> = other.events("").await.iter().map(|one| one.overdue_at).collect();
    assert_eq!(overdue, [at(600, 0), at(600, 0)]);
    one.sweep("2030-06-15T06:10:02Z").await;
    let timeline = other.shown("").await.expect("it is there").timeline.expect("a timeline");
    assert_eq!((&*timeline.state, timeline.abandoned), ("abandoned", 2));
    // Nothing is deleted before its time, which is a full hour.
    other.sweep("2030-06-17T06:59:59Z").await;
    assert_eq!(one.timelines(0, 0).await.timelines.len(), 1);
    other.sweep("2030-06-17T07:30:00Z").await;
    assert_eq!(one.timelines(0, 0).await.timelines, []);
    assert_eq!(one.shown("1").await.expect_err("gone").code(), Code::NotFound);
    // The context is still there, and counts on. What was stored is known, and told to be gone.
    let again = one.record(say(Kind::Start, "a", 0)).await.expect_err("gone");
    assert_eq!(again.code(), Code::FailedPrecondition, "{again}");
    assert_eq!(one.said(say(Kind::Start, "a", 1)).await, (2, false));
    one.service.configure_context(configure(Some(0), None)).await.expect("configured");
    let timeline = one.shown("").await.expect("it is there").timeline.expect("a timeline");
    assert_eq!(timeline.expires_at, None);
}

/// pasrom/meeting-transcriber PR#197: history expires before anybody compares.
async fn what_is_usual_outlives_its_timelines(backend: Backend) {
    let server = &backend.one;
    for (number, took) in [10, 30, 20, 99].into_iter().enumerate() {
        let start = 1_000 * i64::try_from(number).expect("a small number");
        server.said(new_timeline()).await;
        server.said(say(Kind::Start, "a", start)).await;
        let is_failed = took == 99;
        let status = if is_failed { proto::Status::Failed } else { proto::Status::Unspecified };
        let end =
            proto::RecordRequest { status: status.into(), ..say(Kind::End, "a", start + took) };
        server.said(end).await;
    }
    let usual = |shown: proto::ShowTimelineResponse| {
        let typical = shown.rows[0].typical.expect("it is known");
        let seconds = [typical.median, typical.shortest, typical.longest];
        (seconds.map(|of| of.map_or(0, |of| of.seconds)), typical.timelines, typical.failed)
    };
    // Before the last, nothing had failed.
    assert_eq!(usual(server.shown("4").await.expect("it is there")), ([20, 10, 30], 3, 0));
    server.sweep("2031-06-15T06:00:00Z").await;
    assert_eq!(server.timelines(0, 0).await.timelines, []);
    server.said(say(Kind::Start, "a", 9_000)).await;
    assert_eq!(usual(server.shown("").await.expect("it is there")), ([20, 10, 30], 3, 1));
    // Durations have an end as well.
    server.sweep("2034-06-15T06:00:00Z").await;
    server.said(say(Kind::Start, "a", 9_001)).await;
    assert_eq!(server.shown("").await.expect("it is there").rows[0].typical, None);
}

async fn what_came_long_ago_is_not_known_any_more(backend: Backend) {
    let server = &backend.one;
    let start = say(Kind::Start, "a", 0);
    server.said(start.clone()).await;
    server.sweep("2030-07-14T06:00:00Z").await;
    assert_eq!(server.said(start.clone()).await, (1, true));
    server.sweep("2030-07-15T06:00:01Z").await;
    // It is a start like any other: its time is that of the first.
    assert_eq!(server.said(start).await, (1, false));
    assert_eq!(server.events("").await.len(), 2);
}
