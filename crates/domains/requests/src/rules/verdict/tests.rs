//! When a rule fires, and that it does not flap.

use std::collections::HashMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::Namespace;

fn time(text: &str) -> Timestamp {
    format!("2030-06-15T{text}Z").parse().expect("a time")
}

fn rule(limit: Limit, window_minutes: u32) -> KeptRule {
    let rule = Rule {
        name: "a".to_owned(),
        services: Vec::new(),
        methods: Vec::new(),
        paths: Vec::new(),
        path_prefix: String::new(),
        statuses: Vec::new(),
        status_classes: vec![5],
        customers: Vec::new(),
        limit,
        window_minutes,
        at_least: None,
        repeat_minutes: None,
    };
    KeptRule {
        id: Uuid::nil(),
        namespace: Namespace::DEFAULT,
        rule,
        webhook: String::new(),
        created: Timestamp::UNIX_EPOCH,
        firing_since: None,
        told: None,
        events: 0,
    }
}

fn judged(kept: &KeptRule, now: &str, complete: (u64, u64), running: (u64, u64)) -> Verdict {
    let sum = |(requests, of_requests)| Sum { requests, of_requests };
    let windows = Windows::at(time(now), kept.rule.quarters());
    judge(kept, windows, (sum(complete), sum(running)), Timestamp::UNIX_EPOCH)
}

#[test]
fn a_window_is_complete_a_minute_after_its_end() {
    let windows = |now: &str, quarters| {
        let Windows { complete, running } = Windows::at(time(now), quarters);
        [complete.start, complete.end, running.start, running.end].map(start_of)
    };
    let times = |texts: [&str; 4]| texts.map(time);
    let before = times(["11:45:00", "12:00:00", "12:00:00", "12:15:00"]);
    assert_eq!(windows("12:15:59.999999", 1), before);
    let after = times(["12:00:00", "12:15:00", "12:15:00", "12:30:00"]);
    assert_eq!(windows("12:16:00", 1), after);
    let hour = times(["11:15:00", "12:15:00", "11:30:00", "12:30:00"]);
    assert_eq!(windows("12:16:00", 4), hour);
}

#[test]
fn too_few_are_known_when_the_window_is_complete() {
    let kept = rule(Limit::Below(10), 15);
    let below = |complete, running| judged(&kept, "12:16:00", (complete, 0), (running, 0));
    assert_eq!(below(9, 0), Verdict::Breached(Which::Complete));
    assert_eq!(below(10, 0), Verdict::Fine(Which::Complete));
    assert_eq!(below(0, 10), Verdict::Fine(Which::Running));
    assert_eq!(below(0, 9), Verdict::Breached(Which::Complete));
}

#[test]
fn what_was_not_watched_says_nothing_about_too_few() {
    let mut kept = rule(Limit::Below(1), 15);
    let none = (Sum::default(), Sum::default());
    let judged = |kept: &KeptRule, since: &str| {
        judge(kept, Windows::at(time("12:16:00"), 1), none, time(since))
    };
    assert_eq!(judged(&kept, "12:00:00"), Verdict::Breached(Which::Complete));
    assert_eq!(judged(&kept, "12:00:00.000001"), Verdict::Unknown);
    kept.created = time("12:00:01");
    assert_eq!(judged(&kept, "11:00:00"), Verdict::Unknown);
}

#[test]
fn too_many_are_seen_at_once_and_are_fine_when_a_window_is_complete() {
    let mut kept = rule(Limit::Above(10), 15);
    let above = |kept: &KeptRule, now: &str, complete, running| {
        judged(kept, now, (complete, 0), (running, 0))
    };
    assert_eq!(above(&kept, "12:05:00", 0, 10), Verdict::Fine(Which::Complete));
    assert_eq!(above(&kept, "12:05:00", 0, 11), Verdict::Breached(Which::Running));
    assert_eq!(above(&kept, "12:16:00", 11, 0), Verdict::Breached(Which::Complete));
    kept.firing_since = Some(time("12:05:00"));
    assert_eq!(above(&kept, "12:15:30", 0, 0), Verdict::Unknown, "its quarter is not over");
    assert_eq!(above(&kept, "12:16:00", 11, 0), Verdict::Breached(Which::Complete));
    assert_eq!(above(&kept, "12:31:00", 10, 0), Verdict::Fine(Which::Complete));
}

