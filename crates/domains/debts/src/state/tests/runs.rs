//! Runs: their limits, stages and ends.

use super::*;

/// healthchecks/healthchecks#910, healthchecks/healthchecks#1135, healthchecks/healthchecks#547: one grace for
/// lateness and for run time.
#[test]
fn a_late_start_and_a_long_run_have_limits_of_their_own() {
    let mut terms = terms("0 6 * * *", HOUR);
    terms.start_limit = Some(MINUTE);
    terms.run_limit = Some(6 * HOUR);
    let mut debt = Debt::made(terms.clone(), "00:00:00");
    assert_eq!(debt.state.deadline, Some(at("06:01:00")));
    debt.sweep("06:00:59.999999");
    assert_eq!(debt.flips(), []);
    debt.sweep("06:05:00");
    assert_eq!(debt.flips(), [(at("06:01:00"), Cause::NotStarted(at("06:00:00")))]);

    let mut debt = Debt::made(terms, "00:00:00");
    debt.pay("06:00:00", Kind::Start, Some("a"));
    assert_eq!(debt.state.deadline, Some(at("12:00:00")));
    debt.sweep("11:59:59");
    assert_eq!(debt.flips(), []);
    debt.sweep("13:00:00");
    assert_eq!(debt.flips(), [(at("12:00:00"), Cause::TooLong(Some("a".into())))]);
    // What begins in time for the next one does not hide that this one is still open.
    assert_eq!(debt.state.due, Some(at("2026-05-02T06:00:00Z")));
}

#[test]
fn each_time_needs_a_start_of_its_own() {
    let mut terms = terms("0 * * * *", HOUR);
    terms.start_limit = Some(MINUTE);
    terms.run_limit = Some(6 * HOUR);
    let mut debt = Debt::made(terms, "05:30:00");
    debt.pay("06:00:00", Kind::Start, Some("a"));
    assert_eq!(debt.state.deadline, Some(at("07:01:00")));
    debt.sweep("07:01:00");
    assert_eq!(debt.flips(), [(at("07:01:00"), Cause::NotStarted(at("07:00:00")))]);
    debt.pay("07:30:00", Kind::Success, Some("a"));
    assert_eq!(debt.flips(), [(at("07:30:00"), Cause::Succeeded)]);
    assert_eq!(debt.state.deadline, Some(at("08:01:00")));
}

/// healthchecks/healthchecks#1232: a job that dies early is noticed at the end of the limit.
#[test]
fn a_heartbeat_moves_the_deadline_of_its_run() {
    let mut terms = terms("none", HOUR);
    terms.run_limit = Some(6 * HOUR);
    terms.heartbeat_limit = Some(MINUTE);
    let mut debt = Debt::made(terms, "05:00:00");
    debt.pay("06:00:00", Kind::Start, Some("a"));
    for beat in ["06:00:50", "06:01:40", "06:02:30"] {
        debt.pay(beat, Kind::Heartbeat, Some("a"));
    }
    // One that was sent before and came after does not move it back.
    debt.pay_late("06:01:00", "06:02:40", Kind::Heartbeat, Some("a"));
    assert_eq!(debt.state.deadline, Some(at("06:03:30")));
    debt.sweep("06:10:00");
    assert_eq!(debt.flips(), [(at("06:03:30"), Cause::Silent(Some("a".into())))]);
    assert_eq!(debt.open(), []);
}

#[test]
fn a_run_that_ends_early_did_not_begin_for_the_coming_time() {
    let mut terms = terms("0 6 * * *", 48 * HOUR);
    terms.early_window = HOUR;
    let mut debt = Debt::made(terms, "00:00:00");
    debt.pay("06:00:10", Kind::Start, Some("a"));
    let noted = debt.pay("2026-05-02T05:30:00Z", Kind::Success, Some("a"));
    assert_eq!((noted.slot, noted.early), (Some(at("06:00:00")), false));
    assert_eq!(debt.state.due, Some(at("2026-05-02T06:00:00Z")));
}

