//! Odd texts, clocks that are put forward and back, and definitions that are repeated as they are shown.

use jiff::Timestamp;
use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::debt_service_server::DebtService as _;
use tally_proto::tally::debts::v1::definition::Schedule;
use tonic::{Code, Status};

use crate::backend::{Backend, HOOK, Server, asked, time};

/// 9999-12-30T22:00:00Z, in whose second the calendar ends.
const LAST: i64 = 253_402_207_200;
/// The longest limit.
const YEARS: prost_types::Duration = prost_types::Duration { seconds: 3_660 * 86_400, nanos: 0 };

/// A backend of each kind that is there.
async fn backends(hint: &str) -> Vec<Backend> {
    let all = [
        Backend::sqlite(hint).await,
        Backend::postgres(hint).await,
        Backend::cockroach_on_postgres(&format!("{hint}_crdb")).await,
    ];
    all.into_iter().flatten().collect()
}

fn definition(slug: &str, schedule: Schedule) -> proto::Definition {
    let (slug, schedule) = (slug.to_owned(), Some(schedule));
    proto::Definition { slug, schedule, ..proto::Definition::default() }
}

fn hourly(slug: &str) -> proto::Definition {
    definition(slug, Schedule::Every(prost_types::Duration { seconds: 3_600, nanos: 0 }))
}

fn at(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: 0 }
}

async fn add(server: &Server, of: &proto::Definition) -> Result<proto::AddDebtResponse, Status> {
    let request = proto::AddDebtRequest { definition: Some(of.clone()) };
    server.service.add_debt(asked(request)).await.map(tonic::Response::into_inner)
}

async fn change(server: &Server, of: proto::Definition) -> Result<proto::Debt, Status> {
    let request = proto::UpdateDebtRequest { debt: of.slug.clone(), definition: Some(of) };
    let changed = server.service.update_debt(asked(request)).await?;
    Ok(changed.into_inner().debt.expect("a debt"))
}

async fn pay(server: &Server, request: proto::PayRequest) -> Result<proto::PayResponse, Status> {
    let paid = proto::debt_service_server::DebtService::pay(&server.service, asked(request)).await;
    paid.map(tonic::Response::into_inner)
}

