//! What users of other products have asked for in public, each by its thread: what must hold here.

use jiff::{SignedDuration, Timestamp, Zoned};

use super::*;
use crate::backend::time;

on_every_backend!(
    a_start_limit_is_not_the_limit_of_a_run,
    a_run_that_falls_silent_is_overdue_then,
    a_payment_a_little_early_settles_the_coming_time_once,
    a_run_that_was_too_short_has_failed,
    every_stored_next_time_is_that_of_the_vectors,
    a_schedule_without_a_zone_says_that_it_is_utc,
    a_payment_is_booked_by_its_own_time_in_any_order,
    a_start_and_an_end_without_an_id_are_one_run,
    a_period_is_one_alarm_and_one_recovery_whatever_comes,
    a_debt_that_is_paid_too_often_is_not_fine,
);

fn cron(slug: &str, expression: &str) -> proto::Definition {
    let schedule = Some(Schedule::Cron(expression.to_owned()));
    proto::Definition { schedule, grace: None, ..hourly(slug) }
}

fn kind(debt: &str, kind: proto::PaymentKind) -> proto::PayRequest {
    proto::PayRequest { kind: kind.into(), ..pay(debt) }
}

fn second(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::from_second(at.seconds).ok())
}

impl Server {
    async fn due(&self, debt: &str) -> Option<Timestamp> {
        second(self.show(debt).await.expect("it is there").debt.expect("a debt").due_at)
    }

    /// When the alarms and recoveries were.
    async fn flipped(&self, debt: &str) -> Vec<(bool, String)> {
        self.flips(debt).await.into_iter().map(|(is_alarm, at, _)| (is_alarm, at)).collect()
    }
}

fn alarm(at: &str) -> Vec<(bool, String)> {
    vec![(true, at.to_owned())]
}

/// healthchecks/healthchecks#910, #1135, #547: one grace for what is late and for what runs.
async fn a_start_limit_is_not_the_limit_of_a_run(backend: &Backend) {
    let (one, other) = (&backend.one, &backend.other);
    backend.set("05:59:00");
    for slug in ["idle", "long"] {
        let limits = proto::Definition {
            start_limit: minutes(1),
            run_limit: minutes(30),
            ..cron(slug, "0 6 * * *")
        };
        one.add(limits).await.expect("added");
    }
    one.sweep("05:59:30").await;
    backend.set("06:00:00");
    other.paid(kind("long", proto::PaymentKind::Start)).await.expect("paid");
    one.sweep_until("06:00:20", "06:01:01").await;
    assert_eq!(one.flipped("idle").await, []);
    one.sweep("06:01:03").await;
    assert_eq!(one.flipped("idle").await, alarm("06:01:00"));
    one.sweep_until("06:01:40", "06:30:01").await;
    assert_eq!(one.flipped("long").await, []);
    one.sweep("06:30:03").await;
    assert_eq!(one.flipped("long").await, alarm("06:30:00"));
    assert_eq!(one.flipped("idle").await.len(), 1);
}

/// healthchecks/healthchecks#1232: a job that dies early is noticed at the end of the limit.
async fn a_run_that_falls_silent_is_overdue_then(backend: &Backend) {
    let (one, other) = (&backend.one, &backend.other);
    let limits = proto::Definition {
        schedule: None,
        grace: None,
        heartbeat_limit: minutes(5),
        run_limit: hours(1),
        ..hourly("job")
    };
    one.add(limits).await.expect("added");
    one.sweep("06:00:00").await;
    one.paid(run("job", "r1", proto::PaymentKind::Start)).await.expect("paid");
    for (server, at) in [(other, "06:04:00"), (one, "06:08:00")] {
        backend.set(at);
        server.paid(run("job", "r1", proto::PaymentKind::Heartbeat)).await.expect("paid");
    }
    one.sweep_until("06:00:30", "06:13:01").await;
    assert_eq!(one.flipped("job").await, []);
    one.sweep("06:13:02").await;
    assert_eq!(one.flipped("job").await, alarm("06:13:00"));
}

/// healthchecks/healthchecks#236, #1160: what is done 2 min early counts for nothing.
async fn a_payment_a_little_early_settles_the_coming_time_once(backend: &Backend) {
    let (one, other) = (&backend.one, &backend.other);
    for (slug, window) in [("early", minutes(5)), ("exact", None)] {
        let limits = proto::Definition {
            early_window: window,
            grace: minutes(1),
            ..cron(slug, "0 7 * * *")
        };
        one.add(limits).await.expect("added");
    }
    for (server, at) in [(one, "06:58:00"), (other, "06:59:00")] {
        backend.set(at);
        for slug in ["early", "exact"] {
            server.paid(pay(slug)).await.expect("paid");
        }
    }
    let slots: Vec<_> =
        one.payments("early").await.iter().map(|one| (second(one.slot), one.is_early)).collect();
    assert_eq!(slots, [(Some(time("07:00:00")), true); 2]);
    let tomorrow = time("07:00:00") + SignedDuration::from_hours(24);
    assert_eq!(one.due("early").await, Some(tomorrow), "both are for the same time");
    one.sweep_until("06:59:10", "07:01:02").await;
    assert_eq!(one.flipped("early").await, []);
    assert_eq!(one.flipped("exact").await, alarm("07:01:00"));
}

