//! `Record`, `ListProducers`, `ClearSetbacks` and `FindCountedFiles`.

use std::sync::Arc;

use tally_producers::{Setback, stream};
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as requests;
use tokio_stream::Iter;
use tonic::{Status, Streaming};

use crate::counted;
use crate::error::{Ended, Error};
use crate::model::{Day, DayRange};
use crate::record::Record;
use crate::service::Service;

/// How many producers one message has at most: some 256 KiB with the longest names.
const MESSAGE_PRODUCERS_MAX: usize = 1_000;

/// The messages of a list of producers.
pub(crate) type Lists = Iter<ListMessages>;
type ListMessages =
    Box<dyn Iterator<Item = Result<requests::ListProducersResponse, Status>> + Send>;

/// Takes a stream in.
pub(super) fn record(
    service: &Service,
    messages: Streaming<requests::RecordRequest>,
) -> stream::Answers {
    let intake = &service.intake;
    let limits = intake.record;
    let opened = producers::Opened {
        epoch: 0,
        batch_rows_max: limits.batch_rows_max,
        batch_bytes_max: limits.batch_bytes_max,
        endpoints_max: limits.endpoints_max,
        batches_in_flight_max: limits.batches_in_flight_max,
        path_bytes_max: u32::try_from(intake.path_bytes_max).unwrap_or(u32::MAX),
    };
    service.streams.answers(messages, Record::new(Arc::clone(intake)), opened)
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
        .map_err(|reason| Error::from(Ended::Unexpected { position: 1, reason }))?;
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
