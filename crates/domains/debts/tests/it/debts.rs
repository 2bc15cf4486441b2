//! Debts are paid, overdue and recovered, each once, on every database.

use prost_types::Duration;
use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::debt_service_server::DebtService as _;
use tally_proto::tally::debts::v1::definition::Schedule;
use tally_serve::Running as _;
use tonic::{Code, Status};

use crate::backend::{Backend, HOOK, Server, asked};

/// Defines a test of each case on each backend; missing backends are skipped loudly.
macro_rules! on_every_backend {
    ($($case:ident),* $(,)?) => {
        mod sqlite { crate::debts::on!(sqlite: $($case),*); }
        mod postgres { crate::debts::on!(postgres: $($case),*); }
        mod cockroach { crate::debts::on!(cockroach: $($case),*); }
        mod cockroach_on_postgres { crate::debts::on!(cockroach_on_postgres: $($case),*); }
    };
}

macro_rules! on {
    ($backend:ident: $($case:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let hint = concat!("debts_", stringify!($case));
                if let Some(backend) = crate::backend::Backend::$backend(hint).await {
                    super::$case(&backend).await;
                    backend.check().await;
                }
            }
        )*
    };
}

pub(crate) use {on, on_every_backend};

mod apart;
mod counted;
mod listed;
mod next_version;
mod threads;
mod told;
mod turns;

on_every_backend!(
    a_debt_is_added_listed_changed_and_forgotten,
    a_payment_counts_once_however_often_it_is_sent,
    an_unpaid_debt_is_overdue_once_at_its_exact_deadline,
    overlapping_runs_are_told_apart,
    a_payment_makes_its_debt_if_it_says_of_what,
    there_are_no_more_debts_than_allowed,
    a_paused_debt_is_never_overdue,
    time_without_a_server_is_no_silence,
    many_payments_at_once_are_all_stored,
    a_broken_debt_keeps_no_other_one_waiting,
    a_debt_has_metrics_from_its_creation_on,
);

fn hours(hours: i64) -> Option<Duration> {
    Some(Duration { seconds: hours * 3_600, nanos: 0 })
}

fn minutes(minutes: i64) -> Option<Duration> {
    Some(Duration { seconds: minutes * 60, nanos: 0 })
}

fn hourly(slug: &str) -> proto::Definition {
    proto::Definition {
        slug: slug.to_owned(),
        schedule: hours(1).map(Schedule::Every),
        grace: minutes(5),
        notify: vec![format!("{HOOK}s3cret")],
        ..proto::Definition::default()
    }
}

fn pay(debt: &str) -> proto::PayRequest {
    proto::PayRequest { debt: debt.to_owned(), ..proto::PayRequest::default() }
}

fn run(debt: &str, run: &str, kind: proto::PaymentKind) -> proto::PayRequest {
    proto::PayRequest { run: run.to_owned(), kind: kind.into(), ..pay(debt) }
}

impl Server {
    async fn add(&self, definition: proto::Definition) -> Result<proto::AddDebtResponse, Status> {
        let request = proto::AddDebtRequest { definition: Some(definition) };
        self.service.add_debt(asked(request)).await.map(tonic::Response::into_inner)
    }

    async fn paid(&self, request: proto::PayRequest) -> Result<proto::PayResponse, Status> {
        use tally_proto::tally::debts::v1::debt_service_server::DebtService;
        let paid = DebtService::pay(&self.service, asked(request)).await;
        paid.map(tonic::Response::into_inner)
    }

    async fn show(&self, debt: &str) -> Result<proto::ShowDebtResponse, Status> {
        let request = proto::ShowDebtRequest { debt: debt.to_owned() };
        self.service.show_debt(asked(request)).await.map(tonic::Response::into_inner)
    }

    async fn status(&self, debt: &str) -> proto::Status {
        self.show(debt).await.expect("it is there").debt.expect("a debt").status()
    }

