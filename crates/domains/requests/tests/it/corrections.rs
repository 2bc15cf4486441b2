//! Corrections: what they come to, that they are kept apart, and never lead below zero.

use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1 as proto;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::backend::{Backend, NOW, OLD, TODAY, day, one_day};
use crate::changing::{customer, forgotten, merge, merged, of, path, record, start, start_other};
use crate::conformance::on_every_backend;
use crate::server::Counting;
use crate::snapshots::wait_for_a_waiter;

on_every_backend!(crate::corrections:
    corrections_are_kept_apart,
    a_correction_is_stored_once,
    nothing_falls_below_zero,
    corrections_at_the_same_time_do_not_fall_below_zero,
    corrections_follow_moves,
    no_sum_of_corrections_is_beyond_64_bits,
    wrong_corrections_are_refused,
    a_pruned_day_is_corrected,
    what_has_moved_counts_before_it_is_settled,
    a_list_that_fails_names_its_step,
);

fn date(text: &str) -> Option<Date> {
    let part = |at: std::ops::Range<usize>| text[at].parse().expect("a number");
    Some(Date { year: part(0..4), month: part(5..7), day: part(8..10) })
}

fn correction(day: &str, of: proto::Series, requests: i64) -> proto::CorrectRequest {
    proto::CorrectRequest {
        id: Uuid::new_v4().as_bytes().to_vec(),
        day: date(day),
        series: Some(of),
        requests,
        reason: "counted twice".into(),
        author: "ann".into(),
        dry_run: false,
    }
}

async fn correct(
    counting: &Counting,
    request: proto::CorrectRequest,
) -> Result<proto::CorrectResponse, Status> {
    Ok(counting.book_client().await.correct(request).await?.into_inner())
}

async fn corrected(counting: &Counting, day: &str, path: &str, requests: i64) -> (i64, i64) {
    let answer = correct(counting, correction(day, of(path, ""), requests)).await.unwrap();
    (answer.total, answer.corrections)
}

/// Path, count and correction of each total.
async fn totals(counting: &Counting, query: proto::QueryTotalsRequest) -> Vec<(String, i64, i64)> {
    let query =
        proto::QueryTotalsRequest { granularity: proto::Granularity::Whole.into(), ..query };
    let found = counting.totals(query).await.expect("totals").into_iter();
    found.map(|one| (one.group.path, one.count, one.correction)).collect()
}

fn query(live: bool, with_corrections: bool) -> proto::QueryTotalsRequest {
    proto::QueryTotalsRequest { live, with_corrections, ..Default::default() }
}

fn rows(rows: &[(&str, i64, i64)]) -> Vec<(String, i64, i64)> {
    rows.iter().map(|(path, count, more)| ((*path).to_owned(), *count, *more)).collect()
}

async fn corrections_are_kept_apart(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, &format!("{OLD}T10:00:00Z"), &[(of("/a", ""), 5), (of("/b", ""), 3)]).await;
    backend.roll_up(one_day(OLD)).await;
    record(&counting, NOW, &[(of("/a", ""), 7)]).await;
    assert_eq!(corrected(&counting, OLD, "/a", -2).await, (5, -2));
    assert_eq!(corrected(&counting, OLD, "/a", 1).await, (5, -1));
    // On a day that is not rolled up, and one on which it was not counted.
    assert_eq!(corrected(&counting, TODAY, "/a", -7).await, (7, -7));
    assert_eq!(corrected(&counting, "2015-05-18", "/b", 4).await, (0, 4));
    let all = [("/a", 12, 0), ("/b", 3, 0)];
    assert_eq!(totals(&counting, query(true, false)).await, rows(&all));
    let all = [("/a", 12, -8), ("/b", 3, 4)];
    assert_eq!(totals(&counting, query(true, true)).await, rows(&all));
    // Of rolled-up days only.
    let all = [("/a", 5, -1), ("/b", 3, 0)];
    assert_eq!(totals(&counting, query(false, true)).await, rows(&all));
    let first = proto::QueryTotalsRequest { from: date("2015-05-18"), ..query(true, true) };
    assert_eq!(totals(&counting, first.clone()).await, rows(&[("/a", 7, -7), ("/b", 0, 4)]));
    let largest = proto::QueryTotalsRequest { limit: 1, ..first };
    assert_eq!(totals(&counting, largest).await, rows(&[("/a", 7, -7)]));
    let filtered = proto::QueryTotalsRequest { paths: vec!["/b".into()], ..query(true, true) };
    assert_eq!(totals(&counting, filtered).await, rows(&[("/b", 3, 4)]));
    assert_eq!(backend.audit().await, 15);

    // Hours cut the day that a correction is of.
    let hours = proto::QueryTotalsRequest {
        granularity: proto::Granularity::Hour.into(),
        ..query(true, true)
    };
    let refused = counting.request_client().await.query_totals(hours).await.expect_err("cut");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");

    let request = proto::ListCorrectionsRequest { from: date(OLD), to: date("2015-05-18") };
    let mut answers =
        counting.book_client().await.list_corrections(request).await.unwrap().into_inner();
    let listed = answers.message().await.unwrap().expect("a list").corrections;
    let listed: Vec<_> = listed
        .iter()
        .map(|one| (&*one.series.as_ref().unwrap().path, one.requests, &*one.author))
        .collect();
    assert_eq!(listed, [("/a", -2, "ann"), ("/a", 1, "ann"), ("/b", 4, "ann")]);
    assert!(answers.message().await.unwrap().is_none());
}

