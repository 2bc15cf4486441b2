//! The promises of every store: one suite for all backends.

use hashbrown::HashMap;
use tally_ingest::{Batch, WriteError};
use tally_producers::Fate;
use tally_requests::periods::Granularity;
use tally_requests::store::{Appended, Names, Store};
use tally_requests::{Day, DayRange, Rows, SeriesId};
use uuid::Uuid;

use crate::backend::{
    Backend, OLD, Producer, SENDS_MAX, TODAY, append, append_batch, append_named, appended, ask,
    at, batch, day, listed, named, noon, now, one_day, query, sum, total,
};

/// Defines a test of each case on each backend; missing backends are skipped loudly.
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
    names_are_stored_with_their_first_rows,
    two_stores_name_the_same_series_at_once,
    a_second_name_with_the_same_id_gets_another,
    many_new_names_are_stored_at_once,
    rows_without_a_name_count_as_unknown,
    a_batch_for_another_state_is_not_stored,
    a_number_used_by_another_server_is_not_a_duplicate,
    appended_rows_are_in_live_totals,
    a_batch_is_stored_once,
    a_gap_in_the_sequence_stores_nothing,
    a_batch_may_have_many_chunks_or_none,
    large_batches_of_mixed_days_are_exact,
    the_first_and_the_last_microsecond,
    a_roll_up_moves_everything_of_its_days,
    a_repeated_roll_up_changes_nothing,
    late_rows_are_added,
    nothing_to_roll_up,
    folds_change_no_total,
    pruned_days_keep_their_totals,
    only_silent_producers_are_forgotten,
);

async fn names_are_stored_with_their_first_rows(backend: Backend) {
    let names: Vec<_> = ["/a", "/A", "/é%_'\\"].map(|path| named(3, path)).into();
    let chunks = [names.iter().map(|one| (one.id, noon(OLD))).collect::<Rows>().into()];
    for rows in [&[][..], &chunks] {
        let batch = batch(Uuid::now_v7(), 1, rows);
        assert!(append_named(&backend.store, &batch, &names).await.unwrap().is_empty());
    }
    let (mut all, _) = backend.second.series(10, 1_000).await.unwrap();
    all.sort_by_key(|(id, _)| *id);
    let mut expected: Vec<_> = names.iter().map(|one| (one.id, one.series.clone())).collect();
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(all, expected);
    assert_eq!(sum(&backend.live().await), 3);
    assert_eq!(backend.second.series(2, 1_000).await.unwrap().0.len(), 2);
    assert!(backend.second.series(10, 9).await.unwrap().0.len() < 3);
}

async fn two_stores_name_the_same_series_at_once(backend: Backend) {
    for round in 0..10 {
        let mut names: Vec<_> = (0..50).map(|n| named(n % 5, &format!("/{round}/{n}"))).collect();
        names.sort_by_key(|one| one.id);
        let chunks = [names.iter().map(|one| (one.id, noon(OLD))).collect::<Rows>().into()];
        let one = async |store: &Store| {
            let batch = batch(Uuid::now_v7(), 1, &chunks);
            for _ in 0..SENDS_MAX {
                match append_named(store, &batch, &names).await {
                    Ok(renumbered) => return assert!(renumbered.is_empty()),
                    Err(error) if backend.is_cockroach() && error.is_transient() => {}
                    Err(error) => panic!("{}", tally_runtime::chain(&error)),
                }
            }
            panic!("refused {SENDS_MAX} times");
        };
        tokio::join!(one(&backend.store), one(&backend.second));
    }
    assert_eq!(backend.count("tally_request_series").await, 500);
    assert_eq!(sum(&backend.live().await), 1_000);
    backend.audit().await;
}

