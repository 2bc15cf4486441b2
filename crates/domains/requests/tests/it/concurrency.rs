//! Appending, rolling up, querying and housekeeping at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tally_requests::store::Store;
use tally_requests::{DayRange, SeriesId};
use tally_runtime::chain;
use tokio::task::JoinSet;

use crate::backend::{Backend, OLD, Producer, TODAY, append, ask, day, listed, noon, query, sum};
use crate::conformance::on_every_backend;

on_every_backend!(crate::concurrency:
    nothing_is_lost_while_a_day_is_rolled_up,
    two_servers_roll_up_one_day_at_once,
    hours_are_exact_or_refused_while_their_days_are_pruned,
);

/// Tasks that append.
const APPENDERS: usize = 4;
/// Batches of each task; every tenth is large.
const BATCHES: usize = 30;
const SMALL_ROWS: usize = 20;
const LARGE_ROWS: usize = 2_100;

/// How much was started, and how much is acknowledged.
#[derive(Default)]
struct Progress {
    begun: AtomicI64,
    acknowledged: AtomicI64,
    appenders: AtomicUsize,
}

// === impl Progress ===

impl Progress {
    fn is_over(&self) -> bool {
        self.appenders.load(Ordering::SeqCst) == APPENDERS
    }
}

async fn nothing_is_lost_while_a_day_is_rolled_up(backend: Backend) {
    backend.maintain().await;
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    let progress = Arc::new(Progress::default());
    let mut tasks = JoinSet::new();
    for _ in 0..APPENDERS {
        let (store, progress) = (Arc::clone(&backend.store), Arc::clone(&progress));
        tasks.spawn(appender(store, backend.is_cockroach(), ids, progress));
    }
    tasks.spawn(roller(Arc::clone(&backend.second), Arc::clone(&progress)));
    tasks.spawn(keeper(Arc::clone(&backend.second), Arc::clone(&progress)));
    tasks.spawn(reader(Arc::clone(&backend.store), Arc::clone(&progress)));
    while let Some(task) = tasks.join_next().await {
        task.expect("no task fails");
    }
    let all = progress.begun.load(Ordering::SeqCst);
    assert_eq!(sum(&backend.live().await), all);
    backend.roll_up(DayRange::ALL).await;
    let rolled_up = backend.rolled_up().await;
    assert_eq!(sum(&rolled_up), all);
    // Four equal totals: two days and two endpoints.
    assert_eq!(rolled_up.iter().map(|one| one.3).collect::<Vec<_>>(), [all / 4; 4]);
    assert_eq!(backend.count("tally_requests").await, 0);
    assert_eq!(backend.audit().await, all);
}

async fn appender(
    store: Arc<Store>,
    is_cockroach: bool,
    ids: [SeriesId; 2],
    progress: Arc<Progress>,
) {
    let mut producer = Producer::new();
    for batch in 0..BATCHES {
        let rows = if batch % 10 == 9 { LARGE_ROWS } else { SMALL_ROWS };
        let days = [noon(TODAY), noon(OLD)];
        let batch = (0..rows).map(|n| (ids[n % 2], days[n / 2 % 2]));
        let rows = i64::try_from(rows).unwrap();
        progress.begun.fetch_add(rows, Ordering::SeqCst);
        producer.append(&store, is_cockroach, batch).await;
        progress.acknowledged.fetch_add(rows, Ordering::SeqCst);
    }
    progress.appenders.fetch_add(1, Ordering::SeqCst);
}

async fn roller(store: Arc<Store>, progress: Arc<Progress>) {
    while !progress.is_over() {
        for days in [DayRange::one(day(TODAY)), DayRange::one(day(OLD))] {
            if let Err(error) = store.roll_up(days).await {
                panic!("roll up: {}", chain(&error));
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn keeper(store: Arc<Store>, progress: Arc<Progress>) {
    while !progress.is_over() {
        if let Err(error) = store.fold().await {
            panic!("fold: {}", chain(&error));
        }
        if let Err(error) = store.prune(day(TODAY), std::time::Duration::ZERO).await {
            panic!("prune: {}", chain(&error));
        }
        tokio::task::yield_now().await;
    }
}

/// Sees all acknowledged requests, and none twice.
async fn reader(store: Arc<Store>, progress: Arc<Progress>) {
    let query = query(tally_requests::periods::Granularity::Day, true);
    let mut seen = 0;
    while !progress.is_over() {
        let acknowledged = progress.acknowledged.load(Ordering::SeqCst);
        let live = sum(&listed(&ask(&store, &query).await.expect("not too many")));
        let begun = progress.begun.load(Ordering::SeqCst);
        assert!(live >= seen, "the total went from {seen} down to {live}");
        assert!(live >= acknowledged, "{live} of {acknowledged} acknowledged requests");
        assert!(live <= begun, "{live} of {begun} requests that were sent");
        seen = live;
        tokio::task::yield_now().await;
    }
}

async fn two_servers_roll_up_one_day_at_once(backend: Backend) {
    backend.maintain().await;
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    for round in 1..=5_i64 {
        for day in [TODAY, OLD] {
            append(&backend, (0..3_000).map(|n| (ids[n % 2], noon(day)))).await;
        }
        let (one, other) = tokio::join!(
            backend.store.roll_up(DayRange::ALL),
            backend.second.roll_up(DayRange::ALL)
        );
        assert_eq!(one.unwrap() + other.unwrap(), 6_000);
        let rolled_up = backend.rolled_up().await;
        let counts: Vec<_> = rolled_up.iter().map(|one| one.3).collect();
        assert_eq!(counts, [1_500 * round; 4]);
        assert_eq!(backend.live().await, rolled_up);
        assert_eq!(backend.count("tally_requests").await, 0);
        backend.audit().await;
    }
}

/// Days are pruned one after another, while somebody asks for the hours of all of them.
async fn hours_are_exact_or_refused_while_their_days_are_pruned(backend: Backend) {
    const DAYS: i64 = 30;
    let backend = backend.in_steps(3);
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    let days = (0..DAYS).map(|n| noon(OLD) + n * 86_400_000_000);
    append(&backend, days.flat_map(|noon| ids.map(|id| (id, noon)))).await;
    backend.roll_up(DayRange::ALL).await;
    let hours = query(tally_requests::periods::Granularity::Hour, false);
    let is_exact = async || match backend.second.totals(&hours).await {
        Ok(totals) => {
            assert_eq!(sum(&listed(&totals)), 2 * DAYS);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), tally_runtime::Kind::FailedPrecondition, "{}", chain(&error));
            false
        }
    };
    assert!(is_exact().await);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let pruning = async {
        for n in 1..=DAYS as i32 {
            assert_eq!(backend.prune(day(OLD).plus(n)).await, 1);
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let asking = async {
        let mut was_exact = true;
        while !is_over.load(Ordering::SeqCst) {
            let is_exact = is_exact().await;
            assert!(was_exact || !is_exact, "what is pruned does not come back");
            was_exact = is_exact;
        }
    };
    tokio::join!(pruning, asking);
    assert!(!is_exact().await);
    assert_eq!(backend.audit().await, 2 * DAYS);
}
