//! Each statement of an operation goes wrong once, COMMIT included, as CockroachDB lets it: the
//! operation ends well all the same, and what it did, it did once.

use tally_testkit::Disturbance;

use crate::backend::{Backend, OLD, Producer, append, noon, one_day, sum};
use crate::conformance::on;

mod postgres {
    super::on!(postgres, crate::disturbed: batches_are_stored_once, totals_are_read, rolled_up_once);
}

mod cockroach_on_postgres {
    super::on!(cockroach_on_postgres, crate::disturbed: batches_are_stored_once, totals_are_read, rolled_up_once);
}

/// Below and above the size from which Postgres uses COPY.
const SIZES: [usize; 2] = [3, 2_500];

async fn batches_are_stored_once(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let id = backend.id(3, "/").await;
    for size in SIZES {
        let mut worker = Producer::new();
        let mut expected = sum(&backend.live().await);
        disturber
            .at_every_statement(
                &Disturbance::ALL,
                async || worker.append(&backend.store, true, vec![(id, noon(OLD)); size]).await,
                async |when, ()| {
                    expected += size as i64;
                    assert_eq!(backend.count("tally_requests").await, expected, "{when}");
                    let accounts = backend.accounts().await;
                    let accepted: i64 = accounts.iter().map(|(_, accepted, _)| accepted).sum();
                    assert_eq!(accepted, expected, "{when}");
                },
            )
            .await;
    }
}

async fn totals_are_read(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let id = backend.id(3, "/").await;
    append(&backend, vec![(id, noon(OLD)); 7]).await;
    disturber
        .at_every_statement(
            &Disturbance::ALL,
            async || backend.live().await,
            async |when, totals| assert_eq!(sum(&totals), 7, "{when}"),
        )
        .await;
}

async fn rolled_up_once(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let (id, day) = (backend.id(3, "/").await, one_day(OLD));
    let mut expected = 0;
    let late = async || append(&backend, vec![(id, noon(OLD)); 7]).await;
    late().await;
    disturber
        .at_every_statement(
            &Disturbance::ALL,
            async || backend.roll_up(day).await,
            async |when, _moved| {
                expected += 7;
                assert_eq!(sum(&backend.rolled_up().await), expected, "{when}");
                late().await;
            },
        )
        .await;
}
