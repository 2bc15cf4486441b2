//! Requests that a layer has passed on and that have no status yet: no close forgets one.

use crate::rows::Row;
use crate::series::Series;

/// The open requests of a shard.
#[derive(Default)]
pub(super) struct OpenRequests {
    slots: Vec<Slot>,
    /// The slots to use again.
    free: Vec<u32>,
    len: usize,
}

/// Where an open request is. Who has it ends the request.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(super) shard: usize,
    pub(super) slot: u32,
}

#[derive(Clone, Copy)]
enum Slot {
    /// The answer has no head yet.
    Waiting(Row),
    /// The head was sent at this look.
    Streaming(Row, u32),
    /// Recorded, but still held by its ticket; or free.
    Done,
}

// === impl OpenRequests ===

impl OpenRequests {
    #[inline]
    pub(super) fn add(&mut self, row: Row) -> u32 {
        self.len += 1;
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Slot::Waiting(row);
                slot
            }
            None => self.grow(row),
        }
    }

    #[cold]
    fn grow(&mut self, row: Row) -> u32 {
        let slot = u32::try_from(self.slots.len()).expect("no service has 2^32 open requests");
        self.slots.push(Slot::Waiting(row));
        // A slot that is given back never allocates.
        self.free.reserve(self.slots.len());
        slot
    }

    #[inline]
    pub(super) fn stream(&mut self, slot: u32, series: Series, look: u32) {
        let slot = &mut self.slots[slot as usize];
        if let Slot::Waiting(row) = *slot {
            *slot = Slot::Streaming(Row { series, ..row }, look);
        }
    }

    /// Gives a slot back. None: its request is recorded already.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32) -> Option<Row> {
        self.free.push(slot);
        let row = self.slots[slot as usize].take()?;
        self.len -= 1;
        Some(row)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes the streams whose head was sent at least this many looks ago.
    pub(super) fn overdue(&mut self, now: u32, looks: u32) -> Vec<Row> {
        self.take_if(|slot| match slot {
            Slot::Streaming(_, since) => now.wrapping_sub(*since) >= looks,
            Slot::Waiting(_) | Slot::Done => false,
        })
    }

    /// Takes all that are open.
    pub(super) fn all(&mut self) -> Vec<Row> {
        self.take_if(|_| true)
    }

    fn take_if(&mut self, is_due: impl Fn(&Slot) -> bool) -> Vec<Row> {
        if self.len == 0 {
            return Vec::new();
        }
        let due = self.slots.iter_mut().filter(|slot| is_due(slot));
        let rows: Vec<Row> = due.filter_map(Slot::take).collect();
        self.len -= rows.len();
        rows
    }
}

// === impl Slot ===

impl Slot {
    #[inline]
    fn take(&mut self) -> Option<Row> {
        match std::mem::replace(self, Slot::Done) {
            Slot::Waiting(row) | Slot::Streaming(row, _) => Some(row),
            Slot::Done => None,
        }
    }
}

#[cfg(test)]
mod tests;
