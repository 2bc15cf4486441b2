//! Where in a shard's current chunk the requests of a series in a step are, so that they are one row.

use tally_proto::wire::DAY_MICROS;

use crate::rows::Row;

/// A step has no part in two quarters of an hour, by which the server keeps its totals.
const QUARTER_US: u64 = (DAY_MICROS / 96).cast_unsigned();

/// How many hints there are: 8 KiB.
const HINTS: usize = 4_096;

/// A hint says where the row of a series and a step may be. The row itself is checked, so a hint may be
/// old or of another series, and nothing needs to clear it.
#[derive(Default)]
pub(super) struct Steps {
    /// How long a step is. 0: each request is a row of its own.
    length_us: u64,
    /// When the step of the last request began.
    start_us: i64,
    /// Where its hints begin: there is one for each series. Requests of a layer end in another order than
    /// they began in, so several steps are in use at a time.
    first: usize,
    /// As a ring. Empty until there are steps.
    hints: Box<[u16]>,
}

// === impl Steps ===

impl Steps {
    /// Merges by steps of this length from now on, or not at all.
    pub(super) fn set_length(&mut self, length_us: u64) {
        if length_us > 0 && self.hints.is_empty() {
            self.hints = vec![0; HINTS].into();
        }
        // No time is in this step.
        (self.length_us, self.start_us) = (length_us, i64::MIN);
    }

    /// When the step of a request began, and the hint to its row. None: it is a row of its own.
    #[inline]
    pub(super) fn of(&mut self, row: Row) -> Option<(i64, &mut u16)> {
        let since_us = row.time_us.wrapping_sub(self.start_us).cast_unsigned();
        if since_us >= self.length_us {
            if self.length_us == 0 {
                return None;
            }
            self.go_to(row.time_us);
        }
        let at = self.first.wrapping_add(row.series.0 as usize) & (HINTS - 1);
        self.hints.get_mut(at).map(|hint| (self.start_us, hint))
    }

    /// Times leave a step rarely, so that most requests do without a division.
    fn go_to(&mut self, time_us: i64) {
        let length_us = self.length_us.cast_signed();
        let step = time_us.div_euclid(length_us);
        self.start_us = step * length_us;
        // The hints of four steps in a row are apart as long as there are at most 1,024 series.
        self.first = (step.cast_unsigned() as usize).wrapping_mul(HINTS / 4);
    }
}

/// The length of the steps by which requests can be merged for a server with this resolution. 0: they
/// cannot, or the resolution makes no sense.
pub(super) fn length_us(resolution_us: u64) -> u64 {
    if QUARTER_US.checked_rem(resolution_us) == Some(0) { resolution_us } else { 0 }
}
