//! The domain's operations, and the parts that they are made of. The doors only translate.
//!
//! | file | what it owns |
//! |---|---|
//! | `look.rs` | what the pages ask |
//! | `record.rs` | recording: from what a door has read to what is stored |
//! | `running.rs` | what the app knows of the domain while it runs |

pub(crate) mod look;
mod record;
mod running;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::{SignedDuration, Timestamp};
use tally_ingest::{Queue, Workers};
use tally_runtime::{Clock, Drain, Namespace, Tasks};
use tally_serve::{Duties, Parts};
use tally_store::{Database, Lease};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

use crate::chart::{Chart, chart};
use crate::domain::NAME;
use crate::error::Error;
use crate::keeper::Keeper;
use crate::ledger::{Limits, Outcome};
use crate::model::{Context, Event, Terms, Timeline, Which};
use crate::nested::nest;
use crate::settings::Settings;
use crate::store::Store;
use crate::typical::typical;
use crate::udp::Refusals;
use crate::writer::{Messages, Writer};

/// How many messages one call may bring.
pub(crate) const MESSAGES_MAX: usize = 1_000;
/// How many calls read at the same time.
pub(crate) const READERS_MAX: usize = 2;

/// Takes messages of events, and shows timelines. Clones share everything.
#[derive(Clone)]
pub struct Service {
    store: Store,
    queue: Queue<Messages, Vec<Outcome>>,
    workers: Arc<Workers>,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    drain: Drain,
    /// Calls that go on when their callers give up.
    tasks: Tasks,
    readers: Arc<Semaphore>,
    is_keeping: Arc<AtomicBool>,
}

/// A timeline as it is drawn, with the events that its rows are of.
pub(crate) struct Shown {
    pub(crate) timeline: Timeline,
    pub(crate) events: Vec<Event>,
    pub(crate) chart: Chart,
    /// When that was.
    pub(crate) now: Timestamp,
}

// === impl Service ===

