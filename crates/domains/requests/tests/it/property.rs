//! After any sequence of appends, folds, roll-ups and prunings, totals match a model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tally_requests::{DayRange, SeriesId};

use crate::backend::{Backend, Producer, Total, day, noon, sum};

const DAYS: [&str; 4] = ["2015-05-17", "2015-05-18", "2030-06-15", "2030-06-16"];
const PATHS: [&str; 3] = ["/a", "/b", "/é"];

/// One step of a sequence.
#[derive(Debug, Clone)]
enum Action {
    /// Rows of a day and a path, several in one batch.
    Append(Vec<(usize, usize)>),
    /// Repeats the last batch of the same producer.
    Repeat,
    /// From one of the days to another.
    RollUp(usize, usize),
    Fold,
    /// Before one of the days.
    Prune(usize),
}

fn action() -> impl Strategy<Value = Action> {
    let row = (0..DAYS.len(), 0..PATHS.len());
    prop_oneof![
        4 => prop::collection::vec(row, 1..12).prop_map(Action::Append),
        1 => Just(Action::Repeat),
        3 => (0..DAYS.len(), 0..DAYS.len()).prop_map(|(a, b)| Action::RollUp(a.min(b), a.max(b))),
        2 => Just(Action::Fold),
        1 => (0..DAYS.len()).prop_map(Action::Prune),
    ]
}

/// The expected state: for each day and path, how many requests.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(usize, usize), i64>,
    /// Folded, of days that are not rolled up.
    open: BTreeMap<(usize, usize), i64>,
    /// Of rolled-up days.
    totals: BTreeMap<(usize, usize), i64>,
    rolled_up: BTreeSet<usize>,
}

// === impl Model ===

impl Model {
    /// Returns how many requests are folded, and how many of them are of rolled-up days.
    fn fold(&mut self) -> (i64, i64) {
        let (mut all, mut rolled_up) = (0, 0);
        for (key, count) in std::mem::take(&mut self.rows) {
            all += count;
            if self.rolled_up.contains(&key.0) {
                rolled_up += count;
                *self.totals.entry(key).or_default() += count;
            } else {
                *self.open.entry(key).or_default() += count;
            }
        }
        (all, rolled_up)
    }

    fn roll_up(&mut self, first: usize, last: usize) -> i64 {
        let (_, mut moved) = self.fold();
        for (key, count) in std::mem::take(&mut self.open) {
            if (first..=last).contains(&key.0) {
                moved += count;
                self.rolled_up.insert(key.0);
                *self.totals.entry(key).or_default() += count;
            } else {
                self.open.insert(key, count);
            }
        }
        moved
    }

    fn rolled_up(&self) -> Vec<Total> {
        Self::list(self.totals.iter().map(|(key, count)| (*key, *count)))
    }

    fn live(&self) -> Vec<Total> {
        let mut sums = self.totals.clone();
        for (key, count) in self.rows.iter().chain(&self.open) {
            *sums.entry(*key).or_default() += count;
        }
        Self::list(sums.into_iter())
    }

    fn list(counts: impl Iterator<Item = ((usize, usize), i64)>) -> Vec<Total> {
        counts
            .map(|((day, path), count)| (DAYS[day].to_owned(), 3, PATHS[path].to_owned(), count))
            .collect()
    }
}

async fn tell(backend: &Backend, actions: &[Action]) {
    let mut ids: Vec<SeriesId> = Vec::new();
    for path in PATHS {
        ids.push(backend.id(3, path).await);
    }
    let (mut model, mut producer) = (Model::default(), Producer::new());
    let mut last = Vec::new();
    for action in actions {
        match action {
            Action::Append(rows) => {
                last = rows.iter().map(|(day, path)| (ids[*path], noon(DAYS[*day]))).collect();
                let rows_of_batch = last.iter().copied();
                producer.append(&backend.store, backend.is_cockroach(), rows_of_batch).await;
                for row in rows {
                    *model.rows.entry(*row).or_default() += 1;
                }
            }
            Action::Repeat if producer.sequence > 0 => {
                producer.repeat();
                let rows = last.iter().copied();
                producer.append(&backend.second, backend.is_cockroach(), rows).await;
            }
            Action::Repeat => {}
            Action::RollUp(a, b) => {
                let days = DayRange { first: day(DAYS[*a]), last: day(DAYS[*b]) };
                let moved = backend.roll_up(days).await;
                assert_eq!(i64::try_from(moved).unwrap(), model.roll_up(*a, *b));
            }
            Action::Fold => {
                let folded = backend.store.fold().await.unwrap();
                let done =
                    [folded.requests, folded.rolled_up].map(|one| i64::try_from(one).unwrap());
                assert_eq!(done, <[i64; 2]>::from(model.fold()));
            }
            Action::Prune(before) => {
                backend.prune(day(DAYS[*before])).await;
            }
        }
        assert_eq!(backend.live().await, model.live());
        assert_eq!(backend.rolled_up().await, model.rolled_up());
        let of_view = |(day, _, path, count): Total| (day, path, count);
        let live: Vec<_> = model.live().into_iter().map(of_view).collect();
        assert_eq!(backend.view().await, live);
        backend.audit().await;
    }
    assert_eq!(backend.count("tally_requests").await, model.rows.values().sum::<i64>());
    assert!(sum(&backend.live().await) >= sum(&backend.rolled_up().await));
}

macro_rules! story {
    ($backend:ident, $cases:expr) => {
        #[test]
        fn $backend() {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let config = Config { cases: $cases, failure_persistence: None, ..Config::default() };
            let run = |actions: Vec<Action>| {
                runtime.block_on(async {
                    if let Some(backend) = Backend::$backend("property").await {
                        tell(&backend, &actions).await;
                    }
                });
                Ok(())
            };
            TestRunner::new(config)
                .run(&prop::collection::vec(action(), 1..20), run)
                .unwrap_or_else(|failure| panic!("{failure}"));
        }
    };
}

story!(sqlite, 24);
story!(postgres, 8);
story!(cockroach, 8);
story!(cockroach_on_postgres, 6);
