//! `Record` and `ListProducers`.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream;
use tally_proto::tally::requests::v1 as requests;
use tally_proto::wire::COMMITTED_TRAILER;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::{Iter, Stream};
use tonic::{Status, Streaming};

use super::status;
use crate::error::Error;
use crate::producer::Producer;
use crate::record::{Ending, Progress};
use crate::service::Service;

/// How many producers one message has at most: some 256 KiB with the longest names.
const MESSAGE_PRODUCERS_MAX: usize = 1_000;

/// The answers of a `Record` stream.
pub(crate) type RecordAnswers =
    Pin<Box<dyn Stream<Item = Result<requests::RecordResponse, Status>> + Send>>;
/// The messages of a list of producers.
pub(crate) type Lists = Iter<ListMessages>;
type ListMessages =
    Box<dyn Iterator<Item = Result<requests::ListProducersResponse, Status>> + Send>;

/// Makes answers of what a stream's task says.
struct Answers {
    progress: watch::Receiver<Progress>,
    opened: requests::Opened,
    /// Until its end is told.
    task: Option<JoinHandle<Ending>>,
    has_opened: bool,
}

/// Takes a stream in, by a task of its own: when the client goes away, the answers are dropped,
/// and what the client had sent is stored all the same.
pub(super) fn record(
    service: &Service,
    messages: Streaming<requests::RecordRequest>,
) -> RecordAnswers {
    let recorder = Arc::clone(&service.recorder);
    let limits = recorder.record;
    let opened = requests::Opened {
        epoch: 0,
        batch_rows_max: limits.batch_rows_max,
        batch_bytes_max: limits.batch_bytes_max,
        endpoints_max: limits.endpoints_max,
        batches_in_flight_max: limits.batches_in_flight_max,
        path_bytes_max: u32::try_from(recorder.path_bytes_max).unwrap_or(u32::MAX),
    };
    let (sender, progress) = watch::channel(Progress::default());
    let task = service
        .streams
        .spawn("record stream", async move { recorder.record_batches(messages, &sender).await });
    let answers = Answers { progress, opened, task: Some(task), has_opened: false };
    Box::pin(stream::unfold(answers, Answers::next))
}

/// The producers, in messages of bounded size.
pub(super) async fn list(service: &Service, with_workers: bool) -> Result<Lists, Error> {
    let listed = {
        let _place = service.queries.acquire().await;
        service.store.producers(with_workers).await.map_err(Error::store("list producers"))?
    };
    let mut listed = listed.into_iter().map(message).peekable();
    let messages: ListMessages = Box::new(std::iter::from_fn(move || {
        listed.peek()?;
        let producers = listed.by_ref().take(MESSAGE_PRODUCERS_MAX).collect();
        Some(Ok(requests::ListProducersResponse { producers }))
    }));
    Ok(tokio_stream::iter(messages))
}

// === impl Answers ===

impl Answers {
    async fn next(mut self) -> Option<(Result<requests::RecordResponse, Status>, Self)> {
        // What was said before the end is seen before the end.
        if self.progress.changed().await.is_ok() {
            let now = *self.progress.borrow_and_update();
            let epoch = now.epoch.filter(|_| !self.has_opened).map(i64::unsigned_abs);
            self.has_opened |= epoch.is_some();
            let opened = epoch.map(|epoch| requests::Opened { epoch, ..self.opened });
            let committed_sequence = now.committed.unsigned_abs();
            return Some((Ok(requests::RecordResponse { opened, committed_sequence }), self));
        }
        let panicked = Ending { committed: None, error: Some(Error::Panicked) };
        let Ending { committed, error } = self.task.take()?.await.unwrap_or(panicked);
        let mut status = status(&error?);
        if let Some(committed) = committed {
            status.metadata_mut().insert(COMMITTED_TRAILER, committed.into());
        }
        Some((Err(status), self))
    }
}

fn message(producer: Producer) -> requests::Producer {
    let micros = producer.last_seen_micros;
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).expect("below a second");
    requests::Producer {
        producer_id: producer.id.as_bytes().to_vec(),
        name: producer.name,
        sequence: producer.sequence.unsigned_abs(),
        last_seen: Some(prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }),
        accepted: producer.accepted,
        dropped: producer.dropped,
        is_worker: producer.is_worker,
    }
}
