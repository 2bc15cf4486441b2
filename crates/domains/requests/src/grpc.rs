//! `count.v1.CountService` and `tally.requests.v1.RequestService`.
//!
//! | file | what it owns |
//! |---|---|
//! | `add.rs` | `Add` |
//! | `producers.rs` | `Record`, `ListProducers`, `ClearSetbacks` and `FindCountedFiles` |

mod add;
mod producers;

pub use add::CountServer;

use std::sync::Arc;

use tally_producers::stream::{self, Answers as Answered};
use tally_proto::count::v1::count_service_server::{CountService, CountServiceServer};
use tally_proto::count::v1::{
    AddRequest, AddResponse, CountDailyTotalsRequest, CountDailyTotalsResponse,
    GetPeriodTotalsRequest, GetPeriodTotalsResponse, ListDailyTotalsRequest,
    ListDailyTotalsResponse, MethodCount,
};
use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1 as requests;
use tally_proto::tally::requests::v1::request_service_server::{
    RequestService, RequestServiceServer,
};

use tokio_stream::Iter;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::add::MESSAGE_BYTES_MAX;
use crate::error::Error;
use crate::model::{Day, DayRange};
use crate::rollup;
use crate::service::Service;
use crate::totals::{
    Filter, Granularity, LimitOrder, Omitted, PeriodTotals, Query, TooMany, Totals,
};
use crate::validate;

/// How large an answer of one message may be. It takes several times as much memory while it is
/// made.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// What a total takes in it beside its path: at most, and less than that for most.
const COUNT_BYTES: usize = 40;
/// How many totals one message of a streamed answer has at most: some 64 KiB.
const MESSAGE_ITEMS_MAX: usize = 4_096;
/// How many endpoints: 512 KiB even with the longest paths, and clients take 4 MiB by default.
const MESSAGE_ENDPOINTS_MAX: usize = 200;

/// What the first message says of what an answer lacks.
#[derive(Debug, Default, PartialEq)]
struct Missing {
    dropped: i64,
    setbacks: Vec<tally_proto::tally::producers::v1::Setback>,
    omitted: Option<requests::Omitted>,
}

/// The messages of a streamed answer.
type Answers = Box<dyn Iterator<Item = Result<requests::QueryTotalsResponse, Status>> + Send>;

// === impl Service ===

impl Service {
    /// The public counting API.
    #[must_use]
    pub fn count_service(&self) -> CountServer {
        let server = CountServiceServer::new(self.clone());
        CountServer::new(server.max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Tally's own API.
    #[must_use]
    pub fn request_service(&self) -> RequestServiceServer<Self> {
        let max = (self.intake.record.batch_bytes_max as usize).max(MESSAGE_BYTES_MAX);
        RequestServiceServer::new(self.clone()).max_decoding_message_size(max)
    }

    async fn totals(&self, query: Query) -> Result<Totals, Error> {
        let max = query.totals_max;
        let answer = {
            let _place = self.queries.acquire().await;
            self.store.totals(&query).await
        };
        let mut totals = answer.map_err(|error| match error.find::<TooMany>() {
            Some(_) => Error::TooManyTotals { max },
            None => Error::Store { step: "read totals", source: error },
        })?;
        self.intake.endpoints.notice_unnamed(totals.unnamed);
        if let Some((limit, order)) = query.limit {
            totals.omitted = totals.keep_first(limit, order);
        }
        Ok(totals)
    }

    /// The rolled-up totals of days, as count.v1 wants them.
    async fn rolled_up(
        &self,
        days: DayRange,
        granularity: Granularity,
    ) -> Result<Vec<MethodCount>, Error> {
        let (filter, totals_max) = (Filter::default(), self.totals_max);
        let query =
            Query { days, granularity, filter, live: false, sum: false, totals_max, limit: None };
        method_counts(&self.totals(query).await?, granularity)
    }

    async fn roll_up(&self, days: DayRange) -> Result<u64, Error> {
        let producers = &self.producers;
        let endpoints = &self.intake.endpoints;
        rollup::roll_up(&*self.store, endpoints, &*self.clock, days, producers).await
    }

    async fn some_rolled_up(
        &self,
        days: DayRange,
        granularity: Granularity,
    ) -> Result<Vec<MethodCount>, Error> {
        let counts = self.rolled_up(days, granularity).await?;
        if counts.is_empty() { Err(Error::NothingRolledUp(days)) } else { Ok(counts) }
    }
}

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
        let days = validate::period("date", request.get_ref().date.as_ref())
            .map_err(|error| status(&error))?
            .days();
        let service = self.clone();
        let waiting = Arc::clone(&self.waiting_roll_ups)
            .try_acquire_owned()
            .map_err(|_| status(&Error::TooManyRollUps))?;
        // It goes on when the client does not wait for it: cron may have a time-out.
        let task = self.streams.tasks.spawn("roll-up", async move {
            {
                let _waiting = waiting;
                let _place = service.roll_ups.acquire().await;
                // What is not done is rolled back, and the next call does it.
                tokio::select! {
                    rows = service.roll_up(days) => rows?,
                    () = service.streams.drain.begun() => return Err(Error::Draining),
                };
            }
            let answer = service.rolled_up(days, Granularity::Day).await;
            answer.map_err(|error| Error::RolledUp(Box::new(error)))
        });
        let counts = task.await.unwrap_or(Err(Error::Panicked));
        let method_counts = counts.map_err(|error| status(&error))?;
        Ok(Response::new(CountDailyTotalsResponse { method_counts }))
    }

