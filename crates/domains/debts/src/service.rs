//! The domain's operations, and the parts that they are made of. The doors only translate.
//!
//! | file | what it owns |
//! |---|---|
//! | `badge.rs` | badges, and their links |
//! | `pay.rs` | paying: from what a door has read to what is stored |
//! | `running.rs` | what the app knows of the domain while it runs |

mod badge;
mod pay;
mod running;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use tally_ingest::{Queue, Workers};
use tally_outbox::{Delivery, Outbox, Receiver};
use tally_runtime::{Clock, Drain, Kind, Namespace, Tasks, random};
use tally_serve::{Duties, Parts};
use tally_store::{Database, Lease};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use self::badge::KnownBadges;
pub(crate) use self::badge::{BADGE_PATH, Badge};
pub(crate) use self::pay::Said;
use crate::definition::{Definition, Written, Wrong};
use crate::domain::NAME;
use crate::error::Error;
use crate::event;
use crate::held::Held;
use crate::keeper::Keeper;
use crate::ledger::{Deed, Outcome};
use crate::model::{Debt, KeptFlip, KeptRun, Named, NewDebt, ShownPayment, Which};
use crate::schedule::whole_micros;
use crate::settings::Settings;
use crate::state::State;
use crate::store::{Added, Listing, Numbered, Place, Store, subject};
use crate::writer::{Deeds, Writer};

/// How many calls read at the same time.
pub(crate) const READERS_MAX: usize = 2;
/// How many next times a debt shows.
const TIMES_SHOWN: usize = 5;
/// How many open runs it shows.
const RUNS_SHOWN: u32 = 100;

/// Keeps debts and takes payments. Clones share everything.
#[derive(Clone)]
pub struct Service {
    store: Store,
    queue: Queue<Deeds, Vec<Outcome>>,
    workers: Arc<Workers>,
    keeper: Keeper,
    held: Held,
    clock: Arc<dyn Clock>,
    outbox: Outbox,
    drain: Drain,
    /// Calls that go on when their callers give up.
    tasks: Tasks,
    readers: Arc<Semaphore>,
    is_keeping: Arc<AtomicBool>,
    /// How many debts have metrics each.
    metrics_max: u32,
    badges: Arc<KnownBadges>,
}

/// A debt, its open runs, and its next times.
pub(crate) struct Shown {
    pub(crate) debt: Debt,
    pub(crate) runs: Vec<KeptRun>,
    pub(crate) next: Vec<Timestamp>,
    /// Where its badge is on this server.
    pub(crate) badge: String,
}

/// An alarm or a recovery, and what became of telling it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ToldFlip {
    pub(crate) flip: KeptFlip,
    pub(crate) deliveries: Vec<Delivery>,
}

// === impl Service ===

impl Service {
    /// Starts the service on a database whose migrations are applied.
    #[must_use]
    pub fn start(parts: Parts, settings: Settings) -> Self {
        let Parts { database, clock, drain, tasks, outbox } = parts;
        let mut workers = settings.workers;
        if matches!(database, Database::Sqlite(_)) {
            workers.workers = 1;
        }
        let webhooks = outbox.webhooks().clone();
        let tell = Arc::new(move |debt: &Debt, flip: &KeptFlip| event::of(debt, flip, &webhooks));
        let store = Store::new(database.clone(), settings.debts_max, tell);
        let queue = Queue::new(settings.queue);
        let writer = Writer::new(store.clone(), Arc::clone(&clock), workers.attempt_max());
        let workers = Workers::start(&queue, &Arc::new(writer), workers, &clock);
        let noticing = outbox.clone();
        let notice = Arc::new(move || noticing.notice());
        let retention_days = settings.payment_retention_days;
        let held = Held::default();
        let kept = (store.clone(), Arc::clone(&clock), held.clone());
        let keeper = Keeper::new(kept, retention_days, notice);
        let duties = Duties::new(Lease::new(database, NAME), drain.clone());
        let duties = duties.doing([keeper.chore()]);
        let (is_keeping, ticking) = (duties.is_holder(), keeper.clone());
        let tick = move || {
            let keeper = ticking.clone();
            async move { keeper.tick().await }
        };
        tasks.spawn("sweep debts", duties.run(tick));
        Self {
            store,
            queue,
            workers: Arc::new(workers),
            keeper,
            held,
            clock,
            outbox,
            drain,
            tasks: Tasks::new(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            is_keeping,
            metrics_max: settings.metrics_max,
            badges: Arc::default(),
        }
    }

    /// What time it is, as exactly as the database keeps it: what is told is what is stored.
    pub(crate) fn now(&self) -> Timestamp {
        whole_micros(self.clock.now())
    }

    /// Sweeps what is overdue, now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self) -> Result<(), tally_store::Error> {
        self.keeper.sweep().await
    }

