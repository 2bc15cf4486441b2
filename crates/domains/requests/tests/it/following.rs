//! Servers that do not know of a merge or a forget yet, and everything at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use tally_proto::tally::requests::v1 as proto;
use tally_requests::store::{Appended, Names};
use tally_requests::{DayRange, Rows};
use tally_testkit::eventually;
use uuid::Uuid;

use crate::LIMIT;
use crate::backend::{Backend, NOW, OLD, at, batch as storing_batch, named, now, one_day};
use crate::changing::{
    batch, counted_ids, customer, expected, forgotten, is_gone, merge, merged, of, path, prefix,
    record, start, start_other, sums,
};
use crate::conformance::on_every_backend;
use crate::recording::Recording;
use crate::server::{Counting, settings};

on_every_backend!(crate::following:
    a_batch_that_knows_of_no_forget_brings_no_name,
    rows_of_a_server_that_knows_nothing_go_where_they_belong,
    sums_are_kept_while_everything_happens_at_once,
);

async fn a_batch_that_knows_of_no_forget_brings_no_name(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/u/1", "ann"), 1)]).await;
    forgotten(&counting, customer("ann")).await.unwrap();
    let name = named(3, "/new");
    let chunks = [[(name.id, at(NOW))].into_iter().collect::<Rows>().into()];
    let batch = storing_batch(Uuid::now_v7(), 1, &chunks);
    let mut appended = Appended::Stale;
    for _ in 0..10 {
        let names = Names::new(vec![name.clone()], backend.second.state());
        appended = backend.second.append(&batch, &names, now()).await.unwrap();
        if appended != Appended::Stale {
            break;
        }
    }
    assert_eq!(appended, Appended::Outdated);
    is_gone(&backend, "/new").await;
    assert_eq!(sums(&counting).await, expected(&[("/u/1", "_forgotten", 1)]));
    // A server learns of it then, and stores the batch.
    record(&counting, NOW, &[(of("/new", ""), 1)]).await;
    assert_eq!(backend.audit().await, 2);
}

/// Two servers: the other one has the names in its cache, in open streams and in batches on their way.
async fn rows_of_a_server_that_knows_nothing_go_where_they_belong(backend: Backend) {
    let counting = start(&backend).await;
    let (users, both) = (40_u32, [of("/u/1", "ann"), of("/v", "bob")]);
    let other = start_other(&backend).await;
    let other = other.as_ref().unwrap_or(&counting);
    let mut stream = Recording::start(other).await;
    stream.send(batch(1, NOW, &both.clone().map(|one| (one, 1))));
    stream.acknowledged(1).await.unwrap();
    let mut sent = 1;
    for sequence in 2..=u64::from(users) {
        stream.send(proto::Batch {
            series: Vec::new(),
            ..batch(sequence, NOW, &both.clone().map(|one| (one, 1)))
        });
        sent += 1;
        match sequence {
            10 => drop(forgotten(&counting, customer("ann")).await.unwrap()),
            20 => drop(merged(&counting, merge(prefix("/u/"), "/u/{id}")).await.unwrap()),
            25 => drop(other.service.keeper().tick().await),
            _ => {}
        }
        assert_eq!(sums(other).await.values().sum::<i64>() % 2, 0, "a batch has two requests");
    }
    stream.acknowledged(sent).await.unwrap();
    // Names that the other server has not seen yet, and must not store.
    record(other, NOW, &[(of("/u/2", "ann"), 1), (of("/w", "ann"), 1)]).await;
    is_gone(&backend, "ann").await;
    is_gone(&backend, "/u/1").await;
    let users = i64::from(users);
    let all = [("/u/{id}", "_forgotten", users + 1), ("/v", "bob", users), ("/w", "_forgotten", 1)];
    assert_eq!(sums(&counting).await, expected(&all));
    backend.store.fold().await.unwrap();
    assert_eq!(sums(other).await, expected(&all));
    assert_eq!(backend.audit().await, 2 * users + 2);
}

/// Batches of each writer, and requests of each batch: one for each user.
const BATCHES: u64 = 40;
const USERS: u32 = 6;

/// Two writers on two servers with warm caches; merges, forgets, folds, roll-ups and answers meanwhile.
async fn sums_are_kept_while_everything_happens_at_once(backend: Backend) {
    let counting = start(&backend).await;
    let other = start_other(&backend).await;
    let other = other.as_ref().unwrap_or(&counting);
    let users = || (0..USERS).map(|user| (of(&format!("/u/{user}"), &format!("client{user}")), 1));
    let users: Vec<_> = users().collect();
    // A merge is about series that there are.
    record(&counting, NOW, &users).await;
    let is_over = AtomicUsize::new(0);
    let write = async |server: &Counting| {
        let mut stream = Recording::start(server).await;
        for sequence in 1..=BATCHES {
            let time = if sequence % 2 == 0 { NOW } else { "2015-05-17T10:00:00Z" };
            let mut batch = batch(sequence, time, &users);
            if sequence > 1 {
                batch.series.clear();
            }
            stream.send(batch);
            stream.acknowledged(sequence).await.unwrap();
        }
        stream.finish().await.unwrap();
        is_over.fetch_add(1, Ordering::SeqCst);
    };
    let change = async || {
        for user in 0..USERS {
            forgotten(other, customer(&format!("client{user}"))).await.unwrap();
            merged(&counting, merge(path(&format!("/u/{user}")), "/u/{id}")).await.unwrap();
        }
    };
    let goes_on = || is_over.load(Ordering::SeqCst) < 2;
    let keep = async || {
        while goes_on() {
            // Its own store: a SQLite file has one.
            other.service.store().fold().await.unwrap();
            other.service.store().roll_up(one_day(OLD)).await.unwrap();
            other.service.keeper().tick().await.unwrap();
        }
    };
    let read = async || {
        let mut last = 0;
        while goes_on() {
            let sum = sums(&counting).await.values().sum::<i64>();
            assert!(sum >= last, "{sum} after {last}");
            assert_eq!(sum % i64::from(USERS), 0, "a batch is counted whole");
            last = sum;
        }
    };
    tokio::join!(write(&counting), write(other), change(), keep(), read());
    let all = (2 * i64::try_from(BATCHES).unwrap() + 1) * i64::from(USERS);
    assert_eq!(sums(&counting).await, expected(&[("/u/{id}", "_forgotten", all)]));
    assert_eq!(backend.audit().await, all);
    backend.roll_up(DayRange::ALL).await;
    assert_eq!(sums(other).await, expected(&[("/u/{id}", "_forgotten", all)]));
    assert_eq!(backend.audit().await, all);
    assert_eq!(counted_ids(&backend).await, 1, "all of it is under one id");
    for user in 0..USERS {
        is_gone(&backend, &format!("client{user}")).await;
    }
}

/// As long as nothing names it again, a server forgets what it has in memory as well.
#[tokio::test]
async fn a_silent_server_follows_within_seconds() {
    let Some(backend) = Backend::postgres("follow").await else { return };
    let counting = start(&backend).await;
    let other = Counting::on(backend.second_database.clone(), settings()).await;
    record(&other, NOW, &[(of("/u/1", "ann"), 1)]).await;
    forgotten(&counting, customer("ann")).await.unwrap();
    eventually("the other server follows", LIMIT, async || {
        !other.service.known_series().iter().any(|one| &*one.customer == "ann")
    })
    .await;
}
