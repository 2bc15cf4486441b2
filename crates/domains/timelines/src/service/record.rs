//! Recording: from what a door has read to what is stored. There is no other way in.

use tally_ingest::Receipt;
use tally_runtime::{Kind as ErrorKind, Namespace, random};
use uuid::Uuid;

use super::Service;
use crate::error::Error;
use crate::ledger::{Done, Outcome};
use crate::message::{Message, Written, Wrong};
use crate::writer::Messages;

impl Service {
    /// A message as it goes to the database, or everything that is wrong with it: what its door has found, and
    /// the rest.
    pub(crate) fn message(
        &self,
        namespace: Namespace,
        said: Written,
        idempotency_key: Option<&str>,
        mut wrong: Wrong,
    ) -> Result<Message, Error> {
        wrong.extend(said.wrong());
        if !wrong.is_empty() {
            return Err(Error::Wrong(wrong));
        }
        let drawn = u128::from(random::number()) << 64 | u128::from(random::number());
        Ok(said.message(namespace, idempotency_key, self.now(), Uuid::from_u128(drawn)))
    }

    /// Stores messages, in order, and returns after the COMMIT. It goes on if its caller goes away. One outcome
    /// for each.
    pub(crate) async fn record(
        &self,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<Done, Error>>, Error> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let (queue, drain) = (self.queue.clone(), self.drain.clone());
        let storing = async move {
            let receipt = Receipt::new();
            if queue.push(Messages(messages), &receipt).await.is_err() {
                let draining = drain.has_begun();
                return Err(if draining { Error::Draining } else { Error::QueueFull });
            }
            receipt.settled().await.map_err(Error::Write)?;
            receipt.outcome().ok_or(Error::Panicked)
        };
        let stored = self.tasks.spawn("record", storing).await;
        let outcomes = stored.unwrap_or(Err(Error::Panicked))?;
        Ok(outcomes.into_iter().map(|outcome| self.done(outcome)).collect())
    }

    /// The same of what doors have read: what is wrong is refused by itself, in its place.
    pub(crate) async fn record_all(
        &self,
        read: Vec<Result<Message, Error>>,
    ) -> Result<Vec<Result<Done, Error>>, Error> {
        let (mut messages, mut refused) = (Vec::new(), Vec::new());
        for (position, message) in read.into_iter().enumerate() {
            match message {
                Ok(message) => messages.push(message),
                Err(error) => refused.push((position, error)),
            }
        }
        let mut results = self.record(messages).await?;
        for (position, error) in refused {
            results.insert(position, Err(error));
        }
        Ok(results)
    }

    fn done(&self, outcome: Outcome) -> Result<Done, Error> {
        match outcome {
            Outcome::Done(done) => Ok(done),
            Outcome::OtherContent => Err(Error::OtherContent),
            Outcome::Refused(kind, text) => Err(Error::Refused(kind, text)),
            Outcome::TooMany => {
                let text = format!(
                    "there are {} contexts, as many as this server allows: use one of them, or restart it \
                     with a larger --timelines-contexts-max (TALLY_TIMELINES_CONTEXTS_MAX)",
                    self.store.limits().contexts_max
                );
                Err(Error::Refused(ErrorKind::ResourceExhausted, text))
            }
        }
    }
}
