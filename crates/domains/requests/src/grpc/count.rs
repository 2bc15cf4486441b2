//! The calls of `count.v1.CountService` that roll up and answer.

use std::collections::BTreeMap;

use tally_access::Caller;
use tally_proto::count::v1::count_service_server::CountService;
use tally_proto::count::v1::{
    AddRequest, AddResponse, CountDailyTotalsRequest, CountDailyTotalsResponse,
    GetPeriodTotalsRequest, GetPeriodTotalsResponse, ListDailyTotalsRequest,
    ListDailyTotalsResponse, MethodCount,
};
use tally_proto::methods::number_of_text;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{add, date};
use crate::dates;
use crate::error::Error;
use crate::model::Endpoint;
use crate::periods::Granularity;
use crate::service::Service;
use crate::totals::{Group, PeriodTotals, Totals};

/// The largest answer in one message. It takes several times as much memory while it is made.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The most that a total takes besides its path.
const COUNT_BYTES: usize = 40;

#[async_trait]
impl CountService for Service {
    async fn add(
        &self,
        request: Request<Streaming<AddRequest>>,
    ) -> Result<Response<AddResponse>, Status> {
        add::add(self, request).await
    }

    async fn count_daily_totals(
        &self,
        request: Request<CountDailyTotalsRequest>,
    ) -> Result<Response<CountDailyTotalsResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let period = dates::period("date", request.get_ref().date.as_ref())?;
        let totals = self.roll_up(namespace, period.days()).await?;
        let method_counts = method_counts(&totals, Granularity::Day)
            .map_err(|error| Error::RolledUp(Box::new(error)))?;
        Ok(Response::new(CountDailyTotalsResponse { method_counts }))
    }

    async fn list_daily_totals(
        &self,
        request: Request<ListDailyTotalsRequest>,
    ) -> Result<Response<ListDailyTotalsResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let request = request.get_ref();
        let start = dates::period("start_date", request.start_date.as_ref())?;
        let end = dates::period("end_date", request.end_date.as_ref())?;
        let days = dates::range(("start_date", Some(start)), ("end_date", Some(end)))?;
        let totals = self.rolled_up(namespace, days, Granularity::Day).await?;
        let method_counts = method_counts(&totals, Granularity::Day)?;
        Ok(Response::new(ListDailyTotalsResponse { method_counts }))
    }

    async fn get_period_totals(
        &self,
        request: Request<GetPeriodTotalsRequest>,
    ) -> Result<Response<GetPeriodTotalsResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let period = dates::period("period", request.get_ref().period.as_ref())?;
        let totals = self.rolled_up(namespace, period.days(), Granularity::Whole).await?;
        let method_counts = method_counts(&totals, Granularity::Whole)?;
        Ok(Response::new(GetPeriodTotalsResponse { method_counts }))
    }
}

fn method_counts(totals: &Totals, granularity: Granularity) -> Result<Vec<MethodCount>, Error> {
    let counts = totals.periods.iter().flat_map(|period| &period.counts);
    let path = |(group, _): &(u32, i64)| &totals.groups[*group as usize].path;
    let bytes: usize = counts.map(|count| path(count).len() + COUNT_BYTES).sum();
    if bytes > ANSWER_BYTES_MAX {
        return Err(Error::AnswerTooLarge(format!(
            "the answer takes more than {ANSWER_BYTES_MAX} bytes: ask for a shorter range, or read \
             it in parts by tally.requests.v1.RequestService/QueryTotals, as tally totals does"
        )));
    }
    // Methods that have no number are one here.
    let endpoint = |group: &Group| Endpoint::new(number_of_text(&group.method), &*group.path);
    let endpoints: Vec<_> = totals.groups.iter().map(endpoint).collect();
    let counts = |period: &PeriodTotals| {
        let date = date(period.label.date, granularity);
        let mut counts: BTreeMap<&Endpoint, i64> = BTreeMap::new();
        for (group, count) in &period.counts {
            let sum = counts.entry(&endpoints[*group as usize]).or_default();
            *sum = sum.saturating_add(*count);
        }
        let one = move |(endpoint, count): (&Endpoint, i64)| MethodCount {
            method: endpoint.method,
            path: endpoint.path.to_string(),
            count,
            date,
        };
        counts.into_iter().map(one).collect::<Vec<_>>()
    };
    Ok(totals.periods.iter().flat_map(counts).collect())
}
