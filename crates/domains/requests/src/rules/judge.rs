//! Judging all rules, as a duty with a lease of its own, because folding is not to wait for it. A verdict
//! and its event are written in one transaction, by a compare-and-swap of the number of the rule's events:
//! two servers that judge at once do not tell twice.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tally_outbox::Outbox;
use tally_runtime::{Chore, Error, Outcome, chain, faults};
use tally_serve::Next;
use tally_store::{Database, Watch};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::event::{Kind, Seen};
use super::verdict::{self, Sum, Verdict, Which, Windows};
use super::{KeptRule, start_of};
use crate::due::{IDLE, is_over};
use crate::house::House;
use crate::periods::QuarterRange;
use crate::store::Judged;

/// The lease for it.
pub(crate) const LEASE: &str = "requests.rules";
/// How often rules are judged. If a round takes long, the next one begins after nine times as long, but
/// not after more than the second constant: the database has other work.
const INTERVAL: Duration = Duration::from_secs(15);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The longest time without a note that rules are judged, after which nothing is believed to have been
/// missed: a server that takes over needs 20 seconds.
const GAP_MAX: Duration = Duration::from_secs(180);
/// How often it is noted in a round that takes long.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);
/// For how long clients may still have what they could not send while requests were refused.
const RETURN_MAX: Duration = Duration::from_secs(60);
/// How long a trial of whether requests can be stored may take.
const TRIAL_MAX: Duration = Duration::from_secs(10);
/// When judging is overdue, so that the server is not ready.
const OVERDUE_AFTER: Duration = Duration::from_secs(30 * 60);
/// How often a rule is judged again at once because another server has written a verdict meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// Judges rules. Clones share everything.
#[derive(Clone)]
pub struct Judge {
    house: House,
    outbox: Outbox,
    watch: Watch,
    last: Arc<Mutex<Option<Round>>>,
    /// When requests were refused last.
    refused: Arc<Mutex<Option<Timestamp>>>,
    chore: Chore,
}

/// A round that this server has judged.
#[derive(Debug, Clone, Copy)]
struct Round {
    began: Timestamp,
    took: Duration,
}

/// What a rule counts now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) windows: Windows,
    pub(crate) complete: Sum,
    pub(crate) running: Sum,
}

// === impl Judge ===

impl Judge {
    pub(crate) fn new(house: House, outbox: Outbox, database: Database) -> Self {
        let chore = Chore::new("judging", OVERDUE_AFTER, house.clock.now());
        let watch = Watch::new(database, LEASE, GAP_MAX);
        Self { house, outbox, watch, last: Arc::default(), refused: Arc::default(), chore }
    }

    /// Judging, as others wait for it.
    pub(crate) fn chore(&self) -> Chore {
        self.chore.clone()
    }

    /// Judges every rule, if that is due.
    ///
    /// # Errors
    /// That of the first rule that cannot be judged. It is judged again soon, like all others.
    pub async fn tick(&self) -> Result<Next, Error> {
        let began = self.house.clock.now();
        let mut last = self.last.lock().await;
        let pause = last.map_or(INTERVAL, |last| (last.took * 9).clamp(INTERVAL, INTERVAL_MAX));
        if faults::is_on(IDLE) || !is_over(pause, began, last.map(|last| last.began)) {
            return Ok(Next::Later);
        }
        let started = Instant::now();
        let done = self.round(began).await;
        self.chore.note(began, &done);
        *last = Some(Round { began, took: started.elapsed() });
        done.map(|()| Next::Later)
    }

    /// Judges every rule. One that cannot be judged keeps no other one waiting, and stays as it is.
    async fn round(&self, mut now: Timestamp) -> Result<(), Error> {
        let store = &self.house.store;
        let rules = store.rules(None).await?;
        if rules.is_empty() {
            return Ok(());
        }
        let mut watched = self.watch(now).await;
        let (mut done, mut noted) = (Ok(()), now);
        for kept in rules {
            now = self.house.clock.now();
            if is_over(WATCH_INTERVAL, now, Some(noted)) {
                done = done.and(watched.map(drop));
                (watched, noted) = (self.watch(now).await, now);
            }
            // Unwatched, nothing is silent; what is counted is counted all the same.
            let watched_since = watched.as_ref().map_or(Timestamp::MAX, |since| *since);
            let judged = self.one(kept, now, watched_since).await;
            done = done.and(judged.map_err(|error| error.within("judge a rule")));
        }
        done.and(watched.map(drop))
    }

    /// Notes that rules are judged now, if requests can be stored, and returns since when that is so: while
    /// they are refused, and until clients are back, that there are none says nothing. What other servers
    /// store is counted all the same.
    async fn watch(&self, now: Timestamp) -> Result<Timestamp, Error> {
        let store = &self.house.store;
        let tried = timeout(TRIAL_MAX, store.try_write(now)).await.unwrap_or_else(|_| {
            Err(Error::transient("wait for a trial of storing", Outcome::Indeterminate))
        });
        let mut refused = self.refused.lock().await;
        if let Err(error) = tried {
            *refused = Some(now);
            return Err(error.within("see whether requests can be stored"));
        }
        let since = self.watch.note(now).await?;
        Ok(if is_over(RETURN_MAX, now, *refused) { since } else { Timestamp::MAX })
    }