async fn show(server: &Server, debt: &str) -> Result<proto::Debt, Status> {
    let request = proto::ShowDebtRequest { debt: debt.to_owned() };
    let shown = server.service.show_debt(asked(request)).await?;
    Ok(shown.into_inner().debt.expect("a debt"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_no_database_takes_is_no_fault_of_the_server() {
    for backend in backends("debts_texts").await {
        let server = &backend.one;
        add(server, &hourly("-7")).await.expect("a slug may begin with a sign");
        assert_eq!(show(server, "-7").await.expect("it is there").number, 1);
        for debt in ["a\0b", "\0", "", &"x".repeat(1 << 20)] {
            let refused = show(server, debt).await.expect_err("there is none");
            assert_eq!(refused.code(), Code::NotFound, "{refused}");
            let request = proto::PayRequest { debt: debt.to_owned(), ..Default::default() };
            let refused = pay(server, request).await.expect_err("there is none");
            assert_eq!(refused.code(), Code::NotFound, "{refused}");
            assert!(refused.message().len() < 200, "it is in a header");
        }
        let usual = proto::ListDebtsRequest::default;
        for request in [
            proto::ListDebtsRequest { search: "\0".to_owned(), ..usual() },
            proto::ListDebtsRequest { tags: vec!["\0".to_owned()], ..usual() },
            proto::ListDebtsRequest { after: ":\0".to_owned(), ..usual() },
        ] {
            let refused = server.service.list_debts(asked(request)).await.expect_err("a NUL");
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_at_the_end_of_the_calendar_is_kept_or_refused() {
    for backend in backends("debts_ends").await {
        let server = &backend.one;
        let of = |seconds: i64, nanos: i32| {
            let deadline = prost_types::Timestamp { seconds, nanos };
            let of = definition("end", Schedule::Deadline(deadline));
            proto::Definition { grace: Some(YEARS), start_limit: Some(YEARS), ..of }
        };
        for refused in [of(LAST, 999_999_000), of(253_402_300_799, 0), of(-62_135_596_801, 0)] {
            let refused = add(server, &refused).await.expect_err("no database has it");
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        }
        let added = add(server, &of(LAST - 1, 999_999_000)).await.expect("the last moment");
        let due = added.debt.expect("a debt").due_at.expect("it is due");
        assert_eq!((due.seconds, due.nanos), (LAST - 1, 999_999_000));
        let (time, took) = (Some(at("0001-01-01T00:00:00Z".parse().expect("a time"))), YEARS);
        let request = proto::PayRequest {
            debt: "end".to_owned(),
            run: "first".to_owned(),
            took: Some(took),
            time,
            ..Default::default()
        };
        let paid = pay(server, request).await.expect("paid").debt.expect("a debt");
        assert_eq!(paid.paid_at, time);
        for took in [-1, i64::MIN, i64::MAX, YEARS.seconds + 1] {
            let took = Some(prost_types::Duration { seconds: took, nanos: 0 });
            let request = proto::PayRequest { debt: "end".to_owned(), took, ..Default::default() };
            let refused = pay(server, request).await.expect_err("no length of time");
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_put_forward_and_back_hides_no_silence() {
    for backend in backends("debts_clock").await {
        let server = &backend.one;
        server.sweep("06:00:00").await;
        add(server, &hourly("beat")).await.expect("added");
        server.sweep("20:00:00").await;
        server.sweep("06:01:00").await;
        server.clock.set(time("06:02:00"));
        let request = proto::PayRequest { debt: "beat".to_owned(), ..Default::default() };
        pay(server, request).await.expect("paid");
        server.sweep_until("06:02:30", "07:02:02").await;
        let request = proto::ListFlipsRequest { debt: "beat".to_owned(), ..Default::default() };
        let flips = server.service.list_flips(asked(request)).await.expect("a list").into_inner();
        let told: Vec<_> = flips.flips.iter().map(|flip| (flip.is_alarm, flip.at)).collect();
        assert_eq!(told, [(true, Some(at(time("07:02:00"))))]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_can_be_said_again() {
    for backend in backends("debts_shown").await {
        let server = &backend.one;
        let notify = ["b", "a"].map(|name| format!("{HOOK}{name}")).to_vec();
        let whole = proto::Definition { notify, ..hourly("beat") };
        add(server, &whole).await.expect("added");
        let shown = show(server, "beat").await.expect("it is there").definition.expect("one");
        assert!(shown.notify.iter().all(|url| !url.contains("tally")), "{shown:?}");
        change(server, shown).await.expect("what is shown is right");
        assert!(add(server, &whole).await.expect("the same").is_repeated, "it has its addresses");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_has_passed_is_in_nobodys_way() {
    for backend in backends("debts_passed").await {
        let server = &backend.one;
        let once = |slug: &str, text: &str| definition(slug, Schedule::Deadline(at(time(text))));
        add(server, &once("launch", "07:00:00")).await.expect("added");
        backend.set("08:00:00");
        assert!(add(server, &once("launch", "07:00:00")).await.expect("the same").is_repeated);
        let tags = vec!["done".to_owned()];
        let tagged = proto::Definition { tags, ..once("launch", "07:00:00") };
        change(server, tagged).await.expect("only its tags are others");
        let create = Some(once("launch", "07:00:00"));
        let request = proto::PayRequest { debt: "launch".to_owned(), create, ..Default::default() };
        let paid = pay(server, request).await.expect("paid");
        assert_eq!((paid.payment, paid.is_created), (1, false));
        for refused in [
            add(server, &once("other", "07:30:00")).await.expect_err("it has passed"),
            change(server, once("launch", "07:30:00")).await.expect_err("it has passed"),
        ] {
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains("deadline"), "{refused}");
        }
        let taken = add(server, &once("launch", "07:30:00")).await.expect_err("another one");
        assert_eq!(taken.code(), Code::AlreadyExists, "{taken}");
    }
}