    async fn list_daily_totals(
        &self,
        request: Request<ListDailyTotalsRequest>,
    ) -> Result<Response<ListDailyTotalsResponse>, Status> {
        let request = request.get_ref();
        let answer = async {
            let start = validate::period("start_date", request.start_date.as_ref())?;
            let end = validate::period("end_date", request.end_date.as_ref())?;
            let days = validate::range(("start_date", Some(start)), ("end_date", Some(end)))?;
            self.some_rolled_up(days, Granularity::Day).await
        };
        let method_counts = answer.await.map_err(|error: Error| status(&error))?;
        Ok(Response::new(ListDailyTotalsResponse { method_counts }))
    }

    async fn get_period_totals(
        &self,
        request: Request<GetPeriodTotalsRequest>,
    ) -> Result<Response<GetPeriodTotalsResponse>, Status> {
        let answer = async {
            let period = validate::period("period", request.get_ref().period.as_ref())?;
            self.some_rolled_up(period.days(), Granularity::Whole).await
        };
        let method_counts = answer.await.map_err(|error: Error| status(&error))?;
        Ok(Response::new(GetPeriodTotalsResponse { method_counts }))
    }
}

#[async_trait]
impl RequestService for Service {
    type QueryTotalsStream = Iter<Answers>;
    type RecordStream = Answered;
    type ListProducersStream = producers::Lists;

    async fn record(
        &self,
        request: Request<Streaming<requests::RecordRequest>>,
    ) -> Result<Response<Self::RecordStream>, Status> {
        Ok(Response::new(producers::record(self, request.into_inner())))
    }

    async fn find_counted_files(
        &self,
        request: Request<requests::FindCountedFilesRequest>,
    ) -> Result<Response<requests::FindCountedFilesResponse>, Status> {
        let found = producers::counted_files(self, request.into_inner().fingerprints).await;
        let files = found.map_err(|error| status(&error))?;
        Ok(Response::new(requests::FindCountedFilesResponse { files }))
    }

    async fn list_producers(
        &self,
        request: Request<requests::ListProducersRequest>,
    ) -> Result<Response<Self::ListProducersStream>, Status> {
        let listed = producers::list(self, request.get_ref().with_workers).await;
        listed.map(Response::new).map_err(|error| status(&error))
    }

    async fn clear_setbacks(
        &self,
        request: Request<requests::ClearSetbacksRequest>,
    ) -> Result<Response<requests::ClearSetbacksResponse>, Status> {
        let cleared = producers::clear_setbacks(self, &request.get_ref().short_id).await;
        let setbacks = cleared.map_err(|error| status(&error))?;
        Ok(Response::new(requests::ClearSetbacksResponse { setbacks }))
    }

    async fn query_totals(
        &self,
        request: Request<requests::QueryTotalsRequest>,
    ) -> Result<Response<Self::QueryTotalsStream>, Status> {
        let answer = async {
            let query = query(request.get_ref(), self.totals_max)?;
            let Query { days, granularity, sum, .. } = query;
            let totals = self.totals(query).await?;
            let missing = Missing {
                dropped: totals.dropped,
                setbacks: producers::setbacks(self, days).await?,
                omitted: totals.omitted.map(omitted_to_proto),
            };
            Ok(messages(totals, missing, granularity, sum).map(Ok))
        };
        let messages = answer.await.map_err(|error: Error| status(&error))?;
        let answers: Answers = Box::new(messages);
        Ok(Response::new(tokio_stream::iter(answers)))
    }
}

