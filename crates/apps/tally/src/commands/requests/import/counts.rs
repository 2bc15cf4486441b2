//! Counts lines by kind, and malformed ones by reason.

use super::parse::Malformed;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LineCounts {
    pub(crate) lines: u64,
    pub(crate) blank: u64,
    /// Not about requests, or not about those that are wanted.
    pub(crate) left_out: u64,
    pub(crate) malformed: u64,
    /// Malformed lines by reason, in order of appearance.
    pub(crate) reasons: Vec<Reasoned>,
    /// A malformed last line without an end.
    pub(crate) torn: Option<(usize, u64)>,
}

/// Lines that are malformed for one reason; the first of them is named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reasoned {
    pub(crate) count: u64,
    pub(crate) input: usize,
    pub(crate) line: u64,
    pub(crate) why: Malformed,
}

// === impl LineCounts ===

impl LineCounts {
    pub(super) fn add_malformed(&mut self, input: usize, line: u64, why: Malformed) {
        self.malformed += 1;
        self.add_reason(Reasoned { count: 1, input, line, why });
    }

    fn add_reason(&mut self, reason: Reasoned) {
        let same = |of: &&mut Reasoned| of.why.reason() == reason.why.reason();
        match self.reasons.iter_mut().find(same) {
            Some(before) => before.count += reason.count,
            None => self.reasons.push(reason),
        }
    }

    pub(crate) fn add(&mut self, later: Self) {
        self.lines += later.lines;
        self.blank += later.blank;
        self.left_out += later.left_out;
        self.malformed += later.malformed;
        later.reasons.into_iter().for_each(|reason| self.add_reason(reason));
        self.torn = later.torn.or(self.torn.take());
    }
}
