//! The domain's operations, and the parts that they are made of. What speaks to clients only
//! translates.

use std::sync::Arc;

use tally_producers::stream::Streams;
use tally_producers::{Producer, Producers, Setback};
use tally_serve::Parts;
use tokio::sync::Semaphore;

use crate::ahead::Ahead;
use crate::counted::{self, CountedFile};
use crate::domain::NAME;
use crate::endpoints::Endpoints;
use crate::error::{Ended, Error};
use crate::intake::Intake;
use crate::model::{Day, DayRange};
use crate::rollup::House;
use crate::rows::Rows;
use crate::settings::Settings;
use crate::store::{self, Store};
use crate::totals::{Filter, Granularity, Query, TooMany, Totals};
use crate::writer::Naming;

/// How many queries use the database at the same time, so that they leave connections to the
/// insert workers. The others wait.
pub(crate) const QUERIES_MAX: usize = 3;
/// How many roll-ups may be asked for at the same time: each goes on when its caller gives up, so
/// an impatient caller must not pile them up.
const ROLL_UPS_WAITING_MAX: usize = 32;

/// Counts requests, rolls them up, and answers. Clones are the same service.
#[derive(Clone)]
pub struct Service {
    pub(crate) intake: Arc<Intake>,
    pub(crate) streams: Arc<Streams<Rows>>,
    /// How many totals an answer may have.
    pub(crate) totals_max: usize,
    store: Arc<dyn Store>,
    producers: Producers,
    house: House,
    /// A place for each query that may use the database now.
    queries: Arc<Semaphore>,
    /// One roll-up at a time: they would only wait for each other in the database.
    roll_ups: Arc<Semaphore>,
    /// A place for each roll-up that runs or waits.
    waiting_roll_ups: Arc<Semaphore>,
}

// === impl Service ===