/// Two names with the same hash: the first one keeps the id.
async fn a_second_name_with_the_same_id_gets_another(backend: Backend) {
    let (first, second) = (named(3, "/first"), named(3, "/second"));
    backend.name(second.id, 3, "/first").await;
    backend.name(second.series.id(1), 6, "/salted").await;
    for (sequence, rows) in [(1, 2), (2, 2_500)] {
        let chunks = [(0..rows)
            .flat_map(|_| [(first.id, noon(OLD)), (second.id, noon(OLD))])
            .collect::<Rows>()
            .into()];
        let mut names = vec![first.clone(), second.clone()];
        names.sort_by_key(|one| one.id);
        let batch = batch(Uuid::now_v7(), 1, &chunks);
        let renumbered = append_named(&backend.store, &batch, &names).await.unwrap();
        let expected = [(first.id, second.id), (second.id, second.series.id(2))];
        assert_eq!(renumbered, expected.into(), "{sequence}");
        // Rows with the new id need no name.
        let mut names = Names::new(Vec::new(), backend.store.state());
        names.stored_as = renumbered;
        let batch = crate::backend::batch(Uuid::now_v7(), 1, &chunks);
        let appended = backend.store.append(&batch, &names, now()).await.unwrap();
        let fates = vec![Fate::Stored { committed: 0, known: 0 }];
        assert_eq!(appended, Appended::Stored { fates, renumbered: HashMap::new() });
    }
    let expected = [total(OLD, 3, "/first", 5_004), total(OLD, 3, "/second", 5_004)];
    assert_eq!(backend.live().await, expected);
    backend.roll_up(one_day(OLD)).await;
    assert_eq!(backend.rolled_up().await, expected);
}

/// However the name was removed.
/// More names than one statement takes. Another series has the last one's id.
async fn many_new_names_are_stored_at_once(backend: Backend) {
    let mut names: Vec<_> = (0..2_500).map(|n| named(3, &format!("/{n}"))).collect();
    names.sort_by_key(|one| one.id);
    let last = names.last().unwrap();
    backend.name(last.id, 3, "/taken").await;
    let chunks = [names.iter().map(|one| (one.id, noon(OLD))).collect::<Rows>().into()];
    let batch = batch(Uuid::now_v7(), 1, &chunks);
    let renumbered = append_named(&backend.store, &batch, &names).await.unwrap();
    assert_eq!(renumbered, [(last.id, last.series.id(1))].into());
    assert_eq!(backend.count("tally_request_series").await, 2_501);
    let live = backend.live().await;
    assert_eq!((live.len(), sum(&live)), (2_500, 2_500));
}

async fn rows_without_a_name_count_as_unknown(backend: Backend) {
    let (kept, gone) = (backend.id(3, "/kept").await, backend.id(3, "/gone").await);
    append(&backend, [(kept, noon(OLD)), (gone, noon(OLD)), (99, noon(OLD))]).await;
    backend.roll_up(one_day(OLD)).await;
    append(&backend, [(gone, noon(OLD))]).await;
    backend.execute("DELETE FROM tally_request_series WHERE path = '/gone'").await;
    let expected = [total(OLD, 3, "/kept", 1), total(OLD, 0, "_unknown", 3)];
    assert_eq!(backend.live().await, expected);
    // The next batch with the name restores it.
    let batch = batch(Uuid::now_v7(), 1, &[]);
    append_named(&backend.store, &batch, &[named(3, "/gone")]).await.unwrap();
    let expected =
        [total(OLD, 3, "/gone", 2), total(OLD, 3, "/kept", 1), total(OLD, 0, "_unknown", 1)];
    assert_eq!(backend.live().await, expected);
    backend.audit().await;
}

/// Cached names may not exist in another state, so the batch must be resent with all names.
async fn a_batch_for_another_state_is_not_stored(backend: Backend) {
    let id = backend.id(3, "/").await;
    let chunks = [Rows::from_iter([(id, noon(OLD))]).into()];
    append(&backend, [(id, noon(OLD))]).await;
    let batch = batch(Uuid::now_v7(), 1, &chunks);
    let names = Names::new(Vec::new(), backend.store.state() + 1);
    assert_eq!(backend.store.append(&batch, &names, now()).await.unwrap(), Appended::Stale);
    assert_eq!(sum(&backend.live().await), 1);
}

/// As a copy of the server with the same ids does.
async fn a_number_used_by_another_server_is_not_a_duplicate(backend: Backend) {
    let id = backend.id(3, "/").await;
    for rows in [1, 2_500] {
        let (producer, chunks) =
            (Uuid::now_v7(), [(0..rows).map(|_| (id, noon(OLD))).collect::<Rows>().into()]);
        let counted = sum(&backend.live().await);
        append_batch(&backend.store, &batch(producer, 1, &chunks)).await.unwrap();
        for (sequence, is_repeated) in [(1, false), (0, false), (0, true), (3, true)] {
            let first = batch(producer, sequence, &chunks);
            let batch = Batch { is_repeated, ..first };
            let error = appended(&backend.second, &batch, &[]).await.unwrap_err();
            assert_eq!(gap(&error), Some((sequence, 1)), "{error}");
        }
        let repeated = Batch { is_repeated: true, ..batch(producer, 1, &chunks) };
        append_batch(&backend.second, &repeated).await.unwrap();
        assert_eq!(sum(&backend.live().await), counted + rows);
    }
}

