//! What a timeline is drawn as: rows, hierarchy, bars, and the critical path.

use uuid::Uuid;

use super::*;
use crate::message::{Attributes, Status};
use crate::model::{Counts, Key, Timeline};
use crate::pairing::{End, Shift, Start};

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).expect("a time")
}

/// An event of a host, whose messages are received when they say.
pub(crate) fn event(name: &str, host: &str, from: i64, until: Option<i64>) -> Event {
    let start = Start { time: at(from), attributes: Attributes::new(), received: at(from) };
    let end = until.map(|until| End {
        time: at(until),
        status: Status::Ok,
        attributes: Attributes::new(),
        received: at(until),
    });
    Event {
        timeline: Uuid::nil(),
        number: 1,
        context: Uuid::nil(),
        key: Key { name: name.to_owned(), host: host.to_owned(), span: String::new() },
        is_point: false,
        rank: 1,
        attempt: Attempt { start: Some(start), end, shifts: Vec::new() },
        overdue: None,
        abandoned: None,
    }
}

/// The timeline that has them.
pub(crate) fn timeline(events: &[Event]) -> Timeline {
    let count = |is: fn(Standing) -> bool| {
        let counted = events.iter().filter(|event| is(event.standing())).count();
        i64::try_from(counted).expect("few")
    };
    Timeline {
        id: Uuid::nil(),
        context: Uuid::nil(),
        number: 7,
        label: String::new(),
        begun: at(0),
        heard: at(0),
        expires: None,
        first: events.iter().map(|event| event.attempt.time()).min(),
        last: None,
        counts: Counts {
            events: count(|_| true),
            open: count(|one| one == Standing::Open),
            abandoned: count(|one| one == Standing::Abandoned),
            failed: count(|one| one == Standing::Ended(Status::Failed)),
        },
    }
}

fn drawn(events: &[Event], now: i64) -> Chart {
    chart(events, &HashMap::new(), at(now))
}

fn rows(chart: &Chart) -> Vec<(usize, &str, i64, i64, bool)> {
    let second = |time: Timestamp| time.as_second() - 1_900_000_000;
    let row = |row: &Row| (row.depth, second(row.from), second(row.until), row.is_open);
    chart
        .rows
        .iter()
        .map(|one| {
            let (depth, from, until, is_open) = row(one);
            (depth, &*one.name, from, until, is_open)
        })
        .collect()
}

/// equinix-labs/otel-cli#152, #344, tobert/otel-cli#10: nesting fails between processes. Here `a.b` is under
/// `a`, whoever sent it, and `a` reaches from the first start to the last end below it.
#[test]
fn names_are_nested_whoever_sent_them() {
    let events = [
        event("deploy.web.restart", "one", 30, Some(40)),
        event("deploy.db.migrate", "two", 10, Some(25)),
        event("check", "", 5, Some(6)),
        event("deploy.web", "one", 20, None),
    ];
    let expected = [
        (0, "check", 5, 6, false),
        (0, "deploy", 10, 50, true),
        (1, "deploy.db", 10, 25, false),
        (2, "deploy.db.migrate", 10, 25, false),
        (1, "deploy.web", 20, 50, true),
        (2, "deploy.web.restart", 30, 40, false),
    ];
    assert_eq!(rows(&drawn(&events, 50)), expected);
}

/// open-telemetry/opentelemetry-specification#373, #4993: what runs now is invisible until it ends. It is drawn up
/// to now. inception-health/otel-export-trace-action#9: and never as one of length zero, or with an end.
#[test]
fn what_is_open_is_drawn_up_to_now() {
    let events = [event("a", "", 10, None)];
    let chart = drawn(&events, 70);
    assert_eq!(rows(&chart), [(0, "a", 10, 70, true)]);
    assert_eq!(chart.rows[0].bars, [Bar { from: at(10), until: at(70), phase: Phase::Working }]);
    let mut abandoned = event("a", "", 10, None);
    abandoned.attempt.shifts.push(Shift { time: at(20), phase: Phase::Waiting, received: at(20) });
    abandoned.abandoned = Some(at(60));
    assert_eq!(rows(&drawn(&[abandoned], 70)), [(0, "a", 10, 20, false)]);
}

