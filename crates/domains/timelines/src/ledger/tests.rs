//! What messages make of timelines, in any order, and any of them again.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::message::{Phase, Written};
use crate::model::{Standing, Terms};

const LIMITS: Limits = Limits {
    contexts_max: 10,
    events_max: 100,
    retention_days: 30,
    abandon_after: SignedDuration::from_hours(1),
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).expect("a time")
}

fn said(kind: Kind, name: &str, host: &str, time: i64) -> Written {
    let (name, host) = (name.to_owned(), host.to_owned());
    Written {
        kind,
        context: "web".to_owned(),
        name,
        host,
        time: Some(at(time)),
        ..Written::default()
    }
}

fn new_timeline() -> Written {
    Written { kind: Kind::New, context: "web".to_owned(), ..Written::default() }
}

/// A database in memory: all of it is loaded, and each message is a transaction.
struct World {
    loaded: Loaded,
    events: BTreeMap<(i64, i64), Event>,
    durations: BTreeMap<(i64, Key), Duration>,
    limits: Limits,
    received: i64,
}

/// An event without what depends on when it was received.
type Seen = (i64, String, String, i64, bool, Option<i64>, Option<i64>, Standing, Vec<(i64, Phase)>);

impl World {
    fn new() -> Self {
        let context = Context {
            id: Uuid::from_u128(1),
            namespace: Namespace::DEFAULT,
            name: "web".to_owned(),
            created: at(0),
            timelines: 0,
            terms: Terms::default(),
        };
        let mut loaded = Loaded::default();
        loaded.contexts.insert((Namespace::DEFAULT, "web".to_owned()), context);
        let (events, durations) = (BTreeMap::new(), BTreeMap::new());
        Self { loaded, events, durations, limits: LIMITS, received: 0 }
    }

    fn say(&mut self, said: Written) -> Done {
        match self.outcome(said, None) {
            Outcome::Done(done) => done,
            other => panic!("{other:?}"),
        }
    }

    fn outcome(&mut self, said: Written, key: Option<&str>) -> Outcome {
        self.received += 1;
        let drawn = Uuid::from_u128(1_000 + self.received.unsigned_abs() as u128);
        let message = said.message(Namespace::DEFAULT, key, at(1_000 + self.received), drawn);
        let mut changes = judge(&mut self.loaded, &[message], at(2_000), self.limits);
        for event in changes.events {
            let number = self.loaded.timelines[&event.timeline].number;
            self.events.insert((number, event.number), event);
        }
        for one in changes.durations {
            self.durations.insert((one.timeline_number, one.key.clone()), one);
        }
        changes.outcomes.pop().expect("one outcome")
    }

    fn seen(&self) -> Vec<Seen> {
        let second = |time: Timestamp| time.as_second() - 1_900_000_000;
        let mut seen: Vec<Seen> = Vec::new();
        for ((timeline, _), event) in &self.events {
            let Attempt { start, end, shifts } = &event.attempt;
            seen.push((
                *timeline,
                event.key.name.clone(),
                event.key.host.clone(),
                event.rank,
                event.is_point,
                start.as_ref().map(|start| second(start.time)),
                end.as_ref().map(|end| second(end.time)),
                event.standing(),
                shifts.iter().map(|shift| (second(shift.time), shift.phase)).collect(),
            ));
        }
        seen.sort_by(|one, other| format!("{one:?}").cmp(&format!("{other:?}")));
        seen
    }

    /// What the events add up to.
    fn counted(&self, timeline: i64) -> Counts {
        let mut counts = Counts::default();
        for (_, event) in self.events.iter().filter(|((of, _), _)| *of == timeline) {
            counts.events += 1;
            counts.open += i64::from(event.standing() == Standing::Open);
            let end = event.attempt.end.as_ref().filter(|_| event.attempt.start.is_some());
            counts.failed += i64::from(end.is_some_and(|end| end.status == Status::Failed));
        }
        counts
    }
}

fn spans(world: &World) -> Vec<(i64, Option<i64>, Option<i64>)> {
    world
        .seen()
        .into_iter()
        .map(|(timeline, _, _, _, _, start, end, ..)| (timeline, start, end))
        .collect()
}

/// upto: an end that is received before its start must pair with it, one that is received twice must change
/// nothing, and an event without a timeline makes the first one.
#[test]
fn an_end_before_its_start_pairs_later() {
    let mut world = World::new();
    let (start, end) = (said(Kind::Start, "a", "", 1), said(Kind::End, "a", "", 2));
    assert_eq!(world.say(end.clone()).timeline.number, 1);
    assert_eq!(spans(&world), [(1, None, Some(2))]);
    assert!(!world.say(start.clone()).is_repeated);
    assert_eq!(spans(&world), [(1, Some(1), Some(2))]);
    for again in [start, end] {
        assert!(world.say(again).is_repeated);
    }
    assert_eq!(spans(&world), [(1, Some(1), Some(2))]);
}

