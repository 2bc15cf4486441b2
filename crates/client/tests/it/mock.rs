//! A server in this process that keeps the protocol of `Record`, and breaks where a test says.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt;
use tally_client::{ProducerBuilder, QueueBuilder};
use tally_producers::{Opening, Refusal, Standing, Step, Terms};
use tally_proto::count::v1 as count;
use tally_proto::count::v1::count_service_server::{CountService, CountServiceServer};
use tally_proto::methods;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_server::{
    RequestService, RequestServiceServer,
};
use tally_proto::wire::{self, reason};
use tally_runtime::{Clock as _, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::transport::ServerTlsConfig;
use tonic::{Code, Request, Response, Status, Streaming, async_trait};

/// More than any test needs.
const TERMS: Terms = Terms { producers_max: 1_000, retention_days: 31 };

/// What outlives a server: its database, and the test's instructions.
#[derive(Clone)]
pub(crate) struct Mock {
    database: Arc<Mutex<Database>>,
    hook: Arc<Hook>,
    limits: producers::Opened,
}

type Hook = dyn Fn(&Event<'_>) -> Act + Send + Sync;

/// Something comes in.
pub(crate) enum Event<'a> {
    Open(&'a producers::Open),
    Batch(&'a proto::Batch),
    /// An `Add` stream, with how many requests.
    Add(usize),
}

/// How the server reacts.
pub(crate) enum Act {
    /// As it should.
    Serve,
    /// Ends the stream, and does nothing else.
    End(Status),
    /// Stores it, or this many requests of an `Add` stream, and ends the stream instead of
    /// answering.
    StoreAndEnd(usize, Status),
    /// Neither answers nor ends.
    Hold,
    /// Answers this, right or wrong.
    Answer(producers::Acknowledgement),
}

#[derive(Default)]
pub(crate) struct Database {
    pub(crate) producers: BTreeMap<Vec<u8>, Stored>,
    /// Requests by method and path.
    pub(crate) counts: BTreeMap<(i32, String), u64>,
    /// Those of `Record` by all that they count under.
    pub(crate) series: HashMap<proto::Series, u64>,
    pub(crate) drops: BTreeMap<i32, u64>,
    /// How large each stored batch was.
    pub(crate) batches: Vec<usize>,
    pub(crate) opens: u64,
    /// How many clients are done.
    pub(crate) done: u64,
    /// The most batches that were sent and not answered.
    pub(crate) in_flight: u64,
    /// What the client did wrong.
    pub(crate) wrong: Vec<String>,
    pub(crate) authorization: Option<String>,
}

#[derive(Default, Clone)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) sequence: u64,
    pub(crate) epoch: u64,
    pub(crate) claim: u64,
    pub(crate) is_shared: bool,
    pub(crate) checkpoint: Vec<u8>,
}

/// A running server. Dropping it kills it with all its connections.
pub(crate) struct Server {
    runtime: Option<tokio::runtime::Runtime>,
    address: SocketAddr,
    scheme: &'static str,
}

// === impl Mock ===

impl Mock {
    pub(crate) fn new(hook: impl Fn(&Event<'_>) -> Act + Send + Sync + 'static) -> Self {
        let limits = producers::Opened {
            epoch: 0,
            batch_rows_max: 10_000,
            batch_bytes_max: 1 << 20,
            series_max: 10_000,
            batches_in_flight_max: 4,
            ..producers::Opened::default()
        };
        Self { database: Arc::default(), hook: Arc::new(hook), limits }
    }

    /// A server that does everything right.
    pub(crate) fn good() -> Self {
        Self::new(|_| Act::Serve)
    }

    /// The same database, behind another server.
    pub(crate) fn with(&self, hook: impl Fn(&Event<'_>) -> Act + Send + Sync + 'static) -> Self {
        Self { hook: Arc::new(hook), ..self.clone() }
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut producers::Opened)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().expect("no test panics while it looks")
    }

    /// How many requests are stored. Fails if the client did something wrong.
    pub(crate) fn total(&self) -> u64 {
        let database = self.database();
        assert!(database.wrong.is_empty(), "{:?}", database.wrong);
        database.counts.values().sum()
    }

    pub(crate) fn count(&self, path: &str) -> u64 {
        self.total();
        let database = self.database();
        database.counts.iter().filter(|((_, p), _)| p == path).map(|(_, count)| count).sum()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.database().drops.values().sum()
    }

    pub(crate) fn start(&self) -> Server {
        self.start_at("127.0.0.1:0".parse().expect("an address"))
    }

    pub(crate) fn start_at(&self, address: SocketAddr) -> Server {
        self.serve_at(address, "http", tonic::transport::Server::builder())
    }

    /// Behind TLS.
    pub(crate) fn start_secured(&self, tls: ServerTlsConfig) -> Server {
        let builder = tonic::transport::Server::builder().tls_config(tls).expect("certificates");
        self.serve_at("127.0.0.1:0".parse().expect("an address"), "https", builder)
    }

    fn serve_at(
        &self,
        address: SocketAddr,
        scheme: &'static str,
        builder: tonic::transport::Server,
    ) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let within = runtime.enter();
        let listener = std::net::TcpListener::bind(address).expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let serve = builder
            .initial_connection_window_size(16 << 20)
            .add_service(
                RequestServiceServer::new(self.clone()).max_decoding_message_size(16 << 20),
            )
            .add_service(CountServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(serve);
        drop(within);
        Server { runtime: Some(runtime), address, scheme }
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn queue(&self) -> QueueBuilder {
        fast_queue(&self.url())
    }

    pub(crate) fn producer(&self) -> ProducerBuilder {
        fast_producer(&self.url())
    }
}

/// A producer with short pauses.
pub(crate) fn fast_producer(url: &str) -> ProducerBuilder {
    tally_client::Producer::builder(url)
        .name("test")
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .close_timeout(Duration::from_secs(30))
}

/// A queue with short pauses and hardly any gathering.
pub(crate) fn fast_queue(url: &str) -> QueueBuilder {
    tally_client::Queue::builder(url)
        .name("test")
        .linger(Duration::from_millis(1))
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .close_timeout(Duration::from_secs(30))
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Its sockets are closed when this returns. A runtime must not wait within another.
            let kill = std::thread::spawn(|| runtime.shutdown_timeout(Duration::from_secs(10)));
            kill.join().expect("no panic");
        }
    }
}

// === impl Database ===

impl Database {
    /// Opens a producer by the server's own rules.
    fn open(&mut self, open: &producers::Open) -> Result<(), Status> {
        self.opens += 1;
        let standing = self.producers.get(&open.producer_id).map(|stored| Standing {
            epoch: stored.epoch.cast_signed(),
            claim: stored.claim.cast_signed(),
            sequence: stored.sequence.cast_signed(),
            last_seen_micros: 0,
            is_shared: stored.is_shared,
            checkpoint: stored.checkpoint.clone(),
        });
        let opening = Opening::read(open.clone(), TERMS, SystemClock.now()).map_err(|error| {
            self.wrong.push(format!("{error}: {open:?}"));
            refusal(Code::InvalidArgument, reason::INVALID_OPEN)
        })?;
        // Not drawn: a test sees how often it changed.
        let next_epoch = standing.as_ref().map_or(0, |standing| standing.epoch) + 1;
        let opening = Opening { next_epoch, ..opening };
        let epoch = match opening.step(standing.as_ref()) {
            Step::Add => next_epoch,
            Step::GoOn { epoch, .. } => epoch,
            Step::Refuse(Refusal::Forgotten) => {
                return Err(refusal(Code::FailedPrecondition, reason::PRODUCER_FORGOTTEN));
            }
            Step::Refuse(Refusal::TakenOver) => {
                return Err(refusal(Code::FailedPrecondition, reason::PRODUCER_TAKEN_OVER));
            }
            Step::Refuse(_) => return Err(refusal(Code::AlreadyExists, reason::PRODUCER_IN_USE)),
        };
        let (name, is_shared) = (open.name.clone(), open.take_over);
        let new = || Stored { name, is_shared, ..Stored::default() };
        let stored = self.producers.entry(open.producer_id.clone()).or_insert_with(new);
        (stored.epoch, stored.claim) = (epoch.cast_unsigned(), opening.claim().cast_unsigned());
        Ok(())
    }

    /// Takes the last message, which is not a batch.
    fn last(&mut self, kind: Option<&Kind>, id: &[u8], sent: u64) -> Result<(), Status> {
        if !matches!(kind, Some(Kind::Done(_))) {
            self.wrong.push("not a batch".to_owned());
            return Err(Status::invalid_argument("not a batch"));
        }
        if self.producers.get(id).map(|one| one.sequence) != Some(sent) {
            self.wrong.push(format!("done, before {sent} is acknowledged"));
        }
        self.done += 1;
        Ok(())
    }

    /// Stores a batch whose series are `names`, unless it is a duplicate.
    fn store(
        &mut self,
        (id, claim): (&[u8], u64),
        batch: &proto::Batch,
        names: &[proto::Series],
    ) -> Result<u64, Status> {
        let Some(stored) = self.producers.get_mut(id) else {
            return Err(refusal(Code::FailedPrecondition, reason::PRODUCER_FORGOTTEN));
        };
        if stored.claim != claim && stored.is_shared {
            return Err(refusal(Code::FailedPrecondition, reason::PRODUCER_TAKEN_OVER));
        }
        if stored.claim != claim {
            return Err(refusal(Code::AlreadyExists, reason::PRODUCER_IN_USE));
        }
        if batch.sequence <= stored.sequence {
            return Ok(stored.sequence);
        }
        if batch.sequence > stored.sequence + 1 {
            return Err(refusal(Code::FailedPrecondition, reason::OUT_OF_SEQUENCE));
        }
        stored.sequence = batch.sequence;
        if !batch.checkpoint.is_empty() {
            stored.checkpoint.clone_from(&batch.checkpoint);
        }
        let committed = stored.sequence;
        self.batches.push(batch.number.len());
        for number in &batch.number {
            match names.get(*number as usize) {
                Some(name) => {
                    let method = methods::number_of_text(&name.method);
                    *self.counts.entry((method, name.path.clone())).or_default() += 1;
                    *self.series.entry(name.clone()).or_default() += 1;
                }
                None => self.wrong.push(format!("series {number} is not named")),
            }
        }
        for drops in &batch.drops {
            *self.drops.entry(drops.day).or_default() += drops.count;
        }
        Ok(committed)
    }

    fn check(&mut self, batch: &proto::Batch, limits: &producers::Opened, names: usize) {
        let rows = batch.number.len();
        let counted = rows == batch.count as usize && rows == batch.time_delta.len();
        let empty = rows == 0 && batch.drops.is_empty() && batch.checkpoint.is_empty();
        let bytes = prost::Message::encoded_len(batch);
        let large = rows > limits.batch_rows_max as usize
            || bytes > limits.batch_bytes_max as usize
            || names > limits.series_max as usize
            || batch.drops.len() > 1000
            || batch.checkpoint.len() > wire::CHECKPOINT_BYTES_MAX;
        if !counted || empty || large {
            self.wrong.push(format!(
                "batch {} has {rows} rows in {bytes} bytes, {names} series, {} drops",
                batch.sequence,
                batch.drops.len()
            ));
        }
    }
}

/// Polls for a condition that sends no notification.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    tally_testkit::eventually(what, Duration::from_secs(60), async || holds()).await;
}

/// Waits until this test's runtime has no other tasks.
pub(crate) async fn no_task_is_left() {
    let metrics = tokio::runtime::Handle::current().metrics();
    until("no task is left", || metrics.num_alive_tasks() == 0).await;
}

/// A status with a reason, as the server sends it.
pub(crate) fn refusal(code: Code, reason: &'static str) -> Status {
    let mut status = Status::new(code, reason.to_lowercase());
    let value = reason.parse().expect("ASCII");
    status.metadata_mut().insert(wire::REASON_TRAILER, value);
    status
}

type Answers = mpsc::UnboundedSender<Result<producers::Acknowledgement, Status>>;

impl Mock {
    fn opened(&self, stored: &Stored) -> producers::Opened {
        let (epoch, checkpoint) = (stored.epoch, stored.checkpoint.clone());
        producers::Opened { epoch, checkpoint, ..self.limits.clone() }
    }

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
        match (self.hook)(&Event::Open(&open)) {
            Act::Serve => {}
            Act::End(status) => return Err(status),
            Act::Hold => std::future::pending().await,
            Act::StoreAndEnd(_, status) => {
                self.database().open(&open)?;
                return Err(status);
            }
            Act::Answer(answer) => {
                let _ = answers.send(Ok(answer));
                std::future::pending::<()>().await;
            }
        }
        let mut last = {
            let mut database = self.database();
            database.open(&open)?;
            let stored = database.producers[&open.producer_id].clone();
            let opened = self.opened(&stored);
            let committed_sequence = stored.sequence;
            let _ = answers
                .send(Ok(producers::Acknowledgement { opened: Some(opened), committed_sequence }));
            committed_sequence
        };
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
            let act = (self.hook)(&Event::Batch(&batch));
            let mut database = self.database();
            let in_flight = batch.sequence
                - database.producers.get(&open.producer_id).map_or(0, |stored| stored.sequence);
            database.in_flight = database.in_flight.max(in_flight);
            match act {
                Act::Serve => {
                    let committed_sequence = database.store(producer, &batch, &names)?;
                    let answer = producers::Acknowledgement { opened: None, committed_sequence };
                    let _ = answers.send(Ok(answer));
                }
                Act::End(status) => return Err(status),
                Act::StoreAndEnd(_, status) => {
                    database.store(producer, &batch, &names)?;
                    return Err(status);
                }
                Act::Hold => {}
                Act::Answer(answer) => drop(answers.send(Ok(answer))),
            }
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
        Err(Status::unimplemented("no folds here"))
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
