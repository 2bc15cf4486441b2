//! Folds and roll-ups, one at a time.

use std::sync::Arc;

use tally_runtime::Kind;

use super::Service;
use crate::error::{Ended, Error};
use crate::model::{Day, DayRange, Namespace};
use crate::periods::{Granularity, QuarterRange, Zone};
use crate::totals::{Filter, GroupBy, PeriodTotals, Query, Totals};

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