/// upto: a new timeline leaves open events in their old one, and their ends find them there.
#[test]
fn a_new_timeline_leaves_open_events_where_they_are() {
    let mut world = World::new();
    world.say(said(Kind::Start, "a", "", 1));
    assert_eq!(world.say(new_timeline()).timeline.number, 2);
    // Nothing has come to it yet, so it is the same one.
    assert!(world.say(new_timeline()).is_repeated);
    world.say(said(Kind::Start, "b", "", 2));
    assert_eq!(world.say(said(Kind::End, "a", "", 3)).timeline.number, 1);
    assert_eq!(spans(&world), [(1, Some(1), Some(3)), (2, Some(2), None)]);
    // Open in both: the end goes to the one that had begun by then.
    world.say(said(Kind::Start, "b", "", 9));
    assert_eq!(world.say(new_timeline()).timeline.number, 3);
    world.say(said(Kind::Start, "b", "", 20));
    assert_eq!(world.say(said(Kind::End, "b", "", 10)).timeline.number, 2);
    assert_eq!(world.say(said(Kind::End, "b", "", 21)).timeline.number, 3);
    // A start that was overtaken by its end and by a new timeline.
    assert_eq!(world.say(said(Kind::End, "c", "", 30)).timeline.number, 3);
    assert_eq!(world.say(new_timeline()).timeline.number, 4);
    assert_eq!(world.say(said(Kind::Start, "c", "", 29)).timeline.number, 3);
    assert_eq!(world.say(said(Kind::Start, "c", "", 31)).timeline.number, 4);
}

/// A phase belongs to its event, whatever of it came before, and however many timelines were begun meanwhile.
#[test]
fn a_phase_finds_its_event_in_whatever_order_they_come() {
    let all = [(Kind::Start, 1), (Kind::Phase, 2), (Kind::End, 3)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = World::new();
        for (kind, time) in order.map(|at| all[at]) {
            let phase = (kind == Kind::Phase).then_some(Phase::Waiting);
            let told = world.say(Written { phase, ..said(kind, "a", "", time) });
            assert_eq!(told.timeline.number, 1, "{order:?}");
            world.say(new_timeline());
            world.say(said(Kind::Point, "other", "", time));
        }
        let seen: Vec<Seen> = world.seen().into_iter().filter(|one| one.1 == "a").collect();
        let [(1, _, _, 1, false, Some(1), Some(3), _, phases)] = &seen[..] else {
            panic!("{order:?}: {seen:?}")
        };
        assert_eq!(phases[..], [(2, Phase::Waiting)], "{order:?}");
    }
}

/// equinix-labs/otel-cli#152, #344, tobert/otel-cli#10: start and end in two calls need a background process.
#[test]
fn nothing_but_context_name_and_host_is_needed() {
    let mut world = World::new();
    for host in ["one", "two"] {
        world.say(said(Kind::Start, "a.b", host, 1));
    }
    world.say(said(Kind::End, "a.b", "two", 5));
    assert_eq!(spans(&world), [(1, Some(1), None), (1, Some(1), Some(5))]);
}

#[test]
fn a_label_names_a_timeline_and_a_span_tells_overlapping_events_apart() {
    let mut world = World::new();
    let of_span = |kind, span: &str, time| Written {
        span: span.to_owned(),
        timeline: "run 7".to_owned(),
        ..said(kind, "a", "", time)
    };
    for message in [
        of_span(Kind::Start, "x", 1),
        of_span(Kind::Start, "y", 2),
        of_span(Kind::End, "x", 3),
        of_span(Kind::End, "y", 4),
    ] {
        assert_eq!(world.say(message).timeline.label, "run 7");
    }
    assert_eq!(spans(&world), [(1, Some(1), Some(3)), (1, Some(2), Some(4))]);
    let labelled = Written { timeline: "run 7".to_owned(), ..new_timeline() };
    assert!(world.say(labelled).is_repeated);
    assert_eq!(world.say(new_timeline()).timeline.number, 2);
    assert_eq!(world.say(of_span(Kind::Point, "", 9)).timeline.number, 1);
}

#[test]
fn a_key_stands_for_one_content() {
    let mut world = World::new();
    let start = said(Kind::Start, "a", "", 1);
    let outcome = world.outcome(start.clone(), Some("k"));
    assert!(matches!(outcome, Outcome::Done(Done { is_repeated: false, .. })));
    let outcome = world.outcome(start, Some("k"));
    assert!(matches!(outcome, Outcome::Done(Done { is_repeated: true, .. })));
    let outcome = world.outcome(said(Kind::Start, "b", "", 1), Some("k"));
    assert_eq!(outcome, Outcome::OtherContent);
    assert_eq!(world.events.len(), 1);
}

