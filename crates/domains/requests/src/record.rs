//! How batches of a `Record` stream become rows. The stream itself is `tally_producers::stream`.

use std::borrow::Cow;
use std::sync::Arc;

use tally_producers::OnForget;
use tally_producers::stream::{Batches, Builder as _, Message, Size, read_drops};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use uuid::Uuid;

use crate::batch;
use crate::counted::{self, CountedFile, RememberFiles};
use crate::error::InvalidBatch;
use crate::model::{EndpointId, Named};
use crate::rows::{Intake, ROW_BYTES, RowsBuilder};

/// The batches of one stream.
pub(crate) struct Record {
    intake: Arc<Intake>,
    /// The stream's endpoints, by their numbers, and their ids.
    names: Vec<Arc<Named>>,
    ids: Vec<EndpointId>,
    /// Under this belief, this many of them are in the database.
    confirmed: (u64, usize),
    /// The files that the client has counted.
    files: Vec<CountedFile>,
}

// === impl Record ===

impl Record {
    pub(crate) fn new(intake: Arc<Intake>) -> Self {
        let (names, ids, files) = (Vec::new(), Vec::new(), Vec::new());
        Self { intake, names, ids, confirmed: (0, 0), files }
    }

    /// Adds the names that the database may lack.
    fn name(&mut self, rows: &mut RowsBuilder) {
        let belief = rows.belief();
        let first = if self.confirmed.0 == belief { self.confirmed.1 } else { 0 };
        let names = &self.names[first..];
        names.iter().for_each(|named| rows.name(named));
        let confirmed = names.iter().take_while(|named| named.is_confirmed(belief)).count();
        self.confirmed = (belief, first + confirmed);
    }
}

impl Batches for Record {
    type Message = proto::RecordRequest;
    type Batch = proto::Batch;
    type Done = proto::Done;
    type Builder = RowsBuilder;
    type Invalid = InvalidBatch;

    fn message(message: proto::RecordRequest) -> Message<proto::Batch, proto::Done> {
        match message.kind {
            Some(Kind::Open(open)) => Message::Open(open),
            Some(Kind::Batch(batch)) => Message::Batch(batch),
            Some(Kind::Done(done)) => Message::Done(done),
            None => Message::Empty,
        }
    }

    fn sequence(batch: &proto::Batch) -> u64 {
        batch.sequence
    }

    fn measure(&self, batch: &proto::Batch) -> Result<Size, InvalidBatch> {
        let rows = batch::rows(batch, &self.intake.record)?;
        Ok(Size { rows, bytes: rows * ROW_BYTES, drops: read_drops(&batch.drops)? })
    }

    fn learn(&mut self, batch: &mut proto::Batch) -> Result<(), InvalidBatch> {
        let (named, rules) = (self.names.len(), self.intake.rules());
        let new = batch::endpoints(batch, named, &self.intake.record, rules)?;
        let new = self.intake.endpoints.resolve(&new);
        self.ids.extend(new.iter().map(|named| named.id));
        self.names.extend(new);
        Ok(())
    }

    fn builder(&self) -> RowsBuilder {
        self.intake.builder()
    }

    fn add(&mut self, batch: &proto::Batch, into: &mut RowsBuilder) -> Result<(), InvalidBatch> {
        let rules = self.intake.rules();
        let encoded = batch::encode(batch, &self.ids, rules, into);
        if batch.count > 0 {
            self.intake.ahead.note(rules.now_micros, encoded.as_ref().err());
        }
        if encoded.is_ok() && into.rows() > 0 {
            self.name(into);
        }
        encoded
    }

    fn done(&mut self, done: proto::Done) -> Result<(), Cow<'static, str>> {
        self.files = counted::files(done.files, self.intake.rules().now_micros)?;
        Ok(())
    }

    fn on_forget(&mut self, producer: Uuid) -> Arc<dyn OnForget> {
        Arc::new(RememberFiles { producer, files: std::mem::take(&mut self.files) })
    }
}

#[cfg(test)]
pub(crate) mod tests;
