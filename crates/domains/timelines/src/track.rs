//! The events of one key in one timeline: what was said of them, as rows.

use jiff::{SignedDuration, Timestamp};

use crate::message::{Kind, Message, Phase, Status};
use crate::model::{Counts, Duration, Event, Key, Standing, Timeline};
use crate::pairing::{Attempt, End, Heard, Shift, Start, pair};

/// What a timeline has of a key.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// The events, as the database has them.
    events: Vec<Row>,
}

/// An event, without what all of a track have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    number: i64,
    rank: i64,
    attempt: Attempt,
    overdue: Option<Timestamp>,
    abandoned: Option<Timestamp>,
    /// The database does not have it so yet.
    has_changed: bool,
}

// === impl Track ===

impl Track {
    /// Adds an event that the database has, once.
    pub(crate) fn load(&mut self, event: Event) {
        if self.events.iter().any(|row| row.number == event.number) {
            return;
        }
        let Event { number, rank, attempt, overdue, abandoned, .. } = event;
        self.events.push(Row { number, rank, attempt, overdue, abandoned, has_changed: false });
    }

    /// How many events it has.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// How many messages it is made of.
    pub(crate) fn said(&self) -> usize {
        let of_row = |row: &Row| {
            let Attempt { start, end, shifts } = &row.attempt;
            usize::from(start.is_some()) + usize::from(end.is_some()) + shifts.len()
        };
        self.events.iter().map(of_row).sum()
    }

    /// Whether an attempt is open.
    pub(crate) fn is_open(&self) -> bool {
        self.events.iter().any(|row| row.attempt.is_open())
    }

    /// Whether an attempt is open that had begun by then.
    pub(crate) fn is_open_at(&self, time: Timestamp) -> bool {
        self.events.iter().any(|row| row.attempt.is_open() && row.attempt.time() <= time)
    }

    /// Whether an attempt that has ended reaches over this time.
    pub(crate) fn reaches_over(&self, time: Timestamp) -> bool {
        let over = |one: &Attempt| one.end.as_ref().is_some_and(|end| end.time >= time);
        let mut begun = self.events.iter().filter(|row| row.attempt.start.is_some());
        begun.any(|row| row.attempt.time() <= time && over(&row.attempt))
    }

    /// Whether an end or a phase without a start is there that may be of what is at this time.
    pub(crate) fn waits_for(&self, time: Timestamp) -> bool {
        self.alone().any(|one| {
            let ends_later = one.end.as_ref().is_some_and(|end| end.time >= time);
            ends_later || one.shifts.iter().any(|shift| shift.time >= time)
        })
    }

    /// Whether a phase is there whose start and end have not come, and that may be of what is at this time.
    pub(crate) fn has_lone_phase(&self, time: Timestamp) -> bool {
        self.alone().any(|one| one.end.is_none() && one.time() <= time)
    }

    fn alone(&self) -> impl Iterator<Item = &Attempt> {
        self.events.iter().map(|row| &row.attempt).filter(|one| one.start.is_none())
    }

    /// Takes what a message says, and pairs everything anew.
    pub(crate) fn hear(
        &mut self,
        message: &Message,
        counts: &mut Counts,
        overdue: impl Fn(Timestamp) -> Option<Timestamp>,
    ) {
        self.count(counts, -1);
        let mut heard = Heard::default();
        for row in &self.events {
            let Attempt { start, end, shifts } = row.attempt.clone();
            heard.starts.extend(start);
            heard.ends.extend(end);
            heard.shifts.extend(shifts);
        }
        let Message { said, time, received, .. } = message;
        let (time, received, attributes) = (*time, *received, said.attributes.clone());
        match said.kind {
            Kind::Start => heard.starts.push(Start { time, attributes, received }),
            Kind::End => heard.ends.push(End { time, status: said.status, attributes, received }),
            _ => {}
        }
        // A start that says nothing of it works.
        let phase = said.phase.filter(|phase| said.kind == Kind::Phase || *phase == Phase::Waiting);
        heard.shifts.extend(phase.map(|phase| Shift { time, phase, received }));
        self.take(pair(heard), counts.events, overdue);
        self.count(counts, 1);
    }

