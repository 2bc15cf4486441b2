//! When a debt and its runs are overdue, and what a time without a server adds.

use std::time::Duration;

use jiff::Timestamp;

use super::{Cause, Gap, Run};
use crate::schedule::{Schedule, later};
use crate::terms::Terms;

/// What is due next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) time: Timestamp,
    /// From then on it is overdue, if the calendar goes on for so long.
    pub(super) deadline: Option<Timestamp>,
    pub(super) cause: Cause,
}

/// What a gap makes of a deadline.
enum Excuse {
    /// The deadline, or what it counts from, is in the gap: its whole limit begins again at the end.
    Again,
    /// The gap is between the two: it does not count.
    Longer(Duration),
}

/// What is due next of a debt that is settled up to this moment.
pub(super) fn due(terms: &Terms, settled: Timestamp, runs: &[Run], gaps: &[Gap]) -> Option<Due> {
    let mut settled = settled;
    if terms.start_limit.is_some() {
        // What has begun is timed by the limits of its run.
        for started in runs.iter().filter(|run| run.is_open()).filter_map(|run| run.started) {
            match terms.schedule {
                Schedule::Interval(_) if started >= settled => return None,
                _ => settled = settled.max(terms.schedule.settles(started, terms.early_window)),
            }
        }
    }
    let limit = terms.start_limit.unwrap_or(terms.grace);
    let mut time = terms.schedule.due_after(settled)?;
    let mut deadline = later(time, limit);
    let mut since = time;
    for gap in gaps {
        match excuse(since, deadline, gap) {
            Some(Excuse::Again) => {
                // Of what is paid once an interval, one payment may have been lost in the gap, but the
                // next one comes within the interval.
                let again = match terms.schedule {
                    Schedule::Interval(interval) => later(gap.until, interval)?,
                    _ => gap.until,
                };
                deadline = later(again, limit);
                since = again;
                if matches!(terms.schedule, Schedule::Interval(_)) {
                    time = again;
                }
            }
            Some(Excuse::Longer(by)) => deadline = deadline.and_then(|at| later(at, by)),
            None => {}
        }
    }
    let cause = match terms.start_limit {
        Some(_) => Cause::NotStarted(time),
        None => Cause::Unpaid(time),
    };
    Some(Due { time, deadline, cause })
}

/// When an open run is overdue, and why.
pub(super) fn of_run(terms: &Terms, run: &Run, gaps: &[Gap]) -> Option<(Timestamp, Cause)> {
    let id = || run.id.clone();
    let started = run.started.unwrap_or(run.heard);
    let whole = terms.run_limit.map(|limit| (started, limit, Cause::TooLong(id())));
    let silence = terms.heartbeat_limit.map(|limit| (run.heard, limit, Cause::Silent(id())));
    let missing = terms.stages.iter().filter(|stage| !run.stages.contains(&stage.name));
    let stages = missing.map(|stage| {
        (started, stage.time_out, Cause::StageMissed { run: id(), stage: stage.name.clone() })
    });
    let limits = stages.chain(whole).chain(silence);
    let deadlines = limits.filter_map(|(mut since, limit, cause)| {
        let mut deadline = later(since, limit);
        for gap in gaps {
            match excuse(since, deadline, gap) {
                Some(Excuse::Again) => {
                    deadline = later(gap.until, limit);
                    since = gap.until;
                }
                Some(Excuse::Longer(by)) => deadline = deadline.and_then(|at| later(at, by)),
                None => {}
            }
        }
        Some((deadline?, cause))
    });
    deadlines.min_by_key(|(deadline, _)| *deadline)
}

/// What a gap makes of the deadline of what could come from `since` on.
fn excuse(since: Timestamp, deadline: Option<Timestamp>, gap: &Gap) -> Option<Excuse> {
    let end = deadline.unwrap_or(Timestamp::MAX);
    if gap.until <= since || gap.from >= end {
        return None;
    }
    if gap.from <= since || gap.until >= end {
        return Some(Excuse::Again);
    }
    Some(Excuse::Longer(gap.until.duration_since(gap.from).unsigned_abs()))
}
