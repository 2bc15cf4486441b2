//! What goes wrong elsewhere, and what holds here. Comments name the public threads.

mod clock;
mod replay;
mod runs;

use super::*;
use crate::schedule::Schedule;
use crate::terms::{Rate, Stage};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn at(text: &str) -> Timestamp {
    let text = if !text.ends_with('Z') { format!("2026-05-01T{text}Z") } else { text.to_owned() };
    text.parse().expect(&text)
}

fn terms(schedule: &str, grace: Duration) -> Terms {
    Terms::new(Schedule::parse(schedule, None).expect(schedule), grace)
}

/// A debt as a store keeps it: it takes over what the functions say, and nothing else.
struct Debt {
    terms: Terms,
    state: State,
    runs: Vec<Run>,
    flips: Vec<Flip>,
    gaps: Vec<Gap>,
}

impl Debt {
    fn made(terms: Terms, time: &str) -> Self {
        let state = State::new(&terms, at(time));
        Self { terms, state, runs: Vec::new(), flips: Vec::new(), gaps: Vec::new() }
    }

    /// Its open runs, and the one with this id, with their positions.
    fn given(&self, id: Option<&String>) -> (Vec<usize>, Vec<Run>) {
        let is_given = |run: &Run| run.is_open() || (id.is_some() && run.id.as_ref() == id);
        let all = self.runs.iter().cloned().enumerate().filter(|(_, run)| is_given(run));
        all.unzip()
    }

    fn take(&mut self, state: State, given: &[usize], changes: Vec<RunChange>) {
        self.state = state;
        for RunChange { index, run } in changes {
            match index {
                Some(index) => self.runs[given[index]] = run,
                None => self.runs.push(run),
            }
        }
    }

    fn pay(&mut self, time: &str, kind: Kind, run: Option<&str>) -> Noted {
        self.pay_late(time, time, kind, run)
    }

    /// Made at one time and received at another one.
    fn pay_late(&mut self, time: &str, received: &str, kind: Kind, run: Option<&str>) -> Noted {
        let run = run.map(str::to_owned);
        let payment = Payment { kind, run, time: at(time), received: at(received), took: None };
        self.receive(&payment)
    }

    fn receive(&mut self, payment: &Payment) -> Noted {
        let (positions, runs) = self.given(payment.run.as_ref());
        let paid =
            pay(&self.terms, &self.state, &runs, payment, &self.gaps).expect("a stage of it");
        self.take(paid.state, &positions, paid.runs);
        self.flips.extend(paid.flips);
        paid.noted
    }

    fn turn(&mut self, turn: impl FnOnce(&Terms, &State, &[Run], &[Gap]) -> Option<Swept>) {
        let (positions, runs) = self.given(None);
        let Some(swept) = turn(&self.terms, &self.state, &runs, &self.gaps) else { return };
        self.take(swept.state, &positions, swept.runs);
        self.flips.extend(swept.flip);
    }

    fn sweep(&mut self, now: &str) {
        self.turn(|terms, state, runs, gaps| sweep(terms, state, runs, at(now), gaps));
    }

    fn pause(&mut self, now: &str) {
        self.turn(|terms, state, runs, gaps| pause(terms, state, runs, at(now), gaps));
    }

    fn resume(&mut self, now: &str) {
        self.turn(|terms, state, runs, gaps| resume(terms, state, runs, at(now), gaps));
    }

    /// The flips since the last look.
    fn flips(&mut self) -> Vec<(Timestamp, Cause)> {
        std::mem::take(&mut self.flips).into_iter().map(|flip| (flip.at, flip.cause)).collect()
    }

    fn open(&self) -> Vec<Option<&str>> {
        let open = self.runs.iter().filter(|run| run.is_open());
        open.map(|run| run.id.as_deref()).collect()
    }
}

fn unpaid(time: &str) -> Cause {
    Cause::Unpaid(at(time))
}

/// healthchecks/healthchecks#236, healthchecks/healthchecks#1160: done 2 min early counts for nothing.
#[test]
fn an_early_payment_settles_the_coming_time_once() {
    let mut terms = terms("0 6 * * *", MINUTE);
    terms.early_window = 5 * MINUTE;
    let mut debt = Debt::made(terms, "00:00:00");
    let noted = debt.pay("05:58:00", Kind::Success, None);
    assert_eq!((noted.slot, noted.early), (Some(at("06:00:00")), true));
    let tomorrow = Some(at("2026-05-02T06:00:00Z"));
    assert_eq!(debt.state.due, tomorrow);
    debt.pay("05:59:00", Kind::Success, None);
    assert_eq!(debt.state.due, tomorrow);
    debt.sweep("2026-05-02T06:01:00Z");
    assert_eq!(debt.flips(), [(at("2026-05-02T06:01:00Z"), unpaid("2026-05-02T06:00:00Z"))]);

    // Without the window, it leaves the coming time expected.
    debt.terms.early_window = Duration::ZERO;
    debt.pay("2026-05-03T05:58:00Z", Kind::Success, None);
    assert_eq!(debt.state.due, Some(at("2026-05-03T06:00:00Z")));
}

