//! The promises of every store to clients that number their batches.

use std::sync::Arc;

use tally_producers::{
    BatchEnd, Fate, Leaving, Opening, Parcel, Producers, Refusal, Run, Standing, Terms, Told,
    draw_epoch,
};
use tally_requests::{DOMAIN, Day, DayRange, Rows, SeriesId};
use uuid::Uuid;

use crate::backend::{
    Backend, OLD, Producer, TERMS, TODAY, append, ask, day, noon, one_day, query, sum,
};
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
    a_loss_is_noted_once,
    setbacks_do_not_fill_the_table,
    every_request_is_in_the_accounts,
    the_drops_of_a_forgotten_producer_stay,
    many_days_are_in_the_accounts,
);

/// Below and above the size from which Postgres uses COPY.
const SIZES: [usize; 2] = [3, 2_500];

/// A client with an open producer.
struct Client {
    id: Uuid,
    epoch: i64,
    claim: i64,
}

// === impl Client ===

impl Client {
    async fn open(producers: &Producers) -> Self {
        let (id, claim) = (Uuid::now_v7(), -7);
        let Standing { epoch, .. } = opened(producers, id, 0, &[claim]).await.unwrap();
        Self { id, epoch, claim }
    }

    /// Batches from `first` on, each of so many rows at noon of a day.
    fn run(&self, first: i64, sizes: &[usize], id: SeriesId, at: &str) -> Parcel<Rows> {
        let ends = sizes.iter().scan(0, |sum, size| {
            *sum += size;
            Some(BatchEnd { rows: *sum, ..BatchEnd::default() })
        });
        let rows = Rows::from_iter(vec![(id, noon(at)); sizes.iter().sum()]);
        rows.of_run(self.of(first, ends.collect()))
    }

    fn of(&self, first: i64, batches: Vec<BatchEnd>) -> Run {
        Run { producer: self.id, epoch: self.epoch, first, batches }
    }
}

fn opening(id: Uuid, epoch: i64, claims: &[i64]) -> Opening {
    let (claims, name) = (claims.to_vec(), "a test".to_owned());
    let (may_be_new, next_epoch) = (epoch == 0, draw_epoch());
    let (take_over, told) = (false, None);
    Opening { id, epoch, claims, name, may_be_new, take_over, told, next_epoch }
}

async fn opened(
    producers: &Producers,
    id: Uuid,
    epoch: i64,
    claims: &[i64],
) -> Result<Standing, Refusal> {
    producers.open(&opening(id, epoch, claims)).await.unwrap()
}

/// Stores one run by a worker of its own.
async fn store(backend: &Backend, rows: Parcel<Rows>) -> Fate {
    let fates = Producer::new().send(&backend.store, backend.is_cockroach(), &[rows]).await;
    *fates.first().expect("one for each chunk")
}

