//! `Record`, `ListProducers`, `ClearSetbacks` and `FindCountedFiles`.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream;
use tally_producers::Setback;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as requests;
use tally_proto::wire::COMMITTED_TRAILER;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::{Iter, Stream};
use tonic::{Status, Streaming};

use super::status;
use crate::counted;
use crate::error::Error;
use crate::model::{Day, DayRange};
use crate::record::{Ending, Progress};
use crate::service::Service;

/// How many producers one message has at most: some 256 KiB with the longest names.
const MESSAGE_PRODUCERS_MAX: usize = 1_000;

/// The answers of a `Record` stream.
pub(crate) type RecordAnswers =
    Pin<Box<dyn Stream<Item = Result<producers::Acknowledgement, Status>> + Send>>;
/// The messages of a list of producers.
pub(crate) type Lists = Iter<ListMessages>;
type ListMessages =
    Box<dyn Iterator<Item = Result<requests::ListProducersResponse, Status>> + Send>;

/// Makes answers of what a stream's task says.
struct Answers {
    progress: watch::Receiver<Progress>,
    opened: producers::Opened,
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
    let opened = producers::Opened {
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
        service.producers.list(with_workers).await.map_err(Error::store("list producers"))?
    };
    let mut setbacks = setbacks(service, DayRange::ALL).await?;
    let mut listed = listed.into_iter().map(Into::into).peekable();
    let messages: ListMessages = Box::new(std::iter::from_fn(move || {
        if listed.peek().is_none() && setbacks.is_empty() {
            return None;
        }
        let producers = listed.by_ref().take(MESSAGE_PRODUCERS_MAX).collect();
        let setbacks = std::mem::take(&mut setbacks);
        Some(Ok(requests::ListProducersResponse { producers, setbacks }))
    }));
    Ok(tokio_stream::iter(messages))
}

/// Which of these files were counted as a whole.
pub(super) async fn counted_files(
    service: &Service,
    fingerprints: Vec<Vec<u8>>,
) -> Result<Vec<requests::CountedFile>, Error> {
    let fingerprints = counted::fingerprints(fingerprints)
        .map_err(|reason| Error::Unexpected { position: 1, reason })?;
    let _place = service.queries.acquire().await;
    let found = service.store.counted_files(&fingerprints).await;
    let found = found.map_err(Error::store("look for counted files"))?;
    Ok(found.into_iter().map(Into::into).collect())
}

/// What may be missing from these days, beside what clients have dropped.
pub(super) async fn setbacks(
    service: &Service,
    days: DayRange,
) -> Result<Vec<producers::Setback>, Error> {
    let setbacks = {
        let _place = service.queries.acquire().await;
        service.producers.setbacks().await.map_err(Error::store("list what is missing"))?
    };
    let concerns = |one: &Setback| {
        Day::of_micros(one.since_micros) <= days.last
            && days.first <= Day::of_micros(one.noticed_micros)
    };
    Ok(setbacks.into_iter().filter(concerns).map(Into::into).collect())
}

/// Clears what is known to be missing, of one producer or of all.
pub(super) async fn clear_setbacks(
    service: &Service,
    short_id: &str,
) -> Result<Vec<producers::Setback>, Error> {
    if short_id.is_empty() {
        return Err(Error::ShortIdEmpty);
    }
    let cleared = {
        let _place = service.queries.acquire().await;
        service.producers.clear_setbacks(short_id).await.map_err(Error::store("clear setbacks"))?
    };
    Ok(cleared.into_iter().map(Into::into).collect())
}

// === impl Answers ===

impl Answers {
    async fn next(mut self) -> Option<(Result<producers::Acknowledgement, Status>, Self)> {
        // What was said before the end is seen before the end.
        if self.progress.changed().await.is_ok() {
            let now = *self.progress.borrow_and_update();
            let epoch = now.epoch.filter(|_| !self.has_opened).map(i64::unsigned_abs);
            self.has_opened |= epoch.is_some();
            let opened = epoch.map(|epoch| producers::Opened { epoch, ..self.opened });
            let committed_sequence = now.committed.unsigned_abs();
            return Some((Ok(producers::Acknowledgement { opened, committed_sequence }), self));
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