    /// Since when rules are judged without a gap, as far as it is noted.
    pub(crate) async fn watched_since(&self) -> Result<Option<Timestamp>, Error> {
        self.watch.since().await
    }

    /// Counts what a rule is about.
    pub(crate) async fn count(&self, kept: &KeptRule, now: Timestamp) -> Result<Counted, Error> {
        let windows = Windows::at(now, kept.rule.quarters());
        let complete = self.sum(kept, windows.complete).await?;
        let running = self.sum(kept, windows.running).await?;
        Ok(Counted { windows, complete, running })
    }

    async fn sum(&self, kept: &KeptRule, range: QuarterRange) -> Result<Sum, Error> {
        let totals = self.house.store.totals(&kept.rule.query(kept.namespace, range)).await?;
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        if !kept.rule.limit.is_share() {
            let requests = count(totals.sum());
            return Ok(Sum { requests, of_requests: requests });
        }
        let mut sum = Sum::default();
        for (group, of_group) in totals.periods.iter().flat_map(|period| &period.counts) {
            let group = &totals.groups[*group as usize];
            sum.of_requests += count(*of_group);
            if kept.rule.is_of_share(group.status, group.status_class) {
                sum.requests += count(*of_group);
            }
        }
        Ok(sum)
    }

    /// Judges a rule. If another server has told something of it meanwhile, it is judged again at once.
    async fn one(
        &self,
        mut kept: KeptRule,
        now: Timestamp,
        watched: Timestamp,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS_MAX {
            if self.attempt(&kept, now, watched).await? {
                return Ok(());
            }
            let again =
                self.house.store.rules(None).await?.into_iter().find(|one| one.id == kept.id);
            let Some(again) = again else { return Ok(()) };
            kept = again;
        }
        tracing::warn!(rule = %kept.id, "other servers judge the same rule all the time: it waits");
        Ok(())
    }

    /// False if it has changed since it was read.
    async fn attempt(
        &self,
        kept: &KeptRule,
        now: Timestamp,
        watched: Timestamp,
    ) -> Result<bool, Error> {
        let counted = self.count(kept, now).await?;
        let sums = (counted.complete, counted.running);
        match (verdict::judge(kept, counted.windows, sums, watched), kept.firing_since) {
            (Verdict::Breached(which), None) => {
                self.tell(kept, Kind::Firing, Some(now), counted.seen(which, now), now).await
            }
            (Verdict::Breached(which), Some(since)) if kept.is_to_be_repeated(now) => {
                self.tell(kept, Kind::Firing, Some(since), counted.seen(which, now), now).await
            }
            (Verdict::Fine(which), Some(_)) => {
                self.tell(kept, Kind::Resolved, None, counted.seen(which, now), now).await
            }
            _ => Ok(true),
        }
    }

    /// Writes a verdict and its event. False if the rule has changed since it was read.
    async fn tell(
        &self,
        kept: &KeptRule,
        kind: Kind,
        firing_since: Option<Timestamp>,
        seen: Seen,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let since = firing_since.or(kept.firing_since);
        let event = match kept.receiver(self.outbox.webhooks()) {
            Ok(receiver) => receiver.map(|to| kept.event(to, kind, since, seen, now)),
            Err(why) => {
                // The operator has changed what is allowed since.
                tracing::warn!(rule = %kept.id, "the webhook of a rule {why}: its events are not sent");
                None
            }
        };
        let told = (kind == Kind::Firing).then_some(now);
        let judged = Judged { firing_since, told, event };
        let told = self.house.store.tell(kept, &judged).await.inspect_err(|error| {
            tracing::debug!(rule = %kept.id, error = chain(error), "a verdict waits");
        })?;
        if told {
            self.outbox.notice();
        }
        Ok(told)
    }
}

// === impl Counted ===

impl Counted {
    fn seen(&self, which: Which, now: Timestamp) -> Seen {
        let (range, to, sum) = match which {
            Which::Complete => {
                (self.windows.complete, start_of(self.windows.complete.end), self.complete)
            }
            Which::Running => {
                (self.windows.running, now.min(start_of(self.windows.running.end)), self.running)
            }
        };
        Seen { from: start_of(range.start), to, sum }
    }
}

// === impl KeptRule ===

impl KeptRule {
    fn is_to_be_repeated(&self, now: Timestamp) -> bool {
        let (Some(minutes), Some(told)) = (self.rule.repeat_minutes, self.told) else {
            return false;
        };
        now.duration_since(told) >= SignedDuration::from_mins(minutes.into())
    }
}