fn query(request: &requests::QueryTotalsRequest, totals_max: usize) -> Result<Query, Error> {
    if request.path_prefix.contains('\0') {
        return Err(Error::PathNul("path_prefix"));
    }
    if request.paths.iter().any(|path| path.contains('\0')) {
        return Err(Error::PathNul("paths"));
    }
    let from = validate::optional_period("from", request.from.as_ref())?;
    let to = validate::optional_period("to", request.to.as_ref())?;
    let granularity = match request.granularity() {
        requests::Granularity::Unspecified | requests::Granularity::Day => Granularity::Day,
        requests::Granularity::Month => Granularity::Month,
        requests::Granularity::Year => Granularity::Year,
        requests::Granularity::Whole => Granularity::Whole,
    };
    let order = match request.limit_order() {
        requests::LimitOrder::Unspecified | requests::LimitOrder::Path => LimitOrder::Path,
        requests::LimitOrder::Count => LimitOrder::Count,
    };
    let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
    Ok(Query {
        days: validate::range(("from", from), ("to", to))?,
        granularity,
        filter: Filter {
            method: request.method,
            path_prefix: request.path_prefix.clone(),
            paths: request.paths.iter().cloned().collect(),
        },
        live: request.live,
        sum: request.sum,
        totals_max,
        limit: limit.map(|limit| (limit, order)),
    })
}

fn omitted_to_proto(omitted: Omitted) -> requests::Omitted {
    requests::Omitted { totals: omitted.totals, requests: omitted.requests }
}

fn method_counts(totals: &Totals, granularity: Granularity) -> Result<Vec<MethodCount>, Error> {
    let endpoint = |(endpoint, _): &(u32, i64)| &totals.endpoints[*endpoint as usize];
    let counts = totals.periods.iter().flat_map(|period| &period.counts);
    let bytes: usize = counts.map(|count| endpoint(count).path.len() + COUNT_BYTES).sum();
    if bytes > ANSWER_BYTES_MAX {
        return Err(Error::AnswerTooLarge { max: ANSWER_BYTES_MAX });
    }
    let counts = |period: &PeriodTotals| {
        let date = date(period.first, granularity);
        period.counts.clone().into_iter().map(move |(endpoint, count)| {
            let endpoint = &totals.endpoints[endpoint as usize];
            MethodCount { method: endpoint.method, path: endpoint.path.to_string(), count, date }
        })
    };
    Ok(totals.periods.iter().flat_map(counts).collect())
}

/// An answer, cut into messages of bounded size, which are made as the client takes them. All
/// endpoints come first: they are sorted, so an endpoint's number is its place in the order of
/// paths. The first message says what is missing, also when there are no endpoints.
fn messages(
    totals: Totals,
    missing: Missing,
    granularity: Granularity,
    is_sum: bool,
) -> impl Iterator<Item = requests::QueryTotalsResponse> + Send {
    let mut missing = (missing != Missing::default()).then_some(missing);
    let mut endpoints = totals.endpoints.into_iter().peekable();
    let names = std::iter::from_fn(move || {
        if endpoints.peek().is_none() && missing.is_none() {
            return None;
        }
        let endpoints = endpoints
            .by_ref()
            .take(MESSAGE_ENDPOINTS_MAX)
            .map(|one| requests::Endpoint { method: one.method, path: one.path.into() })
            .collect();
        let Missing { dropped, setbacks, omitted } = missing.take().unwrap_or_default();
        let periods = Vec::new();
        Some(requests::QueryTotalsResponse { endpoints, periods, dropped, setbacks, omitted })
    });
    let mut parts = totals
        .periods
        .into_iter()
        .flat_map(move |period| parts(&period, date(period.first, granularity), is_sum))
        .peekable();
    let counts = std::iter::from_fn(move || {
        let mut items = parts.peek()?.count.len();
        let mut periods: Vec<_> = parts.next().into_iter().collect();
        while let Some(next) = parts.next_if(|next| items + next.count.len() <= MESSAGE_ITEMS_MAX) {
            items += next.count.len();
            periods.push(next);
        }
        Some(requests::QueryTotalsResponse { periods, ..Default::default() })
    });
    names.chain(counts)
}

/// A period, cut where it would not fit into a message.
fn parts(period: &PeriodTotals, date: Option<Date>, is_sum: bool) -> Vec<requests::PeriodTotals> {
    let part = |counts: &[(u32, i64)]| {
        let (endpoint, count) = counts.iter().copied().unzip();
        let endpoint = if is_sum { Vec::new() } else { endpoint };
        requests::PeriodTotals { period: date, endpoint, count }
    };
    period.counts.chunks(MESSAGE_ITEMS_MAX).map(part).collect()
}

fn date(first: Day, granularity: Granularity) -> Option<Date> {
    let date = first.date();
    let (year, month, day) =
        (i32::from(date.year()), i32::from(date.month()), i32::from(date.day()));
    match granularity {
        Granularity::Day => Some(Date { year, month, day }),
        Granularity::Month => Some(Date { year, month, day: 0 }),
        Granularity::Year => Some(Date { year, month: 0, day: 0 }),
        Granularity::Whole => None,
    }
}

/// The only place where an error becomes a gRPC status.
fn status(error: &Error) -> Status {
    stream::status(error, error.kind(), error.reason())
}
