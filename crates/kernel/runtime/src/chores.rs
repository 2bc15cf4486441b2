//! Chores: background work that has to be done again and again, at least every so often.
//!
//! A chore says when it was done last and by when it has to be. Whoever offers it shares one list with the
//! server's readiness, its metrics and its status. Whether it is overdue is told by this process's own clock, so a
//! machine whose time is set changes nothing.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::metrics::{Metric, Scrape};
use crate::{Error, chain, faults, text};

const DONE_AT: Metric = Metric::gauge(
    "tally_chore_last_success_timestamp_seconds",
    "When this server last did what had to be done again, or found nothing to do; its start, if it never did. \
     Of chores that one server does for all, only that one's moment is new.",
);
const OVERDUE: Metric = Metric::gauge(
    "tally_chore_overdue",
    "Whether a chore of this server is overdue, so that the server is not ready.",
);

/// For how long a server that is not the one to do a chore keeps in mind since when it was not done here: servers
/// that all fail take it over from each other, and it is overdue all the same.
const KEPT_IN_MIND: Duration = Duration::from_secs(5 * 60);

/// With this fault chores are overdue early.
const HURRIED: &str = "chores.hurried";
const HURRIED_AFTER: Duration = Duration::from_secs(2);

/// Work that this server has to do again and again. Clones are the same.
#[derive(Debug, Clone)]
pub struct Chore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    overdue_after: Duration,
    started: Timestamp,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When it was done last here, or became this server's.
    since: Instant,
    /// When another server began to do it instead.
    left: Option<Instant>,
    done_at: Option<Timestamp>,
    failed: Option<String>,
}

/// A chore that is overdue, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    name: &'static str,
    after: Duration,
    since: Duration,
}

// === impl Chore ===

impl Chore {
    /// One that is this server's from now on, and has to be done at least this often.
    #[must_use]
    pub fn new(name: &'static str, overdue_after: Duration, now: Timestamp) -> Self {
        let overdue_after = if faults::is_on(HURRIED) { HURRIED_AFTER } else { overdue_after };
        let state = State { since: Instant::now(), left: None, done_at: None, failed: None };
        Self(Arc::new(Shared { name, overdue_after, started: now, state: Mutex::new(state) }))
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Whether this server is the one to do it, or another one does it for all.
    pub fn is_here(&self, is_here: bool) {
        let mut state = self.lock();
        match (is_here, state.left) {
            (true, Some(left)) => {
                state.left = None;
                if left.elapsed() > KEPT_IN_MIND {
                    state.since = Instant::now();
                }
            }
            (false, None) => state.left = Some(Instant::now()),
            _ => {}
        }
    }

    /// What became of it: it is done, or there was nothing to do, or it failed and is still to be done.
    pub fn note<T>(&self, now: Timestamp, done: &Result<T, Error>) {
        let mut state = self.lock();
        match done {
            Ok(_) => {
                state.since = Instant::now();
                (state.done_at, state.failed) = (Some(now), None);
            }
            Err(error) => state.failed = Some(chain(error)),
        }
    }

    /// When it was last done here.
    #[must_use]
    pub fn done_at(&self) -> Option<Timestamp> {
        self.lock().done_at
    }

    /// Why it has failed since then.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    /// Whether another server does it.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.lock().left.is_some()
    }

    /// If it is this server's and overdue, for how long.
    #[must_use]
    pub fn overdue(&self) -> Option<Overdue> {
        let state = self.lock();
        let (since, after) = (state.since.elapsed(), self.0.overdue_after);
        let is_overdue = state.left.is_none() && since > after;
        is_overdue.then_some(Overdue { name: self.0.name, after, since })
    }

    /// Tells a scrape.
    pub fn measure(&self, domain: &str, scrape: &mut Scrape) {
        let labels = [("domain", domain), ("chore", self.0.name)];
        scrape.put(DONE_AT, &labels, self.done_at().unwrap_or(self.0.started));
        scrape.put(OVERDUE, &labels, self.overdue().is_some());
    }

    /// A poisoned lock is fine: no operation leaves it half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Overdue ===

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |span: Duration| text::age(i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
        let Self { name, after, since } = self;
        let (since, after) = (words(*since), words(*after));
        write!(
            f,
            "the {name} is overdue: not done for {since}, and has to be every {after} at least"
        )
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::{Kind, Outcome};

    const AFTER: Duration = Duration::from_secs(30 * 60);
    const MINUTE: Duration = Duration::from_secs(60);
    const DONE: Result<(), Error> = Ok(());

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_907_755_200 + 60 * minute).expect("a time")
    }

    fn failed() -> Result<(), Error> {
        let error = Error::transient("fold", Outcome::Determinate);
        Err(error.because(Error::permanent("the table is gone", Kind::Internal)))
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_overdue_until_it_is_done() {
        let chore = Chore::new("fold", AFTER, at(0));
        advance(AFTER).await;
        assert_eq!(
            chore.overdue(),
            None,
            "a server that has just started has as long as any other"
        );
        advance(MINUTE).await;
        let overdue = chore.overdue().expect("it was never done").to_string();
        let expected =
            "the fold is overdue: not done for 31 min, and has to be every 30 min at least";
        assert_eq!(overdue, expected);
        chore.note(at(31), &failed());
        assert!(chore.overdue().is_some());
        assert_eq!(chore.failed().as_deref(), Some("fold: the table is gone"));
        chore.note(at(31), &DONE);
        assert_eq!((chore.overdue(), chore.failed(), chore.done_at()), (None, None, Some(at(31))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_changes_nothing() {
        let chore = Chore::new("fold", AFTER, at(0));
        chore.note(at(1_000_000), &DONE);
        advance(MINUTE).await;
        assert_eq!(chore.overdue(), None);
        chore.note(at(-1_000_000), &DONE);
        advance(AFTER).await;
        assert_eq!(chore.overdue(), None);
        advance(MINUTE).await;
        assert!(chore.overdue().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_server_does_is_not_overdue_here() {
        let chore = Chore::new("fold", AFTER, at(0));
        chore.is_here(false);
        advance(AFTER * 3).await;
        assert_eq!((chore.overdue(), chore.is_elsewhere()), (None, true));
        // The other one is gone.
        chore.is_here(true);
        assert_eq!(chore.overdue(), None);
        advance(AFTER + MINUTE).await;
        assert!(chore.overdue().is_some());
    }

    /// They have it for a minute each.
    #[tokio::test(start_paused = true)]
    async fn servers_that_all_fail_notice_it() {
        let chores = [(); 3].map(|()| Chore::new("fold", AFTER, at(0)));
        for minute in 0..36 {
            for (server, chore) in chores.iter().enumerate() {
                chore.is_here(minute % 3 == server);
                assert!(minute > 30 || chore.overdue().is_none(), "minute {minute}");
            }
            chores[minute % 3].note(at(0), &failed());
            advance(MINUTE).await;
        }
        assert_eq!(chores.iter().filter(|chore| chore.overdue().is_some()).count(), 1);
    }
}
