//! Payments and alarms are counted as requests, if the debt says so.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tally_access::{Caller, Scope};
use tally_outbox::{Counter, Counting, Counts, Outbox, Webhooks};
use tally_runtime::{Kind, Namespace};
use tonic::Request;

use super::*;
use crate::backend::time;

on_every_backend!(payments_and_alarms_are_counted_once_in_their_order);

/// Counts nothing while it is away, but notes what it is to count.
#[derive(Default)]
struct Fake {
    seen: Mutex<Vec<Counts>>,
    is_away: Mutex<bool>,
}

#[async_trait]
impl Counter for Fake {
    async fn count(&self, batch: &Counts) -> Result<(), tally_store::Error> {
        self.seen.lock().expect("no panic").push(batch.clone());
        match *self.is_away.lock().expect("no panic") {
            true => Err(tally_store::Error::permanent("count", Kind::Unavailable)),
            false => Ok(()),
        }
    }
}

async fn payments_and_alarms_are_counted_once_in_their_order(backend: &Backend) {
    let server = &backend.one;
    let definition = proto::Definition {
        count_as: "POST /backup".to_owned(),
        count_service: "cron".to_owned(),
        run_min: minutes(1),
        ..hourly("backup")
    };
    let added = server.add(definition.clone()).await.expect("added").debt.expect("a debt");
    assert_eq!(added.definition.expect("one").count_as, "POST /backup");
    server.add(hourly("other")).await.expect("added");
    let fake = Arc::new(Fake::default());
    let counting = || {
        let outbox = Outbox::new(backend.database.clone(), Webhooks::default());
        Counting::new(outbox, Arc::clone(&fake) as _)
    };
    // What counts nothing: other debts, what comes again, what is neither a success nor a failure.
    server.paid(pay("other")).await.expect("paid");
    let keyed = proto::PayRequest { idempotency_key: "k1".into(), ..pay("backup") };
    for _ in 0..2 {
        server.paid(keyed.clone()).await.expect("paid");
    }
    server.paid(run("backup", "r1", proto::PaymentKind::Start)).await.expect("paid");
    // An overdue period, once; then a success that is a failure, because its run was too short.
    server.sweep_until("06:00:10", "07:06:00").await;
    server.sweep("07:07:00").await;
    server.paid(run("backup", "r2", proto::PaymentKind::Start)).await.expect("paid");
    server.paid(run("backup", "r2", proto::PaymentKind::Success)).await.expect("paid");
    // Another namespace.
    let mut request = Request::new(proto::AddDebtRequest { definition: Some(definition) });
    request.extensions_mut().insert(Caller::new("shop", Namespace(7), Scope::Admin));
    server.service.add_debt(request).await.expect("added");
    let mut request =
        Request::new(proto::PayRequest { kind: proto::PaymentKind::Fail.into(), ..pay("backup") });
    request.extensions_mut().insert(Caller::new("shop", Namespace(7), Scope::Admin));
    let paid = tally_proto::tally::debts::v1::debt_service_server::DebtService::pay(
        &server.service,
        request,
    );
    paid.await.expect("paid");

    *fake.is_away.lock().expect("no panic") = true;
    counting().count().await.expect_err("it is away");
    // This belongs to the next batch.
    server.paid(pay("backup")).await.expect("paid");
    counting().count().await.expect_err("it is away");
    *fake.is_away.lock().expect("no panic") = false;
    assert_eq!(counting().count().await.expect("counted"), 4);
    assert_eq!(counting().count().await.expect("counted"), 1);
    assert_eq!(counting().count().await.expect("nothing waits"), 0);

    let seen = fake.seen.lock().expect("no panic").clone();
    let [first, second, third, last] = &seen[..] else { panic!("{seen:?}") };
    assert!(first == second && first == third, "the same, however often: {seen:?}");
    assert_eq!((first.sequence, last.sequence, first.producer == last.producer), (1, 2, true));
    let mut told: Vec<_> =
        first.counts.iter().map(|one| (one.namespace.0, one.status, one.at)).collect();
    told.sort_unstable();
    let expected = [
        (0, 200, time("06:00:00")),
        (0, 500, time("07:07:00")),
        (0, 504, time("07:05:00")),
        (7, 500, time("07:07:00")),
    ];
    assert_eq!(told, expected);
    let names =
        |one: &tally_outbox::Count| (one.service.clone(), one.method.clone(), one.path.clone());
    let name = ("cron".to_owned(), "POST".to_owned(), "/backup".to_owned());
    assert!(seen.iter().flat_map(|batch| &batch.counts).all(|one| names(one) == name), "{seen:?}");
}
