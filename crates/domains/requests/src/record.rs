//! How batches of a `Record` stream become rows. The stream itself is `tally_producers::stream`.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use tally_producers::stream::{Batches, Builder as _, Message, Size, read_checkpoint, read_drops};

use crate::batch::{self, Batch, Request};
use crate::changes::Version;
use crate::error::InvalidBatch;
use crate::intake::Intake;
use crate::model::{Named, Namespace, Series, SeriesId, SeriesRef};
use crate::rows::{ROW_BYTES, RowsBuilder};

/// The batches of one stream.
pub(crate) struct Record {
    namespace: Namespace,
    intake: Arc<Intake>,
    /// What the stream's series are counted under, by their numbers, and the ids of that.
    names: Vec<Arc<Named>>,
    ids: Vec<SeriesId>,
    undecided: Undecided,
    /// Under this belief, this many of them are in the database.
    confirmed: (u64, usize),
    /// The last merge or forget that they follow.
    version: Version,
}

/// Those of a stream's series that must come again to be told apart. A stream names them only once, so
/// its requests show it.
#[derive(Default)]
struct Undecided {
    by_number: HashMap<u32, Series>,
    /// The numbers as they came. Some may be decided already.
    numbers: VecDeque<u32>,
}

/// How many undecided series a stream remembers: the latest, some 160 kB with the longest texts.
const UNDECIDED_MAX: usize = 64;

// === impl Record ===

impl Record {
    pub(crate) fn new(intake: Arc<Intake>, namespace: Namespace) -> Self {
        let (names, ids) = (Vec::new(), Vec::new());
        let (undecided, version) = (Undecided::default(), intake.series.version());
        Self { namespace, intake, names, ids, undecided, confirmed: (0, 0), version }
    }

    /// Follows merges and forgets: a stream names its series only once.
    fn follow(&mut self) {
        let series = &self.intake.series;
        if series.version() == self.version {
            return;
        }
        self.version = series.version();
        for (id, named) in self.ids.iter_mut().zip(&mut self.names) {
            if let Some(moved) = series.moved(named) {
                (*id, *named) = (moved.id, moved);
            }
        }
        self.undecided.by_number.retain(|_, one| series.renamed((&*one).into()).is_none());
        self.confirmed = (0, 0);
    }

    /// Asks again for those undecided series of which this batch has requests.
    fn decide(&mut self, batch: &Batch) {
        let asked = self.undecided.asked(batch.requests_by_number());
        let series = asked.iter().map(|(number, requests)| {
            (SeriesRef::from(&self.undecided.by_number[number]), *requests)
        });
        let named = self.intake.series.resolve(series);
        for ((number, _), named) in asked.into_iter().zip(named) {
            if self.undecided.by_number[&number] == named.series {
                self.undecided.by_number.remove(&number);
                self.ids[number as usize] = named.id;
                self.names[number as usize] = named;
                self.confirmed = (0, 0);
            }
        }
    }

    /// Counts what is refused.
    fn judged<T>(&self, batch: &Batch, done: Result<T, InvalidBatch>) -> Result<T, InvalidBatch> {
        done.inspect_err(|reason| {
            let requests = batch.requests_by_number().map(|(_, requests)| u64::from(requests));
            self.intake.measured.refused_batch(reason, requests.sum());
        })
    }

    /// Reads what a batch names.
    fn series(&self, batch: &Batch) -> Result<Vec<Series>, InvalidBatch> {
        let (named, rules) = (self.names.len(), self.intake.rules(self.namespace));
        self.judged(batch, batch::series(batch, named, &self.intake.record, rules))
    }

    /// How large a batch is.
    fn size(&self, batch: &Batch) -> Result<Size, InvalidBatch> {
        let rows = batch::entries(batch, &self.intake.record)?;
        let (bytes, drops) = (rows * ROW_BYTES, read_drops(&batch.drops)?);
        Ok(Size { rows, bytes, drops, checkpoint: read_checkpoint(&batch.checkpoint)? })
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
    type Message = Request;
    type Batch = Batch;
    type Builder = RowsBuilder;
    type Invalid = InvalidBatch;

    fn namespace(&self) -> Namespace {
        self.namespace
    }

    fn message(message: Request) -> Message<Batch> {
        match message {
            Request::Open(open) => Message::Open(open),
            Request::Batch(batch) => Message::Batch(batch),
            Request::Done => Message::Done,
            Request::Empty => Message::Empty,
        }
    }

    fn sequence(batch: &Batch) -> u64 {
        batch.sequence
    }

    fn measure(&self, batch: &Batch) -> Result<Size, InvalidBatch> {
        self.judged(batch, self.size(batch))
    }

    fn learn(&mut self, batch: &Batch) -> Result<(), InvalidBatch> {
        let (named, mut new) = (self.names.len(), self.series(batch)?);
        self.follow();
        for one in &mut new {
            if let Some(renamed) = self.intake.series.renamed((&*one).into()) {
                *one = renamed;
            }
        }
        if !self.undecided.by_number.is_empty() {
            self.decide(batch);
        }
        if new.is_empty() {
            return Ok(());
        }
        let mut requests = vec![0_u32; new.len()];
        for (number, count) in batch.requests_by_number() {
            let place = (number as usize).checked_sub(named);
            if let Some(requests) = place.and_then(|place| requests.get_mut(place)) {
                *requests = requests.saturating_add(count);
            }
        }
        let requests = requests.into_iter().map(|requests| requests.max(1));
        let names = self.intake.series.resolve(new.iter().map(SeriesRef::from).zip(requests));
        self.ids.extend(names.iter().map(|named| named.id));
        if !self.intake.series.is_full(self.namespace) {
            for ((number, named), series) in (named..).zip(&names).zip(new) {
                if named.series != series {
                    self.undecided.add(number, series);
                }
            }
        }
        self.names.extend(names);
        Ok(())
    }

    fn builder(&self) -> RowsBuilder {
        self.intake.builder()
    }

    fn add(&mut self, batch: &Batch, into: &mut RowsBuilder) -> Result<(), InvalidBatch> {
        let rules = self.intake.rules(self.namespace);
        let added = self.judged(batch, batch::add_rows(batch, &self.ids, rules, into));
        if batch.count > 0 {
            self.intake.ahead.note(rules.now_micros, added.as_ref().err());
        }
        if added.is_ok() && into.rows() > 0 {
            self.name(into);
        }
        added
    }
}

// === impl Undecided ===

impl Undecided {
    fn add(&mut self, number: usize, series: Series) {
        let number = u32::try_from(number).expect("series_max is below 2^32");
        self.by_number.insert(number, series);
        self.numbers.push_back(number);
        if self.numbers.len() > UNDECIDED_MAX
            && let Some(first) = self.numbers.pop_front()
        {
            self.by_number.remove(&first);
        }
    }

    /// How many of these requests each undecided series has, if any.
    fn asked(&self, requests: impl Iterator<Item = (u32, u32)>) -> HashMap<u32, u32> {
        let mut asked = HashMap::<u32, u32>::new();
        for (number, count) in requests.filter(|(number, _)| self.by_number.contains_key(number)) {
            let requests = asked.entry(number).or_default();
            *requests = requests.saturating_add(count);
        }
        asked
    }
}

#[cfg(test)]
pub(crate) mod tests;