    async fn payments(&self, debt: &str) -> Vec<proto::Payment> {
        let request = proto::ListPaymentsRequest { debt: debt.to_owned(), limit: 0, before: 0 };
        let listed = self.service.list_payments(asked(request)).await.expect("a list");
        listed.into_inner().payments
    }

    /// The flips, the first one first: whether each is an alarm, when it was, and why.
    async fn flips(&self, debt: &str) -> Vec<(bool, String, String)> {
        let request = proto::ListFlipsRequest { debt: debt.to_owned(), limit: 0, before: 0 };
        let listed = self.service.list_flips(asked(request)).await.expect("a list").into_inner();
        let one = |flip: proto::Flip| {
            let at = flip.at.map(|at| jiff::Timestamp::from_second(at.seconds).expect("a time"));
            let at = at.map(|at| at.to_string()[11..19].to_owned()).unwrap_or_default();
            (flip.is_alarm, at, flip.cause)
        };
        listed.flips.into_iter().rev().map(one).collect()
    }

    async fn list(&self, request: proto::ListDebtsRequest) -> proto::ListDebtsResponse {
        self.service.list_debts(asked(request)).await.expect("a list").into_inner()
    }
}

fn slugs(listed: &proto::ListDebtsResponse) -> Vec<&str> {
    let definitions = listed.debts.iter().filter_map(|debt| debt.definition.as_ref());
    definitions.map(|definition| &*definition.slug).collect()
}

async fn a_debt_is_added_listed_changed_and_forgotten(backend: &Backend) {
    let server = &backend.one;
    let added = server.add(hourly("backup")).await.expect("added");
    let debt = added.debt.expect("a debt");
    assert_eq!((added.is_repeated, debt.number, debt.payments), (false, 1, 0));
    assert!(server.add(hourly("backup")).await.expect("again").is_repeated);
    let other = proto::Definition { grace: None, ..hourly("backup") };
    assert_eq!(server.add(other).await.expect_err("taken").code(), Code::AlreadyExists);
    let tags = vec!["nightly".to_owned(), "db".to_owned()];
    let tagged =
        proto::Definition { tags: tags.clone(), name: "Möwe".to_owned(), ..hourly("a-gull") };
    server.add(tagged.clone()).await.expect("added");
    let all = server.list(proto::ListDebtsRequest::default()).await;
    assert_eq!((slugs(&all), &all.counts[..]), (vec!["a-gull", "backup"], &[2, 0, 0, 0, 0][..]));
    let first = server.list(proto::ListDebtsRequest { limit: 1, ..Default::default() }).await;
    let rest = proto::ListDebtsRequest { after: first.next.clone(), ..Default::default() };
    assert_eq!((slugs(&first), slugs(&server.list(rest).await)), (vec!["a-gull"], vec!["backup"]));
    for (request, found) in [
        (proto::ListDebtsRequest { tags: tags.clone(), ..Default::default() }, vec!["a-gull"]),
        (proto::ListDebtsRequest { tags: vec!["night".into()], ..Default::default() }, vec![]),
        (proto::ListDebtsRequest { search: "BACK".into(), ..Default::default() }, vec!["backup"]),
        (proto::ListDebtsRequest { statuses: vec![3], ..Default::default() }, vec![]),
    ] {
        assert_eq!(slugs(&server.list(request.clone()).await), found, "{request:?}");
    }
    for name in ["backup", "1", &debt.id] {
        let shown = server.show(name).await.expect("it is there");
        assert_eq!(shown.debt.as_ref().map(|debt| debt.number), Some(1));
        assert_eq!(shown.next.len(), 5);
    }
    let changed =
        proto::Definition { schedule: hours(2).map(Schedule::Every), ..hourly("nightly") };
    let request = |debt: &str, definition: &proto::Definition| {
        asked(proto::UpdateDebtRequest {
            debt: debt.to_owned(),
            definition: Some(definition.clone()),
        })
    };
    let updated = server.service.update_debt(request("backup", &changed)).await.expect("changed");
    let updated = updated.into_inner();
    assert!(!updated.is_unchanged);
    let updated = updated.debt.expect("a debt");
    let shown = updated.definition.expect("one");
    assert_eq!((updated.number, &shown.schedule), (1, &changed.schedule));
    // An address to notify is shown without what may be a secret, and given so it stays what it is.
    let again = server.service.update_debt(request("nightly", &shown)).await.expect("the same");
    assert!(again.into_inner().is_unchanged);
    let secrets = proto::ListDebtsRequest { with_secrets: true, ..Default::default() };
    let whole = server.list(secrets).await.debts.pop().and_then(|debt| debt.definition);
    assert_eq!(whole.map(|whole| whole.notify), Some(vec![format!("{HOOK}s3cret")]));
    let elsewhere = proto::Definition { slug: "elsewhere".to_owned(), ..shown };
    let refused = server.add(elsewhere).await.expect_err("nobody knows the rest of the URL");
    assert!(refused.message().starts_with("notify: has /\u{2026} in place of"), "{refused}");
    let taken = proto::Definition { slug: "a-gull".to_owned(), ..changed };
    let refused = server.service.update_debt(request("nightly", &taken)).await.expect_err("taken");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    let forget = proto::ForgetDebtRequest { debt: "nightly".to_owned() };
    server.service.forget_debt(asked(forget)).await.expect("forgotten");
    assert_eq!(server.show("nightly").await.expect_err("gone").code(), Code::NotFound);
}

