//! What every store promises: one suite, which each backend passes.

use tally_ingest::Batch;
use tally_requests::{Day, DayRange, Endpoint, EndpointId, Granularity, Rows};
use tally_runtime::Kind;
use tally_store::Outcome;

use crate::backend::{
    Backend, NOW, OLD, Producer, RETENTION, TODAY, append, ask, at, listed, noon, one_day, query,
    sum, total,
};

/// Makes a test of each case on each backend; those that are not there are skipped, loudly.
macro_rules! on_every_backend {
    ($cases:path: $($case:ident),* $(,)?) => {
        mod sqlite {
            crate::conformance::on!(sqlite, $cases: $($case),*);
        }
        mod postgres {
            crate::conformance::on!(postgres, $cases: $($case),*);
        }
        mod cockroach {
            crate::conformance::on!(cockroach, $cases: $($case),*);
        }
        mod cockroach_on_postgres {
            crate::conformance::on!(cockroach_on_postgres, $cases: $($case),*);
        }
    };
}

macro_rules! on {
    ($backend:ident, $cases:path: $($case:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                use $cases as cases;
                if let Some(backend) = crate::backend::Backend::$backend(stringify!($case)).await {
                    cases::$case(backend).await;
                }
            }
        )*
    };
}

pub(crate) use {on, on_every_backend};

on_every_backend!(crate::conformance:
    endpoints_keep_their_ids,
    two_stores_resolve_the_same_endpoints_at_once,
    many_endpoints_are_resolved_in_order,
    what_is_appended_is_in_live_totals,
    a_batch_is_stored_once,
    a_gap_in_the_sequence_stores_nothing,
    a_batch_may_have_many_chunks_or_none,
    large_batches_of_mixed_days_are_exact,
    the_first_and_the_last_microsecond,
    a_roll_up_moves_everything_of_its_days,
    a_repeated_roll_up_changes_nothing,
    late_rows_are_added,
    nothing_to_roll_up,
    housekeeping_may_be_repeated,
    only_silent_producers_are_forgotten,
);

async fn endpoints_keep_their_ids(backend: Backend) {
    let (a, b, c) = (Endpoint::new(3, "/a"), Endpoint::new(6, "/a"), Endpoint::new(3, "/A"));
    let first = backend.store.resolve(&[a.clone(), b.clone(), c.clone()]).await.unwrap();
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2], "{first:?}");
    let again = [c.clone(), a.clone(), b.clone(), a.clone()];
    let again = backend.store.resolve(&again).await.unwrap();
    assert_eq!(again, [first[2], first[0], first[1], first[0]]);
    let mut all = backend.second.endpoints().await.unwrap();
    all.sort_by_key(|(id, _)| *id);
    let mut expected = vec![(first[0], a), (first[1], b), (first[2], c)];
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(all, expected);
}

async fn two_stores_resolve_the_same_endpoints_at_once(backend: Backend) {
    for round in 0..10 {
        let paths: Vec<_> =
            (0..50).map(|n| Endpoint::new(n % 5, format!("/{round}/{n}"))).collect();
        let mut reversed = paths.clone();
        reversed.reverse();
        let (one, other) =
            tokio::join!(backend.store.resolve(&paths), backend.second.resolve(&reversed));
        let mut other = other.unwrap();
        other.reverse();
        assert_eq!(one.unwrap(), other);
    }
    assert_eq!(backend.count("tally_endpoints").await, 500);
}

async fn many_endpoints_are_resolved_in_order(backend: Backend) {
    let paths: Vec<_> = (0..2_000).map(|n| Endpoint::new(3, format!("/{n}/é%_'\\"))).collect();
    let ids = backend.store.resolve(&paths).await.unwrap();
    let mut known: Vec<(EndpointId, Endpoint)> = backend.store.endpoints().await.unwrap();
    known.sort_by_key(|(id, _)| *id);
    for (id, path) in ids.iter().zip(&paths) {
        let at = known.binary_search_by_key(id, |(id, _)| *id).expect("a known id");
        assert_eq!(&known[at].1, path);
    }
    assert!(backend.store.resolve(&[]).await.unwrap().is_empty());
}

async fn what_is_appended_is_in_live_totals(backend: Backend) {
    backend.maintain().await;
    let (get, post) = (backend.id(3, "/").await, backend.id(6, "/").await);
    let rows = [(get, noon(TODAY)), (post, noon(TODAY)), (get, noon(OLD)), (get, noon(TODAY))];
    append(&backend, rows).await;
    let expected = [total(OLD, 3, "/", 1), total(TODAY, 3, "/", 2), total(TODAY, 6, "/", 1)];
    assert_eq!(backend.live().await, expected);
    assert!(backend.rolled_up().await.is_empty());
}