impl Service {
    /// Starts the service on a database whose migrations are applied.
    #[must_use]
    pub fn start(parts: Parts, settings: &Settings) -> Self {
        let Parts { database, clock, drain, tasks, .. } = parts;
        let mut workers = settings.workers;
        if matches!(database, Database::Sqlite(_)) {
            workers.workers = 1;
        }
        let limits = Limits {
            contexts_max: settings.contexts_max,
            events_max: settings.events_max,
            retention_days: settings.retention_days,
            abandon_after: SignedDuration::from_hours(settings.abandon_hours.into()),
        };
        let store = Store::new(database.clone(), limits);
        let queue = Queue::new(settings.queue);
        let writer = Writer::new(store.clone(), Arc::clone(&clock), workers.attempt_max());
        let workers = Workers::start(&queue, &Arc::new(writer), workers, &clock);
        let kept = settings.duration_retention_days;
        let keeper = Keeper::new(store.clone(), Arc::clone(&clock), kept);
        let duties = Duties::new(Lease::new(database, NAME), drain.clone());
        let duties = duties.doing([keeper.chore()]);
        let (is_keeping, ticking) = (duties.is_holder(), keeper.clone());
        let tick = move || {
            let keeper = ticking.clone();
            async move { keeper.tick().await }
        };
        tasks.spawn("sweep timelines", duties.run(tick));
        Self {
            store,
            queue,
            workers: Arc::new(workers),
            keeper,
            clock,
            drain,
            tasks: Tasks::new(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            is_keeping,
        }
    }

    /// What time it is, as exactly as the database keeps it: what is told is what is stored.
    pub(crate) fn now(&self) -> Timestamp {
        let micros = self.clock.now().as_microsecond();
        Timestamp::from_microsecond(micros).unwrap_or_default()
    }

    /// How many datagrams were refused.
    pub(crate) fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.store.measured().refusals)
    }

    /// Sweeps what is overdue, and prunes what is not kept, now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self) -> Result<(), tally_store::Error> {
        self.keeper.tick().await.map(drop)
    }

    /// Contexts after this name, each with its newest timeline, and whether there are more.
    pub(crate) async fn contexts(
        &self,
        namespace: Namespace,
        after: &str,
        limit: u32,
    ) -> Result<(Vec<(Context, Option<Timeline>)>, bool), Error> {
        let _place = self.place().await;
        let after = after.replace('\0', "\u{fffd}");
        let contexts = self.store.contexts(namespace, &after, limit + 1).await;
        let mut contexts = contexts.map_err(Error::store("list contexts"))?;
        let has_more = contexts.len() > limit as usize;
        contexts.truncate(limit as usize);
        Ok((contexts, has_more))
    }

    /// A context by its name.
    pub(crate) async fn context(&self, namespace: Namespace, name: &str) -> Result<Context, Error> {
        let _place = self.place().await;
        let shown = || tally_runtime::text::beginning(name);
        if name.contains('\0') {
            return Err(Error::NoContext(shown()));
        }
        let found = self.store.context(namespace, name).await;
        found.map_err(Error::store("find a context"))?.ok_or_else(|| Error::NoContext(shown()))
    }

    /// Gives a context other terms.
    pub(crate) async fn configure(
        &self,
        namespace: Namespace,
        name: &str,
        terms: Terms,
    ) -> Result<Context, Error> {
        let mut wrong = Vec::new();
        if terms.retention_days.is_some_and(|days| days > 36_500) {
            wrong.push(("retention_days".to_owned(), "it may be 0 to 36,500".to_owned()));
        }
        let range = SignedDuration::from_secs(1)..=SignedDuration::from_hours(24 * 3_660);
        if terms.abandon_after.is_some_and(|after| !range.contains(&after)) {
            wrong.push(("abandon_after".to_owned(), "it may be 1 s to ten years".to_owned()));
        }
        if !wrong.is_empty() {
            return Err(Error::Wrong(wrong));
        }
        let context = self.context(namespace, name).await?;
        let configured = self.store.configure(context.id, terms).await;
        configured.map_err(Error::store("change a context"))?;
        Ok(Context { terms, ..context })
    }

    /// The latest timelines of a context before this number.
    pub(crate) async fn timelines(
        &self,
        context: &Context,
        before: i64,
        limit: u32,
    ) -> Result<Vec<Timeline>, Error> {
        let _place = self.place().await;
        let timelines = self.store.timelines(context.id, before, limit).await;
        timelines.map_err(Error::store("list timelines"))
    }

    /// A timeline of a context: `newest`, a number, an id or a label.
    pub(crate) async fn timeline(&self, context: &Context, text: &str) -> Result<Timeline, Error> {
        let _place = self.place().await;
        let which = Which::read(text);
        let find = async |which: &Which| {
            let found = self.store.timeline(context, which).await;
            found.map_err(Error::store("find a timeline"))
        };
        // A label may look like a number or an id: a build has a number, and a trace an id in hex.
        let found = match (find(&which).await?, which.as_label(text)) {
            (None, Some(label)) => find(&label).await?,
            (found, _) => found,
        };
        found.ok_or_else(|| Error::NoTimeline(which.to_string()))
    }

    /// The newest timeline of a context, if it is kept.
    pub(crate) async fn newest(&self, context: &Context) -> Result<Option<Timeline>, Error> {
        let _place = self.place().await;
        let found = self.store.timeline(context, &Which::Newest).await;
        found.map_err(Error::store("find a timeline"))
    }

    /// The events of a timeline after this number.
    pub(crate) async fn events(
        &self,
        timeline: &Timeline,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        let _place = self.place().await;
        let events = self.store.events(timeline.id, after, limit).await;
        events.map_err(Error::store("list events"))
    }

    /// A timeline as it is drawn.
    pub(crate) async fn show(&self, context: &Context, which: &str) -> Result<Shown, Error> {
        let timeline = self.timeline(context, which).await?;
        let mut events = self.events(&timeline, 0, u32::MAX).await?;
        let took = self.took(context.id, timeline.number).await?;
        let now = self.now();
        self.apart(move || {
            let renamed = nest(&mut events);
            let mut typical = typical(&took);
            for (at, stored) in &renamed {
                if let Some(usual) = typical.get(&**stored).copied() {
                    typical.insert(&events[*at].key.name, usual);
                }
            }
            let chart = chart(&events, &typical, now);
            Shown { timeline, events, chart, now }
        })
        .await
    }

    /// What takes long is done on a thread of its own, in its turn among those who read, so that it holds up nothing
    /// else that is served.
    #[expect(clippy::disallowed_methods, reason = "there are as many threads as readers at most")]
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.readers).acquire_owned().await;
        let work = move || {
            let _place = place;
            work()
        };
        spawn_blocking(work).await.map_err(|_| Error::Panicked)
    }

    /// A place among those who read.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.readers.acquire().await.ok()
    }
}
