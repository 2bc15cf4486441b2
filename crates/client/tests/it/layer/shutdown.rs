//! Requests that are open when the queue is closed, streams that outlast their time, and times.

use std::convert::Infallible;
use std::future::{Pending, Ready, pending, ready};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use futures_util::{FutureExt as _, stream};
use http::{Request, Response};
use tally_client::{Clock, Queue};
use tally_testkit::eventually;
use tower::{Layer as _, Service as _, service_fn};

use crate::mock::{Act, Event, Mock};

const LIMIT: Duration = Duration::from_secs(60);

/// Stands still.
struct At(Mutex<SystemTime>);

impl Clock for At {
    fn now(&self) -> SystemTime {
        *self.0.lock().expect("no panic")
    }
}

fn request(kind: &str) -> Request<()> {
    Request::post("/a.B/C").header("content-type", kind).body(()).expect("a request")
}

/// How many requests a server has by status.
fn statuses(mock: &Mock) -> Vec<(u32, u64)> {
    mock.total();
    let database = mock.database();
    let mut statuses: Vec<_> =
        database.series.iter().map(|(series, count)| (series.status, *count)).collect();
    statuses.sort_unstable();
    statuses
}

/// A service that never answers.
fn silent(_: Request<()>) -> Pending<Result<Response<Body>, Infallible>> {
    pending()
}

/// A service whose answers have a head and then nothing.
fn endless(_: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    let body = Body::from_stream(stream::pending::<Result<String, Infallible>>());
    ready(Ok(Response::new(body)))
}

#[tokio::test]
async fn a_request_that_is_open_at_the_close_counts_without_a_status() {
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().connect().await.expect("a queue");
    let mut service = queue.layer().layer(service_fn(silent));
    let open = service.call(request("text/plain"));
    let report = queue.close().await;
    assert_eq!((report.recorded, report.acknowledged, report.lost()), (1, 1, 0), "{report:?}");
    drop(open);
    // The queue reports as dropped what begins now.
    drop(service.call(request("text/plain")));
    let report = queue.stats();
    assert_eq!((report.recorded, report.refused), (1, 1), "{report:?}");
    assert_eq!(statuses(&mock), [(0, 1)]);
}

/// A server can end before its last tasks do.
#[tokio::test]
async fn a_close_waits_a_moment_for_open_requests() {
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().connect().await.expect("a queue");
    let open = queue.layer().layer(service_fn(silent)).call(request("text/plain"));
    let (report, ()) = tokio::join!(queue.close(), async {
        tokio::task::yield_now().await;
        drop(open);
    });
    assert_eq!((report.acknowledged, report.lost()), (1, 0), "{report:?}");
    assert_eq!(statuses(&mock), [(499, 1)]);
}

/// A request that has no head yet can wait for ever; it is not a stream.
#[tokio::test]
async fn a_stream_of_grpc_is_not_held_back() {
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().status_timeout(Duration::ZERO).connect().await.expect("a queue");
    let headless = queue.layer().layer(service_fn(silent)).call(request("application/grpc"));
    let mut streams = queue.layer().layer(service_fn(endless));
    let answer = streams.call(request("application/grpc")).await.expect("a head");
    eventually("the stream is counted", LIMIT, async || match statuses(&mock)[..] {
        [(0, 1)] => Ok(()),
        ref other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(queue.stats().recorded, 1);
    // Its end changes nothing, and the next one is another.
    drop(answer);
    assert_eq!(queue.stats().recorded, 1);
    drop(streams.call(request("application/grpc")).await.expect("a head"));
    drop(headless);
    let report = queue.close().await;
    assert_eq!((report.recorded, report.acknowledged), (3, 3), "{report:?}");
    assert_eq!(statuses(&mock), [(0, 1), (499, 2)]);
}

/// It is looked at once a second, and the first look may come at once.
#[tokio::test(start_paused = true)]
async fn a_stream_has_its_time_for_the_status() {
    for (limit, early, late) in [(60, 59, 62), (5, 4, 7)] {
        // Nothing listens on port 1.
        let builder = Queue::builder("http://127.0.0.1:1");
        let builder = builder.status_timeout(Duration::from_secs(limit));
        let queue = builder.connect().await.expect("a good address");
        let mut streams = queue.layer().layer(service_fn(endless));
        let _open = streams.call(request("application/grpc")).await.expect("a head");
        tokio::time::sleep(Duration::from_secs(early)).await;
        assert_eq!(queue.stats().recorded, 0, "{limit} s");
        tokio::time::sleep(Duration::from_secs(late - early)).await;
        assert_eq!(queue.stats().recorded, 1, "{limit} s");
    }
}

#[tokio::test]
async fn the_time_is_that_of_the_arrival() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let mock = Mock::new(move |event| {
        if let Event::Batch(batch) = event {
            seen.lock().expect("no panic").extend(batch.time_delta.iter().copied());
        }
        Act::Serve
    });
    let server = mock.start();
    let clock = Arc::new(At(Mutex::new(UNIX_EPOCH + Duration::from_secs(7))));
    let queue = server.queue().clock(clock.clone()).connect().await.expect("a queue");
    let (ends, ended) = tokio::sync::oneshot::channel::<()>();
    let mut ended = Some(ended);
    let inner = service_fn(move |_| {
        let ended = ended.take().expect("it is called once");
        async {
            ended.await.expect("it is told");
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let mut call = Box::pin(queue.layer().layer(inner).call(request("text/plain")));
    assert!((&mut call).now_or_never().is_none());
    *clock.0.lock().expect("no panic") += Duration::from_secs(100_000);
    ends.send(()).expect("it waits");
    call.await.expect("an answer");
    queue.close().await;
    assert_eq!(*times.lock().expect("no panic"), [7_000_000]);
    assert_eq!(statuses(&mock), [(200, 1)]);
}
