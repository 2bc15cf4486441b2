//! The promises of every store to clients that number their batches.

use tally_producers::{
    BatchEnd, Fate, Leaving, Opening, Parcel, Producers, Refusal, Run, Standing, Terms, draw_epoch,
};
use tally_requests::{DOMAIN, Day, Rows, SeriesId};
use uuid::Uuid;

use crate::backend::{Backend, OLD, Producer, TERMS, TODAY, append, noon, sum};
use crate::conformance::on_every_backend;

on_every_backend!(crate::runs:
    a_run_is_stored_once,
    only_new_batches_of_a_run_are_stored,
    one_batch_has_runs_of_every_kind,
    a_batch_that_is_stored_judges_its_runs_again,
    two_servers_with_the_same_run_at_once,
    two_servers_with_many_producers_at_once,
    two_clients_open_one_producer_at_once,
    a_replaced_client_stores_nothing,
    the_number_of_producers_is_limited,
    a_producer_that_leaves_is_forgotten_at_once,
    a_producer_that_stored_nothing_is_forgotten_after_an_hour,
);

/// Below and above the size from which Postgres uses COPY.
const SIZES: [usize; 2] = [3, 2_500];

/// A client with an open producer.
pub(crate) struct Client {
    pub(crate) id: Uuid,
    pub(crate) epoch: i64,
    pub(crate) claim: i64,
}

// === impl Client ===

impl Client {
    pub(crate) async fn open(producers: &Producers) -> Self {
        let (id, claim) = (Uuid::now_v7(), -7);
        let Standing { epoch, .. } = opened(producers, id, 0, &[claim]).await.unwrap();
        Self { id, epoch, claim }
    }

    /// Batches from `first` on, each with this many rows at noon of a day.
    pub(crate) fn run(&self, first: i64, sizes: &[usize], id: SeriesId, at: &str) -> Parcel<Rows> {
        let ends = sizes.iter().scan(0, |sum, size| {
            *sum += size;
            Some(BatchEnd { rows: *sum, ..BatchEnd::default() })
        });
        let rows = Rows::from_iter(vec![(id, noon(at)); sizes.iter().sum()]);
        rows.of_run(self.of(first, ends.collect()))
    }

    pub(crate) fn of(&self, first: i64, batches: Vec<BatchEnd>) -> Run {
        Run { producer: self.id, epoch: self.epoch, is_shared: false, first, batches }
    }
}

pub(crate) fn opening(id: Uuid, epoch: i64, claims: &[i64]) -> Opening {
    let (claims, name) = (claims.to_vec(), "a test".to_owned());
    let (may_be_new, next_epoch) = (epoch == 0, draw_epoch());
    let (take_over, told) = (false, None);
    Opening { id, epoch, claims, name, may_be_new, take_over, told, next_epoch }
}

pub(crate) async fn opened(
    producers: &Producers,
    id: Uuid,
    epoch: i64,
    claims: &[i64],
) -> Result<Standing, Refusal> {
    producers.open(&opening(id, epoch, claims)).await.unwrap()
}

/// Stores one run by a worker of its own.
pub(crate) async fn store(backend: &Backend, rows: Parcel<Rows>) -> Fate {
    let fates = Producer::new().send(&backend.store, backend.is_cockroach(), &[rows]).await;
    *fates.first().expect("one for each chunk")
}

pub(crate) fn stored(committed: i64) -> Fate {
    Fate::Stored { committed, known: 0 }
}

async fn a_run_is_stored_once(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    let mut expected = 0;
    for size in SIZES {
        let client = Client::open(&backend.producers).await;
        for first in [1, 4] {
            let sizes = [size, 0, size];
            expected += 2 * size as i64;
            for _ in 0..3 {
                assert_eq!(
                    store(&backend, client.run(first, &sizes, id, TODAY)).await,
                    stored(first + 2)
                );
                assert_eq!(sum(&backend.live().await), expected);
            }
        }
        // One that is far behind, by another server.
        let rows = client.run(2, &[1], id, OLD);
        let fates = Producer::new().send(&backend.second, backend.is_cockroach(), &[rows]).await;
        assert_eq!(fates, [stored(6)]);
    }
    assert_eq!(sum(&backend.live().await), expected);
    backend.audit().await;
}

