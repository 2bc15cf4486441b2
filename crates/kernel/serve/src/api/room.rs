//! Memory for what clients read and send at their own pace, in which the slowest make room.
//!
//! A client may read or send as slowly as it likes, and meanwhile its bytes take memory, which is
//! bounded. When there is no room for somebody new, the slowest of those that had some seconds are given
//! up. So nobody is kept out by those who are slow.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use tally_runtime::Kind;
use tokio::time::Instant;

use super::answer::GivenUp;
use super::problem::Problem;

/// How much memory all answers that are being read may take. The totals of a year of 1,000 series by day
/// take 1.1 MB or less.
const ANSWERS_BYTES_MAX: usize = 24 << 20;
/// Up to this size an answer is small, and small ones have room of their own, so that large ones keep none
/// of them out. What is smaller still is soon in the connection's buffers.
const SMALL_BYTES: usize = 64 << 10;
const SMALL_ANSWERS_BYTES_MAX: usize = 16 << 20;
pub(super) const SMALLEST_BYTES: usize = 4 << 10;
/// For how long nobody is given up.
const GRACE: Duration = Duration::from_secs(3);

static ANSWERS: Room = Room::new(ANSWERS_BYTES_MAX);
static SMALL_ANSWERS: Room = Room::new(SMALL_ANSWERS_BYTES_MAX);

/// For tests that take the room of all answers.
#[cfg(test)]
pub(crate) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Memory with a limit.
pub(super) struct Room {
    bytes_max: usize,
    all: Mutex<Vec<Weak<dyn Held>>>,
}

/// What is read or written at the pace of a client, until it is given up or nobody has it any more.
#[derive(Debug)]
pub struct Kept<T> {
    tag: u64,
    /// None if it is given up.
    value: RwLock<Option<T>>,
    bytes: AtomicUsize,
    /// Since when the last of its clients is there.
    since: Mutex<Instant>,
    /// How far its clients have come since then, all together.
    moved: AtomicU64,
    /// Whether no client is waited for.
    is_here: AtomicBool,
}

/// A [`Kept`] of whatever type.
trait Held: Send + Sync {
    fn bytes(&self) -> usize;
    /// None if it may not be given up now.
    fn pace(&self) -> Option<u128>;
    fn give_up(&self);
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// Keeps what an answer is made from while clients read it. The same is kept once, however many read it;
/// the tag is a hash of it.
///
/// # Errors
/// Too many large answers are being read, and all of them are new.
pub fn keep<T: PartialEq + Send + Sync + 'static>(
    tag: u64,
    value: T,
    bytes: usize,
) -> Result<Arc<Kept<T>>, Problem> {
    let room = if bytes > SMALL_BYTES { &ANSWERS } else { &SMALL_ANSWERS };
    room.keep(tag, value, bytes).ok_or_else(|| {
        let text = "too many large answers are being read now; try again, or ask for less";
        Problem::new(Kind::Unavailable, text)
    })
}

// === impl Room ===

impl Room {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, all: Mutex::new(Vec::new()) }
    }

    fn keep<T>(&self, tag: u64, value: T, bytes: usize) -> Option<Arc<Kept<T>>>
    where
        T: PartialEq + Send + Sync + 'static,
    {
        if bytes <= SMALLEST_BYTES {
            return Some(Kept::new(tag, value));
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().filter_map(Weak::upgrade);
        let mut known = known.filter_map(|one| one.into_any().downcast::<Kept<T>>().ok());
        if let Some(same) = known.find(|one| one.is(tag, &value)) {
            same.joined();
            return Some(same);
        }
        drop(known);
        let kept = Kept::new(tag, value);
        self.has(&mut all, &kept, bytes).then_some(kept)
    }

    /// Takes room for so many bytes in all for one, if there is room or the slowest of the others make
    /// it. One alone has room in any case.
    pub(super) fn take<T: Send + Sync + 'static>(&self, kept: &Arc<Kept<T>>, bytes: usize) -> bool {
        self.has(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner), kept, bytes)
    }

    fn has<T: Send + Sync + 'static>(
        &self,
        all: &mut Vec<Weak<dyn Held>>,
        kept: &Arc<Kept<T>>,
        bytes: usize,
    ) -> bool {
        all.retain(|one| one.strong_count() > 0);
        let new: Arc<dyn Held> = Arc::<Kept<T>>::clone(kept);
        let others: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        let (own, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|one| Arc::ptr_eq(one, &new));
        let mut sum: usize = others.iter().map(|one| one.bytes()).sum();
        let mut slowest: Vec<_> =
            others.iter().filter_map(|one| Some((one.pace()?, one))).collect();
        slowest.sort_by_key(|(pace, _)| *pace);
        let mut enough = 0;
        while sum > 0 && sum + bytes > self.bytes_max {
            let Some((_, one)) = slowest.get(enough) else { return false };
            sum -= one.bytes();
            enough += 1;
        }
        // The faster of them stay if those without them are enough.
        for (_, one) in slowest[..enough].iter().rev() {
            let stays = sum + one.bytes() + bytes <= self.bytes_max;
            if stays { sum += one.bytes() } else { one.give_up() }
        }
        kept.bytes.store(bytes, Relaxed);
        if own.is_empty() {
            all.push(Arc::downgrade(&new));
        }
        true
    }
}

// === impl Kept ===

impl<T> Kept<T> {
    pub(super) fn new(tag: u64, value: T) -> Arc<Self> {
        Arc::new(Self {
            tag,
            value: RwLock::new(Some(value)),
            bytes: AtomicUsize::new(0),
            since: Mutex::new(Instant::now()),
            moved: AtomicU64::new(0),
            is_here: AtomicBool::new(false),
        })
    }

