//! Random lives of debts: what holds of every one of them.

use proptest::prelude::*;

use super::*;

/// Something that is done to a debt, so many seconds after what was done before.
#[derive(Debug, Clone)]
enum Deed {
    Pay { kind: u8, run: u8, late: i64 },
    Sweep,
    Pause,
    Resume,
}

fn deeds() -> impl Strategy<Value = Vec<(i64, Deed)>> {
    let pay = (0..6u8, 0..4u8, prop_oneof![4 => Just(0), 1 => 0..4_000i64])
        .prop_map(|(kind, run, late)| Deed::Pay { kind, run, late });
    let deed = prop_oneof![
        8 => pay,
        4 => Just(Deed::Sweep),
        1 => Just(Deed::Pause),
        1 => Just(Deed::Resume),
    ];
    prop::collection::vec((0..3_000i64, deed), 1..60)
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let schedule = prop_oneof![
        Just("1h"),
        Just("20m"),
        Just("*/30 * * * *"),
        Just("0 * * * *"),
        Just("none"),
        Just("2026-05-01T04:00:00Z"),
    ];
    let limit =
        || prop::option::of(1..7_200u64).prop_map(|seconds| seconds.map(Duration::from_secs));
    let limits = (limit(), 1..7_200u64, limit(), limit(), 0..900u64);
    (schedule, limits, 1..4u16, 1..3u16, any::<bool>()).prop_map(
        |(schedule, (start, run, heartbeat, min, early), failures, successes, rate)| {
            let mut terms = terms(schedule, 5 * MINUTE);
            terms.start_limit = start;
            terms.run_limit = Some(Duration::from_secs(run));
            terms.heartbeat_limit = heartbeat;
            terms.run_min = min.map(|min| min / 100);
            terms.early_window = Duration::from_secs(early);
            terms.failures_to_alarm = if schedule.contains('T') { 1 } else { failures };
            terms.successes_to_recover = successes;
            terms.rate_max = rate.then_some(Rate { payments: 2, period: HOUR });
            terms
        },
    )
}

/// Lives a life; with `sweeps`, a server sweeps every minute as well.
fn live(terms: &Terms, deeds: &[(i64, Deed)], sweeps: bool) -> Debt {
    let state = State::new(terms, at("00:00:00"));
    let (runs, flips, gaps) = Default::default();
    let mut debt = Debt { terms: terms.clone(), state, runs, flips, gaps };
    let mut now = at("00:00:00");
    for (after, deed) in deeds {
        let before = now;
        now += SignedDuration::from_secs(*after);
        let mut minute = before;
        while sweeps && minute < now {
            minute += SignedDuration::from_secs(60);
            let by = minute.min(now);
            debt.turn(|terms, state, runs, gaps| sweep(terms, state, runs, by, gaps));
        }
        match deed {
            Deed::Sweep => {
                debt.turn(|terms, state, runs, gaps| sweep(terms, state, runs, now, gaps));
            }
            Deed::Pause => {
                debt.turn(|terms, state, runs, gaps| pause(terms, state, runs, now, gaps));
            }
            Deed::Resume => {
                debt.turn(|terms, state, runs, gaps| resume(terms, state, runs, now, gaps));
            }
            Deed::Pay { kind, run, late } => {
                let kinds = [
                    Kind::Start,
                    Kind::Heartbeat,
                    Kind::Success,
                    Kind::Fail,
                    Kind::Log,
                    Kind::Success,
                ];
                let run = [None, Some("a"), Some("b"), Some("c")][usize::from(*run)];
                let time = now - SignedDuration::from_secs(*late);
                let (kind, run) = (kinds[usize::from(*kind)].clone(), run.map(str::to_owned));
                debt.receive(&Payment { kind, run, time, received: now, took: None });
            }
        }
        check(&debt, now);
    }
    debt
}

fn check(debt: &Debt, now: Timestamp) {
    let state = &debt.state;
    let mut alarmed = false;
    let mut last = at("00:00:00");
    for flip in &debt.flips {
        let is_recovery = matches!(flip.cause, Cause::Succeeded | Cause::Paused);
        assert_eq!(alarmed, is_recovery, "alarms and recoveries take turns: {:?}", debt.flips);
        assert!(last <= flip.at && flip.at <= now, "in their order: {:?}", debt.flips);
        (alarmed, last) = (!is_recovery, flip.at);
    }
    assert_eq!(alarmed, state.status == Status::Down, "{state:?}");
    let open: Vec<_> = debt.runs.iter().filter(|run| run.is_open()).collect();
    assert!(open.iter().filter(|run| run.id.is_none()).count() <= 1, "one run without an id");
    let of_runs = open.iter().filter_map(|run| run.deadline).min();
    match state.status {
        Status::Paused => assert_eq!((state.deadline, of_runs), (None, None)),
        Status::Down => assert_eq!(state.deadline, of_runs),
        Status::New | Status::Up => assert!(state.deadline <= of_runs || of_runs.is_none()),
    }
    assert!(open.iter().all(|run| state.status == Status::Paused || run.deadline.is_some()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn alarms_and_recoveries_take_turns(terms in any_terms(), deeds in deeds()) {
        live(&terms, &deeds, false);
        live(&terms, &deeds, true);
    }

    /// Whether a sweep comes in time or a payment finds it: the same flips, at the same moments. Only
    /// what a client told late can know better than a sweep that came before.
    #[test]
    fn flips_do_not_depend_on_sweeps(terms in any_terms(), deeds in deeds()) {
        let prompt: Vec<_> = deeds
            .into_iter()
            .filter_map(|(after, deed)| match deed {
                Deed::Pay { kind, run, .. } => Some((after, Deed::Pay { kind, run, late: 0 })),
                Deed::Sweep => Some((after, Deed::Sweep)),
                Deed::Pause | Deed::Resume => None,
            })
            .collect();
        let [seldom, often] = [false, true].map(|sweeps| live(&terms, &prompt, sweeps));
        let now = prompt.iter().fold(at("00:00:00"), |now, (after, _)| now + SignedDuration::from_secs(*after));
        let end = |mut debt: Debt| {
            debt.turn(|terms, state, runs, gaps| sweep(terms, state, runs, now, gaps));
            (debt.flips.clone(), debt.state, debt.runs)
        };
        prop_assert_eq!(end(seldom), end(often));
    }
}
