//! What the client hears of its stream.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use tally_proto::tally::producers::v1::{Acknowledgement, Opened};
use tally_proto::wire::{COMMITTED_TRAILER, REASON_TRAILER};
use tally_runtime::{Kind, tell};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::{Batches, Builder, ContentOf, Ending, Error, Invalid, Progress, Streams};

/// The answers of a stream.
pub type Answers = Pin<Box<dyn Stream<Item = Result<Acknowledgement, Status>> + Send>>;

/// Makes answers of what a stream's task says.
struct Listening<R: Invalid> {
    progress: watch::Receiver<Progress>,
    /// Until the client is told.
    limits: Option<Opened>,
    /// Until its end is told.
    task: Option<JoinHandle<Ending<R>>>,
}

// === impl Streams ===

impl<C> Streams<C> {
    /// Takes a stream in by a task of its own, so that what a client has sent is stored even if the
    /// client goes away and the answers are dropped. `limits` is the first answer except what is the
    /// producer's own.
    pub fn answers<B, S>(self: &Arc<Self>, messages: S, batches: B, limits: Opened) -> Answers
    where
        B: Batches,
        B::Builder: Builder<Content = C>,
        C: crate::run::Content,
        S: Stream<Item = Result<B::Message, Status>> + Unpin + Send + 'static,
    {
        let (sender, progress) = watch::channel(Progress::default());
        let streams: Arc<Streams<ContentOf<B>>> = Arc::clone(self);
        let taking = async move {
            let taken = streams.take(messages, batches, &sender);
            streams.measured(taken, |ending| ending.error.as_ref()).await
        };
        let task = Some(self.tasks.spawn("numbered stream", taking));
        let listening = Listening { progress, limits: Some(limits), task };
        Box::pin(stream::unfold(listening, Listening::next))
    }
}

// === impl Listening ===

impl<R: Invalid> Listening<R> {
    async fn next(mut self) -> Option<(Result<Acknowledgement, Status>, Self)> {
        if self.progress.changed().await.is_ok() {
            let now = self.progress.borrow_and_update().clone();
            let opened = now.opened.and_then(|(epoch, checkpoint)| {
                let limits = self.limits.take()?;
                Some(Opened { epoch: epoch.unsigned_abs(), checkpoint, ..limits })
            });
            let committed_sequence = now.committed.unsigned_abs();
            return Some((Ok(Acknowledgement { opened, committed_sequence }), self));
        }
        let panicked = Ending { committed: None, error: Some(Error::Panicked) };
        let Ending { committed, error } = self.task.take()?.await.unwrap_or(panicked);
        let error = error?;
        let mut status = status(&error, error.kind(), error.reason());
        if let Some(committed) = committed {
            status.metadata_mut().insert(COMMITTED_TRAILER, committed.into());
        }
        Some((Err(status), self))
    }
}

/// An error as its client hears it.
pub fn status(
    error: &(dyn StdError + 'static),
    kind: Kind,
    reason: Option<&'static str>,
) -> Status {
    let mut status = Status::new(Code::from(kind.grpc_code()), tell(error, kind));
    if let Some(reason) = reason {
        status.metadata_mut().insert(REASON_TRAILER, MetadataValue::from_static(reason));
    }
    status
}
