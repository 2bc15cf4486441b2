//! What of a batch is new, by where its producers stand.

use std::collections::{BTreeMap, HashMap};

use tally_ingest::{Batch, WriteError};
use tally_runtime::{Day, Namespace, faults};
use uuid::Uuid;

use crate::append::worker;
use crate::days::Counted;
use crate::lease::Refusal;
use crate::once::{Keys, Seen};
use crate::run::{Content, Fate, Parcel, Run};

/// A producer's epoch, 0 for a worker, and the last batch that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: i64,
    pub(crate) sequence: i64,
}

/// A producer that moves on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) whose: Whose,
    pub(crate) epoch: i64,
    /// The number that it must have.
    pub(crate) before: i64,
    /// The number that it gets.
    pub(crate) last: i64,
    /// What is new of it, on all days.
    pub(crate) brought: Counted,
    /// The last checkpoint that is new.
    pub(crate) checkpoint: Option<Vec<u8>>,
}

/// What one transaction does with a batch.
#[derive(Debug)]
pub struct Plan<C> {
    pub(crate) moves: Vec<Move>,
    /// What is stored.
    pub content: Vec<C>,
    /// What is new in each namespace, of all producers together.
    pub(crate) days: BTreeMap<(Namespace, Day), Counted>,
    /// What becomes of each parcel, in order, once this is committed.
    pub fates: Vec<Fate>,
}

/// A producer: its id is its namespace's own.
pub(crate) type Whose = (Namespace, Uuid);

/// A batch of more days than this has many: then a row for each would cost more than its requests.
const MANY_DAYS: usize = 64;

/// Where producers stand. Any other is assumed to be where the batch needs it; the statement that
/// moves it verifies that.
pub(crate) type Places = HashMap<Whose, Option<Place>>;

// === impl Plan ===

impl<C: Content> Plan<C> {
    /// Assumes that everything is new but what comes under these keys, which it is unless something failed
    /// before. The database verifies each move.
    pub(crate) fn hopeful(batch: &Batch<'_, Parcel<C>>, keys: Keys) -> Result<Self, WriteError> {
        Self::new(batch, Places::new(), keys)
    }

    /// By where the producers stand, and stay, and by the keys that were used before. Fails if the worker's number is neither the next one
    /// nor that of a repeated batch; nothing of the batch is stored then.
    pub(crate) fn new(
        batch: &Batch<'_, Parcel<C>>,
        mut places: Places,
        mut keys: Keys,
    ) -> Result<Self, WriteError> {
        let (moves, content) = (Vec::new(), Vec::new());
        let mut plan = Self { moves, content, days: BTreeMap::new(), fates: Vec::new() };
        let before = batch.sequence - 1;
        let own = places.remove(&worker(batch)).unwrap_or(Some(Place::hoped_for(0, before)));
        let stored = own.map_or(0, |place| place.sequence);
        let is_new = stored == before;
        // Only the worker uses its id. If it has not tried this number before, a copy of this server
        // has used it.
        let is_duplicate = batch.is_repeated && stored == batch.sequence;
        if !is_new && !is_duplicate {
            return Err(WriteError::OutOfSequence { sent: batch.sequence, stored });
        }
        let mut own = Counted::default();
        for chunk in batch.chunks {
            let fate = match &chunk.run {
                Some(run) => plan.add_run(chunk, run, &mut places, is_duplicate),
                None => {
                    let seen = chunk.once.as_ref().map(|once| keys.see(chunk.namespace, once));
                    if is_new && seen.is_none_or(|seen| seen == Seen::Never) {
                        own.add(plan.store(chunk.namespace, chunk.content.clone()));
                    }
                    match seen {
                        Some(Seen::WithOther) => Fate::OtherContent,
                        Some(Seen::Locked) => Fate::Locked,
                        // By an earlier attempt, if this one is repeated.
                        seen => {
                            let known = usize::from(is_new && seen == Some(Seen::Before));
                            Fate::Stored { committed: 0, known }
                        }
                    }
                }
            };
            plan.fates.push(fate);
        }
        if is_new {
            plan.move_on(worker(batch), Place::hoped_for(0, before), batch.sequence, own, None);
        }
        Ok(plan)
    }

