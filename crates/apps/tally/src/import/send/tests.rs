//! Sending, against a server that refuses when it is told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tally_proto::count::v1::count_service_server::{CountService, CountServiceServer};
use tally_proto::count::v1::{
    AddResponse, CountDailyTotalsRequest, CountDailyTotalsResponse, GetPeriodTotalsRequest,
    GetPeriodTotalsResponse, ListDailyTotalsRequest, ListDailyTotalsResponse,
};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Streaming};

use super::*;
use crate::client::COUNTED_TRAILER;

/// Counts streams; ends one of them with an error.
#[derive(Clone, Default)]
struct Fake {
    /// Which stream fails, after how many requests, and what its trailer says.
    fails: Option<(usize, usize, Option<usize>)>,
    /// The paths of each stream.
    streams: Arc<Mutex<Vec<Vec<String>>>>,
    /// How many streams were acknowledged.
    acknowledged: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl CountService for Fake {
    async fn add(
        &self,
        request: Request<Streaming<AddRequest>>,
    ) -> Result<Response<AddResponse>, Status> {
        let at = {
            let mut streams = self.streams.lock().expect("not poisoned");
            streams.push(Vec::new());
            streams.len() - 1
        };
        let mut requests = request.into_inner();
        let mut taken = 0;
        while let Some(request) = requests.next().await {
            if let Some((stream, after, trailer)) = self.fails
                && stream == at
                && after == taken
            {
                let mut status = Status::unavailable("the database is away");
                if let Some(counted) = trailer {
                    let value = counted.to_string().parse().expect("ASCII");
                    status.metadata_mut().insert(COUNTED_TRAILER, value);
                }
                return Err(status);
            }
            taken += 1;
            self.streams.lock().expect("not poisoned")[at].push(request?.path);
        }
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(AddResponse {}))
    }

    async fn count_daily_totals(
        &self,
        _: Request<CountDailyTotalsRequest>,
    ) -> Result<Response<CountDailyTotalsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_daily_totals(
        &self,
        _: Request<ListDailyTotalsRequest>,
    ) -> Result<Response<ListDailyTotalsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_period_totals(
        &self,
        _: Request<GetPeriodTotalsRequest>,
    ) -> Result<Response<GetPeriodTotalsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

impl Fake {
    /// How many requests each stream brought.
    fn lengths(&self) -> Vec<usize> {
        self.streams.lock().expect("not poisoned").iter().map(Vec::len).collect()
    }