async fn only_new_batches_of_a_run_are_stored(backend: Backend) {
    let ids = [backend.id(3, "/known").await, backend.id(3, "/new").await];
    for size in SIZES {
        let before = backend.live().await;
        let client = Client::open(&backend.producers).await;
        let known = client.run(1, &[size, size], ids[0], OLD);
        assert_eq!(store(&backend, known).await, stored(2));
        // Of the batches 2 to 4 the last two are new: only their rows are stored.
        let rows = vec![(ids[0], noon(OLD)); size];
        let new = vec![(ids[1], noon(OLD)); 2 * size];
        let ends = [size, 2 * size, 3 * size].map(|rows| BatchEnd {
            rows,
            drops: vec![(Day(0), 1)],
            ..BatchEnd::default()
        });
        let run = client.of(2, ends.to_vec());
        let rows = Rows::from_iter(rows.into_iter().chain(new)).of_run(run);
        assert_eq!(store(&backend, rows).await, stored(4));
        let after = backend.live().await;
        let of = |totals: &[crate::backend::Total], path: &str| {
            totals.iter().filter(|one| one.2 == path).map(|one| one.3).sum::<i64>()
        };
        for path in ["/known", "/new"] {
            assert_eq!(of(&after, path) - of(&before, path), 2 * size as i64, "{path}");
        }
        // The drops of the first one are not counted again.
        let brought = backend.producers.list(false).await.unwrap();
        let brought = brought.iter().find(|one| one.id == client.id).unwrap();
        assert_eq!((brought.accepted, brought.dropped), (4 * size as i64, 2));
    }
    backend.audit().await;
}

async fn one_batch_has_runs_of_every_kind(backend: Backend) {
    let id = backend.id(3, "/").await;
    for size in SIZES {
        let before = sum(&backend.live().await);
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(Client::open(&backend.producers).await);
        }
        let [new, known, gap, replaced, both] = clients.try_into().ok().unwrap();
        assert_eq!(store(&backend, known.run(1, &[size], id, OLD)).await, stored(1));
        let forgotten = Client { id: Uuid::now_v7(), epoch: 1, claim: 5 };
        let replaced = Client { epoch: 6, ..replaced };
        let runs = [
            (new.run(1, &[size, size], id, OLD), stored(2)),
            (known.run(1, &[size], id, OLD), stored(1)),
            (gap.run(2, &[size], id, OLD), Fate::Gap { committed: 0 }),
            (forgotten.run(1, &[size], id, OLD), Fate::Refused(Refusal::Forgotten)),
            (replaced.run(1, &[size], id, OLD), Fate::Refused(Refusal::InUse)),
            (both.run(1, &[size], id, OLD), stored(1)),
            (both.run(1, &[size, size], id, OLD), stored(2)),
        ];
        let (mut chunks, mut fates): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        // Requests of an Add stream beside them.
        chunks.insert(2, Rows::from_iter(vec![(id, noon(OLD)); size]).into());
        fates.insert(2, stored(0));
        assert_eq!(
            Producer::new().send(&backend.store, backend.is_cockroach(), &chunks).await,
            fates
        );
        // One that was known, two of the new one, one of Add, two of two streams.
        assert_eq!(sum(&backend.live().await) - before, 6 * size as i64);
    }
    backend.audit().await;
}

/// As after a lost answer, when the worker's own number shows that the batch is stored.
async fn a_batch_that_is_stored_judges_its_runs_again(backend: Backend) {
    let id = backend.id(3, "/").await;
    for size in SIZES {
        let before = sum(&backend.live().await);
        let (client, late) =
            (Client::open(&backend.producers).await, Client::open(&backend.producers).await);
        let mut worker = Producer::new();
        let added = Parcel::from(Rows::from_iter(vec![(id, noon(OLD)); size]));
        let first = client.run(1, &[size], id, OLD);
        worker.send(&backend.store, backend.is_cockroach(), &[added.clone(), first]).await;
        worker.repeat();
        let (again, new) = (client.run(1, &[size], id, OLD), late.run(1, &[size], id, OLD));
        let fates = worker.send(&backend.store, backend.is_cockroach(), &[added, again, new]).await;
        assert_eq!(fates, [stored(0), stored(1), stored(1)]);
        assert_eq!(sum(&backend.live().await) - before, 3 * size as i64);
    }
    backend.audit().await;
}

