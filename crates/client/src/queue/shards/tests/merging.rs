//! Merged requests are counted like single ones, each at its step.

use std::collections::BTreeMap;

use tally_proto::wire::ENTRY_REQUESTS_MAX;

use super::*;
use crate::rows;

const SECOND_US: u64 = 1_000_000;

fn at(series: u32, time_us: i64) -> Row {
    Row::one(Series(series), time_us)
}

/// A queue whose server keeps seconds.
fn by_seconds(max: usize) -> Shards {
    let shards = Shards::new(max, 10_000);
    shards.set_resolution(SECOND_US);
    shards
}

fn all(shards: &Shards) -> Vec<Row> {
    shards.take(usize::MAX, 0).rows
}

fn record(shards: &Shards, rows: impl IntoIterator<Item = Row>) {
    rows.into_iter().for_each(|row| shards.record(row).expect("room"));
}

#[test]
fn requests_of_a_series_in_a_second_are_one_row() {
    let shards = by_seconds(1_000_000);
    // As many series as a chunk has rows, and times before 1970.
    let times = [-1_500_000, -1_000_001, 3_999_999, 3_000_000, 3_500_000];
    record(&shards, times.into_iter().flat_map(|time| (0..4_096).map(move |n| at(n, time))));
    let rows = all(&shards);
    assert_eq!(rows.len(), 2 * 4_096);
    let expected = |from: usize, requests, time_us| {
        let row = |n| Row { requests, ..at(n, time_us) };
        assert!((0..4_096).map(row).eq(rows[from..][..4_096].iter().copied()));
    };
    expected(0, 2, -2_000_000);
    expected(4_096, 3, 3_000_000);
    let counts = shards.counts();
    assert_eq!((counts.recorded, counts.taken), (5 * 4_096, 5 * 4_096));
}

/// Requests of a layer end out of order.
#[test]
fn four_seconds_are_merged_at_a_time() {
    let shards = by_seconds(1_000_000);
    let second = |n: i64| n % 4 * 1_000_000 + n;
    record(&shards, (0..1_000).flat_map(|n| (0..100).map(move |series| at(series, second(n)))));
    assert_eq!(all(&shards).len(), 4 * 100);
}

#[test]
fn a_row_has_no_more_requests_than_the_server_takes() {
    let shards = by_seconds(1_000);
    record(&shards, (0..=ENTRY_REQUESTS_MAX).map(|_| at(1, 0)));
    let requests: Vec<_> = all(&shards).iter().map(|row| row.requests).collect();
    assert_eq!(requests, [ENTRY_REQUESTS_MAX, 1]);
}

/// A series that finds no room takes no hint from another one, which still needs none.
#[test]
fn a_full_queue_takes_what_it_has_a_row_for() {
    let shards = by_seconds(1);
    record(&shards, [at(1, 0)]);
    assert_eq!(shards.record(at(1 + 4_096, 0)), Err(Refusal::Full));
    record(&shards, [at(1, 0)]);
    assert_eq!(all(&shards), [Row { requests: 2, ..at(1, 0) }]);
}

/// What was taken can be on its way.
#[test]
fn nothing_is_added_to_what_was_taken() {
    let shards = by_seconds(1_000);
    for _ in 0..3 {
        record(&shards, [at(1, 0), at(1, 1)]);
        assert_eq!(all(&shards), [Row { requests: 2, ..at(1, 0) }]);
    }
}

#[test]
fn a_request_that_ends_is_merged() {
    let shards = by_seconds(1_000);
    record(&shards, [at(1, 0)]);
    let ticket = shards.begin(at(2, 999_999)).expect("it is open");
    assert_eq!(shards.end(ticket, Series(1)), Ok(()));
    // The close records what is still open.
    let _open = shards.begin(at(1, 500_000)).expect("it is open");
    shards.close();
    assert_eq!(shards.record(at(1, 0)), Err(Refusal::Closed));
    shards.set_resolution(SECOND_US);
    assert_eq!(shards.record(at(1, 0)), Err(Refusal::Closed));
    assert_eq!(all(&shards), [Row { requests: 3, ..at(1, 0) }]);
    assert_eq!(shards.counts().recorded, 3);
}

