//! Counts of the slots of a day or a month, packed in one text: a JSON array of the first slot's
//! index, and then the counts from it on.
//!
//! `[57,12,0,9]` is 12 in slot 57, and 9 in slot 59. Zeros at the end are left out, and `[]` has no
//! counts. SQL can read it as well.

use tally_runtime::Kind;

/// `tally_request_days.quarters`: a slot for each quarter of the day.
pub const QUARTERS: Packed = Packed { column: "tally_request_days.quarters", slots: 96 };
/// `tally_request_months.days`: a slot for each day of the month.
pub const DAYS: Packed = Packed { column: "tally_request_months.days", slots: 31 };

/// How a column packs its counts.
#[derive(Debug, Clone, Copy)]
pub struct Packed {
    pub(crate) column: &'static str,
    /// How many slots there are.
    pub(crate) slots: usize,
}

/// A text that no server has written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{column} has {text:?}, which is not the counts of {slots} slots")]
pub(crate) struct Malformed {
    column: &'static str,
    slots: usize,
    text: String,
}

/// The slots that have counts, in order.
#[derive(Debug)]
pub(crate) struct Counts<'a> {
    packed: Packed,
    text: &'a [u8],
    /// Where in the text the next number is.
    at: usize,
    slot: usize,
    is_done: bool,
}

// === impl Packed ===

impl Packed {
    /// Packs the counts of the slots from 0 on, none of which is negative.
    #[must_use]
    pub fn pack(self, counts: &[i64]) -> String {
        debug_assert!(counts.len() <= self.slots, "{} has {} slots", self.column, self.slots);
        let mut text = String::from("[");
        if let (Some(first), Some(last)) = (
            counts.iter().position(|count| *count != 0),
            counts.iter().rposition(|count| *count != 0),
        ) {
            text.push_str(&first.to_string());
            for count in &counts[first..=last] {
                text.push(',');
                text.push_str(&count.to_string());
            }
        }
        text.push(']');
        text
    }

    /// The slots that have counts, and their counts.
    pub(crate) fn counts(self, text: &[u8]) -> Counts<'_> {
        Counts { packed: self, text, at: 0, slot: 0, is_done: false }
    }

    /// Adds to the counts of the slots from 0 on. Sums saturate at 64 bits.
    pub(crate) fn add_to(self, sums: &mut [i64], text: &[u8]) -> Result<(), Malformed> {
        for one in self.counts(text) {
            let (slot, count) = one?;
            let sum = sums.get_mut(slot).ok_or_else(|| self.malformed(text))?;
            *sum = sum.saturating_add(count);
        }
        Ok(())
    }

    fn malformed(self, text: &[u8]) -> Malformed {
        let text = String::from_utf8_lossy(text).chars().take(100).collect();
        Malformed { column: self.column, slots: self.slots, text }
    }
}

// === impl Counts ===

impl Counts<'_> {
    /// The number here, and the byte behind it, which it skips.
    fn number(&mut self) -> Option<(i64, u8)> {
        let mut number = 0_i64;
        let begin = self.at;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                // No digits at all are no number.
                return (self.at - 1 > begin).then_some((number, byte));
            }
            number = number.checked_mul(10)?.checked_add(i64::from(digit))?;
        }
    }

    /// The next slot that has a count, or `None` at the end; an error is `Err(())`.
    fn step(&mut self) -> Result<Option<(usize, i64)>, ()> {
        if self.at == 0 {
            if self.text == b"[]" {
                return Ok(None);
            }
            self.at = 1;
            let (first, behind) = match self.text.first() {
                Some(b'[') => self.number().ok_or(())?,
                _ => return Err(()),
            };
            self.slot = usize::try_from(first).map_err(drop)?;
            if behind != b',' || self.at == self.text.len() {
                return Err(());
            }
        }
        loop {
            if self.at == self.text.len() {
                return Ok(None);
            }
            let (count, behind) = self.number().ok_or(())?;
            let is_end = self.at == self.text.len();
            let slot = self.slot;
            if slot >= self.packed.slots || behind != if is_end { b']' } else { b',' } {
                return Err(());
            }
            self.slot += 1;
            if count != 0 {
                return Ok(Some((slot, count)));
            }
        }
    }
}