/// healthchecks/healthchecks#319: a retried payment counts twice. The store tells which ones are the
/// same; what comes here in spite of it harms nobody.
#[test]
fn what_is_said_twice_changes_nothing_more() {
    let mut debt = Debt::made(terms("1h", MINUTE), "06:00:00");
    debt.pay("06:10:00", Kind::Start, Some("a"));
    debt.pay("06:20:00", Kind::Success, Some("a"));
    let before = (debt.state.clone(), debt.runs.clone());
    assert!(debt.pay("06:30:00", Kind::Success, Some("a")).moot);
    assert!(debt.pay("06:30:00", Kind::Fail, Some("a")).moot);
    assert!(debt.pay("06:30:00", Kind::Heartbeat, Some("a")).moot);
    assert!(debt.pay("06:30:00", Kind::Start, Some("a")).moot);
    assert!(debt.pay("06:30:00", Kind::Log, Some("a")).moot);
    assert_eq!((debt.state, debt.runs), before);
}

/// healthchecks/healthchecks#664: after the watcher's own downtime, every check raises its alarm.
#[test]
fn a_time_without_a_server_is_no_silence() {
    // Made at 00:00, and the gap is from 02:00 to 04:00.
    let gap = Gap { from: at("02:00:00"), until: at("04:00:00") };
    let grace = 30 * MINUTE;
    for (schedule, paid, deadline) in [
        // Due in the gap: its whole limit once more.
        ("0 3 * * *", "01:00:00", "04:30:00"),
        // Overdue in the gap, the same.
        ("45 1 * * *", "01:00:00", "04:30:00"),
        // An interval may have lost a payment: the next one comes within the interval.
        ("90m", "01:00:00", "06:00:00"),
        // Not touched by it.
        ("0 5 * * *", "01:00:00", "05:30:00"),
        ("3h", "01:30:00", "05:00:00"),
    ] {
        let mut debt = Debt::made(terms(schedule, grace), "00:00:00");
        debt.pay(paid, Kind::Success, None);
        debt.gaps.push(gap);
        debt.sweep("04:00:00");
        assert_eq!(debt.flips(), [], "{schedule}");
        assert_eq!(debt.state.deadline, Some(at(deadline)), "{schedule}");
        // Sweeping again adds nothing.
        debt.sweep("04:00:01");
        debt.sweep(deadline);
        let flips = debt.flips();
        assert_eq!(flips.len(), 1, "{schedule}");
        assert_eq!(flips[0].0, at(deadline), "{schedule}");
    }
    // A short gap between the two does not count; many of them are no excuse.
    let mut debt = Debt::made(terms("0 3 * * *", 6 * HOUR), "00:00:00");
    for (from, until) in [("04:00:00", "04:00:05"), ("05:00:00", "05:00:05")] {
        debt.gaps.push(Gap { from: at(from), until: at(until) });
    }
    debt.sweep("09:00:00");
    assert_eq!(debt.state.deadline, Some(at("09:00:10")));
}

/// getsentry/sentry#84358, getsentry/sentry#80898, getsentry/sentry#80888: a punctual payment is booked on the
/// next slot, and today's shows as missed.
#[test]
fn payments_late_and_out_of_order_have_the_same_slots_and_settle_the_same() {
    let times = ["2026-05-01T06:00:30Z", "2026-05-02T06:00:00Z", "2026-05-03T06:10:00Z"];
    let mut slots = Vec::new();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut debt = Debt::made(terms("0 6 * * *", HOUR), "00:00:00");
        let mut noted = [None; 3];
        for index in order {
            let paid = debt.pay_late(times[index], "2026-05-03T08:00:00Z", Kind::Success, None);
            noted[index] = paid.slot;
        }
        slots.push((noted, debt.state.due, debt.state.settled, debt.state.last_payment));
    }
    let days = ["2026-05-01T06:00:00Z", "2026-05-02T06:00:00Z", "2026-05-03T06:00:00Z"];
    assert_eq!(slots[0].0, days.map(|day| Some(at(day))));
    assert!(slots.iter().all(|one| *one == slots[0]), "{slots:?}");
}