    /// Reads a definition, with everything that is wrong with it.
    pub(crate) fn define(&self, written: Written) -> Result<Definition, Error> {
        let webhooks = self.outbox.webhooks();
        let refused = written.notify.iter().filter_map(|url| webhooks.receiver(url).err());
        let refused: Wrong = refused.map(|why| ("notify".to_owned(), why)).collect();
        match written.check(Some(self.now())) {
            Ok(definition) if refused.is_empty() => Ok(definition),
            Ok(_) => Err(Error::Wrong(refused)),
            Err(wrong) => Err(Error::Wrong(wrong.into_iter().chain(refused).collect())),
        }
    }

    /// A debt that is to be made.
    pub(crate) fn new_debt(&self, namespace: Namespace, definition: Definition) -> NewDebt {
        let (id, ping_id, badge_secret) = (random::id(self.now()), random_id(), random_id());
        NewDebt { id, ping_id, badge_secret, namespace, definition }
    }

    /// Adds a debt. Says whether it was there before.
    pub(crate) async fn add(
        &self,
        namespace: Namespace,
        definition: Definition,
    ) -> Result<(Debt, bool), Error> {
        let new = self.new_debt(namespace, definition);
        if let Err(wrong) = new.definition.check_deadline(self.now()) {
            let which = Which::Slug(new.definition.slug.clone());
            // One that is there may have passed.
            self.find(&Named { namespace, which }).await.map_err(|error| match error {
                Error::Unknown(_) => Error::Wrong(wrong),
                error => error,
            })?;
        }
        let _place = self.place().await;
        match self.store.add(&new, self.now()).await.map_err(Error::store("add a debt"))? {
            Added::New(debt) => Ok((*debt, false)),
            Added::Taken(debt) if debt.id == new.id => Ok((*debt, false)),
            Added::Taken(debt) if debt.definition == new.definition => Ok((*debt, true)),
            Added::Taken(debt) => Err(Error::Refused(
                Kind::AlreadyExists,
                format!(
                    "slug: another debt has it, number {}; change that one, or choose another slug",
                    debt.number
                ),
            )),
            Added::TooMany => Err(self.too_many()),
        }
    }

    /// Gives a debt the terms that are written.
    ///
    /// An address to notify that is given without what may be a secret, as answers have it, stays what it is.
    pub(crate) async fn redefine(&self, named: Named, mut written: Written) -> Result<Debt, Error> {
        self.find(&named).await?.definition.restore(&mut written.notify);
        let definition = self.define(written)?;
        self.update(named, definition).await
    }

    /// Gives a debt other terms.
    pub(crate) async fn update(&self, named: Named, definition: Definition) -> Result<Debt, Error> {
        let known = self.find(&named).await?.definition;
        if definition.terms.schedule != known.terms.schedule {
            definition.check_deadline(self.now()).map_err(Error::Wrong)?;
        }
        let slug = definition.slug.clone();
        let deed = Deed::Update(named.clone(), Box::new(definition));
        let settled = self.store.settle_one(deed, self.now()).await;
        self.outbox.notice();
        if let Err(error) = &settled
            && error.sqlstate() == Some(UNIQUE_VIOLATION)
        {
            let text = format!("slug: another debt has {slug}");
            return Err(Error::Refused(Kind::AlreadyExists, text));
        }
        let outcome = settled.map_err(Error::store("change a debt"))?;
        self.done(&named, outcome).map(|done| done.debt)
    }

    /// Pauses a debt.
    pub(crate) async fn pause(&self, named: Named) -> Result<Debt, Error> {
        let outcome = self.store.settle_one(Deed::Pause(named.clone()), self.now()).await;
        self.outbox.notice();
        let outcome = outcome.map_err(Error::store("pause a debt"))?;
        self.done(&named, outcome).map(|done| done.debt)
    }

    /// Resumes a debt.
    pub(crate) async fn resume(&self, named: Named) -> Result<Debt, Error> {
        let outcome = self.store.settle_one(Deed::Resume(named.clone()), self.now()).await;
        let outcome = outcome.map_err(Error::store("resume a debt"))?;
        self.done(&named, outcome).map(|done| done.debt)
    }

    /// Forgets a debt. Returns it as it was.
    pub(crate) async fn forget(&self, named: &Named) -> Result<Debt, Error> {
        let debt = self.find(named).await?;
        let removed = self.store.remove(&debt, self.receivers(&debt)).await;
        removed.map_err(Error::store("forget a debt"))?;
        Ok(debt)
    }

    /// A debt by what it is asked for by.
    pub(crate) async fn find(&self, named: &Named) -> Result<Debt, Error> {
        let _place = self.place().await;
        let found = self.store.find(named).await.map_err(Error::store("find a debt"))?;
        found.ok_or_else(|| Error::Unknown(named.which.to_string()))
    }

    /// A debt, its open runs, and its next times.
    pub(crate) async fn show(&self, named: &Named) -> Result<Shown, Error> {
        let debt = self.find(named).await?;
        let runs = self.runs(&debt, i64::MAX, true, RUNS_SHOWN).await?;
        let next = next_times(&debt.definition, &debt.state);
        let badge = self.badge_link(debt.namespace, &Badge::Debt(debt.number)).await?;
        Ok(Shown { debt, runs, next, badge: badge.unwrap_or_default() })
    }

