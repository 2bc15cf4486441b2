//! Which end belongs to which start, whatever was said.

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).expect("a time")
}

fn start(time: i64) -> Start {
    Start { time: at(time), attributes: Attributes::new(), received: at(100) }
}

fn end(time: i64) -> End {
    End { time: at(time), status: Status::Ok, attributes: Attributes::new(), received: at(100) }
}

fn shift(time: i64, phase: Phase) -> Shift {
    Shift { time: at(time), phase, received: at(100) }
}

/// The attempts of starts and ends at these seconds.
fn paired(starts: &[i64], ends: &[i64]) -> Vec<(Option<i64>, Option<i64>)> {
    let starts = starts.iter().copied().map(start).collect();
    let ends = ends.iter().copied().map(end).collect();
    let second = |time: Timestamp| time.as_second() - 1_900_000_000;
    let times = |one: Attempt| {
        (one.start.map(|start| second(start.time)), one.end.map(|end| second(end.time)))
    };
    pair(Heard { starts, ends, shifts: Vec::new() }).into_iter().map(times).collect()
}

/// honeycombio/gha-buildevents#226: one id used by several spans merges them. Here a second start is a further
/// attempt, and an end closes the newest open one.
#[test]
fn an_end_closes_the_newest_open_attempt() {
    let (one, two) = (Some(1), Some(2));
    assert_eq!(paired(&[1], &[]), [(one, None)]);
    assert_eq!(paired(&[1], &[2]), [(one, two)]);
    assert_eq!(paired(&[1, 2], &[3]), [(one, None), (two, Some(3))]);
    assert_eq!(paired(&[1, 2], &[3, 4]), [(one, Some(4)), (two, Some(3))]);
    assert_eq!(paired(&[1, 3], &[2, 4]), [(one, two), (Some(3), Some(4))]);
    // Of whole seconds, what ends makes way for what begins.
    assert_eq!(paired(&[1, 5], &[5, 9]), [(one, Some(5)), (Some(5), Some(9))]);
    assert_eq!(paired(&[5], &[5]), [(Some(5), Some(5))]);
    // An end that comes twice closes nothing that begins later.
    assert_eq!(paired(&[1, 4], &[2, 3]), [(one, two), (None, Some(3)), (Some(4), None)]);
}

/// dash0hq/otel-cicd-action#19, ahrefs/ocannl#918: reversed times give negative or wrapped durations.
#[test]
fn an_end_before_its_start_is_kept_and_takes_no_time() {
    for (begun, ended, difference) in [(5, 4, 1), (200_000_000, -1_800_000_000, 2_000_000_000)] {
        let heard =
            Heard { starts: vec![start(begun)], ends: vec![end(ended)], ..Heard::default() };
        let [attempt] = &pair(heard)[..] else { panic!("there is one") };
        assert_eq!(attempt.end.as_ref().map(|end| end.time), Some(at(ended)));
        assert_eq!(attempt.took(), Some(SignedDuration::ZERO));
        assert_eq!(attempt.reversed(), Some(SignedDuration::from_secs(difference)));
        assert_eq!(attempt.spent(at(0)), Spent::default());
    }
}

/// open-telemetry/opentelemetry-collector-contrib#39081, cpanato/github_actions_exporter#202,
/// asc-community/AngouriMath PR#838: waiting and working are mixed.
#[test]
fn waiting_and_working_are_told_apart() {
    let shifts = vec![shift(7, Phase::Waiting), shift(1, Phase::Waiting), shift(4, Phase::Working)];
    let mut heard = Heard { starts: vec![start(1)], ends: Vec::new(), shifts };
    let spent = |heard: &Heard, now| {
        let [attempt] = &pair(heard.clone())[..] else { panic!("there is one") };
        let Spent { waiting, working } = attempt.spent(at(now));
        (waiting.as_secs(), working.as_secs())
    };
    assert_eq!(spent(&heard, 3), (2, 0));
    assert_eq!(spent(&heard, 9), (5, 3));
    heard.ends.push(end(8));
    assert_eq!(spent(&heard, 99), (4, 3));
}

fn seconds() -> impl Strategy<Value = Vec<i64>> {
    proptest::collection::vec(0..12_i64, 0..8)
}

proptest! {
    /// Nothing that was said is lost or doubled, and no duration is negative, whatever the order.
    #[test]
    fn everything_is_in_one_attempt(
        starts in seconds(),
        ends in seconds(),
        shifts in seconds(),
        seed in any::<u64>(),
    ) {
        let said = Heard {
            starts: starts.iter().copied().map(start).collect(),
            ends: ends.iter().copied().map(end).collect(),
            shifts: shifts.iter().map(|time| shift(*time, Phase::Waiting)).collect(),
        };
        let mut other = said.clone();
        let turn = |len: usize| usize::try_from(seed).unwrap_or(0) % len.max(1);
        other.starts.rotate_left(turn(starts.len()));
        other.ends.rotate_left(turn(ends.len()));
        other.shifts.reverse();
        let attempts = pair(said);
        prop_assert_eq!(&attempts, &pair(other));
        let begun = attempts.iter().filter(|one| one.start.is_some()).count();
        let ended = attempts.iter().filter(|one| one.end.is_some()).count();
        let shifted: usize = attempts.iter().map(|one| one.shifts.len()).sum();
        prop_assert_eq!((begun, ended, shifted), (starts.len(), ends.len(), shifts.len()));
        for one in &attempts {
            prop_assert!(one.took().is_none_or(|took| !took.is_negative()));
            let Spent { waiting, working } = one.spent(at(20));
            prop_assert!(!waiting.is_negative() && !working.is_negative());
            if let Some(took) = one.took() {
                prop_assert_eq!(took, waiting + working);
            }
        }
        // An attempt stays open only if every end is there already.
        let is_open = attempts.iter().any(Attempt::is_open);
        prop_assert!(!is_open || begun > 0);
    }

    /// A message more never leaves fewer rows: none has to be deleted.
    #[test]
    fn no_attempt_goes_away(starts in seconds(), ends in seconds(), more in 0..12_i64) {
        let rows = paired(&starts, &ends).len();
        prop_assert!(paired(&[&starts[..], &[more]].concat(), &ends).len() >= rows);
        prop_assert!(paired(&starts, &[&ends[..], &[more]].concat()).len() >= rows);
    }
}
