//! What the mock's services do with the streams of clients.

use futures_util::StreamExt;
use tally_proto::count::v1 as count;
use tally_proto::count::v1::count_service_server::CountService;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_server::RequestService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::database::Stored;
use super::{Act, Event, Mock};

type Answers = mpsc::UnboundedSender<Result<producers::Acknowledgement, Status>>;

// === impl Mock ===

impl Mock {
    /// Serves a stream of `Record` to its end.
    async fn serve(
        &self,
        mut messages: Streaming<proto::RecordRequest>,
        answers: &Answers,
    ) -> Result<(), Status> {
        let first = messages.message().await?;
        let Some(proto::RecordRequest { kind: Some(Kind::Open(open)) }) = first else {
            self.database().wrong.push("the first message is not Open".to_owned());
            return Err(Status::invalid_argument("the first message is not Open"));
        };
        let mut last = self.open(&open, answers).await?;
        let producer = (&*open.producer_id, *open.claims.last().expect("a claim"));
        let mut names = Vec::new();
        while let Some(message) = messages.message().await? {
            let batch = match message.kind {
                Some(Kind::Batch(batch)) => batch,
                kind => return self.database().last(kind.as_ref(), &open.producer_id, last),
            };
            names.extend(batch.series.iter().cloned());
            let mut database = self.database();
            database.check(&batch, &self.limits, names.len());
            if batch.sequence != last + 1 {
                database.wrong.push(format!("batch {} after {last}", batch.sequence));
            }
            last = batch.sequence;
            drop(database);
            self.take(producer, &batch, &names, answers)?;
        }
        Ok(())
    }

    /// Opens a producer, and returns the sequence up to which its batches are stored.
    async fn open(&self, open: &producers::Open, answers: &Answers) -> Result<u64, Status> {
        match (self.hook)(&Event::Open(open)) {
            Act::Serve => {}
            Act::End(status) => return Err(status),
            Act::Hold => std::future::pending().await,
            Act::StoreAndEnd(_, status) => {
                self.database().open(open)?;
                return Err(status);
            }
            Act::Answer(answer) => {
                let _ = answers.send(Ok(answer));
                std::future::pending::<()>().await;
            }
        }
        let mut database = self.database();
        database.open(open)?;
        let Stored { epoch, checkpoint, sequence, .. } =
            database.producers[&open.producer_id].clone();
        let opened = producers::Opened { epoch, checkpoint, ..self.limits.clone() };
        let answer =
            producers::Acknowledgement { opened: Some(opened), committed_sequence: sequence };
        let _ = answers.send(Ok(answer));
        Ok(sequence)
    }

    /// Takes a batch whose series are `names`.
    fn take(
        &self,
        producer: (&[u8], u64),
        batch: &proto::Batch,
        names: &[proto::Series],
        answers: &Answers,
    ) -> Result<(), Status> {
        let act = (self.hook)(&Event::Batch(batch));
        let mut database = self.database();
        let stored = database.producers.get(producer.0).map_or(0, |stored| stored.sequence);
        database.in_flight = database.in_flight.max(batch.sequence - stored);
        match act {
            Act::Serve => {
                let committed_sequence = database.store(producer, batch, names)?;
                let answer = producers::Acknowledgement { opened: None, committed_sequence };
                let _ = answers.send(Ok(answer));
            }
            Act::End(status) => return Err(status),
            Act::StoreAndEnd(_, status) => {
                database.store(producer, batch, names)?;
                return Err(status);
            }
            Act::Hold => {}
            Act::Answer(answer) => drop(answers.send(Ok(answer))),
        }
        Ok(())
    }
}

#[async_trait]
impl RequestService for Mock {
    type RecordStream = UnboundedReceiverStream<Result<producers::Acknowledgement, Status>>;
    type ListProducersStream = tokio_stream::Empty<Result<proto::ListProducersResponse, Status>>;
    type QueryTotalsStream = tokio_stream::Empty<Result<proto::QueryTotalsResponse, Status>>;

    async fn record(
        &self,
        request: Request<Streaming<proto::RecordRequest>>,
    ) -> Result<Response<Self::RecordStream>, Status> {
        let token = request.metadata().get("authorization");
        self.database().authorization =
            token.map(|token| token.to_str().expect("ASCII").to_owned());
        let (answers, receiver) = mpsc::unbounded_channel();
        let mock = self.clone();
        tokio::runtime::Handle::current().spawn(async move {
            if let Err(status) = mock.serve(request.into_inner(), &answers).await {
                let _ = answers.send(Err(status));
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(receiver)))
    }

    async fn list_producers(
        &self,
        _request: Request<proto::ListProducersRequest>,
    ) -> Result<Response<Self::ListProducersStream>, Status> {
        Err(Status::unimplemented("ListProducers"))
    }

    async fn forget_producer(
        &self,
        _request: Request<proto::ForgetProducerRequest>,
    ) -> Result<Response<proto::ForgetProducerResponse>, Status> {
        Err(Status::unimplemented("ForgetProducer"))
    }

    async fn clear_setbacks(
        &self,
        _request: Request<proto::ClearSetbacksRequest>,
    ) -> Result<Response<proto::ClearSetbacksResponse>, Status> {
        Err(Status::unimplemented("ClearSetbacks"))
    }

    async fn fold(
        &self,
        _request: Request<proto::FoldRequest>,
    ) -> Result<Response<proto::FoldResponse>, Status> {
        Err(Status::unimplemented("Fold"))
    }

    async fn query_totals(
        &self,
        _request: Request<proto::QueryTotalsRequest>,
    ) -> Result<Response<Self::QueryTotalsStream>, Status> {
        Err(Status::unimplemented("QueryTotals"))
    }
}

#[async_trait]
impl CountService for Mock {
    async fn add(
        &self,
        request: Request<Streaming<count::AddRequest>>,
    ) -> Result<Response<count::AddResponse>, Status> {
        let messages: Vec<_> = request.into_inner().collect().await;
        let messages = messages.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (stored, status) = match (self.hook)(&Event::Add(messages.len())) {
            Act::End(status) => return Err(status),
            Act::StoreAndEnd(stored, status) => (stored, Some(status)),
            Act::Hold => std::future::pending().await,
            Act::Serve | Act::Answer(_) => (messages.len(), None),
        };
        let mut database = self.database();
        for message in &messages[..stored] {
            *database.counts.entry((message.method, message.path.clone())).or_default() += 1;
        }
        status.map_or(Ok(Response::new(count::AddResponse {})), Err)
    }

    async fn count_daily_totals(
        &self,
        _request: Request<count::CountDailyTotalsRequest>,
    ) -> Result<Response<count::CountDailyTotalsResponse>, Status> {
        Err(Status::unimplemented("CountDailyTotals"))
    }

    async fn list_daily_totals(
        &self,
        _request: Request<count::ListDailyTotalsRequest>,
    ) -> Result<Response<count::ListDailyTotalsResponse>, Status> {
        Err(Status::unimplemented("ListDailyTotals"))
    }

    async fn get_period_totals(
        &self,
        _request: Request<count::GetPeriodTotalsRequest>,
    ) -> Result<Response<count::GetPeriodTotalsResponse>, Status> {
        Err(Status::unimplemented("GetPeriodTotals"))
    }
}