async fn two_servers_with_the_same_run_at_once(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    let mut expected = 0;
    let (mut one, mut other) = (Producer::new(), Producer::new());
    for size in SIZES {
        let client = Client::open(&backend.producers).await;
        for round in 0..10 {
            let first = 1 + 2 * round;
            let a = client.run(first, &[size, size], id, TODAY);
            let b = client.run(first, &[size, size], id, TODAY);
            let (a, b) = ([a], [b]);
            let fates = tokio::join!(
                one.send(&backend.store, backend.is_cockroach(), &a),
                other.send(&backend.second, backend.is_cockroach(), &b)
            );
            assert_eq!(fates, (vec![stored(first + 1)], vec![stored(first + 1)]));
            expected += 2 * size as i64;
        }
    }
    assert_eq!(sum(&backend.live().await), expected);
    backend.audit().await;
}

/// In opposite orders, which must not deadlock forever.
async fn two_servers_with_many_producers_at_once(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::open(&backend.producers).await);
    }
    let (mut one, mut other) = (Producer::new(), Producer::new());
    for round in 1..=10 {
        let chunks = || clients.iter().map(|client| client.run(round, &[5], id, TODAY));
        let (a, b): (Vec<_>, Vec<_>) = (chunks().collect(), chunks().rev().collect());
        let (one, other) = (
            one.send(&backend.store, backend.is_cockroach(), &a),
            other.send(&backend.second, backend.is_cockroach(), &b),
        );
        assert_eq!(tokio::join!(one, other), (vec![stored(round); 20], vec![stored(round); 20]));
    }
    assert_eq!(sum(&backend.live().await), 20 * 10 * 5);
    backend.audit().await;
}

async fn two_clients_open_one_producer_at_once(backend: Backend) {
    for round in 0..20 {
        let (id, mut epoch) = (Uuid::now_v7(), 0);
        for claims in [[1, 2], [3, 4]].map(|claims| claims.map(|claim| claim + 100 * round)) {
            let (a, b) = (
                opened(&backend.producers, id, epoch, &claims[..1]),
                opened(&backend.second_producers, id, epoch, &claims[1..]),
            );
            let (winner, claim) = match tokio::join!(a, b) {
                (Ok(first), Err(Refusal::InUse)) => (first, claims[0]),
                (Err(Refusal::InUse), Ok(second)) => (second, claims[1]),
                both => panic!("{both:?}"),
            };
            assert_eq!((winner.claim, winner.sequence), (claim, 0));
            assert_ne!(winner.epoch, epoch);
            epoch = winner.epoch;
        }
    }
}

async fn a_replaced_client_stores_nothing(backend: Backend) {
    let endpoint = backend.id(3, "/").await;
    let old = Client::open(&backend.producers).await;
    assert_eq!(store(&backend, old.run(1, &[1], endpoint, OLD)).await, stored(1));
    // It may reopen any number of times.
    for epoch in [0, old.epoch] {
        let again = opened(&backend.second_producers, old.id, epoch, &[old.claim]).await.unwrap();
        assert_eq!((again.epoch, again.claim, again.sequence), (old.epoch, old.claim, 1));
    }
    let moved = opened(&backend.second_producers, old.id, old.epoch, &[11]).await.unwrap();
    assert_eq!((moved.claim, moved.sequence), (11, 1));
    assert_ne!(moved.epoch, old.epoch);
    for size in SIZES {
        let refused = store(&backend, old.run(2, &[size], endpoint, OLD)).await;
        assert_eq!(refused, Fate::Refused(Refusal::InUse));
    }
    for epoch in [1, 2, old.epoch, moved.epoch - 1, moved.epoch + 1] {
        let refused = opened(&backend.producers, old.id, epoch, &[old.claim]).await;
        assert_eq!(refused, Err(Refusal::InUse));
    }
    // The claim of a process that was killed before it heard the answer.
    let new = opened(&backend.producers, old.id, old.epoch, &[11, 12]).await.unwrap();
    assert_eq!((new.claim, new.sequence), (12, 1));
    assert!(![old.epoch, moved.epoch].contains(&new.epoch));
    let new = Client { epoch: new.epoch, claim: 12, ..old };
    assert_eq!(store(&backend, new.run(2, &[1], endpoint, OLD)).await, stored(2));
    // A server's worker cannot be opened.
    let mut worker = Producer::new();
    worker.append(&backend.store, backend.is_cockroach(), [(endpoint, noon(OLD))]).await;
    for claims in [&[1][..], &[0, 1]] {
        assert_eq!(opened(&backend.producers, worker.id, 0, claims).await, Err(Refusal::InUse));
    }
    assert_eq!(sum(&backend.live().await), 3);
}

