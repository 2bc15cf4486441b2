//! The domain's operations, and the parts that they are made of. `grpc/` only translates.
//!
//! | file | what it owns |
//! |---|---|
//! | `books.rs` | folds and roll-ups, one at a time |
//! | `changes.rs` | corrections, merges and forgets |
//! | `counting.rs` | counting what other domains have it count |
//! | `facts.rs` | what people who run it should know |
//! | `producers.rs` | the clients that number their batches, and what is missing of them |
//! | `rules.rs` | rules about counts |
//! | `submit.rs` | counting what comes in one call |

mod books;
mod changes;
mod counting;
mod facts;
mod producers;
mod rules;
mod submit;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use tally_outbox::{Counter, Outbox};
use tally_producers::Producers;
use tally_producers::stream::Streams;
use tally_runtime::metrics::Scrape;
use tally_runtime::turns::{Taken, Turns};
use tally_runtime::{Chore, Kind};
use tally_serve::{Duties, Fact, Parts, Running};
use tally_store::Lease;
use tokio::time::timeout;

use self::books::Joined;
pub(crate) use self::rules::ShownRule;
use crate::ahead::Ahead;
use crate::changes::Version;
use crate::domain::NAME;
use crate::error::Error;
use crate::house::House;
use crate::intake::Intake;
use crate::keeper::Keeper;
use crate::listing::{Listed, Listing};
use crate::metrics::Measured;
use crate::model::{Namespace, Series};
use crate::periods::Zone;
use crate::rows::Rows;
use crate::rules::{Judge, LEASE};
use crate::series::KnownSeries;
use crate::settings::Settings;
use crate::store::{self, Store};
use crate::totals::{After, Query, Questions, TEXT_BYTES_FACTOR, TooMany, Totals};

/// How many queries run at the same time. More would take connections from the insert workers.
pub(crate) const QUERIES_MAX: usize = 3;
/// How long a query waits for its turn, and how many of one connection may wait.
const QUERY_WAIT_MAX: Duration = Duration::from_secs(30);
const QUERIES_WAITING_MAX: usize = 64;
/// How many roll-ups may wait, and how many of them of one connection. Each goes on when its caller gives
/// up, so an impatient caller must not pile them up.
const ROLL_UPS_WAITING_MAX: usize = 256;
const ROLL_UPS_OF_ONE_WAITING_MAX: usize = 16;

/// Counts requests, rolls them up, and answers. Clones share everything.
#[derive(Clone)]
pub struct Service {
    pub(crate) intake: Arc<Intake>,
    pub(crate) streams: Arc<Streams<Rows>>,
    pub(crate) totals_max: usize,
    house: House,
    keeper: Arc<Keeper>,
    judge: Judge,
    outbox: Outbox,
    /// For how many days quarters are kept; 0 is for ever.
    quarter_retention_days: u32,
    /// Whether this server does the duties.
    is_keeping: Arc<AtomicBool>,
    queries: Turns<1>,
    /// One at a time, because roll-ups would only wait for each other in the database.
    roll_ups: Turns<1>,
    /// The roll-ups that have not begun.
    joined: Joined,
}

// === impl Service ===

impl Service {
    /// Starts the service on a database whose migrations are applied.
    pub async fn start(parts: Parts, settings: Settings) -> Result<Self, tally_store::Error> {
        let Parts { database, clock, drain, tasks, outbox } = parts;
        let store = store::open(&database);
        let series = Arc::new(KnownSeries::new(settings.series_max));
        let (count_max, text_bytes_max) = series.loaded_max();
        // The changes first: each begins a new belief, under which nothing that was loaded before is known to
        // be stored.
        series.follow_changes(store.changes(Version::default()).await?);
        let (known, state) = store.series(count_max, text_bytes_max).await?;
        series.load(known, state);
        let producers = Producers::new(database.clone(), NAME, settings.terms);
        let measured = Arc::new(Measured::new(settings.metrics_endpoints));
        let house = House {
            store,
            series: Arc::clone(&series),
            producers: producers.clone(),
            clock: Arc::clone(&clock),
            measured: Arc::clone(&measured),
        };
        tasks.spawn("follow changes of series", house.clone().keep_following(drain.clone()));
        tasks.spawn("learn series", house.clone().keep_learning(drain.clone()));
        let judge = Judge::new(house.clone(), outbox.clone(), database.clone());
        let keeper = Keeper::new(house.clone(), &settings);
        let duties = Duties::new(Lease::new(database.clone(), NAME), drain.clone());
        let duties = duties.doing(keeper.chores());
        let is_keeping = duties.is_holder();
        let ticking = Arc::clone(&keeper);
        let tick = move || {
            let keeper = Arc::clone(&ticking);
            async move { keeper.tick().await }
        };
        tasks.spawn("duties", duties.run(tick));
        let duties = Duties::new(Lease::new(database.clone(), LEASE), drain.clone());
        let duties = duties.doing([judge.chore()]);
        let judging = judge.clone();
        let tick = move || {
            let judge = judging.clone();
            async move { judge.tick().await }
        };
        tasks.spawn("judge rules", duties.run(tick));
        let intake = Intake {
            series,
            clock: Arc::clone(&clock),
            path_bytes_max: settings.path_bytes_max,
            ahead: Ahead::new(),
            record: settings.record,
            resolution: settings.resolution,
            measured,
        };
        let (limits, workers) = (settings.queue, settings.of_workers());
        let window = settings.record.batches_in_flight_max;
        let batches = house.clone();
        let streams = Streams::start(batches, producers, limits, workers, window, clock, drain);
        Ok(Self {
            intake: Arc::new(intake),
            streams: Arc::new(streams),
            totals_max: settings.totals_max,
            house,
            keeper,
            judge,
            outbox,
            quarter_retention_days: settings.quarter_retention_days,
            is_keeping,
            queries: Turns::new([QUERIES_MAX]),
            roll_ups: Turns::new([1]),
            joined: Joined::default(),
        })
    }