async fn a_batch_is_stored_once(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    let mut producer = Producer::new();
    for (rows, counted) in [(3, 3), (2_500, 2_503), (5, 2_508)] {
        for _ in 0..3 {
            let rows = (0..rows).map(|_| (id, noon(TODAY)));
            producer.append(&*backend.store, backend.is_cockroach(), rows).await;
            producer.sequence -= 1;
        }
        producer.sequence += 1;
        assert_eq!(sum(&backend.live().await), counted);
    }
    // An older number, by another server, with other rows.
    let old = Producer { id: producer.id, sequence: 0 };
    let chunks = [Rows::from_iter([(id, noon(TODAY))])];
    let batch = Batch { producer: old.id, sequence: 1, chunks: &chunks };
    backend.second.append(&batch).await.unwrap();
    assert_eq!(sum(&backend.live().await), 2_508);
    // Another producer's first batch is another batch.
    append(&backend, [(id, noon(TODAY))]).await;
    assert_eq!(sum(&backend.live().await), 2_509);
}

async fn a_gap_in_the_sequence_stores_nothing(backend: Backend) {
    let id = backend.id(3, "/").await;
    let mut producer = Producer::new();
    for rows in [1, 2_500] {
        // Neither of a new producer nor of one that is known.
        for known in [false, true] {
            if known {
                producer = Producer::new();
                producer.append(&*backend.store, backend.is_cockroach(), [(id, 0)]).await;
            }
            let chunks = [(0..rows).map(|_| (id, noon(OLD))).collect::<Rows>()];
            let sequence = producer.sequence + 2;
            let batch = Batch { producer: producer.id, sequence, chunks: &chunks };
            let error = backend.store.append(&batch).await.unwrap_err();
            assert!(!error.is_transient(), "{error}");
            assert_eq!(error.kind(), Kind::FailedPrecondition);
            assert_eq!(error.outcome(), Outcome::Determinate);
            let text = error.to_string();
            assert!(text.contains(&sequence.to_string()), "{text}");
            producer = Producer::new();
        }
    }
    assert_eq!(backend.live().await, [total("1970-01-01", 3, "/", 2)]);
}

async fn a_batch_may_have_many_chunks_or_none(backend: Backend) {
    let id = backend.id(3, "/").await;
    let chunks: Vec<_> =
        (0..30).map(|n| (0..n * 10).map(|_| (id, noon(OLD))).collect::<Rows>()).collect();
    let mut producer = Producer::new();
    for (sequence, chunks) in [(1, &chunks[..5]), (2, &chunks[..0]), (3, &chunks[5..])] {
        let batch = Batch { producer: producer.id, sequence, chunks };
        backend.store.append(&batch).await.unwrap();
    }
    producer.sequence = 3;
    producer.append(&*backend.store, backend.is_cockroach(), [(id, noon(OLD))]).await;
    assert_eq!(backend.live().await, [total(OLD, 3, "/", 4_351)]);
}

async fn large_batches_of_mixed_days_are_exact(backend: Backend) {
    backend.maintain().await;
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    let days = ["0001-01-01", OLD, TODAY, "2030-06-22", "2030-06-23", "9999-12-31"];
    for size in [1, 1_999, 2_000, 2_001, 6_000] {
        let rows = (0..size).map(|n| (ids[n % 2], noon(days[n % days.len()])));
        append(&backend, rows).await;
    }
    // 0 of the batches' rows are lost: 12,001 rows, of which six days take turns.
    let before = backend.live().await;
    assert_eq!(sum(&before), 12_001);
    assert_eq!(before.len(), days.len());
    assert_eq!(backend.roll_up(DayRange::ALL).await, 12_001);
    assert_eq!(backend.live().await, before);
    assert_eq!(backend.rolled_up().await, before);
    assert_eq!(backend.count("tally_requests").await, 0);
}

async fn the_first_and_the_last_microsecond(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    let times = [
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00Z",
        "2030-06-14T23:59:59.999999Z",
        "2030-06-15T00:00:00Z",
        "2030-06-15T23:59:59.999999Z",
        "2030-06-16T00:00:00Z",
    ];
    let last = Day::MAX.plus(1).start_micros() - 1;
    append(&backend, times.iter().map(|time| (id, at(time))).chain([(id, last)])).await;
    let expected = [
        ("0001-01-01", 1),
        ("1969-12-31", 1),
        ("1970-01-01", 1),
        ("2030-06-14", 1),
        ("2030-06-15", 2),
        ("2030-06-16", 1),
        ("9999-12-31", 1),
    ]
    .map(|(day, count)| total(day, 3, "/", count));
    assert_eq!(backend.live().await, expected);
    // The neighbours of a day stay as they are.
    assert_eq!(backend.roll_up(one_day("2030-06-15")).await, 2);
    assert_eq!(backend.rolled_up().await, expected[4..5]);
    for day in ["0001-01-01", "1969-12-31", "9999-12-31"] {
        assert_eq!(backend.roll_up(one_day(day)).await, 1, "{day}");
    }
    assert_eq!(backend.roll_up(DayRange::ALL).await, 3);
    assert_eq!(backend.rolled_up().await, expected);
    assert_eq!(backend.live().await, expected);
}

