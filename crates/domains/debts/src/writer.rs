//! Deeds on their way, and the store as the insert workers see it.

use std::sync::Arc;
use std::time::Duration;

use tally_ingest::{Batch, Rows, Sink, WriteError};
use tally_runtime::{Clock, Error, Outcome as Stored};
use tokio::time::timeout;

use crate::ledger::{Deed, Outcome};
use crate::store::Store;

/// How much longer an attempt waits for the database's own word that it took too long.
const ATTEMPT_GRACE: Duration = Duration::from_secs(2);
/// The memory of a deed beside its body and the definition of a debt that it may make.
const DEED_BYTES: usize = 1 << 10;

/// What one call brings.
#[derive(Debug)]
pub(crate) struct Deeds(pub(crate) Vec<Deed>);

/// The store as the insert workers see it.
pub(crate) struct Writer {
    store: Store,
    clock: Arc<dyn Clock>,
    /// How long to wait for the outcome of one attempt.
    attempt_max: Duration,
}

// === impl Deeds ===

impl Rows for Deeds {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        let of_deed = |deed: &Deed| match deed {
            Deed::Pay(payment) => {
                let create = payment.create.as_ref().map(|new| new.definition.bytes());
                DEED_BYTES + payment.body.len() + create.unwrap_or_default()
            }
            _ => DEED_BYTES,
        };
        self.0.iter().map(of_deed).sum()
    }
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, attempt_max: Duration) -> Self {
        Self { store, clock, attempt_max: attempt_max + ATTEMPT_GRACE }
    }
}

impl Sink for Writer {
    type Rows = Deeds;
    type Outcome = Vec<Outcome>;

    /// A payment that an earlier attempt has stored is known by what tells it, so that the number of the
    /// batch is not needed.
    async fn write(&self, batch: Batch<'_, Deeds>) -> Result<Vec<Vec<Outcome>>, WriteError> {
        let deeds: Arc<[Deed]> =
            batch.chunks.iter().flat_map(|chunk| chunk.0.iter().cloned()).collect();
        let settling = self.store.settle(deeds, self.clock.now());
        let Ok(settled) = timeout(self.attempt_max, settling).await else {
            let step = format!("store payments: no answer within {:?}", self.attempt_max);
            return Err(Error::transient(step, Stored::Indeterminate).into());
        };
        let mut outcomes = settled?.into_iter();
        let of_chunk = |chunk: &Deeds| outcomes.by_ref().take(chunk.0.len()).collect();
        Ok(batch.chunks.iter().map(of_chunk).collect())
    }
}

#[cfg(test)]
mod tests {
    use tally_runtime::Namespace;
    use uuid::Uuid;

    use super::*;
    use crate::definition::Written;
    use crate::model::{Named, NewDebt, Payment, Which};
    use crate::state::Kind;

    /// What waits is bounded by its bytes, so all that may be large is counted.
    #[test]
    fn what_a_payment_brings_is_counted() {
        let (text, id) = ("x".repeat(10_000), Uuid::nil());
        let written = Written {
            slug: "a".to_owned(),
            description: text.clone(),
            notify: vec![format!("https://a/{}", "y".repeat(1_900)); 10],
            ..Written::default()
        };
        let definition = written.check(None).expect("it is right");
        let namespace = Namespace::DEFAULT;
        let create = NewDebt { badge_secret: id, id, ping_id: id, namespace, definition };
        let payment = |create| Payment {
            to: Named { namespace, which: Which::Number(1) },
            create,
            kind: Kind::Success,
            run: None,
            exit_status: None,
            received: jiff::Timestamp::UNIX_EPOCH,
            said: None,
            took: None,
            body: text.clone().into_bytes(),
            body_bytes: 10_000,
            key_name: String::new(),
            source: String::new(),
            once: id,
            run_once: None,
            fingerprint: 0,
        };
        let bytes = |create| Deeds(vec![Deed::Pay(Arc::new(payment(create)))]).bytes();
        assert_eq!(bytes(None), 10_000 + DEED_BYTES);
        assert!(bytes(Some(Box::new(create))) > 10_000 + DEED_BYTES + 10_000 + 10 * 1_900);
    }
}
