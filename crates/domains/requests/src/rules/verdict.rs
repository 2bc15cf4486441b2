//! Whether a rule fires, by what was counted in its windows.
//!
//! Counts are kept by quarter-hour, so windows are made of whole ones. There are two of them. The
//! *complete* one has ended, and what was counted in it is believed to be there. The *running* one is a
//! quarter-hour later: what it has so far is true, and can only grow. So too many requests are seen at
//! once, and that there are too few is known at the end of a quarter-hour. Nothing that came since lies
//! between the two.

use std::time::Duration;

use jiff::Timestamp;

use super::{KeptRule, Limit, Rule, WHOLE_MILLIONTHS, start_of};
use crate::model::Quarter;
use crate::periods::QuarterRange;

/// How long after a window's end what was counted in it is believed to be there: clients send within
/// seconds, and servers store within as many. The resolution matters not, because no step is in two
/// quarter-hours. What comes later counts in the next verdict.
const LATE_MAX: Duration = Duration::from_secs(60);

/// The two windows of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) complete: QuarterRange,
    /// With all of the quarter that it ends in. What comes in the next one waits until this one is complete.
    pub(crate) running: QuarterRange,
}

/// What was counted in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// What the rule's filters let through.
    pub(crate) requests: u64,
    /// Of a share: of how many.
    pub(crate) of_requests: u64,
}

/// What is to be said of a rule, and by which window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Breached(Which),
    Fine(Which),
    /// Nothing: it stays as it is.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Complete,
    Running,
}

// === impl Windows ===

impl Windows {
    /// Those of a window of this many quarters.
    pub(crate) fn at(now: Timestamp, quarters: i32) -> Self {
        let late_max = i64::try_from(LATE_MAX.as_micros()).unwrap_or_default();
        let last = Quarter::of_micros(now.as_microsecond() - late_max).0;
        let until = |end: i32| QuarterRange { start: Quarter(end - quarters), end: Quarter(end) };
        Self { complete: until(last), running: until(last + 1) }
    }
}

/// Judges a rule. `watched_since` is when the rules began to be judged without a gap: before that, clients
/// may have had no server to send to.
pub(super) fn judge(
    kept: &KeptRule,
    windows: Windows,
    (complete, running): (Sum, Sum),
    watched_since: Timestamp,
) -> Verdict {
    let rule = &kept.rule;
    let end = start_of(windows.complete.end);
    // What fired by the running window is fine again at the end of a quarter-hour, not at any moment.
    let has_ended = kept.firing_since.is_none_or(|since| since < end);
    match rule.limit {
        Limit::Below(least) => {
            let is_watched = start_of(windows.complete.start) >= kept.watched_from(watched_since);
            if running.requests >= least {
                Verdict::Fine(Which::Running)
            } else if complete.requests >= least {
                Verdict::Fine(Which::Complete)
            } else if is_watched {
                Verdict::Breached(Which::Complete)
            } else {
                Verdict::Unknown
            }
        }
        _ if is_beyond(rule, running) => Verdict::Breached(Which::Running),
        _ if is_beyond(rule, complete) => Verdict::Breached(Which::Complete),
        _ if !has_ended || !says_something(rule, complete) => Verdict::Unknown,
        _ => Verdict::Fine(Which::Complete),
    }
}

/// Whether there are too many, or a share is wrong.
fn is_beyond(rule: &Rule, sum: Sum) -> bool {
    let share = |millionths: u32| {
        let part = u128::from(sum.requests) * u128::from(WHOLE_MILLIONTHS);
        part.cmp(&(u128::from(sum.of_requests) * u128::from(millionths)))
    };
    says_something(rule, sum)
        && match rule.limit {
            Limit::Below(_) => false,
            Limit::Above(most) => sum.requests > most,
            Limit::ShareBelowMillionths(least) => share(least).is_lt(),
            Limit::ShareAboveMillionths(most) => share(most).is_gt(),
        }
}

/// Whether there are enough requests for a share.
fn says_something(rule: &Rule, sum: Sum) -> bool {
    !rule.limit.is_share() || sum.of_requests >= u64::from(rule.at_least().max(1))
}

#[cfg(test)]
mod tests;