async fn a_correction_is_stored_once(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", ""), 5)]).await;
    let dry = proto::CorrectRequest { dry_run: true, ..correction(TODAY, of("/a", ""), -3) };
    assert_eq!(correct(&counting, dry.clone()).await.unwrap().corrections, -3);
    assert_eq!(backend.count("tally_request_corrections").await, 0);
    let request = proto::CorrectRequest { dry_run: false, ..dry };
    for is_repeated in [false, true, true] {
        let answer = correct(&counting, request.clone()).await.unwrap();
        assert_eq!((answer.total, answer.corrections), (5, -3));
        assert_eq!(answer.is_repeated, is_repeated);
    }
    let other = proto::CorrectRequest { requests: -2, ..request };
    let refused = correct(&counting, other).await.expect_err("another one with its id");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    assert_eq!(backend.count("tally_request_corrections").await, 1);
}

async fn nothing_falls_below_zero(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", ""), 5)]).await;
    for rolled_up in [false, true] {
        let request = correction(TODAY, of("/a", ""), -6);
        let refused = correct(&counting, request).await.expect_err("below zero");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("a total of 5"), "{}", refused.message());
        if !rolled_up {
            backend.roll_up(one_day(TODAY)).await;
        }
    }
    assert_eq!(corrected(&counting, TODAY, "/a", -5).await, (5, -5));
    assert!(correct(&counting, correction(TODAY, of("/a", ""), -1)).await.is_err());
    assert_eq!(corrected(&counting, TODAY, "/a", 1).await, (5, -4));
    assert_eq!(corrected(&counting, TODAY, "/a", -1).await, (5, -5));
}

async fn corrections_at_the_same_time_do_not_fall_below_zero(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", ""), 5)]).await;
    let other = start_other(&backend).await;
    let servers = [&counting, other.as_ref().unwrap_or(&counting)];
    let one = async |at: usize| {
        correct(servers[at % 2], correction(TODAY, of("/a", ""), -1)).await.is_ok()
    };
    let all = [0, 1, 2, 3, 4, 5, 6, 7].map(one);
    let stored = futures_util::future::join_all(all).await.into_iter().filter(|one| *one).count();
    assert_eq!(stored, 5);
    assert_eq!(totals(&counting, query(true, true)).await, rows(&[("/a", 5, -5)]));
}

async fn corrections_follow_moves(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", "x"), 5), (of("/b", "x"), 3)]).await;
    correct(&counting, correction(TODAY, of("/a", "x"), -2)).await.unwrap();
    merged(&counting, merge(path("/a"), "/b")).await.unwrap();
    // Under the old name too.
    let answer = correct(&counting, correction(TODAY, of("/a", "x"), -6)).await.unwrap();
    assert_eq!((answer.total, answer.corrections), (8, -8));
    forgotten(&counting, customer("x")).await.unwrap();
    assert_eq!(totals(&counting, query(true, true)).await, rows(&[("/b", 8, -8)]));
    let mut client = counting.book_client().await;
    let listed = client.list_corrections(proto::ListCorrectionsRequest::default());
    let listed = listed.await.unwrap().into_inner().message().await.unwrap().expect("a list");
    assert!(
        listed.corrections.iter().all(|one| one.series.as_ref().unwrap().customer == "_forgotten")
    );
}

/// As many of the largest corrections as there is room for, of two series that become one.
async fn no_sum_of_corrections_is_beyond_64_bits(backend: Backend) {
    const MOST: i64 = 1_000_000_000_000_000;
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", ""), 3), (of("/b", ""), 3)]).await;
    for path in ["/a", "/b"] {
        correct(&counting, correction(TODAY, of(path, ""), MOST)).await.unwrap();
    }
    backend.execute("UPDATE tally_request_corrections SET requests = requests * 4500").await;
    for one in [1, -1] {
        let refused = correct(&counting, correction(TODAY, of("/a", ""), one)).await;
        let refused = refused.expect_err("no room");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    }
    merged(&counting, merge(path("/b"), "/a")).await.unwrap();
    assert_eq!(totals(&counting, query(true, true)).await, rows(&[("/a", 6, 9_000 * MOST)]));
    let sum = proto::QueryTotalsRequest {
        sum: true,
        granularity: proto::Granularity::Whole.into(),
        ..query(true, true)
    };
    let mut answers = counting.request_client().await.query_totals(sum).await.unwrap().into_inner();
    let (mut counts, mut corrections) = (Vec::new(), Vec::new());
    while let Some(answer) = answers.message().await.unwrap() {
        for part in answer.periods {
            counts.extend(part.count);
            corrections.extend(part.correction);
        }
    }
    assert_eq!((counts, corrections), (vec![6], vec![9_000 * MOST]));
}