    /// Finishes the work even if its caller goes away; the drain waits for it. None if it panicked.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.streams.tasks.spawn(name, work).await.ok()
    }

    /// What one server does for all, now.
    #[must_use]
    pub fn keeper(&self) -> Arc<Keeper> {
        Arc::clone(&self.keeper)
    }

    /// Judging rules, now.
    #[must_use]
    pub fn judge(&self) -> Judge {
        self.judge.clone()
    }

    /// Learns which series other servers tell apart, as it does once an hour.
    pub async fn learn(&self) {
        self.house.learn().await;
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.house.clock.now()
    }

    /// Whether a request was ever counted in a namespace, as far as this server knows.
    pub(crate) fn has_series(&self, namespace: Namespace) -> bool {
        self.house.series.filled(namespace).0 > 0
    }

    /// The series whose names it has in memory.
    #[must_use]
    pub fn known_series(&self) -> Vec<Series> {
        self.house.series.names()
    }

    /// Where its requests are.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.house.store)
    }

    /// Answers a query.
    pub(crate) async fn totals(&self, query: &Query) -> Result<Totals, Error> {
        self.totals_after(query, None).await
    }

    /// The rest of an answer.
    pub(crate) async fn totals_after(
        &self,
        query: &Query,
        after: Option<&After>,
    ) -> Result<Totals, Error> {
        let questions = Questions { first: vec![query.clone()], then: Arc::new(|_| Vec::new()) };
        let mut totals = self.answers(questions).await?.swap_remove(0);
        if let Some(after) = after {
            totals.skip(after, query.granularity);
        }
        if let Some((limit, order)) = query.limit {
            totals.omitted = totals.keep_first(limit, order);
        }
        Ok(totals)
    }

    /// Answers several queries from one snapshot, without their limits.
    pub(crate) async fn answers(&self, questions: Questions) -> Result<Vec<Totals>, Error> {
        let totals_max = questions.first.first().map_or(self.totals_max, |query| query.totals_max);
        let answers = {
            let _place = self.place().await?;
            self.house.store.answers(questions).await
        };
        let answers = answers.map_err(|error| {
            if error.find::<TooMany>().is_some() {
                return Error::AnswerTooLarge(format!(
                    "the answer has more than {totals_max} totals, or texts of more than \
                     {TEXT_BYTES_FACTOR} times as many bytes: ask for a shorter range, for months \
                     instead of days, for fewer groups, for a path prefix, or for sums over all groups"
                ));
            }
            Error::store("read totals")(error)
        })?;
        let unnamed = answers.iter().map(|totals| totals.unnamed).max();
        self.intake.series.notice_unnamed(unnamed.unwrap_or_default());
        Ok(answers)
    }

    /// A place among the queries, which connections have in turns.
    async fn place(&self) -> Result<Taken<1>, Error> {
        let place = self.queries.line_up([1], QUERIES_WAITING_MAX, usize::MAX);
        let turn = match place {
            Some(place) => timeout(QUERY_WAIT_MAX, place.turn()).await.ok(),
            None => None,
        };
        turn.flatten().ok_or_else(|| {
            let text = "too many other questions are being answered; try again later";
            Error::Refused(Kind::Unavailable, text.into())
        })
    }

    /// The first names that are asked for, and whether there are more.
    pub(crate) async fn list(&self, listing: &Listing) -> Result<(Vec<Listed>, bool), Error> {
        let _place = self.place().await?;
        let found = self.house.store.list(listing).await.map_err(Error::store("list names"))?;
        Ok(found.finish())
    }

    /// The date that a zone's clock shows now.
    pub(crate) fn today(&self, zone: &Zone) -> Date {
        zone.date_at(self.intake.clock.now())
    }
}

#[async_trait]
impl Running for Service {
    async fn ready(&self) -> Result<(), String> {
        let now = self.intake.clock.now();
        self.streams.ready(self.house.store.try_write(now)).await
    }

    fn queued_rows(&self) -> usize {
        self.streams.queued_rows()
    }

    fn measure(&self, scrape: &mut Scrape) {
        let now = self.intake.clock.now();
        self.streams.measure(now, scrape);
        self.house.measured.measure(&self.house.series, now, scrape);
    }

    fn chores(&self) -> Vec<Chore> {
        self.keeper.chores().chain([self.judge.chore()]).collect()
    }

    fn counter(&self) -> Option<Arc<dyn Counter>> {
        Some(Arc::new(self.clone()))
    }

    fn facts(&self) -> Vec<Fact> {
        self.facts_in_memory()
    }

    async fn stored_facts(&self) -> Result<Vec<Fact>, tally_store::Error> {
        self.facts_in_store().await
    }

    async fn finished(&self) {
        self.streams.finished().await;
    }
}
