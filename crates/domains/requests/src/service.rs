//! The domain's operations, and the parts that they are made of. `grpc/` only translates.
//!
//! | file | what it owns |
//! |---|---|
//! | `changes.rs` | corrections, merges and forgets |
//! | `facts.rs` | what people who run it should know |
//! | `submit.rs` | counting what comes in one call |

mod changes;
mod facts;
mod submit;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use tally_producers::stream::Streams;
use tally_producers::{Producer, Producers, Setback, Shown};
use tally_runtime::Kind;
use tally_runtime::metrics::Scrape;
use tally_serve::{Duties, Fact, Parts, Running};
use tally_store::Lease;
use tokio::sync::Semaphore;

use crate::ahead::Ahead;
use crate::changes::Version;
use crate::domain::NAME;
use crate::error::{Ended, Error};
use crate::house::House;
use crate::http::Answers;
use crate::intake::Intake;
use crate::keeper::Keeper;
use crate::listing::{Listed, Listing};
use crate::metrics::Measured;
use crate::model::{Day, DayRange, Series};
use crate::periods::{Granularity, QuarterRange, Zone};
use crate::rows::Rows;
use crate::series::KnownSeries;
use crate::settings::Settings;
use crate::store::{self, Store};
use crate::totals::{
    After, Filter, GroupBy, PeriodTotals, Query, Questions, TEXT_BYTES_FACTOR, TooMany, Totals,
};

/// How many queries run at the same time. More would take connections from the insert workers.
pub(crate) const QUERIES_MAX: usize = 3;
/// How many roll-ups may run or wait. Each goes on when its caller gives up, so an impatient caller
/// must not pile them up.
const ROLL_UPS_WAITING_MAX: usize = 32;

/// Counts requests, rolls them up, and answers. Clones share everything.
#[derive(Clone)]
pub struct Service {
    pub(crate) intake: Arc<Intake>,
    pub(crate) streams: Arc<Streams<Rows>>,
    pub(crate) totals_max: usize,
    /// The answers that HTTP's clients are reading.
    pub(crate) answers: Arc<Answers>,
    house: House,
    keeper: Arc<Keeper>,
    /// Whether this server does the duties.
    is_keeping: Arc<AtomicBool>,
    queries: Arc<Semaphore>,
    /// One at a time, because roll-ups would only wait for each other in the database.
    roll_ups: Arc<Semaphore>,
    waiting_roll_ups: Arc<Semaphore>,
}

// === impl Service ===