#[test]
fn a_share_of_few_requests_says_nothing() {
    let mut kept = rule(Limit::ShareAboveMillionths(50_000), 15);
    let share = |kept: &KeptRule, complete, running| judged(kept, "12:20:00", complete, running);
    assert_eq!(share(&kept, (0, 0), (99, 99)), Verdict::Unknown);
    assert_eq!(share(&kept, (0, 0), (6, 100)), Verdict::Breached(Which::Running));
    assert_eq!(share(&kept, (5, 100), (5, 100)), Verdict::Fine(Which::Complete));
    assert_eq!(share(&kept, (6, 100), (0, 100)), Verdict::Breached(Which::Complete));
    // The service has gone, and so has its traffic: that it is fine again is not known.
    kept.firing_since = Some(time("12:01:00"));
    assert_eq!(share(&kept, (0, 99), (0, 0)), Verdict::Unknown);
    assert_eq!(share(&kept, (0, 100), (0, 0)), Verdict::Fine(Which::Complete));
    kept.rule.limit = Limit::ShareBelowMillionths(950_000);
    kept.firing_since = None;
    assert_eq!(share(&kept, (95, 100), (94, 100)), Verdict::Breached(Which::Running));
    assert_eq!(share(&kept, (95, 100), (95, 100)), Verdict::Fine(Which::Complete));
    kept.rule.at_least = Some(1);
    assert_eq!(share(&kept, (0, 0), (0, 1)), Verdict::Breached(Which::Running));
    assert_eq!(share(&kept, (0, 0), (0, 0)), Verdict::Unknown, "nothing of nothing is no share");
}

proptest! {
    /// Whatever comes, a rule that is judged at any moment fires at most once and is fine again at most once
    /// in a quarter-hour, and never fires without a window in which the limit was passed.
    #[test]
    fn no_rule_flaps(
        limit in prop_oneof![
            (1_u64..30).prop_map(Limit::Below),
            (0_u64..30).prop_map(Limit::Above),
            (0_u32..1_000_000).prop_map(Limit::ShareAboveMillionths),
            (1_u32..1_000_000).prop_map(Limit::ShareBelowMillionths),
        ],
        quarters in 1_u32..4,
        // For each minute: how many failed, and how many went well.
        minutes in prop::collection::vec((0_u64..3, 0_u64..3), 1..240),
    ) {
        let mut kept = rule(limit, quarters * 15);
        kept.rule.at_least = Some(5);
        let start = time("00:00:00");
        let at = |minute: usize| start + jiff::SignedDuration::from_mins(minute as i64);
        let mut told: HashMap<(bool, usize), u32> = HashMap::new();
        for minute in 0..minutes.len() {
            let now = at(minute);
            let windows = Windows::at(now, kept.rule.quarters());
            let sum = |range: QuarterRange| {
                let is_in = |minute: usize| (range.start..range.end)
                    .contains(&Quarter::of_micros(at(minute).as_microsecond()));
                let came = minutes[..minute].iter().enumerate().filter(|(at, _)| is_in(*at));
                came.fold(Sum::default(), |sum, (_, (bad, good))| Sum {
                    requests: sum.requests + if limit.is_share() { *bad } else { bad + good },
                    of_requests: sum.of_requests + bad + good,
                })
            };
            let (complete, running) = (sum(windows.complete), sum(windows.running));
            let verdict = judge(&kept, windows, (complete, running), start);
            let quarter = minute / 15;
            match (verdict, kept.firing_since) {
                (Verdict::Breached(which), None) => {
                    let seen = if which == Which::Complete { complete } else { running };
                    let is_below = matches!(limit, Limit::Below(least) if seen.requests < least);
                    prop_assert!(is_below || is_beyond(&kept.rule, seen));
                    *told.entry((true, quarter)).or_default() += 1;
                    kept.firing_since = Some(now);
                }
                (Verdict::Fine(_), Some(_)) => {
                    *told.entry((false, quarter)).or_default() += 1;
                    kept.firing_since = None;
                }
                _ => {}
            }
        }
        prop_assert!(told.values().all(|count| *count == 1), "{told:?}");
    }
}
