//! Sends what is due, tries again, and gives up.
//!
//! Each server does it for all events of its database. An attempt is taken before it is made, by a
//! compare-and-swap that also sets the time of the next one. So in the usual case one server sends an
//! event once; and if it is killed, or the answer or the note about it is lost, the event is sent again
//! later, with the same id.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tally_runtime::{Clock, Drain, Error, Tasks, backoff, chain, faults, random};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::mail::{self, Letter, Refused, Submitter};
use crate::post::{Answer, Client, Message};
use crate::store::{Attempted, Due};
use crate::{Outbox, Receiver};

/// The pause between two looks at what is due. An event of this server's own does not wait for it.
const ROUND: Duration = Duration::from_secs(1);
/// The longest pause after looks that failed.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// How many attempts are made at the same time, and how many of them to one receiver.
const PLACES: usize = 32;
const PLACES_OF_RECEIVER: u32 = 4;
/// The pause after the first attempt, which doubles each time; see [`backoff::pause`]. Half of the least is
/// no shorter than an attempt may take.
const PAUSE_MIN: Duration = Duration::from_secs(20);
const MAIL_PAUSE_MIN: Duration = Duration::from_secs(120);
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);
/// When an event is given up: after this many attempts, or at the first one that fails at this age.
const ATTEMPTS_MAX: i64 = 30;
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// For how long events that are done are kept, for people to look at.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How often old ones are deleted, and how many at once.
const PRUNING_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
const PRUNED_MAX: u32 = 1_000;
/// How long attempts go on once the server stops. One that is cut off is made again later.
const LAST_MAX: Duration = Duration::from_secs(3);

/// With this fault an event that is not delivered is due again at once.
const EAGER: &str = "outbox.eager";

/// Delivers events. Clones share everything.
#[derive(Clone)]
pub struct Courier {
    outbox: Outbox,
    clock: Arc<dyn Clock>,
    client: Arc<Client>,
    submitter: Arc<Submitter>,
}

/// An attempt that this server has taken.
struct Taken {
    due: Due,
    /// When the next one is due if nothing becomes of this.
    next: Timestamp,
}

/// What became of an attempt.
struct Sent {
    is_delivered: bool,
    /// No other attempt is of use.
    is_final: bool,
    /// How long the receiver wants to be left alone.
    retry_after: Option<SignedDuration>,
    /// In a few words.
    answer: String,
}

/// Attempts that are being made, by receiver.
#[derive(Default)]
struct Flying {
    attempts: FuturesUnordered<JoinHandle<String>>,
    of_receivers: HashMap<String, u32>,
}

// === impl Courier ===

impl Courier {
    /// A courier for the events of this outbox.
    #[must_use]
    pub fn new(outbox: Outbox, clock: Arc<dyn Clock>) -> Self {
        Self { outbox, clock, client: Arc::default(), submitter: Arc::default() }
    }

    /// Delivers until the server stops. While the operator allows no receiver, events wait.
    pub async fn run(self, drain: Drain) {
        if self.outbox.webhooks.is_empty() {
            return;
        }
        let (tasks, mut flying) = (Tasks::new(), Flying::default());
        let (mut failures, mut last) = (0, None);
        let mut pruned: Option<Timestamp> = None;
        while !drain.has_begun() {
            let mut pause = ROUND;
            match self.look(&mut flying, &tasks, &mut pruned).await {
                Ok(()) => (failures, last) = (0, None),
                Err(error) => {
                    failures += 1;
                    pause += backoff::pause(ROUND, ROUND_MAX, failures, random::number());
                    let step = error.to_string();
                    if last.as_ref() != Some(&step) {
                        tracing::warn!(error = chain(&error), "events wait, will look again");
                        last = Some(step);
                    }
                }
            }
            tokio::select! {
                () = drain.begun() => {}
                () = tokio::time::sleep(pause) => {}
                () = self.outbox.wake.notified(), if failures == 0 => {}
                Some(ended) = flying.attempts.next(), if failures == 0 => flying.end(ended.ok()),
            }
        }
        let ending = async { while flying.attempts.next().await.is_some() {} };
        if timeout(LAST_MAX, ending).await.is_err() {
            flying.attempts.iter().for_each(JoinHandle::abort);
        }
    }

