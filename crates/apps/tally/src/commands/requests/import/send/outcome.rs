//! What became of an import's lines.

use super::super::counts::LineCounts;
use super::super::feed::Failure;
use crate::output::{plural, thousands};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) input: usize,
    pub(crate) line: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Acknowledged requests, which are counted unless batches are lost.
    pub(crate) counted: u64,
    /// Requests that the server refused.
    pub(crate) rejected: u64,
    /// Requests of unknown outcome, because the server no longer knew this import.
    pub(crate) in_doubt: u64,
    /// Acknowledged batches that the database lost; `counted` includes their requests.
    pub(crate) batches_lost: u64,
    pub(crate) rejected_why: Option<String>,
    /// Every request up to this line is counted or refused.
    pub(crate) through: Option<Place>,
    pub(crate) counts: LineCounts,
    /// Whether something of an input was counted before, so that this import began after it.
    pub(crate) reads_on: bool,
    /// Whether the position of an input is behind malformed lines of this import.
    pub(crate) passes_malformed: bool,
    pub(crate) failures: Vec<Failure>,
    pub(crate) stop: Option<Stop>,
}

/// Why not everything was sent.
#[derive(Debug)]
pub(crate) enum Stop {
    Interrupted,
    /// The server accepted nothing for too long, or cannot be used.
    GaveUp {
        why: String,
        /// How many more requests may be counted.
        maybe: u64,
        /// The first line that is not known to be counted.
        next: Option<Place>,
    },
    /// The producer of a file cannot go on.
    Stopped(tally_client::Stop),
}

// === impl Stop ===

impl Stop {
    /// Stopped before this place.
    pub(crate) fn before(self, place: Place) -> Self {
        match self {
            Self::GaveUp { why, maybe, next } => {
                Self::GaveUp { why, maybe, next: next.or(Some(place)) }
            }
            stop => stop,
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Adds the outcome of a later input.
    pub(crate) fn add(&mut self, later: Self) {
        self.counted += later.counted;
        self.rejected += later.rejected;
        self.in_doubt += later.in_doubt;
        self.batches_lost += later.batches_lost;
        self.rejected_why = self.rejected_why.take().or(later.rejected_why);
        self.through = later.through.or(self.through);
        self.counts.add(later.counts);
        self.reads_on |= later.reads_on;
        self.passes_malformed |= later.passes_malformed;
        self.failures.extend(later.failures);
        self.stop = later.stop;
    }

    /// Which acknowledged batches are missing, in words.
    pub(crate) fn lost(&self) -> Option<String> {
        let are = if self.batches_lost == 1 { "batch is" } else { "batches are" };
        (self.batches_lost > 0).then(|| {
            format!(
                "{} acknowledged {are} missing: the server's database went back to an earlier \
                 state, or is another one; fewer than {} of this run are counted",
                thousands(self.batches_lost),
                plural(self.counted, "request")
            )
        })
    }
}
