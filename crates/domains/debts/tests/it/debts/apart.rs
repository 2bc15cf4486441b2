//! What two namespaces, and a sweep and a payment on its way, have to do with each other.

use tally_access::{Caller, Scope};
use tally_runtime::Namespace;
use tonic::Request;

use super::*;

on_every_backend!(
    a_namespace_has_its_own_debts,
    a_sweep_leaves_time_for_what_is_being_stored,
    a_payment_before_the_first_sweep_is_not_late,
);

/// Where a statement can fail as a busy database's does, and the database's clock can be set.
mod on_postgres {
    crate::debts::on!(postgres: what_a_server_holds_is_not_judged_before_it_is_stored, a_server_whose_clock_is_ahead_alarms_no_earlier);
}

/// From the holder of an admin key of another namespace.
fn foreign<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::new("shop", Namespace(7), Scope::Admin));
    request
}

/// Whatever a debt is asked for by.
async fn a_namespace_has_its_own_debts(backend: &Backend) {
    let server = &backend.one;
    let own = server.add(hourly("backup")).await.expect("added").debt.expect("a debt");
    let service = &server.service;
    for name in ["backup", "1", &own.id] {
        let debt = || name.to_owned();
        let pay = || proto::PayRequest { kind: proto::PaymentKind::Success.into(), ..pay(name) };
        let definition = Some(proto::Definition { grace: None, ..hourly("backup") });
        let update = proto::UpdateDebtRequest { debt: debt(), definition };
        let codes = [
            service.show_debt(foreign(proto::ShowDebtRequest { debt: debt() })).await.err(),
            service.update_debt(foreign(update)).await.err(),
            service.pause_debt(foreign(proto::PauseDebtRequest { debt: debt() })).await.err(),
            service.resume_debt(foreign(proto::ResumeDebtRequest { debt: debt() })).await.err(),
            service.forget_debt(foreign(proto::ForgetDebtRequest { debt: debt() })).await.err(),
            proto::debt_service_server::DebtService::pay(service, foreign(pay())).await.err(),
            service.list_payments(foreign(listed(name))).await.err(),
        ];
        let codes = codes.map(|error| error.map(|error| error.code()));
        assert_eq!(codes, [Some(Code::NotFound); 7], "{name}");
    }
    assert_eq!(server.payments("backup").await, []);
    assert_eq!(server.status("backup").await, proto::Status::New);
    // The same slug and number are another debt there.
    let request = proto::AddDebtRequest { definition: Some(hourly("backup")) };
    let other = service.add_debt(foreign(request)).await.expect("added").into_inner();
    let other = other.debt.expect("a debt");
    assert_eq!((other.number, other.id == own.id), (1, false));
    for name in ["backup", "1", &other.id] {
        let paid = proto::debt_service_server::DebtService::pay(service, foreign(pay(name))).await;
        assert_eq!(paid.expect("paid").into_inner().debt.expect("a debt").id, other.id);
    }
    let listed = service.list_debts(foreign(proto::ListDebtsRequest::default())).await;
    assert_eq!(listed.expect("a list").into_inner().debts.len(), 1);
    assert_eq!((server.payments("backup").await.len(), server.list_all().await), (0, 1));
}

/// What was received before the deadline may be stored a little later.
async fn a_sweep_leaves_time_for_what_is_being_stored(backend: &Backend) {
    let server = &backend.one;
    server.add(hourly("backup")).await.expect("added");
    server.sweep_until("06:00:00", "07:05:01").await;
    assert_eq!(server.status("backup").await, proto::Status::Late);
    server.sweep("07:05:02").await;
    assert_eq!(server.status("backup").await, proto::Status::Down);
}

/// The database is slow, so that what was received before the deadline is stored long after it.
async fn what_a_server_holds_is_not_judged_before_it_is_stored(backend: &Backend) {
    let server = &backend.one;
    server.add(hourly("backup")).await.expect("added");
    server.sweep_until("06:00:00", "07:04:50").await;
    backend
        .sql(
            "CREATE FUNCTION be_busy() RETURNS TRIGGER LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION USING ERRCODE = ''40001''; END'",
        )
        .await;
    backend
        .sql(
            "CREATE TRIGGER busy BEFORE INSERT ON tally_debt_payments \
             FOR EACH ROW EXECUTE FUNCTION be_busy()",
        )
        .await;
    backend.set("07:04:59");
    let mut paying = Box::pin(server.paid(pay("backup")));
    assert!(futures_util::poll!(&mut paying).is_pending(), "it is received");
    server.sweep("07:05:25").await;
    assert_eq!(server.flips("backup").await, []);
    backend.sql("DROP TRIGGER busy ON tally_debt_payments").await;
    paying.await.expect("paid");
    server.sweep_until("07:05:27", "08:09:58").await;
    assert_eq!(server.flips("backup").await, []);
    server.sweep("08:10:02").await;
    let flips = server.flips("backup").await;
    assert_eq!((flips.len(), &*flips[0].1), (1, "08:09:59"), "nothing is held any more: {flips:?}");
}

/// The one that sweeps; the payment comes through another one, in time.
async fn a_server_whose_clock_is_ahead_alarms_no_earlier(backend: &Backend) {
    let (server, ahead) = (&backend.one, backend.server_by_clock("07:04:50").await);
    server.add(hourly("backup")).await.expect("added");
    server.sweep_until("06:00:00", "07:04:50").await;
    ahead.sweep("07:05:05").await;
    assert_eq!(server.flips("backup").await, []);
    backend.set("07:04:55");
    server.paid(pay("backup")).await.expect("paid");
    server.sweep_until("07:05:00", "08:09:50").await;
    assert_eq!(server.flips("backup").await, []);
    // The database's clock stands still: by now it cannot be that of this server.
    ahead.sweep("08:09:58").await;
    let flips = server.flips("backup").await;
    assert_eq!((flips.len(), &*flips[0].1), (1, "08:09:55"), "{flips:?}");
}

/// No server was there: what comes first when one is there again may be a payment.
async fn a_payment_before_the_first_sweep_is_not_late(backend: &Backend) {
    let server = &backend.one;
    server.add(hourly("backup")).await.expect("added");
    server.sweep("06:00:00").await;
    server.paid(pay("backup")).await.expect("paid");
    backend.set("08:30:00");
    server.paid(pay("backup")).await.expect("paid");
    assert_eq!(
        (server.flips("backup").await, server.status("backup").await),
        (vec![], proto::Status::Up)
    );
}

fn listed(debt: &str) -> proto::ListPaymentsRequest {
    proto::ListPaymentsRequest { debt: debt.to_owned(), limit: 0, before: 0 }
}

impl Server {
    async fn list_all(&self) -> usize {
        self.list(proto::ListDebtsRequest::default()).await.debts.len()
    }
}
