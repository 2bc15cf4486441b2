//! A server's clock that was far ahead and is set right, and times that were settled ahead.

use super::*;

const AHEAD: &str = "2106-02-07T06:28:15Z";

#[test]
fn a_clock_that_was_far_ahead_silences_no_debt() {
    let mut debt = Debt::made(terms("1h", 10 * MINUTE), "06:00:00");
    debt.pay_late(AHEAD, AHEAD, Kind::Success, None);
    debt.flips();
    debt.pay("06:30:00", Kind::Fail, None);
    assert_eq!(debt.flips(), [(at("06:30:00"), Cause::Failed)]);
    debt.pay("06:40:00", Kind::Success, None);
    assert_eq!(debt.flips(), [(at("06:40:00"), Cause::Succeeded)]);
    debt.sweep("07:50:00");
    assert_eq!(debt.flips(), [(at("07:50:00"), unpaid("07:40:00"))]);
}

#[test]
fn a_run_that_a_clock_far_ahead_has_heard_of_has_its_limit_again() {
    let limits = Terms { heartbeat_limit: Some(5 * MINUTE), ..terms("none", Duration::ZERO) };
    let mut debt = Debt::made(limits, "06:00:00");
    debt.pay_late(AHEAD, AHEAD, Kind::Start, Some("a"));
    debt.pay("06:10:00", Kind::Start, Some("b"));
    debt.pay("06:11:00", Kind::Heartbeat, Some("b"));
    debt.sweep("06:16:00");
    assert_eq!(debt.open(), [] as [Option<&str>; 0]);
}

#[test]
fn servers_whose_clocks_differ_a_little_settle_what_they_settle() {
    let cron = terms("0 * * * *", 5 * MINUTE);
    let mut debt = Debt::made(cron, "06:30:00");
    // One is ten seconds ahead, and its payment of 07:00 is stored first.
    debt.pay("07:00:05", Kind::Success, None);
    debt.pay("06:59:58", Kind::Success, None);
    debt.sweep("07:30:00");
    assert_eq!(debt.flips(), []);
}

#[test]
fn a_new_schedule_begins_now_whatever_the_old_one_had_settled_ahead() {
    let mut debt = Debt::made(terms("2030-01-01T00:00:00Z", Duration::ZERO), "06:00:00");
    debt.pay("06:10:00", Kind::Success, None);
    let hourly = terms("1h", Duration::ZERO);
    let new = hourly.clone();
    debt.turn(|old, state, runs, gaps| Some(amend(old, &new, state, runs, at("06:20:00"), gaps)));
    debt.terms = hourly;
    assert_eq!(debt.state.due, Some(at("07:20:00")));
    debt.sweep("07:20:00");
    assert_eq!(debt.flips(), [(at("07:20:00"), unpaid("07:20:00"))]);
}
