//! What a stream pushes into the queue: rows, and which numbered batches they are.

use std::fmt::Debug;
use std::sync::Arc;

use tally_runtime::{Day, Namespace};
use uuid::Uuid;

use crate::lease::Refusal;
use crate::once::Once;

const DROP_BYTES: usize = size_of::<(Day, i64)>();
/// What a parcel takes besides its rows: its place in the queue and in the allocator.
pub(crate) const OVERHEAD_BYTES: usize = 256;

/// Rows of one domain, as it stores them.
pub trait Content: Clone + Debug + Send + Sync + 'static {
    /// How many rows.
    fn rows(&self) -> usize;
    /// How much memory they take.
    fn bytes(&self) -> usize;
    /// How much each day has, each day once.
    fn days(&self) -> &[(Day, i64)];
    /// The rows after the first ones.
    fn skip(&self, rows: usize) -> Self;
}

/// Rows on their way from a stream to the database.
#[derive(Debug, Clone, Default)]
pub struct Parcel<C> {
    /// Whose they are.
    pub namespace: Namespace,
    /// The rows.
    pub content: C,
    /// Which batches they are, if a client has numbered them.
    pub run: Option<Arc<Run>>,
    /// The key under which they are stored once, if their caller has given one to what is no run.
    pub once: Option<Arc<Once>>,
}

/// Consecutive batches of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Whose batches these are.
    pub producer: Uuid,
    /// The epoch under which the stream opened the producer. It changes with each process, and when a
    /// forgotten producer begins again, so that nothing from an older stream is stored.
    pub epoch: i64,
    /// Whether the producer may be taken over. It decides nothing but why a run is refused.
    pub is_shared: bool,
    /// The number of the first batch.
    pub first: i64,
    /// The batches, from the first on.
    pub batches: Vec<BatchEnd>,
}

/// One batch of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchEnd {
    /// How many rows of the run there are up to its end.
    pub rows: usize,
    /// How many rows of each day the client has dropped before it.
    pub drops: Vec<(Day, i64)>,
    /// How far the client has come with it; `None` leaves what is stored.
    pub checkpoint: Option<Vec<u8>>,
}

/// What became of a parcel whose transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All of it is committed, now or before.
    Stored {
        /// The last committed batch of the run's producer; 0 for rows without numbers.
        committed: i64,
        /// How many of the run's batches, from the first on, were stored before, and not by an earlier
        /// attempt of this process; 1 for what came before under its key.
        known: usize,
    },
    /// None of it is stored: it does not follow the producer's last batch.
    Gap {
        /// The producer's last committed batch.
        committed: i64,
    },
    /// None of it is stored: the producer may not go on.
    Refused(Refusal),
    /// The producer may not go on, and it is unknown whether an earlier attempt has stored it.
    InDoubt(Refusal),
    /// None of it is stored: its key stands for something else.
    OtherContent,
    /// None of it is stored: another transaction is storing something under its key.
    Locked,
}

// === impl Parcel ===

impl<C> Parcel<C> {
    /// Rows without numbers.
    pub fn new(namespace: Namespace, content: C) -> Self {
        Self { namespace, content, run: None, once: None }
    }

    fn drops(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.drops())
    }
}

impl<C: Content> Parcel<C> {
    /// The rows that are new if this many batches of the run are known, and how much their client says that
    /// it has dropped.
    pub fn new_after(&self, known: usize) -> (C, u64) {
        let Some(run) = &self.run else {
            // Under its key all of it is known, or nothing.
            return (self.content.skip(if known > 0 { self.content.rows() } else { 0 }), 0);
        };
        let batches = &run.batches;
        let (old, new) = batches.split_at(known.min(batches.len()));
        let drops = new.iter().flat_map(|batch| &batch.drops);
        let dropped =
            drops.fold(0, |sum: u64, (_, count)| sum.saturating_add(count.unsigned_abs()));
        (self.content.skip(old.last().map_or(0, |last| last.rows)), dropped)
    }
}

/// Rows of the namespace `default`.
impl<C> From<C> for Parcel<C> {
    fn from(content: C) -> Self {
        Self::new(Namespace::DEFAULT, content)
    }
}

impl<C: Content> tally_ingest::Rows for Parcel<C> {
    /// The drops of a day count as a row, because they are stored too.
    fn rows(&self) -> usize {
        self.content.rows() + self.drops()
    }

    /// Each day is an account of its own.
    fn updates(&self) -> usize {
        self.content.days().len() + self.drops()
    }

    fn bytes(&self) -> usize {
        let key = self.once.as_ref().map_or(0, |once| size_of::<Once>() + once.key.len());
        bytes(self.content.bytes() + key, self.drops())
    }
}

/// What a parcel takes.
pub(crate) fn bytes(content: usize, drops: usize) -> usize {
    content + drops * DROP_BYTES + OVERHEAD_BYTES
}

// === impl Run ===

impl Run {
    /// How many days with drops its batches have.
    pub fn drops(&self) -> usize {
        self.batches.iter().map(|batch| batch.drops.len()).sum()
    }

    /// The number of the last batch.
    pub fn last(&self) -> i64 {
        self.first - 1 + i64::try_from(self.batches.len()).expect("batches fit into memory")
    }
}
