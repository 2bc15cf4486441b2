//! The answers that clients are reading, in bounded memory.
//!
//! A client may read as slowly as it likes, and meanwhile its answer takes memory, but nothing else:
//! no connection to the database, and no place among the queries. The same answer is kept once, however
//! many read it. When there is no room for another one, an answer that nobody has read from for a while
//! is given up, which ends the connections of its readers.

use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use tally_runtime::Kind;
use tally_serve::api::{GivenUp, Problem};
use tokio::time::Instant;

use crate::totals::Compact;

/// How much memory answers may take. A year of 1,000 series by day takes 1.1 MB or less.
const BYTES_MAX: usize = 24 << 20;
/// What an answer may take in any case: all of it is soon in the connection's buffers.
const SMALL_BYTES: usize = 64 << 10;
/// For how long nobody has read from an answer that is given up if there is no room for others.
const STALLED: Duration = Duration::from_secs(10);

/// The answers that are being read.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<Vec<Weak<Answer>>>);

/// An answer, until its last reader has it.
#[derive(Debug)]
pub(super) struct Answer {
    tag: u64,
    bytes: usize,
    /// None if it is given up.
    totals: RwLock<Option<Compact>>,
    read_at: Mutex<Instant>,
}

// === impl Answers ===

impl Answers {
    /// Keeps an answer for its reader. The tag is a hash of it.
    pub(super) fn keep(&self, tag: u64, totals: Compact) -> Result<Arc<Answer>, Problem> {
        let bytes = totals.bytes();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept: Vec<Arc<Answer>> = all.iter().filter_map(Weak::upgrade).collect();
        if let Some(same) = kept.iter().find(|one| one.is(tag, &totals)) {
            return Ok(Arc::clone(same));
        }
        kept.retain(|one| !one.is_given_up());
        let mut sum: usize = kept.iter().map(|one| one.bytes).sum();
        kept.sort_by_key(|one| one.read_at());
        let mut stalled = kept.iter().take_while(|one| one.read_at().elapsed() >= STALLED);
        while sum + bytes > BYTES_MAX && bytes > SMALL_BYTES {
            let Some(one) = stalled.next() else {
                let text = "too many large answers are being read now; try again, or ask for less";
                return Err(Problem::new(Kind::Unavailable, text));
            };
            one.give_up();
            sum -= one.bytes;
        }
        let totals = RwLock::new(Some(totals));
        let answer = Arc::new(Answer { tag, bytes, totals, read_at: Mutex::new(Instant::now()) });
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&answer));
        Ok(answer)
    }
}

// === impl Answer ===

impl Answer {
    /// Reads from it, unless it is given up.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Compact) -> T) -> Result<T, GivenUp> {
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let totals = self.totals.read().unwrap_or_else(PoisonError::into_inner);
        totals.as_ref().map(read).ok_or(GivenUp)
    }

    fn is(&self, tag: u64, totals: &Compact) -> bool {
        let kept = self.totals.read().unwrap_or_else(PoisonError::into_inner);
        self.tag == tag && kept.as_ref() == Some(totals)
    }

    fn is_given_up(&self) -> bool {
        self.totals.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn read_at(&self) -> Instant {
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self) {
        *self.totals.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::model::{Day, Quarter};
    use crate::periods::Label;
    use crate::totals::{PeriodTotals, Totals};

    /// An answer that takes some megabytes, or some bytes.
    fn totals(count: i64, megabytes: u32) -> Compact {
        let start = Quarter::first_of(Day(0));
        let label = Label { date: Day(0).date(), start, utc_offset_seconds: 0 };
        // Four bytes each.
        let counts = (0..=megabytes << 18).map(|group| (group, 1 << 15 | count)).collect();
        let period = PeriodTotals { label, counts, corrections: Vec::new() };
        Compact::new(Totals { periods: vec![period], ..Totals::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_answer_is_kept_once_while_it_is_read() {
        let answers = Answers::default();
        let first = answers.keep(1, totals(1, 20)).expect("room");
        let same = answers.keep(1, totals(1, 20)).expect("room");
        assert!(Arc::ptr_eq(&first, &same));
        assert!(answers.keep(1, totals(2, 20)).is_err(), "another one with the same tag");
        drop((first, same));
        answers.keep(1, totals(2, 20)).expect("room again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_from_makes_room() {
        let answers = Answers::default();
        let read = |answer: &Answer| answer.read(|_| ()).is_ok();
        let slow = answers.keep(1, totals(1, 10)).expect("room");
        let stalled = answers.keep(2, totals(2, 10)).expect("room");
        assert!(answers.keep(3, totals(3, 10)).is_err(), "both are new");
        advance(STALLED).await;
        assert!(read(&slow));
        let third = answers.keep(3, totals(3, 10)).expect("the stalled one's room");
        assert!(read(&slow) && read(&third) && !read(&stalled));
        assert!(answers.keep(4, totals(4, 10)).is_err(), "the others are read");
        answers.keep(5, totals(5, 0)).expect("a small one has room in any case");
    }
}