async fn wrong_corrections_are_refused(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", ""), 5)]).await;
    let good = || correction(TODAY, of("/a", ""), 1);
    for (request, code, words) in [
        (correction("2999-01-01", of("/a", ""), 1), Code::InvalidArgument, "in the future"),
        (correction(TODAY, of("/b", ""), 1), Code::NotFound, "/b"),
        (correction(TODAY, of("/a", "x"), 1), Code::NotFound, "customer"),
        (correction(TODAY, of("/a", ""), 0), Code::InvalidArgument, "is 0"),
        (proto::CorrectRequest { id: Vec::new(), ..good() }, Code::InvalidArgument, "id"),
        (proto::CorrectRequest { reason: String::new(), ..good() }, Code::InvalidArgument, "why"),
        (proto::CorrectRequest { day: None, ..good() }, Code::InvalidArgument, "day"),
        (proto::CorrectRequest { series: None, ..good() }, Code::InvalidArgument, "series"),
        (correction(TODAY, of("/a", ""), i64::MIN), Code::InvalidArgument, "the most"),
        (correction(TODAY, of("/a", ""), i64::MAX), Code::InvalidArgument, "the most"),
    ] {
        let refused = correct(&counting, request).await.expect_err(words);
        assert_eq!(refused.code(), code, "{words}: {refused}");
        assert!(refused.message().contains(words), "{words}: {}", refused.message());
    }
    assert_eq!(backend.count("tally_request_corrections").await, 0);
}

/// Of a pruned day the month alone has the total.
async fn a_pruned_day_is_corrected(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, &format!("{OLD}T10:00:00Z"), &[(of("/a", ""), 5)]).await;
    backend.roll_up(one_day(OLD)).await;
    assert_eq!(backend.prune(day(TODAY)).await, 1);
    assert_eq!(corrected(&counting, OLD, "/a", -5).await, (5, -5));
    assert!(correct(&counting, correction(OLD, of("/a", ""), -1)).await.is_err());
}

/// The moment after a merge, before what the days have is added to the new series.
async fn what_has_moved_counts_before_it_is_settled(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", ""), 5), (of("/b", ""), 3)]).await;
    backend.store.fold().await.unwrap();
    let (from, to) = (backend.id(3, "/a").await, backend.id(3, "/b").await);
    backend.execute(&format!("INSERT INTO tally_request_moves VALUES ({from}, {to}, 1)")).await;
    assert_eq!(corrected(&counting, TODAY, "/b", -8).await, (8, -8));
    assert!(correct(&counting, correction(TODAY, of("/b", ""), -1)).await.is_err());
}

async fn a_list_that_fails_names_its_step(backend: Backend) {
    let counting = start(&backend).await;
    backend.execute("ALTER TABLE tally_request_corrections RENAME TO tally_gone").await;
    let mut client = counting.book_client().await;
    let failed = client.list_corrections(proto::ListCorrectionsRequest::default()).await;
    let failed = failed.map(drop).expect_err("there is no table");
    let words = failed.message().strip_prefix("list corrections: ").unwrap_or_default();
    let is_next = |cause: &&str| words.starts_with(*cause);
    assert!(["no such table", "relation"].iter().any(is_next), "{failed}");
}

/// Another server stores a correction of the same total: this one waits for it, and then sees it.
#[tokio::test]
async fn a_correction_waits_for_the_one_before_it() {
    let Some(backend) = Backend::postgres("correcting").await else { return };
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", ""), 5)]).await;
    backend.store.fold().await.unwrap();
    let (other, id) = (backend.connect().await, backend.id(3, "/a").await);
    // As weak as a lock may be that holds up who locks the books.
    let first = format!(
        "BEGIN; LOCK TABLE tally_request_calendar IN ROW EXCLUSIVE MODE; \
         INSERT INTO tally_request_corrections VALUES \
             (gen_random_uuid(), 0, DATE '{TODAY}', {id}, -5, 'a reason', 'eve', now())"
    );
    other.batch_execute(&first).await.unwrap();
    let commit = async {
        wait_for_a_waiter(&backend).await;
        other.batch_execute("COMMIT").await.unwrap();
    };
    let second = correct(&counting, correction(TODAY, of("/a", ""), -1));
    let (refused, ()) = tokio::join!(second, commit);
    assert_eq!(refused.expect_err("nothing is left").code(), Code::FailedPrecondition);
}