impl Iterator for Counts<'_> {
    type Item = Result<(usize, i64), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        match self.step() {
            Ok(Some(one)) => Some(Ok(one)),
            Ok(None) => {
                self.is_done = true;
                None
            }
            Err(()) => {
                self.is_done = true;
                Some(Err(self.packed.malformed(self.text)))
            }
        }
    }
}

// === impl Malformed ===

impl From<Malformed> for tally_store::Error {
    fn from(malformed: Malformed) -> Self {
        Self::permanent("read packed counts", Kind::Internal).because(malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(packed: Packed, text: &str) -> Vec<(usize, i64)> {
        packed.counts(text.as_bytes()).map(|one| one.expect(text)).collect()
    }

    #[test]
    fn the_form_is_fixed() {
        let mut counts = [0; 96];
        assert_eq!(QUARTERS.pack(&counts), "[]");
        (counts[57], counts[59]) = (12, 9);
        assert_eq!(QUARTERS.pack(&counts), "[57,12,0,9]");
        assert_eq!(of(QUARTERS, "[57,12,0,9]"), [(57, 12), (59, 9)]);
        assert_eq!(of(DAYS, "[]"), []);
        assert_eq!(of(DAYS, "[30,1]"), [(30, 1)]);
        assert_eq!(of(DAYS, &format!("[0,{}]", i64::MAX)), [(0, i64::MAX)]);
    }

    #[test]
    fn other_texts_are_errors_that_name_the_column() {
        for text in [
            "",
            "[",
            "]",
            "1",
            "[1",
            "[1]",
            "[1,",
            "[1,]",
            "[1,2",
            "[1,2,",
            "[1,2,]",
            "[,2]",
            "[1,-2]",
            "[1, 2]",
            "[1,2]]",
            "[1,2] ",
            "[1,,2]",
            "[96,1]",
            "[95,1,1]",
            "[1,2.5]",
            "[1,9223372036854775808]",
            "[99999999999999999999,1]",
            "{}",
            "[\"1\",2]",
            "[1,2;3]",
        ] {
            let read: Result<Vec<_>, _> = QUARTERS.counts(text.as_bytes()).collect();
            let error = read.expect_err(text).to_string();
            assert!(error.starts_with("tally_request_days.quarters has"), "{text}: {error}");
        }
        assert!(DAYS.counts(b"[31,1]").next().is_some_and(|one| one.is_err()));
    }

    fn slots(packed: Packed) -> impl Strategy<Value = Vec<i64>> {
        let count = prop_oneof![3 => Just(0), 2 => 0..1_000_i64, 1 => 0..=i64::MAX / 2];
        prop::collection::vec(count, packed.slots)
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_again(counts in slots(QUARTERS)) {
            let text = QUARTERS.pack(&counts);
            let expected: Vec<_> = (0..).zip(counts).filter(|one| one.1 > 0).collect();
            prop_assert_eq!(of(QUARTERS, &text), expected);
        }

        #[test]
        fn texts_are_added_slot_by_slot(a in slots(DAYS), b in slots(DAYS)) {
            let mut sums = [0; DAYS.slots];
            for counts in [&a, &b] {
                prop_assert_eq!(DAYS.add_to(&mut sums, DAYS.pack(counts).as_bytes()), Ok(()));
            }
            let expected: Vec<i64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            prop_assert_eq!(sums.to_vec(), expected);
        }

        #[test]
        fn no_text_panics(text in "[\\[\\],0-9a-]{0,20}") {
            let _: Result<Vec<_>, _> = DAYS.counts(text.as_bytes()).collect();
        }
    }
}
