//! Values of which each thread locks its own, as far as there are enough.
//!
//! An uncontended lock is one atomic operation. A thread that finds its lock held goes to another.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use try_lock::{Locked, TryLock};

/// How often to try a lock before yielding, and then before pausing: its holder is descheduled.
const SPINS: u32 = 64;
const YIELDS: u32 = 64;

const PAUSE: Duration = Duration::from_micros(50);

thread_local! {
    /// This thread's number, which picks its lock; 0 before it has one.
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// A power of two of them.
pub(super) struct Locks<T>(Box<[Padded<T>]>);

/// On its own cache lines, which processors fetch in pairs.
#[repr(align(128))]
struct Padded<T>(TryLock<T>);

// === impl Locks ===

impl<T> Locks<T> {
    pub(super) fn new(values: impl Iterator<Item = T>) -> Self {
        let locks: Box<[_]> = values.map(|value| Padded(TryLock::new(value))).collect();
        assert!(locks.len().is_power_of_two());
        Self(locks)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// This thread's, or another unlocked one: a lock holder may be descheduled.
    #[inline]
    pub(super) fn any(&self) -> Locked<'_, T> {
        let (at, mask) = (thread_number(), self.0.len() - 1);
        if let Some(locked) = self.0[at & mask].0.try_lock() {
            return locked;
        }
        for other in at + 1..=at + mask {
            if let Some(locked) = self.0[other & mask].0.try_lock() {
                // Two threads share it: this one moves.
                THREAD.set(other);
                return locked;
            }
        }
        self.at(at)
    }

    /// The one at this index, or a multiple of their number beyond it.
    #[inline]
    pub(super) fn at(&self, at: usize) -> Locked<'_, T> {
        let lock = &self.0[at & (self.0.len() - 1)].0;
        lock.try_lock().unwrap_or_else(|| wait_for(lock))
    }

    /// Each of them, one after the other.
    pub(super) fn each(&self) -> impl DoubleEndedIterator<Item = Locked<'_, T>> {
        (0..self.0.len()).map(|at| self.at(at))
    }
}

#[cold]
fn wait_for<T>(lock: &TryLock<T>) -> Locked<'_, T> {
    let mut attempts = 0;
    loop {
        if let Some(locked) = lock.try_lock() {
            return locked;
        }
        attempts += 1;
        if attempts < SPINS {
            std::hint::spin_loop();
        } else if attempts < SPINS + YIELDS {
            std::thread::yield_now();
        } else {
            // Sleep even if the system prefers this thread to the one that holds the lock.
            std::thread::sleep(PAUSE);
        }
    }
}

#[inline]
pub(super) fn thread_number() -> usize {
    match THREAD.get() {
        0 => {
            THREAD.set(THREADS.fetch_add(1, Ordering::Relaxed) + 1);
            THREAD.get()
        }
        number => number,
    }
}
