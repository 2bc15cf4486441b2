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
            let limits = Some(YEARS);
            proto::Definition { grace: limits, start_limit: limits, run_limit: limits, ..of }
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

/// What it has stored is taken back once a clock has been right for an hour, even if nobody pays any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_far_ahead_delays_no_alarm_for_long() {
    for backend in backends("debts_ahead").await {
        let (server, other) = (&backend.one, &backend.other);
        server.sweep("06:00:00").await;
        for slug in ["paid", "begun", "other"] {
            let limit = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
            add(server, &proto::Definition { run_limit: limit, ..hourly(slug) })
                .await
                .expect("added");
        }
        other.clock.set(time("20:00:00"));
        let request = |debt: &str, kind: proto::PaymentKind| {
            let kind = kind.into();
            proto::PayRequest { debt: debt.to_owned(), kind, ..Default::default() }
        };
        pay(other, request("paid", proto::PaymentKind::Success)).await.expect("paid");
        pay(other, request("begun", proto::PaymentKind::Start)).await.expect("paid");
        server.sweep_until("06:00:50", "07:00:45").await;
        let overdue = async |debt: &str| {
            show(server, debt).await.expect("it is there").overdue_at.map(|at| at.seconds)
        };
        // The first sweep that is an hour after the first one of all: at 07:00:25, and 2 s behind.
        let mended = time("08:02:23").as_second();
        assert_eq!(overdue("paid").await, Some(mended));
        assert_eq!(overdue("begun").await, Some(time("08:00:23").as_second()));
        server.sweep_until("07:01:20", "08:02:25").await;
        for (debt, at) in [("paid", "08:02:23"), ("begun", "07:00:00"), ("other", "07:00:00")] {
            let request = proto::ListFlipsRequest { debt: debt.to_owned(), ..Default::default() };
            let flips =
                server.service.list_flips(asked(request)).await.expect("a list").into_inner();
            let told: Vec<_> = flips.flips.iter().map(|flip| (flip.is_alarm, flip.at)).collect();
            assert_eq!(told, [(true, Some(self::at(time(at))))], "{debt}");
        }
    }
}

/// As people read a list: what is overdue, what is late, and the rest, through all pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_is_listed_before_what_is_not() {
    for backend in backends("debts_order").await {
        let server = &backend.one;
        server.sweep("06:00:00").await;
        let grace = |minutes: i64| Some(prost_types::Duration { seconds: 60 * minutes, nanos: 0 });
        for (slug, minutes) in [("f-late", 30), ("e-down", 1), ("b-late", 30), ("c-down", 1)] {
            add(server, &proto::Definition { grace: grace(minutes), ..hourly(slug) })
                .await
                .expect("added");
        }
        server.sweep_until("06:00:50", "06:30:00").await;
        for slug in ["d-up", "a-up"] {
            add(server, &hourly(slug)).await.expect("added");
        }
        server.sweep_until("06:30:30", "07:02:00").await;
        let walk = async |by_slug: bool| {
            let (mut slugs, mut after) = (Vec::new(), String::new());
            loop {
                let request =
                    proto::ListDebtsRequest { limit: 1, after, by_slug, ..Default::default() };
                let listed = server.service.list_debts(asked(request)).await.expect("a list");
                let listed = listed.into_inner();
                let definitions = listed.debts.into_iter().filter_map(|debt| debt.definition);
                slugs.extend(definitions.map(|definition| definition.slug));
                after = listed.next;
                if after.is_empty() {
                    return slugs;
                }
            }
        };
        assert_eq!(walk(false).await, ["c-down", "e-down", "b-late", "f-late", "a-up", "d-up"]);
        assert_eq!(walk(true).await, ["a-up", "b-late", "c-down", "d-up", "e-down", "f-late"]);
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

/// By gRPC as by every other door.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_input_is_told_by_its_field() {
    let Some(backend) = Backend::sqlite("").await else { return };
    let server = &backend.one;
    let lasts = |seconds: i64| Some(prost_types::Duration { seconds, nanos: 0 });
    let cron = |text: &str| definition("new", Schedule::Cron(text.to_owned()));
    let zoned = proto::Definition { time_zone: "Europe/Rigga".to_owned(), ..cron("0 3 * * *") };
    for (of, told) in [
        (cron("61 3 * * *"), "cron: the minute"),
        (cron("0 0 30 2 *"), "cron: no day of any year matches"),
        (zoned, "time_zone: no time zone"),
        (definition("new", Schedule::Every(lasts(-1).expect("one"))), "every: "),
        (proto::Definition { grace: lasts(-1), ..hourly("new") }, "grace: "),
        (proto::Definition { run_limit: lasts(i64::MIN), ..hourly("new") }, "run_limit: "),
        (hourly("New"), "slug: "),
    ] {
        let create = proto::Definition { slug: String::new(), ..of.clone() };
        let debt = if of.slug == "New" { "New" } else { "new" };
        let request =
            proto::PayRequest { debt: debt.to_owned(), create: Some(create), ..Default::default() };
        let refused = pay(server, request).await.expect_err("it makes none");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().starts_with(&format!("create.{told}")), "{refused}");
        let refused = add(server, &of).await.expect_err("it is wrong");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().starts_with(told), "{refused}");
    }
    add(server, &hourly("job")).await.expect("added");
    let usual = || proto::PayRequest { debt: "job".to_owned(), ..Default::default() };
    let ahead = time("06:00:01") + jiff::SignedDuration::from_hours(24);
    for (request, told) in [
        (proto::PayRequest { exit_status: Some(256), ..usual() }, "exit_status: "),
        (proto::PayRequest { time: Some(at(ahead)), ..usual() }, "24 h ahead"),
        (proto::PayRequest { kind: 99, ..usual() }, "kind: "),
    ] {
        let refused = pay(server, request).await.expect_err("it is wrong");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(told), "{refused}");
    }
    assert_eq!(show(server, "job").await.expect("it is there").payments, 0);
}
