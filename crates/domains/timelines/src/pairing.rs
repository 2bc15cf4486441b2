//! Which end belongs to which start: from everything that was said of one name and host in one timeline to its
//! attempts. The order in which it came does not matter.
//!
//! Messages are taken in the order of their senders' times. A start is an attempt of its own. An end closes the
//! newest attempt that is open then. What is left over is an end whose clock is behind that of its start: an
//! end before the first start closes an attempt that would stay open. Any other end says again what was said
//! before: it stands by itself.

use jiff::{SignedDuration, Timestamp};

use crate::message::{Attributes, Phase, Status};

/// An event begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    /// By the sender's clock.
    pub(crate) time: Timestamp,
    /// What is said of it.
    pub(crate) attributes: Attributes,
    /// By the server's clock.
    pub(crate) received: Timestamp,
}

/// An event ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    /// By the sender's clock.
    pub(crate) time: Timestamp,
    /// How.
    pub(crate) status: Status,
    /// What is said of it.
    pub(crate) attributes: Attributes,
    /// By the server's clock.
    pub(crate) received: Timestamp,
}

/// An open event goes from one phase to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shift {
    /// By the sender's clock.
    pub(crate) time: Timestamp,
    /// What it does from then on.
    pub(crate) phase: Phase,
    /// By the server's clock.
    pub(crate) received: Timestamp,
}

/// Everything that was said of one name and host in one timeline.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// In any order, like the rest.
    pub(crate) starts: Vec<Start>,
    /// See there.
    pub(crate) ends: Vec<End>,
    /// See there.
    pub(crate) shifts: Vec<Shift>,
}

/// One attempt: a start, its end, or both.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// None: only its end, or a phase of it, has come.
    pub(crate) start: Option<Start>,
    /// None: it is open.
    pub(crate) end: Option<End>,
    /// In order.
    pub(crate) shifts: Vec<Shift>,
}

/// How long an attempt waited and worked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    /// In the phase `waiting`.
    pub(crate) waiting: SignedDuration,
    /// In the phase `working`.
    pub(crate) working: SignedDuration,
}

/// The attempts, in the order of their times.
pub(crate) fn pair(heard: Heard) -> Vec<Attempt> {
    let Heard { mut starts, mut ends, mut shifts } = heard;
    starts.sort_unstable();
    ends.sort_unstable();
    shifts.sort_unstable();
    let closed_by = close(&starts, &ends);
    let mut is_used = vec![false; ends.len()];
    closed_by.iter().flatten().for_each(|end| is_used[*end] = true);
    let mut ends: Vec<Option<End>> = ends.into_iter().map(Some).collect();
    let mut attempts: Vec<Attempt> = starts
        .into_iter()
        .zip(closed_by)
        .map(|(start, end)| {
            let end = end.and_then(|end| ends[end].take());
            Attempt { start: Some(start), end, shifts: Vec::new() }
        })
        .collect();
    let begun = attempts.len();
    let alone =
        ends.into_iter().flatten().map(|end| Attempt { end: Some(end), ..Attempt::default() });
    attempts.extend(alone);
    for shift in shifts {
        let of =
            attempts[..begun].partition_point(|one| one.time() <= shift.time).saturating_sub(1);
        if attempts.is_empty() {
            attempts.push(Attempt::default());
        }
        attempts[of].shifts.push(shift);
    }
    attempts.sort_by_key(|one| (one.time(), one.start.is_none()));
    attempts
}

/// Of each start the end that closes it. Both are sorted.
fn close(starts: &[Start], ends: &[End]) -> Vec<Option<usize>> {
    let mut closed_by = vec![None; starts.len()];
    let (mut open, mut left) = (Vec::new(), Vec::new());
    let (mut next_start, mut next_end) = (0, 0);
    while next_start < starts.len() || next_end < ends.len() {
        let start = starts.get(next_start).map(|start| start.time);
        let end = ends.get(next_end).map(|end| end.time);
        let is_end = match (start, end) {
            (Some(start), Some(end)) if start == end => !open.is_empty(),
            (start, Some(end)) => start.is_none_or(|start| end < start),
            (_, None) => false,
        };
        if is_end {
            match open.pop() {
                Some(start) => closed_by[start] = Some(next_end),
                None => left.push(next_end),
            }
            next_end += 1;
        } else {
            open.push(next_start);
            next_start += 1;
        }
    }
    let first = starts.first().map(|start| start.time);
    let leading = left.into_iter().filter(|end| first.is_some_and(|first| ends[*end].time < first));
    let leading: Vec<usize> = leading.collect();
    for (start, end) in open.into_iter().zip(leading.into_iter().rev()) {
        closed_by[start] = Some(end);
    }
    closed_by
}

// === impl Attempt ===

impl Attempt {
    /// When it began, or else the first that is known of it.
    pub(crate) fn time(&self) -> Timestamp {
        let (start, end) = (self.start.as_ref(), self.end.as_ref());
        let shift = self.shifts.first().map(|shift| shift.time);
        start.map(|start| start.time).or(end.map(|end| end.time)).or(shift).unwrap_or_default()
    }

    /// When it was last heard of, by the server's clock.
    pub(crate) fn heard(&self) -> Timestamp {
        let start = self.start.iter().map(|start| start.received);
        let end = self.end.iter().map(|end| end.received);
        start
            .chain(end)
            .chain(self.shifts.iter().map(|shift| shift.received))
            .max()
            .unwrap_or_default()
    }

    /// Whether it has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.start.is_some() && self.end.is_none()
    }

    /// How long it took, at least nothing. None while it is open, and of an end alone.
    pub(crate) fn took(&self) -> Option<SignedDuration> {
        let (start, end) = (self.start.as_ref()?, self.end.as_ref()?);
        Some(end.time.duration_since(start.time).max(SignedDuration::ZERO))
    }

    /// By how much its end is before its start, as their clocks have it.
    pub(crate) fn reversed(&self) -> Option<SignedDuration> {
        let (start, end) = (self.start.as_ref()?, self.end.as_ref()?);
        Some(start.time.duration_since(end.time)).filter(SignedDuration::is_positive)
    }

    /// The pieces of it up to its end, or up to now, each with its phase.
    pub(crate) fn phases(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp, Phase)> {
        let Some(start) = &self.start else { return Vec::new() };
        let until = self.end.as_ref().map_or(now, |end| end.time).max(start.time);
        let mut pieces: Vec<(Timestamp, Timestamp, Phase)> = Vec::new();
        let (mut from, mut phase) = (start.time, Phase::default());
        for shift in &self.shifts {
            let at = shift.time.clamp(start.time, until);
            if at > from {
                pieces.push((from, at, phase));
            }
            (from, phase) = (at, shift.phase);
        }
        if until > from || pieces.is_empty() {
            pieces.push((from, until, phase));
        }
        pieces
    }

    /// How long it waited and worked, up to now if it is open.
    pub(crate) fn spent(&self, now: Timestamp) -> Spent {
        let mut spent = Spent::default();
        for (from, until, phase) in self.phases(now) {
            let of = match phase {
                Phase::Waiting => &mut spent.waiting,
                Phase::Working => &mut spent.working,
            };
            *of = of.saturating_add(until.duration_since(from));
        }
        spent
    }
}

#[cfg(test)]
mod tests;