    /// Makes an attempt at each event that is due now, as far as there are places, and waits for their
    /// ends. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliver(&self) -> Result<usize, Error> {
        let taken = self.take(&Flying::default()).await?;
        let attempts: FuturesUnordered<_> =
            taken.into_iter().map(|one| self.attempt(one)).collect();
        Ok(attempts.collect::<Vec<_>>().await.len())
    }

    /// Begins attempts at what is due, and deletes old events once an hour.
    async fn look(
        &self,
        flying: &mut Flying,
        tasks: &Tasks,
        pruned: &mut Option<Timestamp>,
    ) -> Result<(), Error> {
        for one in self.take(flying).await? {
            let (courier, receiver) = (self.clone(), one.due.receiver.clone());
            *flying.of_receivers.entry(receiver.clone()).or_default() += 1;
            flying.attempts.push(tasks.spawn("deliver an event", async move {
                courier.attempt(one).await;
                receiver
            }));
        }
        let now = self.clock.now();
        if pruned.is_none_or(|last| now.duration_since(last).abs() >= PRUNING_INTERVAL) {
            self.prune().await?;
            *pruned = Some(now);
        }
        Ok(())
    }

    /// Deletes events that were done long ago.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune(&self) -> Result<(), Error> {
        let before = self.clock.now().saturating_sub(KEPT).unwrap_or(Timestamp::MIN);
        while self.outbox.prune(before, PRUNED_MAX).await? == u64::from(PRUNED_MAX) {}
        Ok(())
    }

    /// Takes attempts at what is due.
    async fn take(&self, flying: &Flying) -> Result<Vec<Taken>, Error> {
        let places = PLACES.saturating_sub(flying.attempts.len());
        if places == 0 {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let limit = u32::try_from(PLACES).unwrap_or(u32::MAX);
        let due = self.outbox.due(now, PLACES_OF_RECEIVER, limit).await?;
        let (mut taken, mut of_receivers) = (Vec::new(), flying.of_receivers.clone());
        for one in due {
            let busy = of_receivers.entry(one.receiver.clone()).or_default();
            if *busy >= PLACES_OF_RECEIVER || taken.len() == places {
                continue;
            }
            let next = now.saturating_add(pause_after(&one)).unwrap_or(now);
            match self.outbox.take(&one, next).await {
                Ok(true) => {
                    *busy += 1;
                    taken.push(Taken { due: one, next });
                }
                Ok(false) => {}
                // What was taken is not to wait for its next attempt.
                Err(error) if taken.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(taken)
    }

    /// Makes an attempt, and notes what became of it. If the note is lost, there is another attempt.
    async fn attempt(&self, Taken { due, next }: Taken) {
        faults::point("outbox.taken").await;
        let (id, attempt) = (due.id, due.attempts + 1);
        let Sent { is_delivered, is_final, retry_after, answer } = self.send(&due).await;
        faults::point("outbox.sent").await;
        let now = self.clock.now();
        let mut next = next.max(now);
        if let Some(pause) = retry_after {
            next = next.max(now.saturating_add(pause).unwrap_or(now));
        }
        let end = due.created.saturating_add(AGE_MAX).unwrap_or(now);
        let is_over = is_delivered || is_final || attempt >= ATTEMPTS_MAX || now >= end;
        let next = (!is_over).then(|| next.min(end));
        let (receiver, measured) = (&*due.receiver, self.outbox.measured.of(due.is_mail()));
        if is_delivered {
            measured.delivered.add(1);
            tracing::debug!(event = %id, receiver, attempt, "delivered an event");
        } else if next.is_none() {
            measured.given_up.add(1);
            tracing::warn!(event = %id, receiver, attempt, answer, "gave an event up");
        } else {
            measured.failed.add(1);
            tracing::info!(event = %id, receiver, attempt, answer, "could not deliver an event yet");
        }
        let attempted = Attempted { id, attempt, due: next, now, is_delivered, answer };
        if let Err(error) = self.outbox.note(&attempted).await {
            tracing::warn!(event = %id, error = chain(&error), "an event may be sent again");
        }
    }

    async fn send(&self, due: &Due) -> Sent {
        let webhooks = &self.outbox.webhooks;
        let Due { id, body, created, .. } = due;
        match (webhooks.receiver(&due.url), &webhooks.secrets, &webhooks.mail) {
            (Ok(Receiver::Webhook(webhook)), Some(secrets), _) => {
                let message = Message { id: *id, body, secrets, now: self.clock.now() };
                self.client.post(&webhook, message).await.into()
            }
            (Ok(Receiver::Mail(to)), _, Some(mail)) => {
                let letter = Letter { id: *id, created: *created, body, to: &to };
                self.submitter.send(mail, letter).await.into()
            }
            (Ok(_), ..) => Sent::failed("the server has no --webhooks-secret"),
            (Err(why), ..) => Sent::failed(why),
        }
    }
}

/// Between an attempt at what is due and the next one.
fn pause_after(due: &Due) -> Duration {
    if faults::is_on(EAGER) {
        return Duration::ZERO;
    }
    let attempt = u32::try_from(due.attempts + 1).unwrap_or(u32::MAX);
    let least = if due.is_mail() { MAIL_PAUSE_MIN } else { PAUSE_MIN };
    backoff::pause(least, PAUSE_MAX, attempt, random::number())
}

// === impl Due ===

impl Due {
    fn is_mail(&self) -> bool {
        self.receiver == mail::SCHEME
    }
}

// === impl Sent ===

impl Sent {
    fn failed(why: impl Into<String>) -> Self {
        Self { is_delivered: false, is_final: false, retry_after: None, answer: why.into() }
    }
}

impl From<Result<Answer, String>> for Sent {
    fn from(sent: Result<Answer, String>) -> Self {
        let Answer { status, retry_after } = match sent {
            Ok(answer) => answer,
            Err(why) => return Self::failed(why),
        };
        if status.is_success() {
            let answer = status.as_str().to_owned();
            return Self { is_delivered: true, ..Self::failed(answer) };
        }
        let redirect = if status.is_redirection() { ", not followed" } else { "" };
        let failed = Self::failed(format!("{status}{redirect}"));
        Self { is_final: status == StatusCode::GONE, retry_after, ..failed }
    }
}

impl From<Result<String, Refused>> for Sent {
    fn from(sent: Result<String, Refused>) -> Self {
        match sent {
            Ok(answer) => Self { is_delivered: true, ..Self::failed(answer) },
            Err(Refused { why, is_final }) => Self { is_final, ..Self::failed(why) },
        }
    }
}

// === impl Flying ===

impl Flying {
    /// An attempt has ended; the receiver is not known if it panicked.
    fn end(&mut self, receiver: Option<String>) {
        match receiver.and_then(|receiver| self.of_receivers.get_mut(&receiver)) {
            Some(busy) => *busy = busy.saturating_sub(1),
            None => self.of_receivers.clear(),
        }
        self.of_receivers.retain(|_, busy| *busy > 0);
    }
}
