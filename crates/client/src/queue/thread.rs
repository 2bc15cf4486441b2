//! A number for each thread that records.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    /// This thread's number, from 1; 0 before it has one.
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// How many threads have a number.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// This thread's number: which shard it records in.
#[inline]
pub(super) fn number() -> usize {
    THREAD.with(|thread| match thread.get() {
        0 => {
            let number = THREADS.fetch_add(1, Ordering::Relaxed) + 1;
            thread.set(number);
            number
        }
        number => number,
    })
}

/// Gives this thread another number, after it met another thread at its shard.
pub(super) fn set_number(number: usize) {
    THREAD.set(number);
}