    /// Whether the days are stored in a way that costs little for each.
    pub(crate) fn has_many_days(&self) -> bool {
        self.days.len() > MANY_DAYS
    }

    pub(crate) fn row_count(&self) -> usize {
        self.content.iter().map(Content::rows).sum()
    }

    /// `was_committed`: an earlier attempt was, and it was told by then where the producers stood.
    fn add_run(
        &mut self,
        parcel: &Parcel<C>,
        run: &Run,
        places: &mut Places,
        was_committed: bool,
    ) -> Fate {
        let Parcel { namespace, content, .. } = parcel;
        let whose = (*namespace, run.producer);
        let hoped = Place::hoped_for(run.epoch, run.first - 1);
        let place = places.entry(whose).or_insert(Some(hoped));
        match place {
            None => Fate::refused(Refusal::Forgotten, was_committed),
            Some(place) if place.epoch != run.epoch => {
                let refusal = if run.is_shared { Refusal::TakenOver } else { Refusal::InUse };
                Fate::refused(refusal, was_committed && place.sequence >= run.first)
            }
            Some(Place { sequence, .. }) if *sequence < run.first - 1 => {
                Fate::Gap { committed: *sequence }
            }
            Some(place) => {
                let known = usize::try_from(place.sequence + 1 - run.first).unwrap_or(usize::MAX);
                let known = if faults::is_on("record.skip_sequence") { 0 } else { known };
                if known < run.batches.len() {
                    let first_row = known.checked_sub(1).map_or(0, |last| run.batches[last].rows);
                    let mut brought = self.store(*namespace, content.skip(first_row));
                    brought.add(self.drop_days(*namespace, run, known));
                    let last = run.last().max(place.sequence);
                    let mut new = run.batches[known..].iter().rev();
                    let checkpoint = new.find_map(|batch| batch.checkpoint.clone());
                    self.move_on(whose, *place, last, brought, checkpoint);
                    place.sequence = last;
                }
                let known = if was_committed { 0 } else { known.min(run.batches.len()) };
                Fate::Stored { committed: place.sequence, known }
            }
        }
    }

    /// Two runs of one producer, of two streams of one process, are one move.
    fn move_on(
        &mut self,
        whose: Whose,
        from: Place,
        last: i64,
        brought: Counted,
        checkpoint: Option<Vec<u8>>,
    ) {
        match self.moves.iter_mut().find(|one| one.whose == whose) {
            Some(known) => {
                known.last = last;
                known.brought.add(brought);
                known.checkpoint = checkpoint.or(known.checkpoint.take());
            }
            None => {
                let Place { epoch, sequence: before, .. } = from;
                self.moves.push(Move { whose, epoch, before, last, brought, checkpoint });
            }
        }
    }

    /// Returns how much that is.
    fn store(&mut self, namespace: Namespace, content: C) -> Counted {
        let mut brought = Counted::default();
        if content.rows() == 0 {
            return brought;
        }
        for (day, count) in content.days() {
            self.count((namespace, *day), Counted { accepted: *count, dropped: 0 }, &mut brought);
        }
        self.content.push(content);
        brought
    }

    /// Returns how much that is.
    fn drop_days(&mut self, namespace: Namespace, run: &Run, known: usize) -> Counted {
        let mut brought = Counted::default();
        for (day, count) in run.batches[known..].iter().flat_map(|batch| &batch.drops) {
            self.count((namespace, *day), Counted { accepted: 0, dropped: *count }, &mut brought);
        }
        brought
    }

    fn count(&mut self, day: (Namespace, Day), counted: Counted, brought: &mut Counted) {
        self.days.entry(day).or_default().add(counted);
        brought.add(counted);
    }
}

// === impl Place ===

impl Place {
    /// Where a producer stands if what comes is the next of it.
    fn hoped_for(epoch: i64, sequence: i64) -> Self {
        Self { epoch, sequence }
    }
}

// === impl Fate ===

impl Fate {
    fn refused(refusal: Refusal, may_be_stored: bool) -> Self {
        if may_be_stored { Self::InDoubt(refusal) } else { Self::Refused(refusal) }
    }
}

#[cfg(test)]
mod tests;
