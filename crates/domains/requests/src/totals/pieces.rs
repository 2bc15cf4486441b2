//! The pieces that the boundaries of periods cut a day into, and what each series has in them.

use std::sync::Arc;

use super::plan::NONE;
use crate::model::SeriesId;
use crate::packed::{Malformed, QUARTERS};

/// Where a day is cut: bit n says that a piece begins with quarter n. The first one begins with the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cuts(u128);

/// How a query reads a day: in pieces, and each of them in a period.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) cuts: Cuts,
    /// The piece of each quarter.
    of_quarters: [u8; QUARTERS.slots],
    /// The period of each piece; [`NONE`] outside of the range.
    periods: Vec<u32>,
}

/// What series have in the pieces of a day.
#[derive(Debug)]
pub(super) struct Pieces {
    /// In order, and often those of another day as well.
    pub(super) series: Arc<[SeriesId]>,
    sums: Sums,
}

/// Of each series in turn, its sum in each piece.
#[derive(Debug)]
enum Sums {
    Narrow(Box<[u32]>),
    Wide(Box<[i64]>),
}

/// A day's pieces while its rows arrive.
#[derive(Debug, Default)]
pub(super) struct PiecesBuilder {
    series: Vec<SeriesId>,
    sums: Vec<i64>,
}

// === impl Cut ===

impl Cut {
    /// For a day whose quarters lie in these periods.
    pub(super) fn of(quarters: &[u32; QUARTERS.slots]) -> Self {
        let mut cut =
            Self { cuts: Cuts(1), of_quarters: [0; QUARTERS.slots], periods: vec![quarters[0]] };
        for (quarter, pair) in (1..).zip(quarters.windows(2)) {
            if pair[0] != pair[1] {
                cut.cuts.0 |= 1 << quarter;
                cut.periods.push(pair[1]);
            }
            cut.of_quarters[quarter] = u8::try_from(cut.periods.len() - 1).unwrap_or_default();
        }
        cut
    }

    /// How many pieces there are.
    pub(super) fn len(&self) -> usize {
        self.periods.len()
    }

    /// The sum of each piece of these quarters, within 64 bits.
    pub(super) fn sums(&self, quarters: &[u8]) -> Result<[i64; QUARTERS.slots], Malformed> {
        let mut sums = [0_i64; QUARTERS.slots];
        for one in QUARTERS.counts(quarters) {
            let (slot, count) = one?;
            let sum = &mut sums[usize::from(self.of_quarters[slot])];
            *sum = sum.saturating_add(count);
        }
        Ok(sums)
    }

    /// The periods of these pieces that have requests in the range, and how many.
    pub(super) fn in_periods(
        &self,
        sums: impl Iterator<Item = i64>,
    ) -> impl Iterator<Item = (u32, i64)> {
        let all = self.periods.iter().copied().zip(sums);
        all.filter(|(period, sum)| *period != NONE && *sum != 0)
    }
}

// === impl Pieces ===

impl Pieces {
    /// The sums of a series, by its place.
    pub(super) fn sums(&self, place: usize, cut: &Cut) -> impl Iterator<Item = i64> {
        let pieces = cut.len();
        (place * pieces..(place + 1) * pieces).map(|at| match &self.sums {
            Sums::Narrow(sums) => i64::from(sums[at]),
            Sums::Wide(sums) => sums[at],
        })
    }

    /// How many bytes the sums take.
    pub(super) fn sums_bytes(&self) -> usize {
        match &self.sums {
            Sums::Narrow(sums) => size_of_val(&**sums),
            Sums::Wide(sums) => size_of_val(&**sums),
        }
    }
}

// === impl PiecesBuilder ===

impl PiecesBuilder {
    pub(super) fn push(&mut self, series: SeriesId, sums: &[i64]) {
        self.series.push(series);
        self.sums.extend_from_slice(sums);
    }

    /// The pieces, with the list of series of another day if it is the same. `None` if the database has
    /// not listed each series once and in order.
    pub(super) fn into_pieces(self, other: Option<&Arc<[SeriesId]>>) -> Option<Pieces> {
        if !self.series.is_sorted_by(|a, b| a < b) {
            return None;
        }
        let series = match other {
            Some(other) if **other == *self.series => Arc::clone(other),
            _ => self.series.into(),
        };
        let narrow = self.sums.iter().map(|sum| u32::try_from(*sum)).collect();
        let sums = match narrow {
            Ok(narrow) => Sums::Narrow(narrow),
            Err(_) => Sums::Wide(self.sums.into()),
        };
        Some(Pieces { series, sums })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(periods: &[(usize, u32)]) -> Cut {
        let all = periods.iter().flat_map(|(quarters, period)| vec![*period; *quarters]);
        Cut::of(&all.collect::<Vec<_>>().try_into().expect("96 quarters"))
    }

    #[test]
    fn a_day_is_in_pieces_by_periods() {
        let two = cut(&[(22, 7), (74, 8)]);
        assert_eq!((two.len(), two.cuts), (2, Cuts(1 | 1 << 22)));
        let of =
            |cut: &Cut, text: &str| cut.sums(text.as_bytes()).expect(text)[..cut.len()].to_vec();
        assert_eq!(of(&two, "[21,3,4,0,5]"), [3, 9]);
        assert_eq!(of(&two, &format!("[0,{0},{0}]", i64::MAX)), [i64::MAX, 0]);
        let ends = cut(&[(1, NONE), (94, 0), (1, NONE)]);
        let sums = of(&ends, "[0,1,2,0,0,0,3]");
        assert_eq!(sums, [1, 5, 0]);
        assert_eq!(ends.in_periods(sums.into_iter()).collect::<Vec<_>>(), [(0, 5)]);
        let hours: Vec<_> = (0..24).map(|hour| (4, hour)).collect();
        assert_eq!(cut(&hours).len(), 24);
        assert!(two.sums(b"[96,1]").is_err());
    }

    #[test]
    fn pieces_are_what_was_read() {
        let two = cut(&[(22, 7), (74, 8)]);
        let mut builder = PiecesBuilder::default();
        builder.push(3, &[1, u32::MAX.into()]);
        builder.push(9, &[0, 5]);
        let pieces = builder.into_pieces(None).expect("in order");
        assert_eq!(pieces.sums_bytes(), 16);
        assert_eq!(pieces.sums(0, &two).collect::<Vec<_>>(), [1, u32::MAX.into()]);
        let mut wide = PiecesBuilder::default();
        wide.push(3, &[1, i64::from(u32::MAX) + 1]);
        wide.push(9, &[0, 5]);
        let wide = wide.into_pieces(Some(&pieces.series)).expect("in order");
        assert!(Arc::ptr_eq(&wide.series, &pieces.series));
        assert_eq!(wide.sums(0, &two).collect::<Vec<_>>(), [1, i64::from(u32::MAX) + 1]);
        assert_eq!(wide.sums(1, &two).collect::<Vec<_>>(), [0, 5]);
        for twice in [[3, 3], [9, 3]] {
            let mut builder = PiecesBuilder::default();
            twice.iter().for_each(|series| builder.push(*series, &[1, 1]));
            assert!(builder.into_pieces(None).is_none());
        }
    }
}
