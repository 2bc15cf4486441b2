//! A stream that always has another frame.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http_body::Frame;
use tokio::sync::Notify;

use super::*;
use crate::Service;
use crate::record::tests::service;

/// Far more than a task may take before it lets others in.
const FRAMES_MAX: usize = 100_000;

/// Empty frames, until others had their turn.
struct Flood {
    frames: usize,
    begins: Arc<Notify>,
    had_a_turn: Arc<AtomicBool>,
}

impl http_body::Body for Flood {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.begins.notify_one();
        self.frames += 1;
        let goes_on = self.frames < FRAMES_MAX && !self.had_a_turn.load(Ordering::Relaxed);
        Poll::Ready(goes_on.then(|| Ok(Frame::data(Bytes::new()))))
    }
}

fn adding(service: &Service) -> Adding {
    let (intake, streams) = (Arc::clone(&service.intake), Arc::clone(&service.streams));
    Adding { namespace: Namespace::DEFAULT, intake, streams }
}

#[tokio::test]
async fn a_stream_that_is_never_empty_leaves_others_their_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path()).await;
    let (begins, had_a_turn) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (begins_too, has_turned) = (Arc::clone(&begins), Arc::clone(&had_a_turn));
    let flood = Flood { frames: 0, begins, had_a_turn };
    let other = async {
        begins_too.notified().await;
        has_turned.store(true, Ordering::Relaxed);
    };
    let adding = adding(&service);
    let mut reading = std::pin::pin!(adding.add(Body::new(flood)));
    let is_over_first = tokio::select! {
        biased;
        _ = &mut reading => true,
        () = other => false,
    };
    assert!(!is_over_first, "the other one took its turn at the end");
    assert!(reading.await.error.is_none());
}

/// One frame.
struct One(Option<Bytes>);

impl http_body::Body for One {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(Frame::data).map(Ok))
    }
}

/// Its connection does not wait for a stream that is over, or cancelled.
#[tokio::test]
async fn the_queue_bounds_the_streams_that_wait() {
    /// What each of them takes with its one request, at least.
    const LEAST: usize = 4_096;
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path()).await;
    let (bytes_max, context) = (1_000_000, &mut Context::from_waker(std::task::Waker::noop()));
    let adding = adding(&service);
    // The worker has no turn meanwhile.
    let streams: Vec<_> = (0..2 * bytes_max / LEAST)
        .map(|_| {
            let body = Body::new(One(Some(Bytes::from_static(&[0; 5]))));
            let mut stream = Box::pin(tokio::task::unconstrained(adding.add(body)));
            // More often than it lets others have their turn.
            assert!((0..10).all(|_| stream.as_mut().poll(context).is_pending()));
            stream
        })
        .collect();
    // Those that found no room give up.
    service.streams.queue.close();
    let endings = futures_util::future::join_all(streams).await;
    let queued = endings.iter().filter(|ending| ending.error.is_none()).count();
    assert!((1..=bytes_max / LEAST).contains(&queued), "{queued}");
}
