//! Counting what other domains have it count.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tally_ingest::{Batch, WriteError};
use tally_outbox::{Count, Counter, Counts};
use tally_producers::{Append as _, Parcel};
use tally_runtime::{Error, Kind};

use super::Service;
use crate::rows::Rows;
use crate::submission::{Entry, Submission};

#[async_trait]
impl Counter for Service {
    /// Not through the queue, whose workers have numbers of their own.
    async fn count(&self, batch: &Counts) -> Result<(), Error> {
        let mut of: BTreeMap<_, Vec<Entry<'_>>> = BTreeMap::new();
        for count in &batch.counts {
            of.entry(count.namespace).or_default().push(entry(count));
        }
        let parcel = |(namespace, entries): (_, Vec<Entry<'_>>)| {
            Submission::new(&entries, None, &self.intake, self.intake.rules(namespace)).parcel
        };
        let chunks: Vec<Parcel<Rows>> = of.into_iter().map(parcel).collect();
        let Counts { producer, sequence, .. } = *batch;
        let batch = Batch { producer, sequence, is_repeated: true, chunks: &chunks };
        match self.house.append(&batch).await {
            Ok(_) => Ok(()),
            // Another server has counted it since, and others after it.
            Err(WriteError::OutOfSequence { sent, stored }) if stored > sent => Ok(()),
            Err(WriteError::Failed(error)) => Err(error),
            Err(error) => Err(Error::permanent(error.to_string(), Kind::Unavailable)),
        }
    }
}

fn entry(count: &Count) -> Entry<'_> {
    Entry {
        service: (&*count.service).into(),
        method: (&*count.method).into(),
        path: (&*count.path).into(),
        status: count.status.into(),
        customer: "".into(),
        micros: Some(count.at.as_microsecond()),
        requests: 1,
    }
}