async fn a_roll_up_moves_everything_of_its_days(backend: Backend) {
    backend.maintain().await;
    let ids = [backend.id(3, "/a").await, backend.id(6, "/a").await];
    for day in [TODAY, "2030-06-16", OLD, "2015-05-18"] {
        append(&backend, (0..10).map(|n| (ids[n % 2], noon(day) + n as i64))).await;
    }
    let before = backend.live().await;
    assert_eq!(before.len(), 8);
    assert_eq!(backend.roll_up(one_day(TODAY)).await, 10);
    assert_eq!(backend.roll_up(one_day(OLD)).await, 10);
    assert_eq!(backend.count("tally_requests").await, 20, "the other days are untouched");
    let of = |day: &str| before.iter().filter(|one| one.0 == day).cloned().collect::<Vec<_>>();
    assert_eq!(backend.rolled_up().await, [of(OLD), of(TODAY)].concat());
    assert_eq!(backend.live().await, before);
    assert_eq!(backend.roll_up(DayRange::ALL).await, 20);
    assert_eq!(backend.count("tally_requests").await, 0);
    assert_eq!(backend.rolled_up().await, before);
    assert_eq!(backend.live().await, before);
}

async fn a_repeated_roll_up_changes_nothing(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    append(&backend, [(id, noon(TODAY)), (id, noon(OLD))]).await;
    let before = backend.live().await;
    for moved in [2, 0, 0] {
        assert_eq!(backend.roll_up(DayRange::ALL).await, moved);
        assert_eq!(backend.live().await, before);
        assert_eq!(backend.rolled_up().await, before);
    }
}

async fn late_rows_are_added(backend: Backend) {
    backend.maintain().await;
    let (known, new) = (backend.id(3, "/known").await, backend.id(3, "/new").await);
    for day in [TODAY, OLD] {
        append(&backend, [(known, noon(day))]).await;
        assert_eq!(backend.roll_up(one_day(day)).await, 1);
        append(&backend, [(known, noon(day)), (new, noon(day))]).await;
        let live: Vec<_> = backend.live().await.into_iter().filter(|one| one.0 == day).collect();
        assert_eq!(live, [total(day, 3, "/known", 2), total(day, 3, "/new", 1)]);
        assert_eq!(backend.roll_up(one_day(day)).await, 2);
        let rolled_up = backend.rolled_up().await.into_iter().filter(|one| one.0 == day);
        assert_eq!(rolled_up.collect::<Vec<_>>(), live);
    }
}

async fn nothing_to_roll_up(backend: Backend) {
    assert_eq!(backend.roll_up(DayRange::ALL).await, 0);
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    append(&backend, [(id, noon(TODAY)), (id, noon(OLD))]).await;
    for day in ["2015-05-16", "2015-05-18", "2030-06-14", "2030-06-16", "9999-12-31"] {
        assert_eq!(backend.roll_up(one_day(day)).await, 0, "{day}");
    }
    assert!(backend.rolled_up().await.is_empty());
    assert_eq!(sum(&backend.live().await), 2);
}

async fn housekeeping_may_be_repeated(backend: Backend) {
    let id = backend.id(3, "/").await;
    // Before there is any partition, and so in the way of today's.
    append(&backend, [(id, noon(TODAY))]).await;
    for _ in 0..2 {
        backend.maintain().await;
        append(&backend, [(id, noon(TODAY)), (id, noon("2030-06-16")), (id, noon(OLD))]).await;
    }
    assert_eq!(sum(&backend.live().await), 7);
    assert_eq!(backend.roll_up(one_day("2030-06-16")).await, 2);
    // Years later, when all partitions are over, of which some have rows.
    let later = "2032-01-01T00:00:00Z";
    for now in [later, later, NOW] {
        backend.store.maintain(now.parse().unwrap(), RETENTION).await.unwrap();
        assert_eq!(sum(&backend.live().await), 7);
    }
    append(&backend, [(id, noon("2030-06-16")), (id, noon("2032-01-02"))]).await;
    assert_eq!(backend.roll_up(DayRange::ALL).await, 7);
    assert_eq!(sum(&backend.rolled_up().await), 9);
    backend.store.maintain(later.parse().unwrap(), RETENTION).await.unwrap();
    assert_eq!(sum(&backend.live().await), 9);
}

async fn only_silent_producers_are_forgotten(backend: Backend) {
    let id = backend.id(3, "/").await;
    append(&backend, [(id, noon(OLD))]).await;
    append(&backend, [(id, noon(OLD))]).await;
    backend.age_producers(29).await;
    backend.maintain().await;
    assert_eq!(backend.count("tally_producers").await, 2);
    backend.age_producers(31).await;
    let mut fresh = Producer::new();
    fresh.append(&*backend.store, backend.is_cockroach(), [(id, noon(OLD))]).await;
    backend.maintain().await;
    assert_eq!(backend.count("tally_producers").await, 1);
    // The one that is left goes on, and is seen again when it does.
    backend.age_producers(31).await;
    fresh.append(&*backend.store, backend.is_cockroach(), [(id, noon(OLD))]).await;
    backend.maintain().await;
    assert_eq!(backend.count("tally_producers").await, 1);
    let whole = ask(&*backend.store, &query(Granularity::Whole, true)).await.unwrap();
    assert_eq!(sum(&listed(&whole)), 4);
}