async fn appended_rows_are_in_live_totals(backend: Backend) {
    backend.maintain().await;
    let (get, post) = (backend.id(3, "/").await, backend.id(6, "/").await);
    let rows = [(get, noon(TODAY)), (post, noon(TODAY)), (get, noon(OLD)), (get, noon(TODAY))];
    append(&backend, rows).await;
    let expected = [total(OLD, 3, "/", 1), total(TODAY, 3, "/", 2), total(TODAY, 6, "/", 1)];
    assert_eq!(backend.live().await, expected);
    assert!(backend.rolled_up().await.is_empty());
    backend.audit().await;
}

fn pairs(rows: &Rows) -> Vec<(SeriesId, i64)> {
    rows.iter().map(|row| (row.series, row.micros)).collect()
}

async fn a_batch_is_stored_once(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    let mut producer = Producer::new();
    for (rows, counted) in [(3, 3), (2_500, 2_503), (5, 2_508)] {
        let chunks = [(0..rows).map(|_| (id, noon(TODAY))).collect::<Rows>()];
        for _ in 0..3 {
            producer.append(&backend.store, backend.is_cockroach(), pairs(&chunks[0])).await;
            producer.repeat();
        }
        producer.append(&backend.store, backend.is_cockroach(), pairs(&chunks[0])).await;
        assert_eq!(sum(&backend.live().await), counted);
    }
    // Another producer's first batch is a different batch.
    append(&backend, [(id, noon(TODAY))]).await;
    assert_eq!(sum(&backend.live().await), 2_509);
    backend.audit().await;
}

/// The number that was sent, and the last that is stored, if they do not fit.
fn gap(error: &WriteError) -> Option<(i64, i64)> {
    match error {
        WriteError::OutOfSequence { sent, stored } => Some((*sent, *stored)),
        WriteError::Failed(_) => None,
    }
}

async fn a_gap_in_the_sequence_stores_nothing(backend: Backend) {
    let id = backend.id(3, "/").await;
    let mut producer = Producer::new();
    for rows in [1, 2_500] {
        // Neither for a new producer nor for a known one.
        for known in [false, true] {
            if known {
                producer = Producer::new();
                producer.append(&backend.store, backend.is_cockroach(), [(id, 0)]).await;
            }
            let chunks = [(0..rows).map(|_| (id, noon(OLD))).collect::<Rows>().into()];
            let sequence = producer.sequence + 2;
            let batch = batch(producer.id, sequence, &chunks);
            let error = appended(&backend.store, &batch, &[]).await.unwrap_err();
            assert_eq!(gap(&error), Some((sequence, sequence - 2)), "{error}");
            let text = error.to_string();
            assert!(text.contains(&sequence.to_string()), "{text}");
            producer = Producer::new();
        }
    }
    assert_eq!(backend.live().await, [total("1970-01-01", 3, "/", 2)]);
    backend.audit().await;
}

async fn a_batch_may_have_many_chunks_or_none(backend: Backend) {
    let id = backend.id(3, "/").await;
    let chunks: Vec<_> =
        (0..30).map(|n| (0..n * 10).map(|_| (id, noon(OLD))).collect::<Rows>().into()).collect();
    let mut producer = Producer::new();
    for (sequence, chunks) in [(1, &chunks[..5]), (2, &chunks[..0]), (3, &chunks[5..])] {
        append_batch(&backend.store, &batch(producer.id, sequence, chunks)).await.unwrap();
    }
    producer.sequence = 3;
    producer.append(&backend.store, backend.is_cockroach(), [(id, noon(OLD))]).await;
    assert_eq!(backend.live().await, [total(OLD, 3, "/", 4_351)]);
    backend.audit().await;
}