/// healthchecks/healthchecks#888: done far too fast counts as good.
#[test]
fn a_run_shorter_than_the_minimum_is_a_failure() {
    let mut terms = terms("1h", MINUTE);
    terms.run_min = Some(10 * MINUTE);
    let mut debt = Debt::made(terms, "06:00:00");
    debt.pay("06:10:00", Kind::Start, None);
    let noted = debt.pay("06:19:59", Kind::Success, None);
    assert!(noted.too_short);
    assert_eq!(noted.took, Some(Duration::from_secs(599)));
    assert_eq!(debt.flips(), [(at("06:19:59"), Cause::TooShort)]);
    assert_eq!(debt.runs[0].outcome, Some(Outcome::Failed));
    debt.pay("06:30:00", Kind::Start, None);
    assert!(!debt.pay("06:40:00", Kind::Success, None).too_short);
    assert_eq!(debt.flips(), [(at("06:40:00"), Cause::Succeeded)]);
    // The client may know better how long it took.
    let (time, took) = (at("06:50:00"), Some(Duration::from_secs(1)));
    let payment = Payment { kind: Kind::Success, run: None, time, received: time, took };
    assert!(debt.receive(&payment).too_short);
}

/// healthchecks/healthchecks#268, healthchecks/healthchecks#461: of two overlapping runs, the stuck
/// one is hidden by the other's success.
#[test]
fn of_three_runs_and_two_successes_one_is_left_and_overdue_at_its_own_deadline() {
    let mut terms = terms("none", MINUTE);
    terms.run_limit = Some(HOUR);
    let mut debt = Debt::made(terms, "00:00:00");
    debt.pay("06:00:00", Kind::Start, Some("a"));
    debt.pay("06:10:00", Kind::Start, Some("b"));
    debt.pay("06:20:00", Kind::Start, Some("c"));
    debt.pay("06:30:00", Kind::Success, Some("c"));
    debt.pay("06:40:00", Kind::Success, Some("a"));
    assert_eq!(debt.open(), [Some("b")]);
    assert_eq!(debt.state.deadline, Some(at("07:10:00")));
    debt.sweep("12:00:00");
    assert_eq!(debt.flips(), [(at("07:10:00"), Cause::TooLong(Some("b".into())))]);
    assert_eq!(debt.state.deadline, None);
}

#[test]
fn a_run_has_its_whole_limit_again_after_a_time_without_a_server() {
    let mut terms = terms("none", MINUTE);
    terms.heartbeat_limit = Some(10 * MINUTE);
    terms.run_limit = Some(6 * HOUR);
    let mut debt = Debt::made(terms, "00:00:00");
    debt.pay("01:55:00", Kind::Start, Some("a"));
    debt.gaps.push(Gap { from: at("02:00:00"), until: at("04:00:00") });
    debt.sweep("04:00:00");
    assert_eq!(debt.flips(), []);
    assert_eq!(debt.runs[0].deadline, Some(at("04:10:00")));
    debt.sweep("05:00:00");
    assert_eq!(debt.flips(), [(at("04:10:00"), Cause::Silent(Some("a".into())))]);
}

/// getsentry/sentry#68161: start and end became two.
#[test]
fn start_and_end_without_an_id_are_one_run() {
    let mut debt = Debt::made(terms("1h", MINUTE), "06:00:00");
    debt.pay("06:10:00", Kind::Start, None);
    debt.pay("06:20:00", Kind::Success, None);
    assert_eq!(debt.runs.len(), 1);
    assert_eq!(debt.runs[0].took(), Some(10 * MINUTE));
    // A second start overwrites the first: there is one slot.
    debt.pay("06:30:00", Kind::Start, None);
    debt.pay("06:35:00", Kind::Start, None);
    debt.pay("06:40:00", Kind::Fail, None);
    assert_eq!(debt.runs.len(), 2);
    assert_eq!(debt.runs[1].took(), Some(5 * MINUTE));
    // Without an id, and without such a run, it is the newest.
    debt.pay("06:50:00", Kind::Start, Some("a"));
    debt.pay("06:51:00", Kind::Start, Some("b"));
    debt.pay("06:52:00", Kind::Success, None);
    assert_eq!(debt.open(), [Some("a")]);
}

