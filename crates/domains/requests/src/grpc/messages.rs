//! An answer of many messages, each of bounded size and made as the client takes it.

use tokio_stream::Iter;
use tonic::{Response, Status};

pub(super) type Messages<T> = Iter<Boxed<T>>;
type Boxed<T> = Box<dyn Iterator<Item = Result<T, Status>> + Send>;

pub(super) fn stream<T: 'static>(
    messages: impl Iterator<Item = T> + Send + 'static,
) -> Response<Messages<T>> {
    let messages: Boxed<T> = Box::new(messages.map(Ok));
    Response::new(tokio_stream::iter(messages))
}
