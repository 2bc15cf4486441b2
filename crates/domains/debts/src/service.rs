//! The domain's operations, and the parts that they are made of. The doors only translate.
//!
//! | file | what it owns |
//! |---|---|
//! | `badge.rs` | badges, and their links |
//! | `pay.rs` | paying: from what a door has read to what is stored |
//! | `read.rs` | what is read of debts, by two calls at once |
//! | `running.rs` | what the app knows of the domain while it runs |

mod badge;
mod pay;
mod read;
mod running;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use tally_ingest::{Queue, Workers};
use tally_outbox::{Outbox, Receiver};
use tally_runtime::{Clock, Drain, Kind, Namespace, Tasks, random};
use tally_serve::{Duties, Parts};
use tally_store::{Database, Lease};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use self::badge::KnownBadges;
pub(crate) use self::badge::{BADGE_PATH, Badge};
pub(crate) use self::pay::Said;
pub(crate) use self::read::{Shown, ToldFlip, next_before};
use crate::definition::{Definition, Written, Wrong};
use crate::domain::NAME;
use crate::error::Error;
use crate::event;
use crate::held::Held;
use crate::keeper::Keeper;
use crate::ledger::{Deed, Done, Outcome};
use crate::model::{Debt, KeptFlip, Named, NewDebt, Which};
use crate::schedule::whole_micros;
use crate::settings::Settings;
use crate::store::{Added, Store};
use crate::writer::{Deeds, Writer};

/// How many calls read at the same time.
pub(crate) const READERS_MAX: usize = 2;

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

    /// Reads the definition of a debt that is to be added, and may be there already: what was left out of its
    /// addresses, as answers have them, is what it is there.
    pub(crate) async fn define_new(
        &self,
        namespace: Namespace,
        mut written: Written,
    ) -> Result<Definition, Error> {
        if written.notify.iter().any(|url| url.ends_with('\u{2026}')) {
            let which = Which::Slug(written.slug.clone());
            match self.find(&Named { namespace, which }).await {
                Ok(debt) => debt.definition.restore(&mut written.notify),
                Err(Error::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.define(written)
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
    pub(crate) async fn redefine(&self, named: Named, mut written: Written) -> Result<Done, Error> {
        self.find(&named).await?.definition.restore(&mut written.notify);
        let definition = self.define(written)?;
        self.update(named, definition).await
    }

    /// Gives a debt other terms. Says whether they are what they were.
    pub(crate) async fn update(&self, named: Named, definition: Definition) -> Result<Done, Error> {
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
        self.done(&named, outcome)
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
        let removed = self.store.remove(&debt).await;
        removed.map_err(Error::store("forget a debt"))?;
        Ok(debt)
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
