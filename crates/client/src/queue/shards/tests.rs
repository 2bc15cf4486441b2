//! Waiting requests: none is lost or duplicated, and the limit holds.

mod merging;

use proptest::prelude::*;

use std::sync::atomic::AtomicU64;

use super::*;
use crate::Series;
use crate::queue::locks::thread_number;

fn row(n: u32) -> Row {
    Row::one(Series(n), 0)
}

#[test]
fn threads_that_record_while_others_take_lose_nothing() {
    let shards = Shards::new(10_000, 1_000);
    let taken = AtomicU64::new(0);
    let each = 200_000;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for n in 0..each {
                    while shards.record(row(n)).is_err() {
                        std::thread::yield_now();
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut from = 0;
            while taken.load(Ordering::Relaxed) < 3 * u64::from(each) {
                let rows = shards.take(1_000, from).rows.len();
                assert!(rows <= 1_000);
                taken.fetch_add(rows as u64, Ordering::Relaxed);
                from += 1;
            }
        });
    });
    let counts = shards.counts();
    assert_eq!((counts.recorded, counts.taken), (3 * u64::from(each), 3 * u64::from(each)));
    assert!(shards.is_empty());
    assert_eq!(shards.room.load(Ordering::Relaxed) + reserved(&shards), 10_000);
}

fn reserved(shards: &Shards) -> usize {
    shards.shards.each().map(|shard| shard.free()).sum()
}

#[test]
fn threads_that_meet_a_full_queue_are_all_accounted_for() {
    let shards = Shards::new(100, 100);
    let each = 50_000_u64;
    let row = |n: u64| Row { time_us: (n % 2).cast_signed() * 86_400_000_000, ..row(0) };
    let running = AtomicUsize::new(3);
    let given_back = AtomicU64::new(0);
    // Two of three requests given back are noted as dropped.
    let record = |n| {
        if shards.record(row(n)) == Err(Refusal::Full) {
            match n % 3 {
                0 => drop(given_back.fetch_add(1, Ordering::Relaxed)),
                _ => shards.refuse(row(n)),
            }
        }
    };
    // The last 50 of these find no room, on either day.
    (0..150).for_each(record);
    let (mut taken, mut told) = (0, Drops::default());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                (0..each).for_each(record);
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut from = 0;
        while running.load(Ordering::Relaxed) > 0 || !shards.is_empty() {
            let requests = shards.take(100, from);
            taken += requests.rows.len() as u64;
            told.add_all(&requests.drops);
            from += 1;
        }
    });
    let counts = shards.counts();
    let given_back = given_back.load(Ordering::Relaxed);
    assert_eq!((taken, counts.dropped), (counts.taken, 0));
    assert_eq!(counts.recorded + counts.refused + given_back, 3 * each + 150);
    assert_eq!(counts.recorded, counts.taken);
    assert_eq!((told.total(), told.0.len()), (counts.refused, 2));
}

/// The system may deschedule lock holders.
#[test]
fn a_thread_waits_if_all_shards_are_locked() {
    let shards = Shards::new(1_000, 1_000);
    let started = std::sync::Barrier::new(3);
    let recorded = std::thread::scope(|scope| {
        let mut locked: Vec<_> = shards.shards.each().collect();
        let record = || {
            started.wait();
            shards.record(row(1)).expect("room");
        };
        let recording = scope.spawn(record);
        let counting = scope.spawn(|| {
            started.wait();
            shards.counts()
        });
        started.wait();
        for _ in 0..10_000 {
            std::thread::yield_now();
        }
        assert!(!recording.is_finished() && !counting.is_finished());
        while locked.pop().is_some() {}
        recording.join().expect("no panic");
        counting.join().expect("no panic").recorded
    });
    assert!(recorded <= 1);
    assert_eq!(shards.counts().recorded, 1);
}

/// Yields until the condition holds, or for a long time.
fn comes_about(so: impl Fn() -> bool) -> bool {
    (0..1_000_000).any(|_| {
        std::thread::yield_now();
        so()
    })
}

/// The system may deschedule a lock holder for a long time.
#[test]
fn recording_waits_for_no_lock_that_another_thread_holds() {
    let shards = Shards::new(100, 100);
    while shards.record(row(1)).is_ok() {}
    let locked = std::sync::Barrier::new(2);
    let (shards, both) = (&shards, &locked);
    std::thread::scope(|scope| {
        let (say, hear) = std::sync::mpsc::channel();
        let recording = scope.spawn(move || {
            say.send(thread_number()).expect("the test listens");
            both.wait();
            shards.record(row(2)).unwrap_or_else(|_| shards.refuse(row(2)));
        });
        let own = shards.shards.at(hear.recv().expect("a number"));
        both.wait();
        assert!(comes_about(|| recording.is_finished()), "it waits");
        drop(own);
        recording.join().expect("no panic");
    });
    assert_eq!(shards.counts().recorded, 100);
}

