//! A picture says everything of a timeline, whatever its names and times are.

use std::collections::HashMap;

use jiff::SignedDuration;

use super::super::lanes::by_host;
use super::super::tests::{at, event, timeline};
use super::*;
use crate::chart::chart;
use crate::message::{Phase, Status};
use crate::pairing::Shift;
use crate::typical::Typical;

fn shown(events: Vec<Event>, now: i64) -> Shown {
    let usual = Typical {
        median: SignedDuration::from_secs(6),
        shortest: SignedDuration::from_secs(4),
        longest: SignedDuration::from_secs(9),
        timelines: 3,
        failed: 0,
    };
    let chart = chart(&events, &HashMap::from([("a.b", usual)]), at(now));
    Shown { timeline: timeline(&events), events, chart, now: at(now) }
}

fn file(shown: &Shown) -> String {
    let lanes = by_host(&shown.chart, &shown.events, shown.now);
    Picture { id: "t", title: "deploy, timeline 7", shown, lanes: &lanes }.file()
}

/// Events of every kind.
fn all() -> Vec<Event> {
    let mut failed = event("a.c", "", 5, Some(9));
    failed.attempt.end.as_mut().expect("an end").status = Status::Failed;
    let mut skipped = event("a.d", "", 9, Some(9));
    skipped.attempt.end.as_mut().expect("an end").status = Status::Skipped;
    let mut waits = event("a.b", "", 0, Some(5));
    waits.attempt.shifts.push(Shift { time: at(0), phase: Phase::Waiting, received: at(0) });
    waits.attempt.shifts.push(Shift { time: at(2), phase: Phase::Working, received: at(2) });
    let mut point = event("tag", "", 7, Some(7));
    point.is_point = true;
    let mut unstarted = event("late", "", 0, Some(8));
    unstarted.attempt.start = None;
    let mut abandoned = event("gone", "", 3, None);
    abandoned.abandoned = Some(at(10));
    vec![waits, failed, skipped, event("e", "", 9, None), point, unstarted, abandoned]
}

/// open-telemetry/opentelemetry-specification#373, #4993: what runs now is invisible until it ends. Here its bar
/// reaches up to now and has no end. google/perfetto#4280, #503: every event is drawn.
#[test]
fn every_kind_of_event_is_told_apart_without_colour() {
    let shown = shown(all(), 20);
    let text = file(&shown);
    for (what, count) in [
        ("<path class=\"on\"", 2),
        ("<path class=\"cross\"", 2),
        ("<path class=\"unknown\"", 2),
        ("<g class=\"skipped\"", 2),
        ("<rect class=\"waiting\"", 2),
        ("<line class=\"several\"", 3),
        ("<path class=\"point\"", 2),
        ("<rect class=\"usual\"", 2),
    ] {
        // One more than there are events of the kind: the legend says what it means.
        assert_eq!(text.matches(what).count(), count, "{what}: {text}");
    }
    let open = text.split("<g class=\"open\">").nth(1).and_then(|rest| rest.split("</g>").next());
    let open = open.expect("the open event");
    assert!(open.contains("e: 11.0 s open, from 2030-03-17T17:46:49Z</title>"), "{open}");
    assert!(open.contains("x=\"100.00%\""), "its bar reaches to the edge, which is now: {open}");
    assert!(text.contains("7 events, 1 open, 1 failed, 1 abandoned; from"), "{text}");
    assert!(text.contains("Critical path: a.b, a.c, e."), "{text}");
    assert!(text.contains("prefers-color-scheme: dark"), "{text}");
    // The same without a style is for pages, which have their own.
    let lanes = by_host(&shown.chart, &shown.events, shown.now);
    let inner = Picture { id: "t", title: "t", shown: &shown, lanes: &lanes }.draw(None);
    assert!(!inner.into_string().contains("style"));
}

#[test]
fn each_host_has_a_lane_with_its_names_nested() {
    let events = vec![
        event("a", "two", 5, Some(9)),
        event("a.b", "one", 0, Some(4)),
        event("a.c", "one", 1, Some(4)),
        event("x", "", 2, Some(3)),
    ];
    let shown = shown(events, 20);
    let lanes = by_host(&shown.chart, &shown.events, shown.now);
    let rows = |lane: &Lane| -> Vec<_> {
        lane.rows.iter().map(|row| (row.depth, row.name.clone())).collect()
    };
    let of = |depth, name: &str| (depth, name.to_owned());
    let hosts: Vec<_> = lanes.iter().map(|lane| lane.host.as_deref()).collect();
    assert_eq!(hosts, [Some("one"), Some(""), Some("two")]);
    assert_eq!(rows(&lanes[0]), [of(0, "a"), of(1, "a.b"), of(1, "a.c")]);
    assert_eq!(rows(&lanes[2]), [of(0, "a")]);
    assert!(lanes[0].rows[1].is_critical && lanes[0].rows[1].typical.is_some());
    let text = file(&shown);
    assert!(text.contains(">without a host</text>") && text.contains(">b</text>"), "{text}");
    assert_eq!(by_host(&shown.chart, &shown.events[1..2], shown.now).len(), 1);
}

/// Names of any kind, and times of any kind, are a picture that XML can have.
#[test]
fn odd_names_and_times_are_drawn() {
    let odd = "<script>&\"'\u{202e}\u{fffe}\u{1b}]]>";
    let mut reversed = event(odd, odd, 40, Some(10));
    reversed.attempt.end.as_mut().expect("an end").received = at(90_000);
    let ages = event("ages", "", -8_000_000_000, Some(300_000_000));
    for events in [vec![], vec![event("a", "", 0, Some(0))], vec![reversed, ages]] {
        let text = file(&shown(events, 20));
        assert!(
            !text.contains("<script") && !text.contains("NaN") && !text.contains("inf"),
            "{text}"
        );
        assert!(!text.contains(['\u{202e}', '\u{fffe}', '\u{1b}']), "{text}");
        let opened = text.matches('<').count() - text.matches("</").count() - 1;
        assert_eq!(opened, text.matches("</").count(), "every element ends: {text}");
    }
}
