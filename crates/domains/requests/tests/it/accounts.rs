//! What every store keeps of its clients' batches: how much was accepted and dropped by day, and what is
//! missing since the database went back.

use std::collections::BTreeSet;

use tally_producers::{BatchEnd, Fate, Opening, Producers, Refusal, Terms, Told};
use tally_requests::{DOMAIN, Day, DayRange, Rows};
use uuid::Uuid;

use crate::backend::{
    Backend, OLD, Producer, TERMS, TODAY, append, ask, day, noon, one_day, query, sum,
};
use crate::conformance::on_every_backend;
use crate::runs::{Client, opened, opening, store, stored};

on_every_backend!(crate::accounts:
    a_loss_is_noted_once,
    setbacks_do_not_fill_the_table,
    every_request_is_in_the_accounts,
    the_drops_of_a_forgotten_producer_stay,
    what_was_accepted_stays_within_64_bits,
    many_days_are_in_the_accounts,
);

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
            backend
                .producers
                .note_setback(worker.id, &BTreeSet::new(), told(worker.sequence))
                .await
                .unwrap();
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
        backend
            .producers
            .note_setback(Uuid::from_u128(n + 1), &BTreeSet::new(), told)
            .await
            .unwrap();
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

/// Entries of a million requests each get there in days.
async fn what_was_accepted_stays_within_64_bits(backend: Backend) {
    let id = backend.id(3, "/").await;
    let client = Client::open(&backend.producers).await;
    let mut workers = [Producer::new(), Producer::new()];
    for (first, worker) in [(1, 0), (2, 1), (3, 0)] {
        let run = [client.run(first, &[3], id, OLD)];
        let fates = workers[worker].send(&backend.store, backend.is_cockroach(), &run).await;
        assert_eq!(fates, [stored(first)]);
        for table in ["tally_producers", "tally_producer_days"] {
            backend.execute(&format!("UPDATE {table} SET accepted = 9223372036854775806")).await;
        }
    }
    let days =
        || async { backend.accounts().await.into_iter().map(|one| one.1).collect::<Vec<_>>() };
    assert_eq!(sum(&backend.live().await), 9);
    // Of two workers.
    backend.age_producers(31).await;
    backend.maintain().await;
    assert!(backend.producers.list(true).await.unwrap().is_empty());
    assert_eq!(days().await, [i64::MAX]);
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