/// The first shard's state implies the others'.
#[test]
fn the_first_shard_is_closed_last() {
    let shards = Shards::new(1_000, 1_000);
    std::thread::scope(|scope| {
        let first = shards.shards.at(0);
        let closing = scope.spawn(|| shards.close());
        let closed = || (1..shards.shards.len()).all(|at| shards.shards.at(at).closed);
        assert!(comes_about(closed), "the others wait for the first");
        drop(first);
        closing.join().expect("no panic");
    });
    assert!(shards.is_closed());
}

/// A request that arrives while the driver is awake wakes nothing: it is seen before sleeping.
#[tokio::test]
async fn what_came_before_the_sleep_is_seen() {
    use futures_util::FutureExt;
    let shards = Shards::new(10, 10);
    assert!(shards.wait_for_work().now_or_never().is_none());
    shards.take(10, 0);
    shards.sleeping.store(false, Ordering::SeqCst);
    shards.record(row(1)).expect("room");
    assert!(shards.wait_for_work().now_or_never().is_some());
    shards.take(10, 0);
    assert!(shards.wait_for_work().now_or_never().is_none());
    // Now the driver sleeps, and is woken once.
    shards.record(row(2)).expect("room");
    assert!(shards.work.notified().now_or_never().is_some());
    shards.record(row(3)).expect("room");
    assert!(shards.work.notified().now_or_never().is_none());
}

/// The condition of a flush.
#[test]
fn a_moment_passes_when_what_came_before_it_is_taken() {
    let shards = Shards::new(100, 100);
    shards.record(row(1)).expect("room");
    let moment = shards.moment();
    shards.record(row(2)).expect("room");
    assert!(!shards.has_passed(&moment));
    shards.take(100, 0);
    assert!(shards.has_passed(&moment));
}

#[derive(Debug, Clone)]
enum Step {
    Record(usize),
    Take(usize),
    Close,
}

proptest! {
    #[test]
    fn the_sums_add_up(
        max in 1..3_000_usize,
        notes in any::<bool>(),
        steps in proptest::collection::vec(prop_oneof![
            8 => (1..700_usize).prop_map(Step::Record),
            6 => (1..2_000_usize).prop_map(Step::Take),
            1 => Just(Step::Close),
        ], 0..40),
    ) {
        let shards = Shards::new(max, 2_000);
        let (mut asked, mut given_back, mut taken) = (0_u64, 0_u64, Vec::new());
        let (mut told, mut next) = (0, 0);
        let mut closed = false;
        for step in steps {
            match step {
                Step::Record(count) => for _ in 0..count {
                    asked += 1;
                    next += 1;
                    match shards.record(row(next)) {
                        Ok(()) => prop_assert!(!closed),
                        Err(reason) => {
                            let expected = if closed { Refusal::Closed } else { Refusal::Full };
                            prop_assert_eq!(reason, expected);
                            if notes {
                                shards.refuse(row(next));
                            } else {
                                given_back += 1;
                            }
                        }
                    }
                },
                Step::Take(most) => {
                    let requests = shards.take(most.max(shards.chunk_rows), taken.len());
                    prop_assert!(requests.rows.len() <= most.max(shards.chunk_rows));
                    told += requests.drops.total();
                    taken.extend(requests.rows);
                }
                Step::Close => {
                    closed = true;
                    shards.close();
                }
            }
            let counts = shards.counts();
            let waiting = counts.recorded - counts.taken - counts.dropped;
            prop_assert!(waiting <= max as u64);
            prop_assert_eq!(counts.recorded + counts.refused + given_back, asked);
            prop_assert_eq!(counts.taken, taken.len() as u64);
            let room = shards.room.load(Ordering::Relaxed) + reserved(&shards);
            prop_assert!(closed || room as u64 + waiting == max as u64);
        }
        told += shards.take(0, 0).drops.total();
        prop_assert_eq!(told, shards.counts().refused);
        // In one thread's order, and none twice.
        prop_assert!(taken.windows(2).all(|two| two[0].series.0 < two[1].series.0));
        shards.abandon();
        let counts = shards.counts();
        prop_assert_eq!(counts.recorded, counts.taken + counts.dropped);
    }
}