/// healthchecks/healthchecks#888: what is done far too fast counts as good.
async fn a_run_that_was_too_short_has_failed(backend: &Backend) {
    let server = &backend.one;
    let limits = proto::Definition { run_min: minutes(1), run_limit: hours(1), ..hourly("job") };
    server.add(limits).await.expect("added");
    server.paid(run("job", "r1", proto::PaymentKind::Start)).await.expect("paid");
    backend.set("06:00:59");
    server.paid(run("job", "r1", proto::PaymentKind::Success)).await.expect("paid");
    assert!(server.payments("job").await[0].is_too_short);
    let flips = server.flips("job").await;
    assert_eq!((flips.len(), flips[0].0), (1, true), "{flips:?}");
    assert!(flips[0].2.contains("too soon"), "{flips:?}");
    server.paid(run("job", "r2", proto::PaymentKind::Start)).await.expect("paid");
    backend.set("06:01:59");
    server.paid(run("job", "r2", proto::PaymentKind::Success)).await.expect("paid");
    assert_eq!(server.status("job").await, proto::Status::Up);
}

/// healthchecks/healthchecks#815, #912, #196, NagiosEnterprises/nagioscore#1003: false alarms when clocks change.
/// Each next time is stored, and paid exactly then.
async fn every_stored_next_time_is_that_of_the_vectors(backend: &Backend) {
    let vectors: [(&str, &str, &[&str]); 7] = [
        ("15 3 * * *", "2021-03-28T00:00+02", &["2021-03-28T04:00+03", "2021-03-29T03:15+03"]),
        ("15 3 * * *", "2021-10-31T00:00+03", &["2021-10-31T03:15+03", "2021-11-01T03:15+02"]),
        (
            "30 1,2,3,4,5 * * *",
            "2021-03-28T01:30+02",
            &["2021-03-28T02:30+02", "2021-03-28T04:00+03", "2021-03-28T04:30+03"],
        ),
        (
            "0 * * * *",
            "2021-10-31T01:30+03",
            &[
                "2021-10-31T02:00+03",
                "2021-10-31T03:00+03",
                "2021-10-31T03:00+02",
                "2021-10-31T04:00+02",
            ],
        ),
        (
            "0 */2 * * *",
            "2021-10-31T01:30+03",
            &["2021-10-31T02:00+03", "2021-10-31T04:00+02", "2021-10-31T06:00+02"],
        ),
        ("* 1-6 * * *", "2021-03-28T02:58+02", &["2021-03-28T02:59+02", "2021-03-28T04:00+03"]),
        // It is due at the same moment every day, wherever the server is.
        ("0 12 * * *", "2021-03-27T13:00+02", &["2021-03-28T12:00+03", "2021-03-29T12:00+03"]),
    ];
    let (one, other) = (&backend.one, &backend.other);
    let at = |text: &str| format!("{text}[Europe/Riga]").parse::<Zoned>().expect(text).timestamp();
    for (number, (expression, from, times)) in vectors.into_iter().enumerate() {
        let slug = format!("vector-{number}");
        one.clock.set(at(from));
        let zone = "Europe/Riga".to_owned();
        let definition = proto::Definition { time_zone: zone, ..cron(&slug, expression) };
        one.add(definition).await.expect("added");
        for next in times.iter().map(|text| at(text)) {
            assert_eq!(other.due(&slug).await, Some(next), "{expression} from {from}");
            one.clock.set(next);
            one.paid(pay(&slug)).await.expect("paid");
            let slot = one.payments(&slug).await[0].slot;
            assert_eq!(second(slot), Some(next), "{expression} from {from}");
        }
    }
}

/// healthchecks/healthchecks#912: the zones of the server and of the job differ, and nothing says which one counts.
async fn a_schedule_without_a_zone_says_that_it_is_utc(backend: &Backend) {
    let server = &backend.one;
    let zone = |debt: Option<proto::Debt>| {
        debt.and_then(|debt| debt.definition).map(|definition| definition.time_zone)
    };
    let added = server.add(cron("job", "0 7 * * *")).await.expect("added").debt;
    let shown = server.show("job").await.expect("it is there").debt;
    let paid = server.paid(pay("job")).await.expect("paid").debt;
    let listed = server.list(proto::ListDebtsRequest::default()).await.debts.pop();
    for (answer, debt) in [("added", added), ("shown", shown), ("paid", paid), ("listed", listed)] {
        assert_eq!(zone(debt).as_deref(), Some("UTC"), "{answer}");
    }
    assert_eq!(server.due("job").await, Some(time("07:00:00")));
}