/// healthchecks/healthchecks#319: a retried ping is recorded twice.
async fn a_payment_counts_once_however_often_it_is_sent(backend: &Backend) {
    let (one, other) = (&backend.one, &backend.other);
    one.add(hourly("backup")).await.expect("added");
    assert_eq!(one.paid(pay("nothing")).await.expect_err("unknown").code(), Code::NotFound);
    let keyed =
        proto::PayRequest { idempotency_key: "k1".into(), body: b"out".into(), ..pay("backup") };
    for (server, repeated) in [(one, false), (one, true), (other, true)] {
        let paid = server.paid(keyed.clone()).await.expect("paid");
        assert_eq!((paid.payment, paid.is_repeated), (1, repeated));
    }
    let different = proto::PayRequest { body: b"other".into(), ..keyed };
    let refused = one.paid(different).await.expect_err("other content");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    for _ in 0..6 {
        let start = run("backup", "r1", proto::PaymentKind::Start);
        assert_eq!(one.paid(start).await.expect("paid").payment, 2);
    }
    let success = run("backup", "r1", proto::PaymentKind::Success);
    let paid = other.paid(success).await.expect("paid");
    assert_eq!((paid.payment, paid.is_moot), (3, false));
    // The run has ended.
    let fail = run("backup", "r1", proto::PaymentKind::Fail);
    for is_repeated in [false, true] {
        let paid = one.paid(fail.clone()).await.expect("paid");
        assert_eq!((paid.payment, paid.is_moot, paid.is_repeated), (4, true, is_repeated));
    }
    // Without anything that tells it, each is another one.
    assert_eq!(one.paid(pay("backup")).await.expect("paid").payment, 5);
    assert_eq!(one.paid(pay("backup")).await.expect("paid").payment, 6);
    let (mut numbers, mut before) = (Vec::new(), 0);
    loop {
        let request = proto::ListPaymentsRequest { debt: "backup".into(), limit: 4, before };
        let page = one.service.list_payments(asked(request)).await.expect("a list").into_inner();
        numbers.extend(page.payments.iter().map(|one| one.number));
        before = page.next_before;
        if before == 0 {
            break;
        }
    }
    assert_eq!(numbers, [6, 5, 4, 3, 2, 1]);
}

