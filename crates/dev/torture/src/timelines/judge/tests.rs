//! The judge finds events and timelines that are lost, doubled, torn apart and invented.

use tally_proto::tally::timelines::v1::{Event, Timeline};

use super::super::script::{self, Script};
use super::*;

const SCRIPT: Script = Script { seed: 7 };
const TOLD: Told = Told { begun: 12, answered: 12 };

fn wire(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() })
}

fn event(told: &script::Event, number: i64, attempt: i64) -> Event {
    let state = match told.status {
        _ if told.is_point => "point",
        Status::Unspecified => "ok",
        Status::Failed => "failed",
        Status::Skipped => "skipped",
    };
    let mut halves = vec![("s".to_owned(), told.number.to_string())];
    halves.extend((!told.is_point).then(|| ("e".to_owned(), told.number.to_string())));
    let reversed = told.start.duration_since(told.end);
    Event {
        number,
        name: told.name.clone(),
        host: told.host.clone(),
        span: told.span.clone(),
        attempt,
        state: state.to_owned(),
        start: wire(told.start),
        end: wire(told.end).filter(|_| !told.is_point),
        waited: told.waits.and_then(|waits| waits.unsigned_abs().try_into().ok()),
        reversed: reversed.is_positive().then(|| reversed.unsigned_abs().try_into().ok()).flatten(),
        attributes: halves.into_iter().collect(),
        ..Event::default()
    }
}

/// What correct servers store of twelve windows.
fn stored() -> Vec<Stored> {
    let mut all: Vec<Stored> = Vec::new();
    let mut ranks = BTreeMap::new();
    let mut is_begun = true;
    for told in (1..=TOLD.answered * WINDOW).map(|number| SCRIPT.event(number)) {
        let is_there =
            |one: &Stored| one.context == told.context && one.timeline.label == told.timeline;
        let at = all.iter().rposition(is_there).filter(|_| told.context == LABELLED || !is_begun);
        let at = at.unwrap_or_else(|| {
            let (context, id) = (told.context.to_owned(), all.len().to_string());
            let timeline = Timeline { id, label: told.timeline.clone(), ..Timeline::default() };
            all.push(Stored { context, timeline, events: Vec::new() });
            all.len() - 1
        });
        is_begun = told.is_followed;
        let key = (at, told.name.clone(), told.host.clone(), told.span.clone());
        let rank = ranks.entry(key).or_insert(0);
        *rank += i64::from(!told.is_point);
        let (number, attempt) =
            (all[at].events.len() as i64 + 1, if told.is_point { 1 } else { *rank });
        all[at].events.push(event(&told, number, attempt));
        let timeline = &mut all[at].timeline;
        timeline.events += 1;
        timeline.failed += i64::from(told.status == Status::Failed);
    }
    all
}

fn judged(stored: &[Stored], is_set_back: bool) -> Verdict {
    let mut verdict = Verdict::default();
    Judge { script: SCRIPT, told: [TOLD, TOLD], stored, is_set_back }.judge(&mut verdict);
    verdict
}

/// Where the first event is that is no point, and comes after this one.
fn whole(stored: &Stored, after: usize) -> usize {
    let is_whole = |at: &usize| *at > after && stored.events[*at].state != "point";
    (0..stored.events.len()).find(is_whole).expect("there are many")
}

#[test]
fn what_correct_servers_store_has_no_difference() {
    let verdict = judged(&stored(), false);
    assert!(verdict.passed(), "{:#?}", verdict.differences);
    assert_eq!(verdict.by_check.len(), 8, "each check compares: {:?}", verdict.by_check);
}

#[test]
fn what_is_stored_wrongly_is_found() {
    type Break = fn(&mut Vec<Stored>);
    let cases: [(&str, &str, Break); 9] = [
        ("an event is lost", "timelines: acknowledged", |all| drop(all[0].events.pop())),
        ("an end is lost", "timelines: acknowledged", |all| {
            let at = whole(&all[0], 0);
            drop(all[0].events[at].attributes.remove("e"));
        }),
        ("an event is doubled", "timelines: stored once", |all| {
            let again = all[0].events[0].clone();
            all[0].events.push(again);
        }),
        ("ends are changed", "timelines: pairs", |all| {
            let (one, other) = (whole(&all[0], 0), whole(&all[0], 5));
            let end = all[0].events[one].attributes["e"].clone();
            let end = all[0].events[other].attributes.insert("e".to_owned(), end).expect("one");
            all[0].events[one].attributes.insert("e".to_owned(), end);
        }),
        ("a time is another one", "timelines: pairs", |all| all[0].events[2].start = None),
        ("an attempt is another one", "timelines: attempts", |all| all[0].events[2].attempt += 1),
        ("it is in another timeline", "timelines: stored as told", |all| {
            let event = all[0].events.remove(3);
            all[1].events.push(event);
        }),
        ("nobody told it", "timelines: stored as told", |all| {
            all[0].events[1].attributes.insert("s".to_owned(), "999".to_owned());
        }),
        ("a timeline is doubled", "timelines: once", |all| {
            let again = Stored { events: Vec::new(), ..all[0].clone() };
            all.push(again);
        }),
    ];
    for (what, check, breaks) in cases {
        let mut all = stored();
        breaks(&mut all);
        let verdict = judged(&all, false);
        let found = verdict.by_check.get(check).is_some_and(|of| of.differences > 0);
        assert!(found, "{what}: {:?}", verdict.by_check);
    }
    let mut all = stored();
    all[0].timeline.events += 1;
    assert_eq!(judged(&all, false).by_check["timelines: counts"].differences, 1);
}

/// Where servers were set back, messages may be lost, and only what is left must fit together.
#[test]
fn after_a_set_back_lost_events_are_no_difference_and_doubled_ones_are() {
    let mut all = stored();
    let lost = all[0].events.pop().expect("an event");
    all[0].timeline.events -= 1;
    assert!(judged(&all, true).passed());
    let again = all[0].events[0].clone();
    all[0].events.push(Event { number: lost.number, ..again });
    assert_eq!(judged(&all, true).by_check["timelines: stored once"].differences, 1 + 1);
}