/// getsentry/sentry#84358, #80898, #80888: a punctual check-in is booked on the next slot, and today's is missed.
async fn a_payment_is_booked_by_its_own_time_in_any_order(backend: &Backend) {
    let (one, other) = (&backend.one, &backend.other);
    let said = |debt: &str, at: &str| {
        let at = time(at);
        let time = Some(prost_types::Timestamp { seconds: at.as_second(), nanos: 0 });
        proto::PayRequest { time, ..pay(debt) }
    };
    let slots = ["07:00:10", "08:00:00", "09:59:59"];
    for (slug, order) in [("forward", [0, 1, 2]), ("backward", [2, 1, 0]), ("mixed", [1, 2, 0])] {
        backend.set("06:30:00");
        one.add(proto::Definition { grace: hours(4), ..cron(slug, "0 * * * *") })
            .await
            .expect("added");
        // They are processed late, by any server.
        backend.set("10:05:00");
        for (number, at) in order.into_iter().enumerate() {
            let server = if number % 2 == 0 { one } else { other };
            server.paid(said(slug, slots[at])).await.expect("paid");
        }
        let mut booked: Vec<_> = one
            .payments(slug)
            .await
            .iter()
            .map(|one| (second(one.time), second(one.slot)))
            .collect();
        booked.sort_unstable();
        let right = [("07:00:10", "07:00:00"), ("08:00:00", "08:00:00"), ("09:59:59", "09:00:00")];
        assert_eq!(booked, right.map(|(at, slot)| (Some(time(at)), Some(time(slot)))), "{slug}");
        assert_eq!(one.due(slug).await, Some(time("10:00:00")), "{slug}");
        assert_eq!(
            (one.status(slug).await, one.flipped(slug).await),
            (proto::Status::Late, vec![])
        );
    }
}

/// getsentry/sentry#68161: start and end became two check-ins.
async fn a_start_and_an_end_without_an_id_are_one_run(backend: &Backend) {
    let (one, other) = (&backend.one, &backend.other);
    one.add(proto::Definition { run_limit: hours(1), ..hourly("job") }).await.expect("added");
    one.paid(kind("job", proto::PaymentKind::Start)).await.expect("paid");
    backend.set("06:00:30");
    other.paid(kind("job", proto::PaymentKind::Success)).await.expect("paid");
    let request = proto::ListRunsRequest { debt: "job".to_owned(), limit: 0, before: 0 };
    let runs = one.service.list_runs(asked(request)).await.expect("a list").into_inner().runs;
    let told: Vec<_> = runs.iter().map(|run| (run.outcome(), second(run.ended_at))).collect();
    assert_eq!(told, [(proto::RunOutcome::Succeeded, Some(time("06:00:30")))]);
}

/// louislam/uptime-kuma#6586, #5639: counters survive a success, and "down" is followed by more alarms.
async fn a_period_is_one_alarm_and_one_recovery_whatever_comes(backend: &Backend) {
    use proto::PaymentKind::{Fail, Success};
    let (one, other) = (&backend.one, &backend.other);
    one.add(proto::Definition { failures_to_alarm: Some(2), ..hourly("job") })
        .await
        .expect("added");
    one.sweep("06:00:00").await;
    // A success between two failures: there are no two in a row.
    for (server, what) in [(one, Fail), (other, Success), (one, Fail), (other, Success)] {
        server.paid(kind("job", what)).await.expect("paid");
    }
    assert_eq!(one.flipped("job").await, []);
    backend.set("06:00:10");
    for server in [one, other, one, other] {
        server.paid(kind("job", Fail)).await.expect("paid");
    }
    // What is down already is silent as well, and fails again.
    one.sweep_until("06:00:20", "07:10:00").await;
    one.paid(kind("job", Fail)).await.expect("paid");
    assert_eq!(one.flipped("job").await, alarm("06:00:10"));
    for server in [one, other] {
        server.clock.set(time("07:11:00"));
        server.paid(kind("job", Success)).await.expect("paid");
    }
    let both = [alarm("06:00:10"), vec![(false, "07:11:00".to_owned())]].concat();
    assert_eq!(one.flipped("job").await, both);
}

/// healthchecks/healthchecks#17: a job in a loop pays all the time.
async fn a_debt_that_is_paid_too_often_is_not_fine(backend: &Backend) {
    let (one, other) = (&backend.one, &backend.other);
    let limits =
        proto::Definition { rate_payments: Some(3), rate_period: minutes(1), ..hourly("loop") };
    one.add(limits).await.expect("added");
    for (server, status) in [
        (one, proto::Status::Up),
        (other, proto::Status::Up),
        (one, proto::Status::Up),
        (other, proto::Status::Down),
    ] {
        server.paid(pay("loop")).await.expect("it is stored");
        assert_eq!(one.status("loop").await, status);
    }
    let flagged: Vec<_> = one.payments("loop").await.iter().map(|one| one.is_over_rate).collect();
    assert_eq!(flagged, [true, false, false, false]);
    assert_eq!(one.flips("loop").await.len(), 1);
}
