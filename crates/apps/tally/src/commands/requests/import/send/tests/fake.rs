//! A server as tests of an import want it: it counts, and refuses when it is told to.

use std::sync::{Arc, Mutex, MutexGuard};

use tally_proto::count::v1;
use tally_proto::count::v1::count_service_server::{CountService, CountServiceServer};
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_server::{
    RequestService, RequestServiceServer,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Empty, StreamExt as _};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

/// A server, and what it has.
#[derive(Clone, Default)]
pub(in crate::commands::requests::import) struct Fake {
    pub(in crate::commands::requests::import) state: Arc<Mutex<State>>,
    /// What the batch with this number is answered with.
    pub(in crate::commands::requests::import) refuses: Option<(u64, fn() -> Status)>,
}

/// What a server has.
#[derive(Default)]
pub(in crate::commands::requests::import) struct State {
    committed: u64,
    /// The producer was refused for good.
    is_over: bool,
    pub(in crate::commands::requests::import) requests: u64,
    /// In how many entries of batches they came.
    pub(in crate::commands::requests::import) entries: u64,
    pub(in crate::commands::requests::import) series: Vec<proto::Series>,
    /// The checkpoints, with the number of requests in their batches.
    pub(in crate::commands::requests::import) checkpoints: Vec<(u32, Vec<u8>)>,
}

// === impl Fake ===

impl Fake {
    pub(in crate::commands::requests::import) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Serves at an address for as long as the work there takes.
    pub(in crate::commands::requests::import) async fn serve<T>(
        &self,
        work: impl AsyncFnOnce(String) -> T,
    ) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Server::builder()
            .add_service(CountServiceServer::new(self.clone()))
            .add_service(RequestServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::select! {
            done = work(address) => done,
            ended = server => panic!("the server ended: {ended:?}"),
        }
    }

    fn answer(&self, message: proto::RecordRequest) -> Result<producers::Acknowledgement, Status> {
        let mut state = self.state();
        let mut opened = None;
        match message.kind.expect("a kind") {
            Kind::Open(_) if state.is_over => {
                let (_, status) = self.refuses.expect("it was refused");
                return Err(status());
            }
            Kind::Open(_) => opened = Some(producers::Opened { epoch: 1, ..Default::default() }),
            Kind::Batch(batch) => {
                if let Some((sequence, status)) = self.refuses
                    && batch.sequence == sequence
                    && batch.count > 0
                {
                    state.is_over = status().code() == Code::FailedPrecondition;
                    return Err(status());
                }
                assert_eq!(batch.sequence, state.committed + 1);
                state.committed = batch.sequence;
                let requests = match &*batch.requests {
                    [] => batch.count,
                    requests => requests.iter().sum(),
                };
                state.requests += u64::from(requests);
                state.entries += u64::from(batch.count);
                state.series.extend(batch.series);
                if !batch.checkpoint.is_empty() {
                    state.checkpoints.push((requests, batch.checkpoint));
                }
            }
            Kind::Done(_) => {}
        }
        Ok(producers::Acknowledgement { opened, committed_sequence: state.committed })
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn not_here<T>() -> Answer<T> {
    Err(Status::unimplemented("not here"))
}

#[tonic::async_trait]
impl RequestService for Fake {
    type RecordStream = ReceiverStream<Result<producers::Acknowledgement, Status>>;
    type QueryTotalsStream = Empty<Result<proto::QueryTotalsResponse, Status>>;
    type ListProducersStream = Empty<Result<proto::ListProducersResponse, Status>>;

    async fn record(
        &self,
        request: Request<Streaming<proto::RecordRequest>>,
    ) -> Answer<Self::RecordStream> {
        let (answers, receiver) = mpsc::channel(100);
        let fake = self.clone();
        let mut messages = request.into_inner();
        let work = async move {
            while let Some(Ok(message)) = messages.next().await {
                let answer = fake.answer(message);
                let ends = answer.is_err();
                if answers.send(answer).await.is_err() || ends {
                    return;
                }
            }
        };
        #[allow(clippy::disallowed_methods, reason = "it ends with the stream")]
        tokio::spawn(work);
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn fold(&self, _: Request<proto::FoldRequest>) -> Answer<proto::FoldResponse> {
        not_here()
    }

    async fn query_totals(
        &self,
        _: Request<proto::QueryTotalsRequest>,
    ) -> Answer<Self::QueryTotalsStream> {
        not_here()
    }

    async fn forget_producer(
        &self,
        _: Request<proto::ForgetProducerRequest>,
    ) -> Answer<proto::ForgetProducerResponse> {
        not_here()
    }

    async fn clear_setbacks(
        &self,
        _: Request<proto::ClearSetbacksRequest>,
    ) -> Answer<proto::ClearSetbacksResponse> {
        not_here()
    }

    async fn list_producers(
        &self,
        _: Request<proto::ListProducersRequest>,
    ) -> Answer<Self::ListProducersStream> {
        not_here()
    }
}

#[tonic::async_trait]
impl CountService for Fake {
    async fn add(&self, _: Request<Streaming<v1::AddRequest>>) -> Answer<v1::AddResponse> {
        Ok(Response::new(v1::AddResponse::default()))
    }

    async fn count_daily_totals(
        &self,
        _: Request<v1::CountDailyTotalsRequest>,
    ) -> Answer<v1::CountDailyTotalsResponse> {
        not_here()
    }

    async fn list_daily_totals(
        &self,
        _: Request<v1::ListDailyTotalsRequest>,
    ) -> Answer<v1::ListDailyTotalsResponse> {
        not_here()
    }

    async fn get_period_totals(
        &self,
        _: Request<v1::GetPeriodTotalsRequest>,
    ) -> Answer<v1::GetPeriodTotalsResponse> {
        not_here()
    }
}