async fn an_unpaid_debt_is_overdue_once_at_its_exact_deadline(backend: &Backend) {
    let (one, other) = (&backend.one, &backend.other);
    one.add(hourly("backup")).await.expect("added");
    one.sweep("06:00:00").await;
    one.paid(pay("backup")).await.expect("paid");
    assert_eq!(one.status("backup").await, proto::Status::Up);
    one.sweep_until("06:00:00", "07:04:59").await;
    assert_eq!(one.status("backup").await, proto::Status::Late);
    one.sweep("07:05:20").await;
    other.sweep("07:05:30").await;
    assert_eq!(one.status("backup").await, proto::Status::Down);
    let flips = one.flips("backup").await;
    assert_eq!(flips.len(), 1, "{flips:?}");
    assert_eq!((flips[0].0, &*flips[0].1), (true, "07:05:00"), "{flips:?}");
    backend.set("07:10:00");
    one.paid(pay("backup")).await.expect("paid");
    let flips = one.flips("backup").await;
    assert_eq!((flips.len(), flips[1].0, &*flips[1].1), (2, false, "07:10:00"), "{flips:?}");
    assert_eq!(one.status("backup").await, proto::Status::Up);
}

/// healthchecks/healthchecks#268, #461.
async fn overlapping_runs_are_told_apart(backend: &Backend) {
    let server = &backend.one;
    let limited =
        proto::Definition { run_limit: minutes(30), schedule: None, grace: None, ..hourly("job") };
    server.add(limited).await.expect("added");
    server.sweep("06:00:00").await;
    for (at, name) in [("06:00:00", "a"), ("06:00:10", "b"), ("06:00:20", "c")] {
        backend.set(at);
        server.paid(run("job", name, proto::PaymentKind::Start)).await.expect("paid");
    }
    for name in ["a", "c"] {
        server.paid(run("job", name, proto::PaymentKind::Success)).await.expect("paid");
    }
    let open = server.show("job").await.expect("it is there").runs;
    assert_eq!(open.iter().map(|run| &*run.run).collect::<Vec<_>>(), ["b"]);
    server.sweep_until("06:00:20", "06:30:09").await;
    assert_eq!(server.flips("job").await, []);
    server.sweep("06:30:13").await;
    let flips = server.flips("job").await;
    assert_eq!((flips.len(), &*flips[0].1), (1, "06:30:10"), "{flips:?}");
    assert!(flips[0].2.contains("run b"), "{flips:?}");
}

/// healthchecks/healthchecks#849, #626, #352: what is made has a wrong period, or is made unasked.
async fn a_payment_makes_its_debt_if_it_says_of_what(backend: &Backend) {
    let server = &backend.one;
    assert_eq!(server.paid(pay("vivid")).await.expect_err("unasked").code(), Code::NotFound);
    let create = proto::Definition { slug: String::new(), ..hourly("") };
    let request = proto::PayRequest { create: Some(create), ..pay("vivid") };
    let made = server.paid(request.clone()).await.expect("made");
    assert_eq!((made.is_created, made.payment), (true, 1));
    let again = backend.other.paid(request).await.expect("paid");
    assert_eq!((again.is_created, again.payment), (false, 2));
    let wrong = proto::Definition {
        schedule: Some(Schedule::Cron("0 0 30 2 *".into())),
        ..Default::default()
    };
    let request = proto::PayRequest { create: Some(wrong), ..pay("never") };
    let refused = server.paid(request).await.expect_err("no such day");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("create.cron: "), "{refused}");
}

async fn there_are_no_more_debts_than_allowed(backend: &Backend) {
    let server = &backend.one;
    for number in 0..20 {
        server.add(hourly(&format!("d{number}"))).await.expect("added");
    }
    let full = server.add(hourly("more")).await.expect_err("full");
    assert_eq!(full.code(), Code::ResourceExhausted);
    assert!(full.message().contains("--debts-max"), "{full}");
    let create = Some(proto::Definition { slug: String::new(), ..hourly("") });
    let full = server.paid(proto::PayRequest { create, ..pay("more") }).await.expect_err("full");
    assert_eq!(full.code(), Code::ResourceExhausted);
    let forget = proto::ForgetDebtRequest { debt: "d7".to_owned() };
    server.service.forget_debt(asked(forget)).await.expect("forgotten");
    let added = server.add(hourly("more")).await.expect("there is room");
    assert_eq!(added.debt.expect("a debt").number, 21);
}

