//! Of deeds with one debt that two servers do at the same time, each is judged by what the other has left.

use std::time::Duration;

use tally_testkit::eventually;

use super::*;

/// SQLite has one writer anyway, and on CockroachDB a transaction that has read what is old is repeated.
mod postgres {
    crate::debts::on!(postgres: deeds_with_one_debt_are_judged_in_turn);
}

const LIMIT: Duration = Duration::from_secs(60);

/// Both have begun before either may write: without the lock, the second one would write what it has made of the
/// state before the first one, and that would be gone.
async fn deeds_with_one_debt_are_judged_in_turn(backend: &Backend) {
    let (one, other) = (&backend.one, &backend.other);
    one.add(hourly("backup")).await.expect("added");
    // A transaction sees those who wait as they were at first.
    let (session, looking) = (backend.session().await, backend.session().await);
    session.batch_execute("BEGIN; SELECT FROM tally_debts FOR UPDATE").await.expect("held");
    let release = async {
        let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let both = async || looking.query(waiting, &[]).await.expect("an answer").len() == 2;
        eventually("both wait for the debt", LIMIT, both).await;
        session.batch_execute("ROLLBACK").await.expect("let go");
    };
    let pause = proto::PauseDebtRequest { debt: "backup".to_owned() };
    let (paid, paused, ()) =
        tokio::join!(one.paid(pay("backup")), other.service.pause_debt(asked(pause)), release);
    assert_eq!((paid.expect("paid").payment, paused.is_ok()), (1, true));
    let debt = one.show("backup").await.expect("it is there").debt.expect("a debt");
    assert_eq!((debt.status(), debt.payments), (proto::Status::Paused, 1));
}
