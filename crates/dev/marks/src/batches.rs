//! From the messages of a stream to marks.

use tally_producers::Content;
use tally_producers::stream::{Batches, Builder, Invalid, Message, Size};
use tally_proto::wire::reason;
use tally_runtime::{Day, Kind, Namespace};

use crate::message::{self, Batch, MarkRequest};

/// How many marks a batch may have.
pub(crate) const BATCH_MARKS_MAX: usize = 1_000;

/// Marks of one day.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) marks: Vec<i64>,
    /// The day and how many there are.
    day: [(Day, i64); 1],
}

/// The batches of a stream that began on this day.
pub(crate) struct MarkBatches(pub(crate) Day);

#[derive(Debug, thiserror::Error)]
#[error("it has {0} marks, and at most {BATCH_MARKS_MAX} are allowed")]
pub(crate) struct TooMany(usize);

// === impl Marks ===

impl Marks {
    fn new(day: Day, marks: Vec<i64>) -> Self {
        let count = marks.len().try_into().expect("marks fit into memory");
        Self { marks, day: [(day, count)] }
    }

    pub(crate) fn day(&self) -> Day {
        self.day[0].0
    }
}

impl Content for Marks {
    fn rows(&self) -> usize {
        self.marks.len()
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.marks)
    }

    fn days(&self) -> &[(Day, i64)] {
        &self.day
    }

    fn skip(&self, rows: usize) -> Self {
        Self::new(self.day(), self.marks[rows..].to_vec())
    }
}

impl Builder for Marks {
    type Content = Self;

    fn rows(&self) -> usize {
        self.marks.len()
    }

    fn days(&self) -> usize {
        1
    }

    fn finish(self) -> Self {
        Self::new(self.day(), self.marks)
    }
}

// === impl MarkBatches ===

impl Batches for MarkBatches {
    type Message = MarkRequest;
    type Batch = Batch;
    type Builder = Marks;
    type Invalid = TooMany;

    fn namespace(&self) -> Namespace {
        Namespace::DEFAULT
    }

    fn message(message: MarkRequest) -> Message<Batch> {
        match message.kind {
            Some(message::Kind::Open(open)) => Message::Open(open),
            Some(message::Kind::Batch(batch)) => Message::Batch(batch),
            None => Message::Empty,
        }
    }

    fn sequence(batch: &Batch) -> u64 {
        batch.sequence
    }

    fn measure(&self, batch: &Batch) -> Result<Size, TooMany> {
        let rows = batch.marks.len();
        if rows > BATCH_MARKS_MAX {
            return Err(TooMany(rows));
        }
        Ok(Size { rows, bytes: size_of_val(&*batch.marks), ..Size::default() })
    }

    fn builder(&self) -> Marks {
        Marks::new(self.0, Vec::new())
    }

    fn add(&mut self, batch: &Batch, into: &mut Marks) -> Result<(), TooMany> {
        into.marks.extend(&batch.marks);
        Ok(())
    }
}

impl Invalid for TooMany {
    fn kind(&self) -> Kind {
        Kind::ResourceExhausted
    }

    fn reason(&self) -> &'static str {
        reason::LIMIT
    }
}
