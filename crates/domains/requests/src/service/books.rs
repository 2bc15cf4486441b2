//! Folds and roll-ups, one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tally_runtime::Kind;

use super::{ROLL_UPS_OF_ONE_WAITING_MAX, ROLL_UPS_WAITING_MAX, Service};
use crate::error::{Ended, Error};
use crate::model::{Day, DayRange, Namespace};
use crate::periods::{Granularity, QuarterRange, Zone};
use crate::totals::{Filter, GroupBy, PeriodTotals, Query, Totals};

/// A roll-up that several callers may wait for.
type Joint = Shared<BoxFuture<'static, Result<(), Arc<Error>>>>;

/// The roll-ups that have not begun: who asks for the same days meanwhile waits for the same one. Clones are
/// the same.
#[derive(Clone, Default)]
pub(super) struct Joined(Arc<Mutex<Vec<(DayRange, Joint)>>>);

// === impl Joined ===

impl Joined {
    fn lock(&self) -> MutexGuard<'_, Vec<(DayRange, Joint)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, days: DayRange) {
        let mut waiting = self.lock();
        // What is forgotten may be dropped last here, and have this in it.
        let forgotten: Vec<_> = waiting.extract_if(.., |(of, _)| *of == days).collect();
        drop(waiting);
        drop(forgotten);
    }
}

// === impl Service ===

impl Service {
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
    pub(super) async fn one_at_a_time<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.roll_ups.line_up([1], ROLL_UPS_OF_ONE_WAITING_MAX, ROLL_UPS_WAITING_MAX);
        let place = place.ok_or_else(|| {
            let text =
                "too many folds and roll-ups are waiting already; they go on without their callers";
            Error::Refused(Kind::ResourceExhausted, text.into())
        })?;
        let service = self.clone();
        let work = async move {
            let _turn = place.turn().await;
            tokio::select! {
                done = work => done,
                () = service.streams.drain.begun() => Err(Ended::Draining.into()),
            }
        };
        self.to_its_end(name, work).await.unwrap_or_else(|| Err(Ended::Panicked.into()))
    }

    /// Rolls up days, of all namespaces, and returns the totals of one.
    pub(crate) async fn roll_up(
        &self,
        namespace: Namespace,
        days: DayRange,
    ) -> Result<Totals, Error> {
        self.only_roll_up(days).await?;
        let totals = self.rolled_up_or_none(namespace, days, Granularity::Day).await;
        totals.map_err(|error| Error::RolledUp(Box::new(error)))
    }

    /// Rolls up days, of all namespaces, and returns how many requests each of them has in one, of those
    /// that have any.
    pub(crate) async fn roll_up_to_sums(
        &self,
        namespace: Namespace,
        days: DayRange,
    ) -> Result<Vec<(Day, i64)>, Error> {
        self.only_roll_up(days).await?;
        let query = Query { sum: true, ..self.rolled_up_query(namespace, days, Granularity::Day) };
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
        self.joined_roll_up(days).await.map_err(Error::Joined)
    }

    /// A roll-up of these days, which begins from now on: one that others have asked for and that waits, or
    /// another one.
    fn joined_roll_up(&self, days: DayRange) -> Joint {
        let mut waiting = self.joined.lock();
        if let Some((_, same)) = waiting.iter().find(|(of, _)| *of == days) {
            return same.clone();
        }
        let (service, joined) = (self.clone(), self.joined.clone());
        let joint = async move {
            let (house, begun) = (service.house.clone(), joined.clone());
            let done = service.one_at_a_time("roll-up", async move {
                begun.forget(days);
                house.roll_up(days).await.map_err(Error::store("roll up"))
            });
            let done = done.await.map(drop).map_err(Arc::new);
            if done.is_err() {
                // It may not have begun at all.
                joined.forget(days);
            }
            done
        };
        let joint = joint.boxed().shared();
        waiting.push((days, joint.clone()));
        joint
    }

    /// The totals of rolled-up days, by method and path. An error if there are none.
    pub(crate) async fn rolled_up(
        &self,
        namespace: Namespace,
        days: DayRange,
        granularity: Granularity,
    ) -> Result<Totals, Error> {
        let totals = self.rolled_up_or_none(namespace, days, granularity).await?;
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
        namespace: Namespace,
        days: DayRange,
        granularity: Granularity,
    ) -> Result<Totals, Error> {
        self.totals(&self.rolled_up_query(namespace, days, granularity)).await
    }

    fn rolled_up_query(
        &self,
        namespace: Namespace,
        days: DayRange,
        granularity: Granularity,
    ) -> Query {
        Query {
            range: QuarterRange::of_days(days),
            granularity,
            zone: Zone::utc(),
            filter: Filter { namespace, ..Filter::default() },
            group_by: vec![GroupBy::Method, GroupBy::Path],
            live: false,
            with_corrections: false,
            sum: false,
            totals_max: self.totals_max,
            limit: None,
        }
    }
}