#[test]
fn several_hosts_and_attempts_have_rows_below_their_name() {
    let events = [
        event("a", "two", 10, Some(20)),
        event("a", "one", 10, Some(12)),
        event("a", "one", 15, Some(18)),
        event("a.b", "one", 11, Some(12)),
    ];
    let expected = [
        (0, "a", 10, 20, false),
        (1, "a", 10, 12, false),
        (1, "a", 10, 20, false),
        (1, "a", 15, 18, false),
        (1, "a.b", 11, 12, false),
    ];
    assert_eq!(rows(&drawn(&events, 50)), expected);
}

#[test]
fn the_critical_path_goes_back_from_what_ends_last() {
    let events = [
        event("fetch", "", 0, Some(10)),
        event("lint", "", 10, Some(14)),
        event("build", "", 10, Some(30)),
        event("test", "", 31, Some(50)),
        event("docs", "", 31, Some(40)),
        event("all", "", 0, Some(50)),
        event("all.one", "", 0, Some(1)),
    ];
    let chart = drawn(&events, 60);
    let critical: Vec<_> =
        chart.rows.iter().filter(|row| row.is_critical).map(|row| &*row.name).collect();
    assert_eq!(critical, ["fetch", "build", "test"]);
    assert_eq!(drawn(&[], 5).rows, []);
}

/// jaegertracing/jaeger#1459, grafana/tempo#3930, grafana/grafana#93060: clocks differ, and silent correction makes
/// false pictures. Nothing is shifted; what is far off is told.
#[test]
fn a_clock_that_is_off_is_told_and_nothing_is_shifted() {
    let mut off = event("a", "one", 100, Some(200));
    let day = SignedDuration::from_hours(24);
    if let (Some(start), Some(end)) = (&mut off.attempt.start, &mut off.attempt.end) {
        (start.received, end.received) = (start.time + day, end.time + day);
    }
    let events = [off, event("a", "two", 100, Some(200))];
    let chart = drawn(&events, 300);
    assert_eq!(chart.clocks, [("one".to_owned(), day)]);
    assert!(rows(&chart).iter().all(|(_, _, from, until, _)| (*from, *until) == (100, 200)));
}

/// open-telemetry/opentelemetry-collector-contrib#39081: totals give waiting and working apart, and each once.
#[test]
fn totals_are_of_what_has_nothing_below_it() {
    let mut inner = event("a.b", "", 10, Some(30));
    inner.attempt.shifts.push(Shift { time: at(10), phase: Phase::Waiting, received: at(10) });
    inner.attempt.shifts.push(Shift { time: at(15), phase: Phase::Working, received: at(15) });
    let chart = drawn(&[event("a", "", 0, Some(40)), inner], 50);
    let Spent { waiting, working } = chart.spent;
    assert_eq!((waiting.as_secs(), working.as_secs()), (5, 15));
}

/// Of each part of each name a row with the whole name would be hundreds of megabytes.
#[test]
fn rows_are_bounded_by_the_events() {
    let deep = |at: usize| {
        let parts: Vec<_> = (0..31).map(|level| format!("{level}-{at}")).collect();
        event(&parts.join("."), if at.is_multiple_of(2) { "one" } else { "two" }, 0, Some(1))
    };
    let events: Vec<_> = (0..1_000).map(deep).collect();
    let chart = drawn(&events, 5);
    assert_eq!(chart.rows.len(), ROWS_MAX + events.len());
    assert_eq!(chart.rows.iter().filter_map(|row| row.event).collect::<HashSet<_>>().len(), 1_000);
    let lanes = lanes::by_host(&chart, &events, at(5));
    assert_eq!(lanes.iter().map(|lane| lane.rows.len()).sum::<usize>(), ROWS_MAX + events.len());
}