impl Service {
    /// Starts the service on a database whose migrations are applied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(parts: Parts, settings: Settings) -> Result<Self, tally_store::Error> {
        let Parts { database, clock, drain, tasks } = parts;
        let store = store::open(&database);
        let endpoints = Arc::new(Endpoints::new(settings.endpoints_max));
        let (count_max, path_bytes_max) = endpoints.loaded_max();
        let (known, state) = store.endpoints(count_max, path_bytes_max).await?;
        endpoints.load(known, state);
        let producers = Producers::new(database.clone(), NAME, settings.terms);
        let house = House {
            store: Arc::clone(&store),
            endpoints: Arc::clone(&endpoints),
            producers: producers.clone(),
            clock: Arc::clone(&clock),
        };
        // The partition of today is there before the first request comes.
        house.maintain().await;
        tasks.spawn("housekeeping", house.clone().keep(drain.clone()));
        let naming = Naming { store: Arc::clone(&store), endpoints: Arc::clone(&endpoints) };
        let intake = Intake {
            endpoints,
            clock: Arc::clone(&clock),
            path_bytes_max: settings.path_bytes_max,
            ahead: Ahead::new(),
            record: settings.record,
        };
        let (limits, workers) = (settings.queue, settings.of_workers());
        let window = settings.record.batches_in_flight_max;
        let of_domain = producers.clone();
        let streams = Streams::start(naming, of_domain, limits, workers, window, clock, drain);
        Ok(Self {
            intake: Arc::new(intake),
            streams: Arc::new(streams),
            totals_max: settings.totals_max,
            store,
            producers,
            house,
            queries: Arc::new(Semaphore::new(QUERIES_MAX)),
            roll_ups: Arc::new(Semaphore::new(1)),
            waiting_roll_ups: Arc::new(Semaphore::new(ROLL_UPS_WAITING_MAX)),
        })
    }

    /// Waits, after the drain has begun, until the streams are answered and the queue is written.
    pub async fn finished(&self) {
        self.streams.finished().await;
    }

    /// Whether requests can be stored now.
    ///
    /// # Errors
    /// Why they cannot, in one line.
    pub async fn ready(&self) -> Result<(), String> {
        self.streams.ready(self.store.try_write()).await
    }

    /// How many rows wait or are being written.
    #[must_use]
    pub fn queued_rows(&self) -> usize {
        self.streams.queued_rows()
    }

    /// Does something to its end, even if its caller goes away; the drain waits for it. None if it
    /// panicked.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.streams.tasks.spawn(name, work).await.ok()
    }

    /// Rolls days up, and answers with their totals. It goes on even if the caller goes away,
    /// because cron may have a timeout. A roll-up that the server's stop interrupts is rolled back,
    /// and the next call does it.
    ///
    /// # Errors
    /// When too many wait already, the server stops, or the database fails.
    pub async fn roll_up(&self, days: DayRange) -> Result<Totals, Error> {
        let waiting = Arc::clone(&self.waiting_roll_ups).try_acquire_owned();
        let waiting = waiting.map_err(|_| Error::TooManyRollUps)?;
        let service = self.clone();
        let work = async move {
            {
                let _waiting = waiting;
                let _place = service.roll_ups.acquire().await;
                tokio::select! {
                    rows = service.house.roll_up(days) => rows.map_err(Error::store("roll up"))?,
                    () = service.streams.drain.begun() => return Err(Error::Draining),
                };
            }
            let totals = service.rolled_up_or_none(days, Granularity::Day).await;
            totals.map_err(|error| Error::RolledUp(Box::new(error)))
        };
        self.to_its_end("roll-up", work).await.unwrap_or(Err(Error::Panicked))
    }

    /// The totals of days that are rolled up, of every endpoint.
    ///
    /// # Errors
    /// When nothing is rolled up there, there are too many totals, or the database fails.
    pub async fn rolled_up(
        &self,
        days: DayRange,
        granularity: Granularity,
    ) -> Result<Totals, Error> {
        let totals = self.rolled_up_or_none(days, granularity).await?;
        if totals.periods.is_empty() { Err(Error::NothingRolledUp(days)) } else { Ok(totals) }
    }

    async fn rolled_up_or_none(
        &self,
        days: DayRange,
        granularity: Granularity,
    ) -> Result<Totals, Error> {
        let (filter, totals_max) = (Filter::default(), self.totals_max);
        let query =
            Query { days, granularity, filter, live: false, sum: false, totals_max, limit: None };
        self.totals(&query).await
    }

    /// Answers a query, and notices if the dictionary lacks names.
    ///
    /// # Errors
    /// When there are too many totals, or the database fails.
    pub async fn totals(&self, query: &Query) -> Result<Totals, Error> {
        let answer = {
            let _place = self.queries.acquire().await;
            self.store.totals(query).await
        };
        let mut totals = answer.map_err(|error| match error.find::<TooMany>() {
            Some(_) => Error::TooManyTotals { max: query.totals_max },
            None => Error::Store { step: "read totals", source: error },
        })?;
        self.intake.endpoints.notice_unnamed(totals.unnamed);
        if let Some((limit, order)) = query.limit {
            totals.omitted = totals.keep_first(limit, order);
        }
        Ok(totals)
    }

    /// What may be missing from these days, beside what clients have dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn setbacks(&self, days: DayRange) -> Result<Vec<Setback>, Error> {
        let mut setbacks = {
            let _place = self.queries.acquire().await;
            self.producers.setbacks().await.map_err(Error::store("list what is missing"))?
        };
        setbacks.retain(|one| {
            Day::of_micros(one.since_micros) <= days.last
                && days.first <= Day::of_micros(one.noticed_micros)
        });
        Ok(setbacks)
    }

    /// Clears what is known to be missing, of one producer or of all. Returns what was cleared.
    ///
    /// # Errors
    /// When the id is empty, or the database fails.
    pub async fn clear_setbacks(&self, short_id: &str) -> Result<Vec<Setback>, Error> {
        if short_id.is_empty() {
            return Err(Error::ShortIdEmpty);
        }
        let _place = self.queries.acquire().await;
        self.producers.clear_setbacks(short_id).await.map_err(Error::store("clear setbacks"))
    }

    /// The clients that number their batches, and on request the insert workers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn producers(&self, with_workers: bool) -> Result<Vec<Producer>, Error> {
        let _place = self.queries.acquire().await;
        self.producers.list(with_workers).await.map_err(Error::store("list producers"))
    }

    /// Which of these files were counted as a whole.
    ///
    /// # Errors
    /// When there are too many, a fingerprint has another length, or the database fails.
    pub async fn counted_files(&self, asked: Vec<Vec<u8>>) -> Result<Vec<CountedFile>, Error> {
        let asked = counted::fingerprints(asked)
            .map_err(|reason| Error::from(Ended::Unexpected { position: 1, reason }))?;
        let _place = self.queries.acquire().await;
        let found = self.store.counted_files(&asked).await;
        found.map_err(Error::store("look for counted files"))
    }
}