/// healthchecks/healthchecks#343, #369; louislam/uptime-kuma#7148.
async fn a_paused_debt_is_never_overdue(backend: &Backend) {
    let server = &backend.one;
    server.add(hourly("backup")).await.expect("added");
    server.sweep("06:00:00").await;
    let pause = proto::PauseDebtRequest { debt: "backup".to_owned() };
    server.service.pause_debt(asked(pause)).await.expect("paused");
    server.paid(pay("backup")).await.expect("it is recorded");
    server.sweep("06:00:50").await;
    assert_eq!(server.status("backup").await, proto::Status::Paused);
    server.sweep_until("06:00:50", "07:10:00").await;
    let resume = proto::ResumeDebtRequest { debt: "backup".to_owned() };
    server.service.resume_debt(asked(resume)).await.expect("resumed");
    server.sweep("07:10:30").await;
    assert_eq!(server.flips("backup").await, []);
    assert_ne!(server.status("backup").await, proto::Status::Down);
}

/// healthchecks/healthchecks#664.
async fn time_without_a_server_is_no_silence(backend: &Backend) {
    let server = &backend.one;
    server.add(hourly("backup")).await.expect("added");
    server.sweep("06:00:00").await;
    server.paid(pay("backup")).await.expect("paid");
    // Nobody sweeps for two hours.
    server.sweep("08:30:00").await;
    assert_eq!(server.flips("backup").await, []);
    server.sweep_until("08:30:00", "09:34:59").await;
    assert_eq!(server.flips("backup").await, []);
    server.sweep("09:35:30").await;
    let flips = server.flips("backup").await;
    assert_eq!((flips.len(), &*flips[0].1), (1, "09:35:00"), "{flips:?}");
}

async fn many_payments_at_once_are_all_stored(backend: &Backend) {
    for number in 0..5 {
        backend.one.add(hourly(&format!("d{number}"))).await.expect("added");
    }
    let batch = |first: usize| {
        let payments = (first..first + 100).map(|number| pay(&format!("d{}", number % 5)));
        asked(proto::PayAllRequest { payments: payments.collect() })
    };
    let (one, other) = (&backend.one.service, &backend.other.service);
    let sent = (0..4)
        .map(|at| if at % 2 == 0 { one.pay_all(batch(at)) } else { other.pay_all(batch(at)) });
    for answer in futures_util::future::join_all(sent).await {
        let results = answer.expect("paid").into_inner().results;
        assert_eq!(results.len(), 100);
        for result in results {
            let result = result.result.expect("one");
            assert!(matches!(result, proto::pay_result::Result::Paid(_)), "{result:?}");
        }
    }
    for number in 0..5 {
        let numbers: Vec<_> = backend
            .one
            .payments(&format!("d{number}"))
            .await
            .iter()
            .map(|one| one.number)
            .collect();
        assert_eq!(numbers, (1..=80).rev().collect::<Vec<_>>());
    }
}

