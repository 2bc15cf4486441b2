//! Which trays are due to be folded, and which ones others hold.

use std::time::Duration;

use hashbrown::HashMap;
use jiff::Timestamp;
use tally_runtime::faults;

use crate::books::Folded;
use crate::model::Quarter;

/// The longest pause before a tray that others hold is tried again.
const HELD_PAUSE_MAX: Duration = Duration::from_secs(60);
/// When the log says that others hold a tray.
const HELD_LONG: Duration = Duration::from_secs(15 * 60);
/// With these faults everything is due in each round, or nothing.
pub(crate) const EAGER: &str = "duties.eager";
pub(crate) const IDLE: &str = "duties.idle";

/// In which quarter each tray was folded last, and which trays others hold.
pub(crate) struct Folds {
    /// What counts for a tray that this server has not folded.
    started: Quarter,
    trays: HashMap<usize, Quarter>,
    held: HashMap<usize, Held>,
    /// When others take rows, if the last round has left a tray that takes them.
    pub(crate) next_turn: Option<Duration>,
}

/// What became of a tray that was due.
pub(crate) enum Attempt {
    Folded(Folded),
    /// Others hold it: these.
    Held(String),
    /// It takes rows, now or next.
    InTurn,
}

/// A tray that could not be folded or emptied because others hold it.
struct Held {
    since: Timestamp,
    tried: Timestamp,
    attempts: u32,
    is_told: bool,
}

// === impl Folds ===

impl Folds {
    pub(crate) fn new(now: Timestamp) -> Self {
        let started = Quarter::of_micros(now.as_microsecond());
        Self { started, trays: HashMap::new(), held: HashMap::new(), next_turn: None }
    }

    /// Whether to fold a tray now: it is large, or may have rows of an earlier quarter. While others hold
    /// it, the pauses between two attempts double, because each of them holds up queries.
    pub(crate) fn is_due(&self, tray: usize, now: Timestamp, is_large: bool) -> bool {
        let quarter = Quarter::of_micros(now.as_microsecond());
        let is_due = is_large || self.trays.get(&tray).unwrap_or(&self.started) != &quarter;
        let is_due = is_due || faults::is_on(EAGER);
        is_due
            && self.held.get(&tray).is_none_or(|held| is_over(held.pause(), now, Some(held.tried)))
    }

    pub(crate) fn note(&mut self, tray: usize, now: Timestamp) {
        self.trays.insert(tray, Quarter::of_micros(now.as_microsecond()));
        self.held.remove(&tray);
    }

    /// Notes that others hold a tray.
    pub(crate) fn note_held(&mut self, tray: usize, now: Timestamp, holder: &str) {
        let first = Held { since: now, tried: now, attempts: 0, is_told: false };
        let held = self.held.entry(tray).or_insert(first);
        (held.tried, held.attempts) = (now, held.attempts.saturating_add(1));
        if !held.is_told && is_over(HELD_LONG, now, Some(held.since)) {
            held.is_told = true;
            tracing::warn!(
                tray,
                since = %held.since,
                holder,
                "a table of rows cannot be folded or emptied: a transaction has held it since then"
            );
        }
    }
}

// === impl Held ===

impl Held {
    fn pause(&self) -> Duration {
        HELD_PAUSE_MAX.min(Duration::from_secs(1 << self.attempts.saturating_sub(1).min(10)))
    }
}

/// Whether this much time has passed since, or the clock went back.
pub(crate) fn is_over(interval: Duration, now: Timestamp, since: Option<Timestamp>) -> bool {
    let is_over = |since| now < since || now.duration_since(since).unsigned_abs() >= interval;
    faults::is_on(EAGER) || since.is_none_or(is_over)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    #[test]
    fn a_tray_that_others_hold_is_tried_less_and_less() {
        let start: Timestamp = "2030-06-15T12:14:00Z".parse().expect("a time");
        let mut folds = Folds::new(start);
        assert!(folds.is_due(1, start, true));
        let mut attempts = 0;
        for second in 0..3_600 {
            let now = start + second.seconds();
            if folds.is_due(1, now, true) {
                attempts += 1;
                folds.note_held(1, now, "somebody");
            }
            assert!(second < 60 || folds.is_due(2, now, false), "the others go on");
        }
        // After 0, 1, 3, 7, 15 and 31 seconds, and then each minute.
        assert_eq!(attempts, 6 + 59);
        // A clock that went back does not stop it, and what is done is done.
        assert!(folds.is_due(1, start, true));
        folds.note(1, start);
        assert!(folds.is_due(1, start, true));
        assert!(!folds.is_due(1, start, false));
    }
}