#[test]
fn stages_have_time_outs_and_any_order() {
    let mut terms = terms("none", MINUTE);
    let stage = |name: &str, time_out| Stage { name: name.into(), time_out };
    terms.stages = vec![stage("built", 10 * MINUTE), stage("tested", 30 * MINUTE)];
    terms.run_limit = Some(HOUR);
    let mut debt = Debt::made(terms, "05:00:00");
    debt.pay("06:00:00", Kind::Start, Some("a"));
    assert_eq!(debt.state.deadline, Some(at("06:10:00")));
    debt.pay("06:05:00", Kind::Stage("tested".into()), Some("a"));
    debt.pay("06:06:00", Kind::Stage("built".into()), Some("a"));
    assert_eq!(debt.state.deadline, Some(at("07:00:00")));
    assert_eq!(debt.runs[0].stages, ["tested", "built"]);
    debt.pay("06:50:00", Kind::Success, Some("a"));
    // The stage itself begins a run.
    debt.pay("07:00:00", Kind::Stage("built".into()), Some("b"));
    debt.sweep("08:00:00");
    let missed = Cause::StageMissed { run: Some("b".into()), stage: "tested".into() };
    assert_eq!(debt.flips(), [(at("07:30:00"), missed)]);
    assert_eq!(debt.runs[1].stages, ["built"]);
    let (time, kind) = (at("08:00:00"), Kind::Stage("shipped".into()));
    let payment = Payment { kind, run: None, time, received: time, took: None };
    let refused = pay(&debt.terms, &debt.state, &[], &payment, &[]).expect_err("no such stage");
    assert_eq!(
        refused.to_string(),
        "the debt has no stage called \"shipped\": its stages are built, tested"
    );
}

#[test]
fn a_success_after_the_time_out_is_a_recovery_and_the_run_stays_timed_out() {
    let mut terms = terms("none", MINUTE);
    terms.run_limit = Some(HOUR);
    let mut debt = Debt::made(terms, "05:00:00");
    debt.pay("06:00:00", Kind::Start, Some("a"));
    debt.sweep("07:00:00");
    debt.pay("07:30:00", Kind::Success, Some("a"));
    let alarm = (at("07:00:00"), Cause::TooLong(Some("a".into())));
    assert_eq!(debt.flips(), [alarm, (at("07:30:00"), Cause::Succeeded)]);
    assert_eq!(debt.runs[0].outcome, Some(Outcome::TimedOut));
    assert_eq!(debt.runs[0].took(), Some(90 * MINUTE));
}

#[test]
fn a_start_that_comes_after_the_end_opens_nothing() {
    let mut terms = terms("1h", MINUTE);
    terms.run_limit = Some(HOUR);
    let mut debt = Debt::made(terms, "06:00:00");
    debt.pay("06:20:00", Kind::Success, Some("a"));
    assert!(debt.pay_late("06:10:00", "06:21:00", Kind::Start, Some("a")).moot);
    assert_eq!(debt.open(), []);
    assert_eq!(debt.runs[0].took(), Some(10 * MINUTE));
    // And one that comes after a heartbeat is of the same run.
    debt.pay("06:40:00", Kind::Heartbeat, Some("b"));
    debt.pay_late("06:30:00", "06:41:00", Kind::Start, Some("b"));
    assert_eq!(debt.runs[1].started, Some(at("06:30:00")));
    assert_eq!(debt.state.deadline, Some(at("07:21:00")));
}

#[test]
fn open_runs_are_bounded() {
    let mut debt = Debt::made(terms("none", MINUTE), "00:00:00");
    for run in 0..=OPEN_RUNS_MAX {
        let time = at("01:00:00") + SignedDuration::from_secs(run as i64);
        let (kind, run) = (Kind::Start, Some(run.to_string()));
        debt.receive(&Payment { kind, run, time, received: time, took: None });
    }
    assert_eq!(debt.open().len(), OPEN_RUNS_MAX);
    assert_eq!(debt.runs[0].outcome, Some(Outcome::Abandoned));
    assert_eq!(debt.flips(), []);
}
