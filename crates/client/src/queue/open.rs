//! Requests that a layer has passed on and that have no status yet: no close forgets one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::rows::Row;
use crate::series::Series;

/// The open requests of a shard.
#[derive(Default)]
pub(super) struct OpenRequests {
    /// Which shard it is.
    shard: usize,
    slots: Vec<Arc<Slot>>,
    /// The slots that no ticket has.
    free: Vec<Arc<Slot>>,
    len: usize,
    /// Somebody waits until none is open.
    pub(super) is_awaited: bool,
}

/// Has an open request. Who has it ends the request.
pub(crate) struct Ticket(Arc<Slot>);

/// Where an open request is. It is read and written under the lock of its shard, except that its
/// ticket says without a lock when the head is sent.
#[derive(Default)]
struct Slot {
    shard: usize,
    time_us: AtomicI64,
    /// What it counts under, in the upper half; in the lower one the look at which the head of the
    /// answer was sent, from 1 on.
    series_and_look: AtomicU64,
    /// It is not recorded yet.
    is_open: AtomicBool,
}

// === impl OpenRequests ===

impl OpenRequests {
    pub(super) fn new(shard: usize) -> Self {
        Self { shard, ..Self::default() }
    }

    #[inline]
    pub(super) fn add(&mut self, row: Row) -> Ticket {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        slot.time_us.store(row.time_us, Ordering::Relaxed);
        slot.series_and_look.store(packed(row.series, 0), Ordering::Relaxed);
        slot.is_open.store(true, Ordering::Relaxed);
        self.len += 1;
        Ticket(slot)
    }

    #[cold]
    fn grow(&mut self) -> Arc<Slot> {
        let slot = Arc::new(Slot { shard: self.shard, ..Slot::default() });
        self.slots.push(Arc::clone(&slot));
        // A slot that is given back never allocates.
        self.free.reserve(self.slots.len());
        slot
    }

    /// Gives a slot back. None: its request is recorded already.
    #[inline]
    pub(super) fn remove(&mut self, Ticket(slot): Ticket) -> Option<Row> {
        let row = slot.take();
        self.free.push(slot);
        self.len -= usize::from(row.is_some());
        row
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether somebody waits for this.
    #[inline]
    pub(super) fn are_ended(&self) -> bool {
        self.is_awaited && self.len == 0
    }

    /// Takes the streams whose head was sent at least this many looks ago.
    pub(super) fn overdue(&mut self, now: u32, looks: u32) -> Vec<Row> {
        self.take_if(|slot| slot.look().is_some_and(|look| now.wrapping_sub(look) >= looks))
    }

    /// Takes all that are open.
    pub(super) fn all(&mut self) -> Vec<Row> {
        self.take_if(|_| true)
    }

    fn take_if(&mut self, is_due: impl Fn(&Slot) -> bool) -> Vec<Row> {
        if self.len == 0 {
            return Vec::new();
        }
        let due = self.slots.iter().filter(|slot| is_due(slot));
        let rows: Vec<Row> = due.filter_map(|slot| slot.take()).collect();
        self.len -= rows.len();
        rows
    }
}

// === impl Ticket ===

impl Ticket {
    #[inline]
    pub(super) fn shard(&self) -> usize {
        self.0.shard
    }

    /// The head is sent at this look, from 1 on, and says what the request counts under.
    #[inline]
    pub(super) fn stream(&self, series: Series, look: u32) {
        self.0.series_and_look.store(packed(series, look), Ordering::Relaxed);
    }
}

// === impl Slot ===

impl Slot {
    #[inline]
    fn take(&self) -> Option<Row> {
        if !self.is_open.load(Ordering::Relaxed) {
            return None;
        }
        self.is_open.store(false, Ordering::Relaxed);
        let series = Series((self.series_and_look.load(Ordering::Relaxed) >> 32) as u32);
        Some(Row::one(series, self.time_us.load(Ordering::Relaxed)))
    }

    /// At which look the head was sent, if it was.
    fn look(&self) -> Option<u32> {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let look = self.series_and_look.load(Ordering::Relaxed) as u32;
        (look != 0).then_some(look)
    }
}

#[inline]
fn packed(series: Series, look: u32) -> u64 {
    u64::from(series.0) << 32 | u64::from(look)
}

#[cfg(test)]
mod tests;