async fn large_batches_of_mixed_days_are_exact(backend: Backend) {
    backend.maintain().await;
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    let days = ["0001-01-01", OLD, TODAY, "2030-06-22", "2030-06-23", "9999-12-31"];
    for size in [1, 1_999, 2_000, 2_001, 6_000] {
        let rows = (0..size).map(|n| (ids[n % 2], noon(days[n % days.len()])));
        append(&backend, rows).await;
    }
    // No row is lost: 12,001 rows that alternate between six days.
    let before = backend.live().await;
    assert_eq!(sum(&before), 12_001);
    assert_eq!(before.len(), days.len());
    assert_eq!(backend.roll_up(DayRange::ALL).await, 12_001);
    assert_eq!(backend.live().await, before);
    assert_eq!(backend.rolled_up().await, before);
    assert_eq!(backend.count("tally_requests").await, 0);
    backend.audit().await;
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
    // A day's neighbours do not change.
    assert_eq!(backend.roll_up(one_day("2030-06-15")).await, 2);
    assert_eq!(backend.rolled_up().await, expected[4..5]);
    for day in ["0001-01-01", "1969-12-31", "9999-12-31"] {
        assert_eq!(backend.roll_up(one_day(day)).await, 1, "{day}");
    }
    assert_eq!(backend.roll_up(DayRange::ALL).await, 3);
    assert_eq!(backend.rolled_up().await, expected);
    assert_eq!(backend.live().await, expected);
    backend.audit().await;
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
    let of = |day: &str| before.iter().filter(|one| one.0 == day).cloned().collect::<Vec<_>>();
    assert_eq!(backend.rolled_up().await, [of(OLD), of(TODAY)].concat());
    assert_eq!(backend.live().await, before);
    assert_eq!(backend.roll_up(DayRange::ALL).await, 20);
    assert_eq!(backend.count("tally_requests").await, 0);
    assert_eq!(backend.rolled_up().await, before);
    assert_eq!(backend.live().await, before);
    backend.audit().await;
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
    backend.audit().await;
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
    backend.audit().await;
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

async fn folds_change_no_total(backend: Backend) {
    let id = backend.id(3, "/").await;
    for (round, day) in (1..).zip([TODAY, OLD, TODAY, "9999-12-31", "0001-01-01", OLD]) {
        append(&backend, [(id, noon(day)), (id, noon(day) + 900_000_000)]).await;
        assert_eq!(sum(&backend.live().await), 2 * round);
        assert_eq!(backend.store.fold().await.unwrap().requests, 2);
        assert_eq!(backend.count("tally_requests").await, 0);
        assert_eq!(sum(&backend.live().await), 2 * round);
        assert!(backend.rolled_up().await.is_empty());
    }
    let live = backend.live().await;
    assert_eq!(backend.roll_up(DayRange::ALL).await, 12);
    assert_eq!((backend.rolled_up().await, backend.live().await), (live.clone(), live));
    // Later rows of rolled-up days are in both at once.
    append(&backend, [(id, noon(OLD))]).await;
    assert_eq!(backend.store.fold().await.unwrap().rolled_up, 1);
    assert_eq!((sum(&backend.rolled_up().await), sum(&backend.live().await)), (13, 13));
    backend.audit().await;
}

async fn pruned_days_keep_their_totals(backend: Backend) {
    let id = backend.id(3, "/").await;
    for day in [TODAY, OLD, "2015-05-18"] {
        append(&backend, [(id, noon(day))]).await;
    }
    backend.roll_up(one_day(OLD)).await;
    // Only days that are rolled up are pruned, and none that was rolled up just now.
    let hour = std::time::Duration::from_secs(60 * 60);
    assert_eq!(backend.store.prune(day(TODAY), hour).await.unwrap(), 0);
    assert_eq!(backend.prune(day(TODAY)).await, 1);
    assert_eq!(backend.prune(day(TODAY)).await, 0);
    assert_eq!(backend.count("tally_request_days").await, 2);
    append(&backend, [(id, noon(OLD))]).await;
    assert_eq!(sum(&backend.live().await), 4);
    assert_eq!(backend.roll_up(DayRange::ALL).await, 3);
    assert_eq!(backend.rolled_up().await, backend.live().await);
    assert_eq!(sum(&backend.live().await), 4);
    assert_eq!(
        backend.count("tally_request_days").await,
        2,
        "late rows of a pruned day are not there"
    );
    backend.audit().await;
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
    fresh.append(&backend.store, backend.is_cockroach(), [(id, noon(OLD))]).await;
    backend.maintain().await;
    assert_eq!(backend.count("tally_producers").await, 1);
    // The remaining one continues, and that updates its last sighting.
    backend.age_producers(31).await;
    fresh.append(&backend.store, backend.is_cockroach(), [(id, noon(OLD))]).await;
    backend.maintain().await;
    assert_eq!(backend.count("tally_producers").await, 1);
    let whole = ask(&backend.store, &query(Granularity::Whole, true)).await.unwrap();
    assert_eq!(sum(&listed(&whole)), 4);
}