/// A request recorded later can be added to an earlier row: it must not stand for one that still waits.
#[test]
fn a_moment_does_not_pass_because_of_later_requests() {
    // A chunk has one row.
    let shards = by_seconds(1);
    let shards = Shards { chunk_rows: 1, max: 100, room: AtomicUsize::new(100), ..shards };
    record(&shards, [at(1, 0), at(1, 0), at(2, 0)]);
    let moment = shards.moment();
    record(&shards, [at(2, 0), at(2, 0)]);
    assert_eq!(shards.take(1, 0).rows, [Row { requests: 2, ..at(1, 0) }]);
    assert!(!shards.has_passed(&moment));
    record(&shards, [at(2, 0)]);
    assert_eq!(shards.take(1, 0).rows, [Row { requests: 4, ..at(2, 0) }]);
    assert!(shards.has_passed(&moment));
}

#[derive(Debug, Clone)]
enum Step {
    Record(Vec<(u32, i64)>),
    Resolve(u64),
    Take(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    // Few series, of which some have the same hint, at few times.
    let series = (0..30_u32).prop_map(|n| n % 10 + 4_096 * (n / 10));
    let request = (series, (-3..130_i64).prop_map(|half| half * 500_000));
    prop_oneof![
        8 => proptest::collection::vec(request, 1..300).prop_map(Step::Record),
        2 => prop_oneof![Just(0), Just(SECOND_US), Just(60 * SECOND_US), Just(7 * SECOND_US)]
            .prop_map(Step::Resolve),
        5 => (1..300_usize).prop_map(Step::Take),
        1 => Just(Step::Close),
    ]
}

proptest! {
    /// Whatever the resolution is by the time, and how often it changes: each request is in one row of
    /// its series and step, or was given back.
    #[test]
    fn the_sums_by_series_and_step_are_exact(
        max in prop_oneof![1..100_usize, Just(20_000)],
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let shards = Shards::new(max, 2_000);
        let (mut expected, mut taken) = (BTreeMap::new(), Vec::new());
        let (mut resolution, mut refused, mut is_closed) = (0_u64, 0, false);
        for step in steps {
            match step {
                Step::Record(requests) => for (series, time_us) in requests {
                    let step_us = if resolution > 0 { resolution.cast_signed() } else { 1 };
                    match shards.record(at(series, time_us)) {
                        Ok(()) => {
                            prop_assert!(!is_closed);
                            let time_us = time_us.div_euclid(step_us) * step_us;
                            *expected.entry((series, time_us)).or_default() += 1;
                        }
                        Err(reason) => {
                            prop_assert_eq!(reason == Refusal::Closed, is_closed);
                            shards.refuse(at(series, time_us));
                            refused += 1;
                        }
                    }
                },
                Step::Resolve(us) => {
                    resolution = if us == 7 * SECOND_US { 0 } else { us };
                    shards.set_resolution(us);
                }
                Step::Take(most) => {
                    let most = most.max(shards.chunk_rows);
                    let rows = shards.take(most, taken.len()).rows;
                    prop_assert!(rows.len() <= most);
                    taken.extend(rows);
                }
                Step::Close => {
                    is_closed = true;
                    shards.close();
                }
            }
            let counts = shards.counts();
            prop_assert_eq!(counts.recorded, expected.values().sum::<u64>());
            prop_assert_eq!((counts.taken, counts.refused), (rows::total(&taken), refused));
            let waiting = shards.rows();
            prop_assert!(waiting <= max);
            let room = shards.room.load(Ordering::Relaxed) + reserved(&shards);
            prop_assert!(is_closed || room + waiting == max);
        }
        let waiting: Vec<Row> =
            shards.shards.each().flat_map(|shard| shard.rows().collect::<Vec<_>>()).collect();
        shards.abandon();
        let counts = shards.counts();
        prop_assert_eq!(counts.dropped, rows::total(&waiting));
        prop_assert_eq!(counts.recorded, counts.taken + counts.dropped);
        let mut actual = BTreeMap::new();
        for row in taken.into_iter().chain(waiting) {
            *actual.entry((row.series.0, row.time_us)).or_default() += u64::from(row.requests);
        }
        prop_assert_eq!(actual, expected);
    }
}
