//! Paying: from what a door has read to what is stored.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tally_ingest::Receipt;
use tally_runtime::{Kind as ErrorKind, Namespace, faults, hash};

use super::{Service, random_id};
use crate::definition::Definition;
use crate::error::Error;
use crate::ledger::{Deed, Done, Outcome};
use crate::model::{BODY_BYTES_MAX, Named, Payment, Which, kind_number, stage_of};
use crate::state::Kind;
use crate::state::Kind::{Fail, Stage, Start, Success};
use crate::writer::Deeds;

/// What a door has read of a payment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) run: Option<String>,
    pub(crate) exit_status: Option<u8>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) took: Option<Duration>,
    pub(crate) body: Vec<u8>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) create: Option<Definition>,
    pub(crate) key_name: String,
    pub(crate) source: String,
}

impl Service {
    /// Pays, and returns after the COMMIT. It goes on if its caller goes away. One outcome for each.
    pub(crate) async fn pay(
        &self,
        payments: Vec<Payment>,
    ) -> Result<Vec<Result<Done, Error>>, Error> {
        let named: Vec<_> = payments.iter().map(|payment| payment.to.clone()).collect();
        // Until it is known what became of them.
        let received = payments.iter().map(|payment| payment.received).min();
        let holding = received.map(|received| self.held.since(received));
        let deeds = payments.into_iter().map(|payment| Deed::Pay(Arc::new(payment))).collect();
        let (queue, drain) = (self.queue.clone(), self.drain.clone());
        let storing = async move {
            let receipt = Receipt::new();
            if queue.push(Deeds(deeds), &receipt).await.is_err() {
                let draining = drain.has_begun();
                return Err(if draining { Error::Draining } else { Error::QueueFull });
            }
            let settled = receipt.settled().await.map_err(Error::Write);
            drop(holding);
            settled?;
            receipt.outcome().ok_or(Error::Panicked)
        };
        let stored = self.tasks.spawn("pay", storing).await;
        let outcomes = stored.unwrap_or(Err(Error::Panicked))?;
        self.outbox.notice();
        let done = |(named, outcome)| self.done(named, outcome);
        Ok(named.iter().zip(outcomes).map(done).collect())
    }

    pub(super) fn done(&self, named: &Named, outcome: Outcome) -> Result<Done, Error> {
        match outcome {
            Outcome::Done(done) => Ok(*done),
            Outcome::Unknown => Err(Error::Unknown(named.which.to_string())),
            Outcome::OtherContent => Err(Error::OtherContent),
            Outcome::TooMany => Err(self.too_many()),
            Outcome::Refused(kind, text) => Err(Error::Refused(kind, text)),
            Outcome::Broken(why) => {
                let step = format!("read debt {}", named.which);
                let error = tally_store::Error::permanent(step, ErrorKind::Internal);
                Err(Error::Store(error.because(why)))
            }
        }
    }

    pub(super) fn too_many(&self) -> Error {
        let text = format!(
            "there are {} debts, as many as this server allows: forget some, or restart it with a larger \
             --debts-max (TALLY_DEBTS_MAX)",
            self.store.debts_max()
        );
        Error::Refused(ErrorKind::ResourceExhausted, text)
    }

    /// A payment as it goes to the database.
    pub(crate) fn payment(&self, to: Named, kind: Kind, said: Said) -> Payment {
        let Said { run, exit_status, time, took, mut body, idempotency_key, create, .. } = said;
        let body_bytes = body.len();
        let number = kind_number(&kind).to_le_bytes();
        let run_bytes = run.as_deref().unwrap_or_default().as_bytes();
        let stage = stage_of(&kind).as_bytes();
        // Only these can be said once: a run can be heard of, and noted about, as often as it likes.
        let is_known = !faults::is_on("debts.forget");
        let is_once = is_known && matches!(kind, Start | Stage(_) | Success | Fail);
        let run_once = run
            .as_ref()
            .filter(|_| is_once)
            .map(|_| hash::of(&[b"run", &number, run_bytes, stage]));
        let once = idempotency_key
            .as_ref()
            .filter(|_| is_known)
            .map_or_else(random_id, |key| hash::of(&[b"key", key.as_bytes()]));
        let status = exit_status.map(|status| [status]);
        let micros = time.map(|time| time.as_microsecond().to_le_bytes());
        let lasted = took.map(|took| took.as_micros().to_le_bytes());
        let optional = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec).unwrap_or_default();
        let fingerprint = hash::short(&[
            &number,
            run_bytes,
            stage,
            &optional(status.as_ref().map(|one| &one[..])),
            &optional(micros.as_ref().map(|one| &one[..])),
            &optional(lasted.as_ref().map(|one| &one[..])),
            &body,
        ]);
        body.truncate(BODY_BYTES_MAX);
        let namespace = to.namespace;
        Payment {
            create: create.map(|definition| Box::new(self.new_debt(namespace, definition))),
            to,
            kind,
            run,
            exit_status,
            received: self.now(),
            said: time,
            took,
            body,
            body_bytes,
            key_name: said.key_name,
            source: said.source,
            once,
            run_once,
            fingerprint,
        }
    }

    /// What a text of a caller asks for.
    pub(crate) fn named(namespace: Namespace, text: &str) -> Named {
        Named { namespace, which: Which::read(text) }
    }
}
