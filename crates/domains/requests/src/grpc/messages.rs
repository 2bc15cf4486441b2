//! An answer of many messages, each of bounded size and made as the client takes it. What they are made of is
//! kept in the room that all answers have, and given up if the client is too slow.

use std::sync::Arc;

use tally_runtime::random;
use tally_serve::api::{GivenUp, Kept};
use tokio_stream::Iter;
use tonic::{Response, Status};

pub(super) type Messages<T> = Iter<Boxed<T>>;
type Boxed<T> = Box<dyn Iterator<Item = Result<T, Status>> + Send>;

/// Each message is made when the client takes it; none comes after an error.
pub(super) fn stream<T: 'static>(
    mut next: impl FnMut() -> Result<Option<T>, GivenUp> + Send + 'static,
) -> Response<Messages<T>> {
    let mut is_over = false;
    let messages: Boxed<T> = Box::new(std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let next = next();
        is_over = !matches!(next, Ok(Some(_)));
        let text = "the answer was read too slowly, and others need its room";
        next.map_err(|GivenUp| Status::unavailable(text)).transpose()
    }));
    Response::new(tokio_stream::iter(messages))
}

/// A list, at most so many of it in a message.
pub(super) fn listed<T, M>(
    items: Vec<T>,
    bytes: impl Fn(&T) -> usize,
    items_max: usize,
    message: impl Fn(&[T]) -> M + Send + 'static,
) -> Result<Response<Messages<M>>, Status>
where
    T: PartialEq + Send + Sync + 'static,
    M: 'static,
{
    let bytes = items.iter().map(|item| size_of::<T>() + bytes(item)).sum();
    let (kept, mut at) = (keep(random::number(), items, bytes)?, 0);
    Ok(stream(move || {
        kept.read(|items| {
            let end = items.len().min(at + items_max);
            let some = (at < end).then(|| message(&items[at..end]));
            at = end;
            some
        })
    }))
}

/// Keeps what an answer is made of.
pub(super) fn keep<T>(tag: u64, value: T, bytes: usize) -> Result<Arc<Kept<T>>, Status>
where
    T: PartialEq + Send + Sync + 'static,
{
    let text = "too many large answers are being read now; try again, or ask for less";
    tally_serve::api::keep(tag, value, bytes).map_err(|_| Status::unavailable(text))
}