/// healthchecks/healthchecks#343, healthchecks/healthchecks#369, louislam/uptime-kuma#7148: a payment or new
/// settings end a pause, and the end of maintenance raises alarms again.
#[test]
fn a_pause_ends_when_someone_resumes_it() {
    let mut with_limit = terms("1h", MINUTE);
    with_limit.run_limit = Some(HOUR);
    let mut debt = Debt::made(with_limit.clone(), "05:00:00");
    debt.pay("05:30:00", Kind::Start, Some("stuck"));
    debt.pay("05:40:00", Kind::Start, Some("long"));
    debt.pause("06:00:00");
    for (time, kind) in
        [("06:10:00", Kind::Fail), ("06:20:00", Kind::Success), ("06:30:00", Kind::Fail)]
    {
        debt.pay(time, kind, None);
        assert_eq!((debt.state.status, debt.state.deadline), (Status::Paused, None));
    }
    let amended = terms("2h", MINUTE);
    let (_, runs) = debt.given(None);
    let swept = amend(&debt.terms, &amended, &debt.state, &runs, at("06:31:00"), &[]);
    assert_eq!((swept.state.status, swept.state.deadline), (Status::Paused, None));
    debt.pay("06:32:00", Kind::Start, Some("late"));
    debt.sweep("07:00:00");
    debt.resume("07:31:00");
    assert_eq!(debt.flips(), []);
    assert_eq!((debt.state.status, debt.state.due), (Status::New, Some(at("08:31:00"))));
    // The runs whose limits passed in the pause are over; this one's passes afterwards.
    assert_eq!(debt.open(), [Some("late")]);
    debt.sweep("07:40:00");
    assert_eq!(debt.flips(), [(at("07:32:00"), Cause::TooLong(Some("late".into())))]);
}

#[test]
fn a_pause_ends_an_alarm() {
    let mut debt = Debt::made(terms("1h", MINUTE), "05:00:00");
    debt.sweep("06:02:00");
    debt.pause("06:10:00");
    let alarm = (at("06:01:00"), unpaid("06:00:00"));
    assert_eq!(debt.flips(), [alarm, (at("06:10:00"), Cause::Paused)]);
    debt.resume("08:00:00");
    debt.sweep("09:02:00");
    assert_eq!(debt.flips(), [(at("09:01:00"), unpaid("09:00:00"))]);
}

/// louislam/uptime-kuma#6586, louislam/uptime-kuma#5639: counters survive a success, and alarms
/// follow on an alarm.
#[test]
fn one_overdue_period_is_one_alarm_and_one_recovery() {
    let mut terms = terms("1h", MINUTE);
    terms.run_limit = Some(10 * MINUTE);
    let mut debt = Debt::made(terms, "05:00:00");
    debt.sweep("06:02:00");
    debt.pay("06:10:00", Kind::Fail, None);
    debt.pay("06:20:00", Kind::Start, Some("a"));
    debt.sweep("06:40:00");
    debt.sweep("09:00:00");
    debt.pay("09:10:00", Kind::Fail, Some("b"));
    assert_eq!(debt.flips(), [(at("06:01:00"), unpaid("06:00:00"))]);
    debt.pay("09:20:00", Kind::Success, None);
    debt.pay("09:30:00", Kind::Success, None);
    assert_eq!(debt.flips(), [(at("09:20:00"), Cause::Succeeded)]);
}

#[test]
fn failures_in_a_row_raise_the_alarm_and_successes_in_a_row_end_it() {
    let mut terms = terms("1h", MINUTE);
    (terms.failures_to_alarm, terms.successes_to_recover) = (3, 2);
    let mut debt = Debt::made(terms, "05:00:00");
    debt.pay("05:30:00", Kind::Fail, None);
    debt.pay("05:40:00", Kind::Fail, None);
    debt.pay("05:50:00", Kind::Success, None);
    assert_eq!(debt.state.failures, 0);
    debt.pay("06:00:00", Kind::Fail, None);
    debt.sweep("07:30:00");
    assert_eq!(debt.state.failures, 2);
    assert_eq!(debt.state.due, Some(at("08:00:00")));
    assert_eq!(debt.flips(), []);
    debt.sweep("10:00:00");
    assert_eq!(debt.flips(), [(at("08:01:00"), unpaid("08:00:00"))]);
    debt.pay("10:10:00", Kind::Success, None);
    // The next one was not paid in time: it begins again.
    debt.pay("12:00:00", Kind::Success, None);
    assert_eq!(debt.flips(), []);
    debt.pay("12:30:00", Kind::Success, None);
    assert_eq!(debt.flips(), [(at("12:30:00"), Cause::Succeeded)]);
}