    /// Sends what comes through `chunks` to this server.
    async fn receive(
        &self,
        chunks: mpsc::Receiver<Fed>,
        stop: watch::Receiver<bool>,
    ) -> (Outcome, Vec<(u64, u64)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Server::builder()
            .add_service(CountServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let mut news = Vec::new();
        let mut acknowledged = |counted, bytes| news.push((counted, bytes));
        let send = async {
            let url = format!("http://{address}");
            let client = CountServiceClient::connect(url).await.expect("connects");
            send_all(client, chunks, stop, &mut acknowledged).await
        };
        let outcome = tokio::select! {
            outcome = send => outcome,
            ended = server => panic!("the server ended: {ended:?}"),
        };
        (outcome, news)
    }
}

/// A chunk of `requests` requests, one on each line after `after`, and one malformed line.
fn chunk(input: usize, after: u64, requests: u64) -> Fed {
    let lines: Vec<_> = (after + 1..=after + requests).collect();
    let request = |line: &u64| AddRequest { path: format!("/{line}"), ..AddRequest::default() };
    let through = after + requests + 1;
    let counts = LineCounts { lines: requests + 1, malformed: 1, ..LineCounts::default() };
    let requests = lines.iter().map(request).collect();
    Fed::Chunk(Chunk { input, requests, lines, through, bytes: through * 10, counts })
}

fn channel(chunks: Vec<Fed>) -> mpsc::Receiver<Fed> {
    let (sender, receiver) = mpsc::channel(chunks.len().max(1));
    for chunk in chunks {
        sender.try_send(chunk).expect("room");
    }
    receiver
}

fn never() -> (watch::Sender<bool>, watch::Receiver<bool>) {
    watch::channel(false)
}

fn place(input: usize, line: u64) -> Option<Place> {
    Some(Place { input, line })
}

#[tokio::test]
async fn everything_is_sent_in_streams_of_bounded_length() {
    let fake = Fake::default();
    let (_stop, stopped) = never();
    let chunks =
        vec![chunk(0, 0, 60_000), chunk(0, 60_001, 40_000), chunk(1, 0, 50), chunk(1, 51, 0)];
    let (outcome, news) = fake.receive(channel(chunks), stopped).await;
    assert_eq!(fake.lengths(), [100_000, 50]);
    assert_eq!(outcome.counted, 100_050);
    assert_eq!(outcome.through, place(1, 52));
    assert_eq!((outcome.counts.lines, outcome.counts.malformed), (100_054, 4));
    assert!(outcome.stop.is_none() && outcome.failures.is_empty());
    assert_eq!(news[0].0, 100_000);
    assert_eq!(news.last(), Some(&(100_050, 520)));
    let paths = fake.streams.lock().expect("not poisoned").concat();
    assert_eq!(paths.iter().collect::<std::collections::BTreeSet<_>>().len(), 100_000);
}

#[tokio::test]
async fn nothing_to_send_opens_no_stream() {
    let fake = Fake::default();
    let (_stop, stopped) = never();
    let (outcome, _) = fake.receive(channel(vec![chunk(0, 0, 0)]), stopped).await;
    assert!(fake.lengths().is_empty());
    assert_eq!((outcome.counted, outcome.counts.malformed), (0, 1));
    assert_eq!(outcome.through, place(0, 1));
}

#[tokio::test]
async fn a_trailer_says_exactly_what_is_counted() {
    let fake = Fake { fails: Some((1, 70, Some(40))), ..Fake::default() };
    let (_stop, stopped) = never();
    let chunks = vec![chunk(0, 0, 99_999), chunk(0, 100_000, 50), chunk(0, 100_051, 50)];
    let (outcome, _) = fake.receive(channel(chunks), stopped).await;
    assert_eq!(outcome.counted, 99_999 + 40);
    assert_eq!(outcome.through, place(0, 100_040));
    let Some(Stop::Refused { status, maybe, next }) = outcome.stop else { panic!("{outcome:?}") };
    assert_eq!((status.code(), maybe, next), (Code::Unavailable, 0, place(0, 100_041)));
}

#[tokio::test]
async fn without_a_trailer_only_the_limits_are_known() {
    let fake = Fake { fails: Some((1, 70, None)), ..Fake::default() };
    let (_stop, stopped) = never();
    let chunks = vec![chunk(0, 0, 99_999), chunk(0, 100_000, 100)];
    let (outcome, _) = fake.receive(channel(chunks), stopped).await;
    assert_eq!(outcome.counted, 99_999);
    assert_eq!(outcome.through.map(|place| place.line), Some(99_999));
    let Some(Stop::Refused { maybe, next, .. }) = outcome.stop else { panic!("{outcome:?}") };
    assert_eq!((maybe, next), (100, place(0, 100_001)));
}

#[tokio::test]
async fn a_trailer_that_cannot_be_true_is_not_believed() {
    let fake = Fake { fails: Some((0, 1, Some(1_000))), ..Fake::default() };
    let (_stop, stopped) = never();
    let (outcome, _) = fake.receive(channel(vec![chunk(0, 0, 10)]), stopped).await;
    let Some(Stop::Refused { maybe, .. }) = outcome.stop else { panic!("{outcome:?}") };
    assert_eq!((outcome.counted, maybe), (0, 10));
}

#[tokio::test]
async fn an_interruption_waits_for_what_was_sent() {
    let fake = Fake::default();
    let (stop, stopped) = never();
    let (sender, receiver) = mpsc::channel(4);
    sender.try_send(chunk(0, 0, 10)).expect("room");
    let interrupt = async {
        while fake.lengths() != [10] {
            tokio::task::yield_now().await;
        }
        stop.send(true).expect("somebody listens");
    };
    let ((outcome, _), ()) = tokio::join!(fake.receive(receiver, stopped), interrupt);
    assert!(sender.is_closed());
    assert!(matches!(outcome.stop, Some(Stop::Interrupted)), "{outcome:?}");
    assert_eq!((outcome.counted, outcome.through), (10, place(0, 11)));
}

#[tokio::test]
async fn a_pause_in_the_input_acknowledges_what_came_before() {
    let fake = Fake::default();
    let (_stop, stopped) = never();
    let (sender, receiver) = mpsc::channel(4);
    sender.try_send(chunk(0, 0, 10)).expect("room");
    let later = async {
        while fake.acknowledged.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        sender.try_send(chunk(0, 11, 10)).expect("room");
        drop(sender);
    };
    let ((outcome, news), ()) = tokio::join!(fake.receive(receiver, stopped), later);
    assert_eq!(fake.lengths(), [10, 10]);
    assert_eq!(outcome.counted, 20);
    assert_eq!(news[0].0, 10);
}