impl Service {
    /// Starts the service on a database whose migrations are applied.
    pub async fn start(parts: Parts, settings: Settings) -> Result<Self, tally_store::Error> {
        let Parts { database, clock, drain, tasks } = parts;
        let store = store::open(&database);
        let series = Arc::new(KnownSeries::new(settings.series_max));
        let (count_max, text_bytes_max) = series.loaded_max();
        // The changes first: each begins a new belief, under which nothing that was loaded before is known to
        // be stored.
        series.follow_changes(store.changes(Version::default()).await?);
        let (known, state) = store.series(count_max, text_bytes_max).await?;
        series.load(known, state);
        let producers = Producers::new(database.clone(), NAME, settings.terms);
        let measured = Arc::new(Measured::new(clock.now(), settings.metrics_endpoints));
        let house = House {
            store,
            series: Arc::clone(&series),
            producers: producers.clone(),
            clock: Arc::clone(&clock),
            measured: Arc::clone(&measured),
        };
        tasks.spawn("follow changes of series", house.clone().keep_following(drain.clone()));
        tasks.spawn("learn series", house.clone().keep_learning(drain.clone()));
        let keeper = Keeper::new(house.clone(), &settings);
        let duties = Duties::new(Lease::new(database.clone(), NAME), drain.clone());
        let is_keeping = duties.is_holder();
        let ticking = Arc::clone(&keeper);
        let tick = move || {
            let keeper = Arc::clone(&ticking);
            async move { keeper.tick().await }
        };
        tasks.spawn("duties", duties.run(tick));
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
            answers: Arc::default(),
            house,
            keeper,
            is_keeping,
            queries: Arc::new(Semaphore::new(QUERIES_MAX)),
            roll_ups: Arc::new(Semaphore::new(1)),
            waiting_roll_ups: Arc::new(Semaphore::new(ROLL_UPS_WAITING_MAX)),
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

    /// Learns which series other servers tell apart, as it does once an hour.
    pub async fn learn(&self) {
        self.house.learn().await;
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.house.clock.now()
    }

    /// Whether a request was ever counted, as far as this server knows.
    pub(crate) fn has_series(&self) -> bool {
        !self.house.series.is_empty()
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

    /// Folds every row that is committed now. Returns how many requests.
    pub(crate) async fn fold(&self) -> Result<u64, Error> {
        let store = Arc::clone(&self.house.store);
        self.one_at_a_time("fold", async move {
            Ok(store.fold().await.map_err(Error::store("fold"))?.requests)
        })
        .await
    }

    /// Does work that changes totals once no other does. It goes on even if the caller goes away,
    /// because cron may have a timeout. If the server stops, it is rolled back, and the next call does
    /// it.
    async fn one_at_a_time<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let waiting = Arc::clone(&self.waiting_roll_ups).try_acquire_owned();
        let waiting = waiting.map_err(|_| {
            let text =
                "too many folds and roll-ups are waiting already; they go on without their callers";
            Error::Refused(Kind::ResourceExhausted, text.into())
        })?;
        let service = self.clone();
        let work = async move {
            let _waiting = waiting;
            let _place = service.roll_ups.acquire().await;
            tokio::select! {
                done = work => done,
                () = service.streams.drain.begun() => Err(Ended::Draining.into()),
            }
        };
        self.to_its_end(name, work).await.unwrap_or_else(|| Err(Ended::Panicked.into()))
    }

    /// Rolls up days and returns their totals.
    pub(crate) async fn roll_up(&self, days: DayRange) -> Result<Totals, Error> {
        self.only_roll_up(days).await?;
        let totals = self.rolled_up_or_none(days, Granularity::Day).await;
        totals.map_err(|error| Error::RolledUp(Box::new(error)))
    }

    /// Rolls up days and returns how many requests each of them has, of those that have any.
    pub(crate) async fn roll_up_to_sums(&self, days: DayRange) -> Result<Vec<(Day, i64)>, Error> {
        self.only_roll_up(days).await?;
        let query = Query { sum: true, ..self.rolled_up_query(days, Granularity::Day) };
        let totals = self.totals(&query).await;
        let totals = totals.map_err(|error| Error::RolledUp(Box::new(error)))?;
        let sum = |period: &PeriodTotals| (Day::from(period.label.date), period.sum());
        Ok(totals.periods.iter().map(sum).collect())
    }

    async fn only_roll_up(&self, days: DayRange) -> Result<(), Error> {
        let tomorrow = Day::of(self.intake.clock.now()).plus(1);
        if days.first > tomorrow {
            let text = format!("date: {days} is in the future, and no request can be");
            return Err(Error::invalid(text));
        }
        let house = self.house.clone();
        self.one_at_a_time("roll-up", async move {
            house.roll_up(days).await.map_err(Error::store("roll up"))
        })
        .await?;
        Ok(())
    }

    /// The totals of rolled-up days, by method and path. An error if there are none.
    pub(crate) async fn rolled_up(
        &self,
        days: DayRange,
        granularity: Granularity,
    ) -> Result<Totals, Error> {
        let totals = self.rolled_up_or_none(days, granularity).await?;
        if totals.periods.is_empty() {
            return Err(Error::Refused(
                Kind::NotFound,
                format!(
                    "nothing is rolled up in {days}; roll a day up first, or ask for live totals"
                )
                .into(),
            ));
        }
        Ok(totals)
    }

    async fn rolled_up_or_none(
        &self,
        days: DayRange,
        granularity: Granularity,
    ) -> Result<Totals, Error> {
        self.totals(&self.rolled_up_query(days, granularity)).await
    }

    fn rolled_up_query(&self, days: DayRange, granularity: Granularity) -> Query {
        Query {
            range: QuarterRange::of_days(days),
            granularity,
            zone: Zone::utc(),
            filter: Filter::default(),
            group_by: vec![GroupBy::Method, GroupBy::Path],
            live: false,
            with_corrections: false,
            sum: false,
            totals_max: self.totals_max,
            limit: None,
        }
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
            let _place = self.queries.acquire().await;
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

    /// The first names that are asked for, and whether there are more.
    pub(crate) async fn list(&self, listing: &Listing) -> Result<(Vec<Listed>, bool), Error> {
        let _place = self.queries.acquire().await;
        let found = self.house.store.list(listing).await.map_err(Error::store("list names"))?;
        Ok(found.finish())
    }

    /// The date that a zone's clock shows now.
    pub(crate) fn today(&self, zone: &Zone) -> Date {
        zone.date_at(self.intake.clock.now())
    }

    /// What may be missing from these days, besides what clients have dropped.
    pub(crate) async fn setbacks(&self, days: DayRange) -> Result<Vec<Setback>, Error> {
        let mut setbacks = {
            let _place = self.queries.acquire().await;
            self.house.producers.setbacks().await.map_err(Error::store("list what is missing"))?
        };
        setbacks.retain(|one| {
            Day::of_micros(one.since_micros) <= days.last
                && days.first <= Day::of_micros(one.noticed_micros)
        });
        Ok(setbacks)
    }

    /// Clears the setbacks of one producer, or of all, and returns them.
    pub(crate) async fn clear_setbacks(&self, short_id: &str) -> Result<Vec<Setback>, Error> {
        if short_id.is_empty() {
            let text = "short_id is empty: give the 8 hex digits of a producer, or all";
            return Err(Error::invalid(text));
        }
        let _place = self.queries.acquire().await;
        self.house.producers.clear_setbacks(short_id).await.map_err(Error::store("clear setbacks"))
    }

    /// Forgets a client that numbers its batches, and returns what it was.
    pub(crate) async fn forget_producer(&self, id: &str) -> Result<Producer, Error> {
        let shown = Shown::parse(id)
            .ok_or_else(|| Error::invalid("id: not the 8 hex digits of a producer, nor a UUID"))?;
        let _place = self.queries.acquire().await;
        let found = self.house.producers.forget_shown(&shown).await;
        let mut found = found.map_err(Error::store("forget a producer"))?;
        let (kind, text) = match found.len() {
            1 => return Ok(found.remove(0)),
            0 => (Kind::NotFound, "id: no producer has it".to_owned()),
            several => (
                Kind::FailedPrecondition,
                format!(
                    "id: {several} producers are shown by it; give the whole id of one, a UUID"
                ),
            ),
        };
        Err(Error::Refused(kind, text.into()))
    }

    /// The clients that number their batches, and on request the insert workers.
    pub(crate) async fn producers(&self, with_workers: bool) -> Result<Vec<Producer>, Error> {
        let _place = self.queries.acquire().await;
        self.house.producers.list(with_workers).await.map_err(Error::store("list producers"))
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
        let folded_at = self.keeper.told().fold.well;
        self.house.measured.measure(&self.house.series, folded_at, now, scrape);
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