/// prometheus/prometheus#2882, prometheus/alertmanager#1542: what never happened is silent for ever.
#[test]
fn what_was_never_paid_is_overdue_as_well() {
    let mut debt = Debt::made(terms("1h", MINUTE), "05:00:00");
    assert_eq!(debt.state.standing(at("05:59:59")), Standing::New);
    assert_eq!(debt.state.standing(at("06:00:00")), Standing::Late);
    debt.sweep("2026-05-02T05:00:00Z");
    assert_eq!(debt.flips(), [(at("06:01:00"), unpaid("06:00:00"))]);
    assert_eq!(debt.state.standing(at("06:00:00")), Standing::Down);
    // It needs no sweep: the payment that comes finds it overdue.
    let mut debt = Debt::made(terms("1h", MINUTE), "05:00:00");
    debt.pay("06:01:00", Kind::Success, None);
    let both = [(at("06:01:00"), unpaid("06:00:00")), (at("06:01:00"), Cause::Succeeded)];
    assert_eq!(debt.flips(), both);
    let mut debt = Debt::made(terms("1h", MINUTE), "05:00:00");
    debt.pay("06:00:59.999999", Kind::Success, None);
    assert_eq!(debt.flips(), []);
    assert_eq!(debt.state.standing(at("06:30:00")), Standing::Up);
}

/// healthchecks/healthchecks#17: a job in a loop pays all the time.
#[test]
fn payments_beyond_the_maximum_rate_are_failures() {
    let mut terms = terms("1h", MINUTE);
    terms.rate_max = Some(Rate { payments: 2, period: HOUR });
    let mut debt = Debt::made(terms, "05:00:00");
    let over = ["06:00:00", "06:20:00", "06:40:00", "06:59:59", "07:00:00"]
        .map(|time| debt.pay(time, Kind::Success, None).over_rate);
    assert_eq!(over, [false, false, true, true, false]);
    assert_eq!(
        debt.flips(),
        [(at("06:40:00"), Cause::TooOften), (at("07:00:00"), Cause::Succeeded)]
    );
}

#[test]
fn what_was_done_long_ago_ends_no_alarm_of_today() {
    let mut debt = Debt::made(terms("0 6 * * *", MINUTE), "05:00:00");
    debt.sweep("07:00:00");
    assert_eq!(debt.flips().len(), 1);
    // Not within an early window: 06:00 is as overdue as before.
    debt.pay_late("05:30:00", "08:00:00", Kind::Success, None);
    assert_eq!((debt.state.status, debt.flips()), (Status::Down, vec![]));
    // In time, but told late.
    debt.pay_late("06:00:30", "08:10:00", Kind::Success, None);
    assert_eq!(debt.flips(), [(at("08:10:00"), Cause::Succeeded)]);
    // Older than what is known already.
    debt.pay("09:00:00", Kind::Fail, None);
    assert!(debt.pay_late("08:30:00", "09:10:00", Kind::Success, None).moot);
    assert_eq!(debt.state.status, Status::Down);
}

#[test]
fn a_deadline_is_settled_once_and_for_all() {
    let mut debt = Debt::made(terms("2026-05-01T18:00:00Z", MINUTE), "05:00:00");
    assert_eq!(debt.state.deadline, Some(at("18:01:00")));
    assert!(debt.pay("06:00:00", Kind::Success, None).early);
    assert_eq!((debt.state.due, debt.state.deadline), (None, None));
    let mut debt = Debt::made(terms("2026-05-01T18:00:00Z", MINUTE), "05:00:00");
    debt.sweep("2026-05-03T00:00:00Z");
    debt.pay("2026-05-03T01:00:00Z", Kind::Success, None);
    let recovery = (at("2026-05-03T01:00:00Z"), Cause::Succeeded);
    assert_eq!(debt.flips(), [(at("18:01:00"), unpaid("18:00:00")), recovery]);
    assert_eq!(debt.state.deadline, None);
}

#[test]
fn a_clients_clock_is_believed_up_to_the_servers() {
    let received = at("06:00:00.1234567");
    for (client, time) in [
        (None, "06:00:00.123456"),
        (Some("05:00:00"), "05:00:00"),
        (Some("06:00:01"), "06:00:00.123456"),
        (Some("2026-05-02T06:00:00Z"), "06:00:00.123456"),
        (Some("1970-01-01T00:00:00Z"), "1970-01-01T00:00:00Z"),
    ] {
        assert_eq!(time_of(client.map(at), received), Ok(at(time)), "{client:?}");
    }
    let ahead = time_of(Some(at("2026-05-02T06:00:01Z")), received).expect_err("ahead").to_string();
    assert!(ahead.contains("more than 24 h ahead of the server's clock"), "{ahead}");
}