    /// Reads a part of it.
    ///
    /// # Errors
    /// It is given up.
    pub fn read<R>(&self, read: impl FnOnce(&T) -> R) -> Result<R, GivenUp> {
        self.moved.fetch_add(1, Relaxed);
        let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
        value.as_ref().map(read).ok_or(GivenUp)
    }

    /// Adds a part of this many bytes to it.
    pub(super) fn write<R>(
        &self,
        len: usize,
        write: impl FnOnce(&mut T) -> R,
    ) -> Result<R, GivenUp> {
        self.moved.fetch_add(len as u64, Relaxed);
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        value.as_mut().map(write).ok_or(GivenUp)
    }

    /// What was written, all of which is here. It is not given up, and has room until this is dropped.
    pub(super) fn done(&self) -> Result<T, GivenUp> {
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let value = value.take().ok_or(GivenUp)?;
        self.is_here.store(true, Relaxed);
        Ok(value)
    }

    /// Another client is there, and has as much time as every other one.
    fn joined(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.moved.store(0, Relaxed);
    }

    fn is(&self, tag: u64, value: &T) -> bool
    where
        T: PartialEq,
    {
        let kept = self.value.read().unwrap_or_else(PoisonError::into_inner);
        self.tag == tag && kept.as_ref() == Some(value)
    }
}

impl<T: Send + Sync + 'static> Held for Kept<T> {
    fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    fn pace(&self) -> Option<u128> {
        let age = self.since.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let may_end = age >= GRACE && !self.is_here.load(Relaxed);
        may_end.then(|| (u128::from(self.moved.load(Relaxed)) << 20) / age.as_millis())
    }

    fn give_up(&self) {
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        // It may be here since it was chosen.
        if value.take().is_some() {
            self.bytes.store(0, Relaxed);
        }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const BYTES_MAX: usize = 24 << 20;

    fn keep(room: &Room, value: u64, megabytes: usize) -> Option<Arc<Kept<u64>>> {
        room.keep(1, value, megabytes << 20)
    }

    fn is_kept(kept: &Kept<u64>) -> bool {
        kept.read(|_| ()).is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_answer_is_kept_once_while_it_is_read() {
        let room = Room::new(BYTES_MAX);
        let first = keep(&room, 1, 20).expect("room");
        let same = keep(&room, 1, 20).expect("room");
        assert!(Arc::ptr_eq(&first, &same));
        assert!(keep(&room, 2, 20).is_none(), "another one with the same tag");
        assert!(room.keep(1, "of another type", 20 << 20).is_none());
        drop((first, same));
        keep(&room, 2, 20).expect("room again");
    }

    /// And not only one from which nobody reads at all.
    #[tokio::test(start_paused = true)]
    async fn the_slowest_makes_room() {
        let room = Room::new(BYTES_MAX);
        let slow = keep(&room, 1, 10).expect("room");
        let fast = keep(&room, 2, 10).expect("room");
        assert!(keep(&room, 3, 10).is_none(), "both are new");
        advance(GRACE).await;
        assert!(is_kept(&slow) && is_kept(&fast) && is_kept(&fast));
        let third = keep(&room, 3, 10).expect("the slow one's room");
        assert!(is_kept(&fast) && is_kept(&third) && !is_kept(&slow));
        assert!(keep(&room, 4, 20).is_none(), "the third is new");
        assert!(is_kept(&fast), "nobody is given up for nothing");
        room.keep(5, 5, SMALLEST_BYTES).expect("the smallest have room in any case");
    }

    /// The slowest is small, and without it the next one would have to go as well.
    #[tokio::test(start_paused = true)]
    async fn who_makes_no_difference_stays() {
        let room = Room::new(BYTES_MAX);
        let small: Vec<_> = (0..4).map(|one| keep(&room, one, 1).expect("room")).collect();
        let large = keep(&room, 4, 20).expect("room");
        advance(GRACE).await;
        assert!(is_kept(&large));
        let new = keep(&room, 5, 20).expect("the large one's room");
        assert!(!is_kept(&large) && is_kept(&new));
        assert!(small.iter().all(|one| is_kept(one)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_joins_a_slow_one_has_time() {
        let room = Room::new(BYTES_MAX);
        let slow = keep(&room, 1, 20).expect("room");
        advance(100 * GRACE).await;
        let joined = keep(&room, 1, 20).expect("the same");
        assert!(keep(&room, 2, 20).is_none(), "somebody is new");
        advance(GRACE).await;
        keep(&room, 2, 20).expect("its room");
        assert!(!is_kept(&slow) && !is_kept(&joined));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_too_large_has_room_alone() {
        let room = Room::new(BYTES_MAX);
        let large = keep(&room, 1, 30).expect("room for one alone");
        assert!(keep(&room, 2, 1).is_none());
        advance(GRACE).await;
        let small = keep(&room, 2, 1).expect("its room");
        assert!(!is_kept(&large) && is_kept(&small));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_here_is_not_given_up() {
        let room = Room::new(BYTES_MAX);
        let sent = Kept::new(0, 7);
        assert!(room.take(&sent, 10 << 20) && room.take(&sent, 20 << 20), "it grows");
        assert_eq!(sent.done(), Ok(7));
        advance(GRACE).await;
        assert!(keep(&room, 1, 10).is_none(), "it still takes room");
        drop(sent);
        keep(&room, 1, 10).expect("room");
    }
}