fn stored(committed: i64) -> Fate {
    Fate::Stored { committed }
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
        let again = opened(&backend.second_producers, old.id, epoch, &[old.claim]).await;
        let again = again.unwrap();
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
    // Its state differs: it has stored more, or another process has opened it.
    for leaving in [
        Leaving { id, epoch, sequence: 1 },
        Leaving { id, epoch: epoch ^ 1, sequence: 2 },
        Leaving { id: other.id, epoch, sequence: 2 },
    ] {
        backend.producers.forget(leaving, Arc::new(())).await.unwrap();
        assert_eq!(backend.producers.list(false).await.unwrap().len(), 2);
    }
    let leaving = Leaving { id, epoch, sequence: 2 };
    for _ in 0..2 {
        backend.producers.forget(leaving, Arc::new(())).await.unwrap();
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

async fn a_loss_is_noted_once(backend: Backend) {
    let endpoint = backend.id(3, "/").await;
    let client = Client::open(&backend.producers).await;
    assert_eq!(store(&backend, client.run(1, &[1, 1], endpoint, OLD)).await, stored(2));
    let now_micros = crate::backend::at("2100-01-01T00:00:00Z");
    let told = |sequence| Told { sequence, at_micros: None, is_recent: true, now_micros };
    let open = async |id, epoch, claim, sequence| {
        let opening = Opening { told: Some(told(sequence)), ..opening(id, epoch, &[claim]) };
        backend.producers.open(&opening).await.unwrap().map(|standing| standing.sequence)
    };
    let Client { id, epoch, claim } = client;
    // Nothing is missing, or another client claims it.
    assert_eq!(open(id, epoch, claim, 2).await, Ok(2));
    assert_eq!(open(id, 1, 66, 9).await, Err(Refusal::InUse));
    assert_eq!(backend.producers.setbacks().await.unwrap(), []);
    let gone = Uuid::now_v7();
    for _ in 0..3 {
        assert_eq!(open(id, epoch, claim, 7).await, Ok(2));
        assert_eq!(open(gone, 5, 1, 3).await, Err(Refusal::Forgotten));
    }
    // One server's worker has lost everything, and another one a part.
    let (mut lost, mut short) = (Producer::new(), Producer::new());
    short.append(&backend.store, backend.is_cockroach(), [(endpoint, noon(OLD))]).await;
    short.sequence += 3;
    lost.sequence += 4;
    for _ in 0..2 {
        for worker in [&lost, &short] {
            backend.producers.note_setback(worker.id, told(worker.sequence)).await.unwrap();
        }
    }
    let noted = backend.producers.setbacks().await.unwrap();
    for (producer, name, batches) in [
        (id, "a test", 5),
        (gone, "a test", 3),
        (lost.id, "tally serve", 4),
        (short.id, "tally serve", 3),
    ] {
        let one: Vec<_> = noted.iter().filter(|one| one.producer == producer).collect();
        assert_eq!(one.len(), 1, "{noted:?}");
        assert_eq!((one[0].name.as_str(), one[0].batches, one[0].producers), (name, batches, 1));
        assert_eq!(one[0].noticed_micros, now_micros);
        assert!(one[0].since_micros > crate::backend::at("2025-01-01T00:00:00Z"), "{one:?}");
        assert!(one[0].since_micros < now_micros);
    }
    assert_eq!(noted.len(), 4);
}

/// However many losses unknown clients claim; and an operator can clear them.
async fn setbacks_do_not_fill_the_table(backend: Backend) {
    let now_micros = crate::backend::at("2100-01-01T00:00:00Z");
    let told = Told { sequence: i64::MAX / 2, at_micros: None, is_recent: true, now_micros };
    for n in 0..1_004 {
        backend.producers.note_setback(Uuid::from_u128(n + 1), told).await.unwrap();
    }
    let noted = backend.producers.setbacks().await.unwrap();
    assert_eq!(noted.len(), 1_001);
    let others = noted.iter().find(|one| one.producer.is_nil()).expect("the shared row");
    assert_eq!((others.producers, others.batches), (4, i64::MAX));
    assert_eq!(noted.iter().map(|one| one.producers).sum::<i64>(), 1_004);

    let clear = async |id: &str| backend.producers.clear_setbacks(id).await.unwrap();
    assert_eq!(clear("0000000b").await, [noted[11].clone()]);
    assert_eq!(clear("0000000b").await, []);
    assert_eq!(clear("").await, [], "an empty id matches no producer");
    assert_eq!(clear("00000000").await, std::slice::from_ref(others));
    assert_eq!(clear("all").await.len(), 999);
    assert_eq!(backend.producers.setbacks().await.unwrap(), []);
}

async fn every_request_is_in_the_accounts(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    let mut client = Client::open(&backend.producers).await;
    let days = ["0001-01-01", OLD, TODAY, "9999-12-31"];
    for round in 0..4_i64 {
        for size in [3, 2_100] {
            append(&backend, (0..size).map(|n| (id, noon(days[n % days.len()])))).await;
        }
        let fate = store(&backend, client.run(1 + 2 * round, &[4, 2_100], id, TODAY)).await;
        assert_eq!(fate, stored(2 + 2 * round));
        backend.audit().await;
        match round {
            0 => drop(backend.roll_up(one_day(TODAY)).await),
            1 => drop(backend.roll_up(DayRange::ALL).await),
            2 => backend.age_producers(31).await,
            _ => {}
        }
        backend.maintain().await;
        backend.audit().await;
        if round == 2 {
            assert_eq!(backend.count("tally_producers").await, 0);
            let forgotten = store(&backend, client.run(9, &[1], id, TODAY)).await;
            assert_eq!(forgotten, Fate::Refused(Refusal::Forgotten));
            let known = opened(&backend.producers, client.id, 1, &[3]).await;
            assert_eq!(known, Err(Refusal::Forgotten));
            let again = opened(&backend.producers, client.id, 0, &[client.claim]).await.unwrap();
            client = Client { epoch: again.epoch, ..client };
            let first = store(&backend, client.run(1, &[1; 6], id, TODAY)).await;
            assert_eq!(first, stored(6));
        }
    }
    assert_eq!(sum(&backend.live().await), 4 * (2_103 + 2_104) + 6);
}

async fn the_drops_of_a_forgotten_producer_stay(backend: Backend) {
    let endpoint = backend.id(3, "/").await;
    let dropped = async |backend: &Backend| {
        let whole = query(tally_requests::periods::Granularity::Whole, true);
        ask(&backend.store, &whole).await.unwrap().dropped
    };
    for count in [5, i64::MAX, i64::MAX] {
        let client = Client::open(&backend.producers).await;
        let drops = vec![(day(OLD), count), (day(TODAY), 1)];
        let ends = vec![BatchEnd { rows: 1, drops, ..BatchEnd::default() }; 2];
        let rows = Rows::from_iter([(endpoint, noon(OLD))]).of_run(client.of(1, ends));
        assert_eq!(store(&backend, rows).await, stored(2));
        let before = dropped(&backend).await;
        assert_eq!(before, count.saturating_add(count).saturating_add(2));
        backend.age_producers(31).await;
        let terms = Terms { retention_days: TERMS.retention_days + 2, ..TERMS };
        let patient = Producers::new(backend.database.clone(), DOMAIN.name, terms);
        patient.forget_silent().await.unwrap();
        assert_eq!(backend.producers.list(true).await.unwrap().len(), 2, "not yet");
        backend.maintain().await;
        assert!(backend.producers.list(true).await.unwrap().is_empty());
        assert_eq!(dropped(&backend).await, before);
    }
    let days: Vec<_> = backend.accounts().await.into_iter().map(|one| (one.0, one.2)).collect();
    assert_eq!(days, [(day(OLD), i64::MAX), (day(TODAY), 6)]);
    backend.audit().await;
}

/// However many days a client's batches have, and however many clients: there are a few rows for each
/// day, and every sum is right before these are added up and afterwards.
async fn many_days_are_in_the_accounts(backend: Backend) {
    let endpoint = backend.id(3, "/").await;
    let (first, days) = (day(OLD).0, 5_000);
    let (mut requests, mut drops) = (0, 0);
    for round in 0..4_i64 {
        let client = Client::open(&backend.producers).await;
        // By COPY and from arrays, and each sequence of a worker after its first.
        let size = [5_000, 100][usize::try_from(round % 2).unwrap()];
        let at = |n: i32| i64::from(first + n * (days / size)) * 86_400_000_000;
        let rows = Rows::from_iter((0..size).map(|n| (endpoint, at(n))));
        let dropped = (0..1_000).map(|n| (Day(first + n), 2)).collect();
        let ends = vec![BatchEnd {
            rows: size.unsigned_abs() as usize,
            drops: dropped,
            ..BatchEnd::default()
        }];
        assert_eq!(store(&backend, rows.of_run(client.of(1, ends))).await, stored(1));
        requests += i64::from(size);
        drops += 2_000;
        for is_gathered in [false, true] {
            let waiting = backend.count("tally_producer_batches").await;
            assert_eq!(waiting > 0, !is_gathered, "{waiting}");
            backend.audit().await;
            let whole = query(tally_requests::periods::Granularity::Whole, true);
            assert_eq!(ask(&backend.store, &whole).await.unwrap().dropped, drops);
            backend.producers.gather_days().await.unwrap();
        }
        assert_eq!(backend.count("tally_producer_days").await, 5_000);
        let listed = backend.producers.list(false).await.unwrap();
        let brought = listed.iter().find(|one| one.id == client.id).unwrap();
        assert_eq!((brought.accepted, brought.dropped), (i64::from(size), 2_000));
    }
    backend.age_producers(31).await;
    backend.maintain().await;
    backend.audit().await;
    assert_eq!(sum(&backend.live().await), requests);
}