/// getsentry/sentry#90130, getsentry/self-hosted#3208; healthchecks/healthchecks#148, #363, #490: what finds misses
/// stopped, and nobody knew.
async fn a_broken_debt_keeps_no_other_one_waiting(backend: &Backend) {
    let server = &backend.one;
    for slug in ["broken", "whole"] {
        server.add(hourly(slug)).await.expect("added");
    }
    server.sweep("06:00:00").await;
    for slug in ["broken", "whole"] {
        server.paid(pay(slug)).await.expect("paid");
    }
    backend.sql("UPDATE tally_debts SET definition = '{}' WHERE slug = 'broken'").await;
    server.sweep_until("06:00:00", "07:04:59").await;
    let chore = server.service.chores().pop().expect("one");
    assert_eq!((chore.name(), chore.failed()), ("sweep", None));
    let done_at = chore.done_at();
    server.fail_to_sweep("07:05:20").await;
    assert_eq!(chore.done_at(), done_at, "it is not done");
    assert!(chore.failed().is_some_and(|why| why.contains("sweep debt ")), "{chore:?}");
    let flips = server.flips("whole").await;
    assert_eq!((flips.len(), &*flips[0].1), (1, "07:05:00"), "{flips:?}");
    // Nor do payments wait for it.
    server.fail_to_sweep("07:06:00").await;
    let both = proto::PayAllRequest { payments: vec![pay("broken"), pay("whole")] };
    let results = server.service.pay_all(asked(both)).await.expect("told").into_inner().results;
    let is_paid =
        |at: usize| matches!(results[at].result, Some(proto::pay_result::Result::Paid(_)));
    assert!(!is_paid(0) && is_paid(1), "{results:?}");
    // Debts are watched all the while, so that the next silence is one.
    for minute in 6..=59 {
        server.fail_to_sweep(&format!("07:{minute:02}:30")).await;
    }
    for minute in 0..=11 {
        server.fail_to_sweep(&format!("08:{minute:02}:30")).await;
    }
    let flips = server.flips("whole").await;
    assert_eq!((flips.len(), &*flips[2].1), (3, "08:11:00"), "{flips:?}");
    backend
        .sql(
            "UPDATE tally_debts SET definition = (SELECT replace(definition, '\"whole\"', '\"broken\"') \
             FROM tally_debts WHERE slug = 'whole') WHERE slug = 'broken'",
        )
        .await;
    server.sweep("08:12:00").await;
    let flips = server.flips("broken").await;
    assert_eq!((flips.len(), &*flips[0].1), (1, "07:05:00"), "{flips:?}");
    assert_eq!((chore.failed(), chore.done_at() > done_at), (None, true));
}

/// prometheus/prometheus#2882, prometheus/alertmanager#1542: what never happened has a series.
async fn a_debt_has_metrics_from_its_creation_on(backend: &Backend) {
    let server = &backend.one;
    for slug in ["first", "second", "third"] {
        server.add(hourly(slug)).await.expect("added");
    }
    let scraped = async || {
        server.service.look().await.expect("the database is there");
        let mut scrape = tally_runtime::metrics::Scrape::new();
        server.service.measure(&mut scrape);
        scrape.finish()
    };
    let at = |text: &str| crate::backend::time(text).as_second();
    let told = |scraped: &str, name: &str, labels: &str, value: i64| {
        let line = format!("\n{name}{labels} {value}\n");
        assert!(scraped.contains(&line), "{line:?} is not in {scraped}");
    };
    let of = |slug: &str| format!("{{debt=\"{slug}\",namespace=\"0\"}}");
    let fresh = scraped().await;
    for slug in ["first", "second"] {
        told(&fresh, "tally_debt_down", &of(slug), 0);
        told(&fresh, "tally_debt_payments_total", &of(slug), 0);
        told(&fresh, "tally_debt_last_payment_timestamp_seconds", &of(slug), at("06:00:00"));
    }
    assert!(!fresh.contains("third"), "there are as many as may be: {fresh}");
    told(&fresh, "tally_debts", "{status=\"new\"}", 3);
    server.sweep("06:00:00").await;
    backend.set("06:00:30");
    for slug in ["second", "third", "third"] {
        server.paid(pay(slug)).await.expect("paid");
    }
    server.sweep_until("06:00:40", "07:05:10").await;
    let scraped = scraped().await;
    told(&scraped, "tally_debt_down", &of("first"), 1);
    told(&scraped, "tally_debt_status_since_timestamp_seconds", &of("first"), at("07:05:00"));
    told(&scraped, "tally_debt_down", &of("second"), 0);
    told(&scraped, "tally_debt_last_payment_timestamp_seconds", &of("second"), at("06:00:30"));
    told(&scraped, "tally_debts", "{status=\"down\"}", 1);
    told(&scraped, "tally_debts", "{status=\"up\"}", 2);
    told(&scraped, "tally_debts_payments", "", 3);
    told(&scraped, "tally_debts_flips_total", "{kind=\"alarm\"}", 1);
    told(&scraped, "tally_debts_flips_total", "{kind=\"recovery\"}", 0);
}