    /// Debts, and the place of the last one if there are more.
    pub(crate) async fn list(
        &self,
        listing: &Listing,
    ) -> Result<(Vec<Debt>, Option<Place>), Error> {
        let _place = self.place().await;
        let texts = listing.tags.iter().chain([&listing.search]);
        if texts.chain(listing.after.iter().map(|(_, slug)| slug)).any(|text| text.contains('\0')) {
            return Err(Error::wrong("search", "a NUL is in no text that a debt has"));
        }
        let (now, limit) = (self.now(), listing.limit + 1);
        let one_more = Listing { limit, ..listing.clone() };
        let debts = self.store.list(&one_more, now).await;
        let mut debts = debts.map_err(Error::store("list debts"))?;
        let has_more = debts.len() > listing.limit;
        debts.truncate(listing.limit);
        let last = debts.last().filter(|_| has_more).map(|last| listing.place(last, now));
        Ok((debts, last))
    }

    /// Debts after a number, in the order in which they were made.
    pub(crate) async fn numbered(
        &self,
        namespace: Namespace,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Numbered>, Error> {
        let _place = self.place().await;
        let debts = self.store.numbered(namespace, after, limit).await;
        debts.map_err(Error::store("list debts"))
    }

    /// Debts that are late, in order of their slugs: at most so many.
    pub(crate) async fn late(&self, namespace: Namespace, limit: u32) -> Result<Vec<Debt>, Error> {
        let _place = self.place().await;
        let late = self.store.late(namespace, self.now(), limit).await;
        late.map_err(Error::store("list late debts"))
    }

    /// How many debts of each status there are.
    pub(crate) async fn counts(&self, namespace: Namespace) -> Result<[i64; 4], Error> {
        let _place = self.place().await;
        self.store.counts(Some(namespace)).await.map_err(Error::store("count debts"))
    }

    /// The latest payments of a debt before this number.
    pub(crate) async fn payments(
        &self,
        debt: &Debt,
        before: i64,
        limit: u32,
    ) -> Result<Vec<ShownPayment>, Error> {
        let _place = self.place().await;
        let payments = self.store.payments(debt.id, before, limit).await;
        payments.map_err(Error::store("list payments"))
    }

    /// The latest runs of a debt before this number; with `open`, the open ones.
    pub(crate) async fn runs(
        &self,
        debt: &Debt,
        before: i64,
        open: bool,
        limit: u32,
    ) -> Result<Vec<KeptRun>, Error> {
        let _place = self.place().await;
        let runs = self.store.runs(debt.id, before, open, limit).await;
        runs.map_err(Error::store("list runs"))
    }

    /// The latest alarms and recoveries of a debt before this number.
    pub(crate) async fn flips(
        &self,
        debt: &Debt,
        before: i64,
        limit: u32,
    ) -> Result<Vec<KeptFlip>, Error> {
        let _place = self.place().await;
        let flips = self.store.flips(debt.id, before, limit).await;
        flips.map_err(Error::store("list flips"))
    }

    /// The same, with what became of telling those that are to be notified, as far as that is still allowed.
    pub(crate) async fn told_flips(
        &self,
        debt: &Debt,
        before: i64,
        limit: u32,
    ) -> Result<Vec<ToldFlip>, Error> {
        let flips = self.flips(debt, before, limit).await?;
        let with = |flip| ToldFlip { flip, deliveries: Vec::new() };
        let mut told: Vec<_> = flips.into_iter().map(with).collect();
        for receiver in self.receivers(debt) {
            let subject = subject(debt.id, &receiver);
            let events = self.outbox.deliveries(NAME, subject, before, limit).await;
            for event in events.map_err(Error::store("list events"))? {
                // The last ones come first.
                let at = told.binary_search_by(|one| event.number.cmp(&one.flip.number));
                if let Ok(at) = at {
                    let event = Delivery { receiver: receiver.shown(), ..event };
                    told[at].deliveries.push(event);
                }
            }
        }
        Ok(told)
    }

    /// Where the events of a debt go, as far as that is allowed.
    fn receivers(&self, debt: &Debt) -> Vec<Receiver> {
        let webhooks = self.outbox.webhooks();
        let allowed = |url: &String| webhooks.receiver(url).ok();
        debt.definition.notify.iter().filter_map(allowed).collect()
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        self.store.database().ping().await.map_err(Error::store("ask the database"))
    }

    /// A place among those who read.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.readers.acquire().await.ok()
    }
}

/// The SQLSTATE of a second row of the same key.
const UNIQUE_VIOLATION: &str = "23505";

/// A number that nobody can guess, unlike an id, which says when it was drawn.
fn random_id() -> Uuid {
    uuid::Builder::from_u128(u128::from(random::number()) << 64 | u128::from(random::number()))
        .with_variant(uuid::Variant::RFC4122)
        .with_version(uuid::Version::Random)
        .into_uuid()
}

/// The next times at which something is due, the one that is due now first.
fn next_times(definition: &Definition, state: &State) -> Vec<Timestamp> {
    let Some(due) = state.due else { return Vec::new() };
    let then = definition.terms.schedule.times_after(due);
    std::iter::once(due).chain(then).take(TIMES_SHOWN).collect()
}