async fn the_number_of_producers_is_limited(backend: Backend) {
    let endpoint = backend.id(3, "/").await;
    append(&backend, [(endpoint, noon(OLD))]).await;
    let terms = Terms { producers_max: 2, ..TERMS };
    let producers = Producers::new(backend.database.clone(), DOMAIN.name, terms);
    let ids = [1, 2, 3].map(Uuid::from_u128);
    for id in ids[..2].iter().chain(&ids[..2]) {
        producers.open(&opening(*id, 0, &[1])).await.unwrap().unwrap();
    }
    let third = producers.open(&opening(ids[2], 0, &[1])).await.unwrap();
    assert_eq!(third, Err(Refusal::TooMany { max: 2 }));
}

async fn a_producer_that_leaves_is_forgotten_at_once(backend: Backend) {
    let endpoint = backend.id(3, "/").await;
    let client = Client::open(&backend.producers).await;
    let other = Client::open(&backend.producers).await;
    assert_eq!(store(&backend, client.run(1, &[2, 1], endpoint, OLD)).await, stored(2));
    let Client { id, epoch, claim } = client;
    let leaving = Leaving { id, epoch, sequence: 2, last_seen_micros: None };
    // Its state differs: it has stored more, or another process or stream has opened it.
    let first = opened(&backend.producers, id, epoch, &[claim]).await.unwrap().last_seen_micros;
    let second = opened(&backend.producers, id, epoch, &[claim]).await.unwrap().last_seen_micros;
    for leaving in [
        Leaving { sequence: 1, ..leaving },
        Leaving { epoch: epoch ^ 1, ..leaving },
        Leaving { id: other.id, ..leaving },
        Leaving { last_seen_micros: Some(first), ..leaving },
    ] {
        backend.producers.forget(leaving).await.unwrap();
        assert_eq!(backend.producers.list(false).await.unwrap().len(), 2);
    }
    let leaving = Leaving { last_seen_micros: Some(second), ..leaving };
    for _ in 0..2 {
        backend.producers.forget(leaving).await.unwrap();
        let left = backend.producers.list(false).await.unwrap();
        assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [other.id]);
        backend.audit().await;
    }
    // A resent batch that arrives this late is not stored again.
    for first in [1, 2, 3] {
        let late = store(&backend, client.run(first, &[2], endpoint, OLD)).await;
        assert_eq!(late, Fate::Refused(Refusal::Forgotten));
    }
    assert_eq!(opened(&backend.producers, id, epoch, &[claim]).await, Err(Refusal::Forgotten));
    // Not even after a delayed first Open of the same process.
    let stale = Opening { may_be_new: true, ..opening(id, 0, &[claim]) };
    assert!(backend.producers.open(&stale).await.unwrap().is_ok());
    let late = store(&backend, client.run(1, &[2], endpoint, OLD)).await;
    assert_eq!(late, Fate::Refused(Refusal::InUse));
    assert_eq!(sum(&backend.live().await), 3);
}

async fn a_producer_that_stored_nothing_is_forgotten_after_an_hour(backend: Backend) {
    let endpoint = backend.id(3, "/").await;
    let (idle, active) =
        (Client::open(&backend.producers).await, Client::open(&backend.producers).await);
    assert_eq!(store(&backend, active.run(1, &[1], endpoint, OLD)).await, stored(1));
    backend.maintain().await;
    assert_eq!(backend.producers.list(false).await.unwrap().len(), 2, "not yet");
    backend.age_producers(1).await;
    backend.maintain().await;
    let left = backend.producers.list(false).await.unwrap();
    assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [active.id]);
    let refused = store(&backend, idle.run(1, &[1], endpoint, OLD)).await;
    assert_eq!(refused, Fate::Refused(Refusal::Forgotten));
    // Nothing of it can be stored: it begins again, and what it sent twice is counted once.
    let again = Opening { may_be_new: true, ..opening(idle.id, idle.epoch, &[idle.claim]) };
    let standing = backend.producers.open(&again).await.unwrap().unwrap();
    assert_eq!((standing.claim, standing.sequence), (idle.claim, 0));
    assert_ne!(standing.epoch, idle.epoch);
    let stale = store(&backend, idle.run(1, &[4], endpoint, OLD)).await;
    assert_eq!(stale, Fate::Refused(Refusal::InUse));
    let again = Client { epoch: standing.epoch, ..idle };
    for _ in 0..2 {
        assert_eq!(store(&backend, again.run(1, &[4], endpoint, OLD)).await, stored(1));
    }
    assert_eq!(sum(&backend.live().await), 5);
}
