//! Servers go on when those of the next version have changed the tables.

use super::*;

on_every_backend!(every_call_bears_the_tables_of_the_next_version);

/// Its statements were prepared for the tables as they were.
async fn every_call_bears_the_tables_of_the_next_version(backend: &Backend) {
    let before = live(backend, "first", "06").await;
    backend.add_columns().await;
    let after = live(backend, "other", "10").await;
    assert_eq!(before, after);
    assert!(before.contains("(true, \"02:05:00\""), "an alarm is among what is compared: {before}");
}

/// All that a debt can go through, from this hour on, and every answer without its name and its times.
async fn live(backend: &Backend, slug: &str, hour: &str) -> String {
    let (server, service) = (&backend.one, &backend.one.service);
    let first: u8 = hour.parse().expect("an hour");
    let at = |hours: u8, rest: &str| format!("{:02}:{rest}", first + hours);
    let debt = || slug.to_owned();
    let mut answers = Vec::new();
    backend.set(&at(0, "00:00"));
    server.sweep(&at(0, "00:00")).await;
    server.add(hourly("before")).await.expect("added");
    let added = server.add(hourly(slug)).await.expect("added");
    answers.push(format!("{:?}", (added.is_repeated, added.debt.map(|debt| debt.payments))));
    let changed = proto::Definition { run_limit: minutes(50), ..hourly(slug) };
    let update = proto::UpdateDebtRequest { debt: debt(), definition: Some(changed) };
    let updated = service.update_debt(asked(update)).await.expect("changed").into_inner();
    answers.push(format!("{:?}", updated.debt.and_then(|debt| debt.definition?.run_limit)));
    let all = [proto::PaymentKind::Start, proto::PaymentKind::Success];
    let payments = all.map(|kind| run(slug, "r1", kind)).to_vec();
    let paid = service.pay_all(asked(proto::PayAllRequest { payments })).await.expect("paid");
    let is_paid = |result: &proto::PayResult| {
        matches!(result.result, Some(proto::pay_result::Result::Paid(_)))
    };
    answers.push(format!("{:?}", paid.into_inner().results.iter().all(is_paid)));
    let keyed = proto::PayRequest { idempotency_key: "k1".into(), ..pay(slug) };
    for _ in 0..2 {
        let paid = server.paid(keyed.clone()).await.expect("paid");
        answers.push(format!("{:?}", (paid.payment, paid.is_repeated)));
    }
    let runs = proto::ListRunsRequest { debt: debt(), limit: 0, before: 0 };
    let runs = service.list_runs(asked(runs)).await.expect("a list").into_inner().runs;
    answers.push(format!("{:?}", runs.iter().map(|run| &*run.run).collect::<Vec<_>>()));
    let pause = proto::PauseDebtRequest { debt: debt() };
    service.pause_debt(asked(pause)).await.expect("paused");
    answers.push(format!("{:?}", server.status(slug).await));
    server.sweep_until(&at(0, "00:30"), &at(1, "00:00")).await;
    let resume = proto::ResumeDebtRequest { debt: debt() };
    service.resume_debt(asked(resume)).await.expect("resumed");
    server.sweep_until(&at(1, "00:00"), &at(2, "05:10")).await;
    answers.push(format!("{:?}", server.status(slug).await));
    backend.set(&at(2, "10:00"));
    backend.other.paid(pay(slug)).await.expect("paid");
    let flips = server.flips(slug).await.into_iter();
    let flips = flips.map(|(is_alarm, at, cause)| {
        let hours = at[..2].parse::<u8>().expect("an hour") - first;
        let cause = cause.split(": ").next().map(str::to_owned);
        (is_alarm, format!("{hours:02}{}", &at[2..]), cause)
    });
    answers.push(format!("{:?}", flips.collect::<Vec<_>>()));
    let kinds: Vec<_> = server.payments(slug).await.iter().map(proto::Payment::kind).collect();
    answers.push(format!("{kinds:?}"));
    let shown = server.show(slug).await.expect("it is there");
    answers.push(format!("{:?}", (shown.next.len(), shown.runs.len())));
    let tagged = proto::ListDebtsRequest { search: slug.to_owned(), ..Default::default() };
    answers.push(format!("{:?}", server.list(tagged).await.counts));
    for name in ["before", slug] {
        let forget = proto::ForgetDebtRequest { debt: name.to_owned() };
        service.forget_debt(asked(forget)).await.expect("forgotten");
    }
    answers.join("\n")
}