    /// Gives each attempt its row: that of its start, or else that of its end, or a new one.
    fn take(
        &mut self,
        attempts: Vec<Attempt>,
        mut numbers: i64,
        overdue: impl Fn(Timestamp) -> Option<Timestamp>,
    ) {
        let mut old: Vec<Option<Row>> = self.events.drain(..).map(Some).collect();
        // Without this track's rows, which `count` has taken off.
        numbers += i64::try_from(old.len()).unwrap_or(i64::MAX);
        // Attempts and rows are mostly in the same order, so that each is found behind the last.
        let mut from = 0;
        let mut claim = |is_its: &dyn Fn(&Attempt) -> bool| {
            let is_row = |row: &Option<Row>| row.as_ref().is_some_and(|row| is_its(&row.attempt));
            let at = (from..old.len()).chain(0..from).find(|at| is_row(&old[*at]))?;
            from = at + 1;
            old[at].take()
        };
        let mut claimed: Vec<Option<Row>> = attempts
            .iter()
            .map(|attempt| {
                attempt
                    .start
                    .as_ref()
                    .and_then(|start| claim(&|old| old.start.as_ref() == Some(start)))
            })
            .collect();
        for (row, attempt) in claimed.iter_mut().zip(&attempts).filter(|(row, _)| row.is_none()) {
            let end = attempt.end.as_ref();
            *row = claim(&|old| old.start.is_none() && old.end.as_ref() == end);
        }
        let mut left = old.into_iter().flatten();
        let mut rank = 0;
        for (attempt, row) in attempts.into_iter().zip(claimed) {
            let row = row.or_else(|| left.next());
            let number = row.as_ref().map_or_else(
                || {
                    numbers += 1;
                    numbers
                },
                |row| row.number,
            );
            rank += i64::from(attempt.start.is_some());
            let is_same = row.as_ref().is_some_and(|row| row.attempt == attempt);
            let (overdue, abandoned) = match &row {
                Some(row) if is_same => (row.overdue, row.abandoned),
                _ => (overdue(attempt.heard()).filter(|_| attempt.is_open()), None),
            };
            let rank = if attempt.start.is_some() { rank } else { 0 };
            let has_changed = row.is_none_or(|row| row.has_changed || !is_same || row.rank != rank);
            self.events.push(Row { number, rank, attempt, overdue, abandoned, has_changed });
        }
    }

    /// Adds its events to the counts, or takes them off.
    fn count(&self, counts: &mut Counts, sign: i64) {
        for row in &self.events {
            counts.events += sign;
            let of = match row.standing() {
                Standing::Open => &mut counts.open,
                Standing::Abandoned => &mut counts.abandoned,
                Standing::Ended(Status::Failed) => &mut counts.failed,
                _ => continue,
            };
            *of += sign;
        }
    }

    /// What the database does not have yet.
    pub(crate) fn take_changes(
        &mut self,
        timeline: &Timeline,
        key: &Key,
    ) -> (Vec<Event>, Option<Duration>) {
        let mut events = Vec::new();
        for row in self.events.iter_mut().filter(|row| row.has_changed) {
            row.has_changed = false;
            events.push(Event {
                timeline: timeline.id,
                number: row.number,
                context: timeline.context,
                key: key.clone(),
                is_point: false,
                rank: row.rank,
                attempt: row.attempt.clone(),
                overdue: row.overdue,
                abandoned: row.abandoned,
            });
        }
        let has_ended = events.iter().any(|event| event.attempt.took().is_some());
        (events, has_ended.then(|| self.duration(timeline, key)))
    }

    fn duration(&self, timeline: &Timeline, key: &Key) -> Duration {
        let of_status = |status| {
            let has =
                move |one: &&Attempt| one.end.as_ref().is_some_and(|end| end.status == status);
            let begun =
                self.events.iter().map(|row| &row.attempt).filter(|one| one.start.is_some());
            begun.filter(has)
        };
        let longest = of_status(Status::Ok).max_by_key(|one| (one.took(), one.start.clone()));
        let waited = longest.map(|one| one.spent(one.time()).waiting);
        Duration {
            context: timeline.context,
            timeline_number: timeline.number,
            key: key.clone(),
            begun: timeline.begun,
            took: longest.and_then(Attempt::took),
            waited: waited.unwrap_or(SignedDuration::ZERO),
            failed: i64::try_from(of_status(Status::Failed).count()).unwrap_or(i64::MAX),
        }
    }
}

// === impl Row ===

impl Row {
    fn standing(&self) -> Standing {
        match (&self.attempt.start, &self.attempt.end) {
            (Some(_), Some(end)) => Standing::Ended(end.status),
            (Some(_), None) if self.abandoned.is_some() => Standing::Abandoned,
            (Some(_), None) => Standing::Open,
            (None, _) => Standing::Unstarted,
        }
    }
}