#[test]
fn a_full_timeline_is_followed_by_a_new_one() {
    let mut world = World::new();
    world.limits.events_max = 2;
    for name in ["a", "b"] {
        world.say(said(Kind::Start, name, "", 1));
    }
    assert_eq!(world.say(said(Kind::End, "a", "", 2)).timeline.number, 1);
    assert_eq!(world.say(said(Kind::Start, "c", "", 3)).timeline.number, 2);
    let labelled = Written { timeline: "x".to_owned(), ..said(Kind::Point, "a", "", 4) };
    let third = |time| Written { time: Some(at(time)), ..labelled.clone() };
    (5..7).for_each(|time| drop(world.say(third(time))));
    let outcome = world.outcome(third(8), None);
    assert!(matches!(outcome, Outcome::Refused(ErrorKind::ResourceExhausted, _)), "{outcome:?}");
}

/// buildkite/feedback#409 and others: how long each took is known per timeline; failed ones are left out and
/// counted.
#[test]
fn durations_are_those_that_ended_well() {
    let mut world = World::new();
    let failed = Written { status: Status::Failed, ..said(Kind::End, "a", "", 9) };
    for message in [
        Written { phase: Some(Phase::Waiting), ..said(Kind::Start, "a", "", 10) },
        Written { phase: Some(Phase::Working), ..said(Kind::Phase, "a", "", 11) },
        said(Kind::End, "a", "", 14),
        said(Kind::Start, "a", "", 1),
        failed,
    ] {
        world.say(message);
    }
    let [(_, duration)] = &world.durations.iter().collect::<Vec<_>>()[..] else { panic!("one") };
    assert_eq!(duration.took, Some(SignedDuration::from_secs(4)));
    assert_eq!((duration.waited, duration.failed), (SignedDuration::from_secs(1), 1));
}

fn messages() -> impl Strategy<Value = Vec<Written>> {
    let kind = prop_oneof![
        Just(Kind::Start),
        Just(Kind::Start),
        Just(Kind::End),
        Just(Kind::End),
        Just(Kind::Phase),
        Just(Kind::Point)
    ];
    let one = (kind, 0..2, 0..2, 0..15_i64, any::<bool>()).prop_map(
        |(kind, name, host, time, is_odd)| {
            let name = if name == 0 { "a" } else { "a.b" };
            let mut said = said(kind, name, if host == 0 { "" } else { "h" }, time);
            let phase = if is_odd { Phase::Waiting } else { Phase::Working };
            said.phase = matches!(kind, Kind::Phase | Kind::Start).then_some(phase);
            // The same time says the same.
            let is_failed = kind == Kind::End && time % 3 == 0;
            said.status = if is_failed { Status::Failed } else { Status::Ok };
            if kind != Kind::End && time % 2 == 0 {
                said.phase = said.phase.map(|_| Phase::Waiting);
            } else {
                said.phase = said.phase.map(|_| Phase::Working);
            }
            said
        },
    );
    proptest::collection::vec(one, 1..25)
}

proptest! {
    /// The same messages in any order, any of them again, make the same timeline.
    #[test]
    fn order_and_repetition_change_nothing(
        (messages, other) in messages().prop_flat_map(|all| {
            let twice = [all.clone(), all.clone()].concat();
            (Just(all), Just(twice).prop_shuffle())
        }),
    ) {
        let (mut one, mut two) = (World::new(), World::new());
        messages.iter().for_each(|message| drop(one.say(message.clone())));
        other.iter().for_each(|message| drop(two.say(message.clone())));
        prop_assert_eq!(one.seen(), two.seen());
        for world in [&one, &two] {
            let timeline = world.loaded.timelines.values().next().expect("one timeline");
            let Counts { events, open, failed, .. } = timeline.counts;
            let counted = world.counted(1);
            prop_assert_eq!((events, open), (counted.events, counted.open));
            prop_assert_eq!(failed, counted.failed);
        }
        let of = |world: &World| {
            let timelines = world.loaded.timelines.values();
            timelines.map(|one| (one.first, one.last)).collect::<Vec<_>>()
        };
        prop_assert_eq!(of(&one), of(&two));
        let durations = |world: &World| {
            let all = world.durations.values();
            all.map(|one| (one.key.clone(), one.took, one.waited, one.failed)).collect::<Vec<_>>()
        };
        prop_assert_eq!(durations(&one), durations(&two));
    }
}
