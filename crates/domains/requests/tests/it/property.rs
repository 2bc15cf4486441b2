//! After any sequence of appends, roll-ups and housekeeping, live totals match a model.

use std::collections::BTreeMap;

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
    Maintain(&'static str),
}

fn action() -> impl Strategy<Value = Action> {
    let row = (0..DAYS.len(), 0..PATHS.len());
    prop_oneof![
        4 => prop::collection::vec(row, 1..12).prop_map(Action::Append),
        1 => Just(Action::Repeat),
        3 => (0..DAYS.len(), 0..DAYS.len()).prop_map(|(a, b)| Action::RollUp(a.min(b), a.max(b))),
        1 => prop::sample::select(vec!["2030-06-15T00:00:00Z", "2030-06-16T23:59:59Z", "2031-01-01T00:00:00Z"])
            .prop_map(Action::Maintain),
    ]
}

/// The expected state.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(usize, usize), i64>,
    totals: BTreeMap<(usize, usize), i64>,
}

// === impl Model ===

impl Model {
    fn roll_up(&mut self, first: usize, last: usize) -> i64 {
        let mut moved = 0;
        for ((day, path), count) in &mut self.rows {
            if (first..=last).contains(day) && *count > 0 {
                moved += *count;
                *self.totals.entry((*day, *path)).or_default() += std::mem::take(count);
            }
        }
        moved
    }

    fn rolled_up(&self) -> Vec<Total> {
        Self::list(self.totals.iter().map(|(key, count)| (*key, *count)))
    }

    fn live(&self) -> Vec<Total> {
        let mut sums = self.totals.clone();
        for (key, count) in self.rows.iter().filter(|(_, count)| **count > 0) {
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
            Action::Maintain(now) => {
                backend.store.maintain(now.parse().unwrap()).await.unwrap();
            }
        }
        assert_eq!(backend.live().await, model.live());
        assert_eq!(backend.rolled_up().await, model.rolled_up());
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
