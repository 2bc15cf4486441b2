//! `tally.requests.v1.RequestService`.

use std::sync::{Arc, Mutex, PoisonError};

use tally_access::Caller;
use tally_producers::Producer;
use tally_producers::stream::Answers;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::request_service_server::RequestService;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::messages::{Messages, stream};
use super::{messages, record, totals};
use crate::model::DayRange;
use crate::record::Record;
use crate::service::Service;

/// At most this many producers in a message: some 256 KiB with the longest names.
const MESSAGE_PRODUCERS_MAX: usize = 1_000;

#[async_trait]
impl RequestService for Service {
    type QueryTotalsStream = Messages<proto::QueryTotalsResponse>;
    type RecordStream = Answers;
    type ListProducersStream = Messages<proto::ListProducersResponse>;

    async fn record(
        &self,
        request: Request<Streaming<proto::RecordRequest>>,
    ) -> Result<Response<Self::RecordStream>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let (intake, limits) = (&self.intake, self.intake.record);
        let messages = record::messages(request, &limits);
        let opened = producers::Opened {
            batch_rows_max: limits.batch_rows_max,
            batch_bytes_max: limits.batch_bytes_max,
            series_max: limits.series_max,
            batches_in_flight_max: limits.batches_in_flight_max,
            path_bytes_max: u32::try_from(intake.path_bytes_max).unwrap_or(u32::MAX),
            resolution_us: intake.resolution.step_micros().unwrap_or(0).unsigned_abs(),
            ..producers::Opened::default()
        };
        let record = Record::new(Arc::clone(intake), namespace);
        Ok(Response::new(self.streams.answers(messages, record, opened)))
    }

    async fn list_producers(
        &self,
        request: Request<proto::ListProducersRequest>,
    ) -> Result<Response<Self::ListProducersStream>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let listed = self.producers(namespace, request.get_ref().with_workers).await?;
        let setbacks = self.setbacks(namespace, DayRange::ALL).await?;
        let setbacks: Vec<_> = setbacks.into_iter().map(Into::into).collect();
        let bytes = |one: &Producer| one.name.len() + one.checkpoint.len();
        if listed.is_empty() {
            let mut only = Some(proto::ListProducersResponse { setbacks, producers: Vec::new() });
            only.take_if(|only| only.setbacks.is_empty());
            return Ok(stream(move || Ok(only.take())));
        }
        // The first message has them.
        let setbacks = Mutex::new(setbacks);
        messages::listed(listed, bytes, MESSAGE_PRODUCERS_MAX, move |some: &[Producer]| {
            let producers = some.iter().cloned().map(Into::into).collect();
            let mut setbacks = setbacks.lock().unwrap_or_else(PoisonError::into_inner);
            proto::ListProducersResponse { producers, setbacks: std::mem::take(&mut *setbacks) }
        })
    }

    async fn clear_setbacks(
        &self,
        request: Request<proto::ClearSetbacksRequest>,
    ) -> Result<Response<proto::ClearSetbacksResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let cleared = self.clear_setbacks(namespace, &request.get_ref().short_id).await?;
        let setbacks = cleared.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ClearSetbacksResponse { setbacks }))
    }

    async fn forget_producer(
        &self,
        request: Request<proto::ForgetProducerRequest>,
    ) -> Result<Response<proto::ForgetProducerResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let forgotten = self.forget_producer(namespace, &request.get_ref().id).await?;
        let producer = Some(forgotten.into());
        Ok(Response::new(proto::ForgetProducerResponse { producer }))
    }

    async fn fold(
        &self,
        _: Request<proto::FoldRequest>,
    ) -> Result<Response<proto::FoldResponse>, Status> {
        Ok(Response::new(proto::FoldResponse { requests: self.fold().await? }))
    }

    async fn query_totals(
        &self,
        request: Request<proto::QueryTotalsRequest>,
    ) -> Result<Response<Self::QueryTotalsStream>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let query = totals::query(namespace, request.get_ref(), self.totals_max)?;
        let setbacks = self.setbacks(namespace, query.days()).await?;
        // The larger ones last, so that few wait with them for the others.
        let totals = self.totals(&query).await?;
        totals::messages(totals, setbacks, &query)
    }
}
