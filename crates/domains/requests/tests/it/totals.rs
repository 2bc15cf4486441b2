//! Totals of months, days and rows that were put into the tables at random: each form of a query is
//! held against a sum over the same requests.
//!
//! | file | what it owns |
//! |---|---|
//! | `books.rs` | made-up requests, and the tables that have them |
//! | `expected.rs` | the answer, without the code that is tested |

mod books;
mod expected;

use tally_requests::model::{Namespace, Quarter};
use tally_requests::periods::{Granularity, QuarterRange, Zone};
use tally_requests::{Filter, GroupBy, Query, TooMany, Totals};
use tally_runtime::{Kind, chain};

use self::books::{Books, Random};
use self::expected::listed;
use crate::backend::{Backend, ask, day, query};
use crate::conformance::on_every_backend;

on_every_backend!(crate::totals:
    every_form_of_a_query_is_exact,
    pruned_days_have_no_hours,
    a_text_that_is_no_count_names_its_column,
    an_empty_database_has_an_empty_answer,
);

const SEEDS: [u64; 3] = [1, 2, 3];
const QUERIES: usize = 150;
const ZONES: [&str; 6] = [
    "UTC",
    "Asia/Kolkata",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
];
const GRANULARITIES: [Granularity; 6] = [
    Granularity::Hour,
    Granularity::Day,
    Granularity::Week,
    Granularity::Month,
    Granularity::Year,
    Granularity::Whole,
];
const FIELDS: [GroupBy; 6] = [
    GroupBy::Service,
    GroupBy::Method,
    GroupBy::Path,
    GroupBy::Status,
    GroupBy::StatusClass,
    GroupBy::Customer,
];

fn random_filter(random: &mut Random) -> Filter {
    let mut filter = Filter::default();
    let texts =
        |random: &mut Random, of: &[&str]| random.some(of).into_iter().map(str::to_owned).collect();
    match random.below(9) {
        0 => filter.services = texts(random, &["", "shop", "nobody"]),
        1 => filter.methods = texts(random, &["", "GET", "GRPC", "42"]),
        2 => filter.paths = texts(random, &["/", "/é", "/_%", "_unknown"]),
        3 => filter.path_prefix = (*random.of(&["/", "/a", "/_", "é", "/é"])).to_owned(),
        4 => filter.statuses = random.some(&[0, 200, 404]).into_iter().collect(),
        5 => {
            filter.status_classes = random.some(&[2, 4, 5]).into_iter().collect();
            filter.statuses = random.some(&[0, 200, 13]).into_iter().collect();
        }
        6 => filter.customers = texts(random, &["", "o'neil", "日本"]),
        7 => filter.namespace = Namespace(1),
        _ => {}
    }
    if random.is_one_in(6) {
        filter.services = texts(random, &["", "shop"]);
    }
    filter
}

fn random_query(random: &mut Random) -> Query {
    let zone = Zone::named(random.of::<&str>(&ZONES)).unwrap();
    let date = |random: &mut Random| {
        Some(day("2023-10-20").plus(i32::try_from(random.below(180)).unwrap()).date())
    };
    let range = match random.below(5) {
        0 => QuarterRange::ALL,
        1 => QuarterRange::of_dates(date(random), None, &zone).unwrap(),
        2 => {
            // Within days.
            let first = Quarter::first_of(day("2023-11-20")).0;
            let start = first + i32::try_from(random.below(10_000)).unwrap();
            let end = start + i32::try_from(random.below(2_000)).unwrap();
            QuarterRange { start: Quarter(start), end: Quarter(end) }
        }
        _ => {
            let (a, b) = (date(random), date(random));
            QuarterRange::of_dates(a.min(b), a.max(b), &zone).unwrap()
        }
    };
    Query {
        range,
        granularity: *random.of(&GRANULARITIES),
        zone,
        filter: random_filter(random),
        group_by: match random.below(3) {
            0 => vec![GroupBy::Method, GroupBy::Path],
            _ => random.some(&FIELDS),
        },
        live: random.is_one_in(2),
        sum: random.is_one_in(5),
        totals_max: if random.is_one_in(8) { random.below(300) } else { 1_000_000 },
        with_corrections: false,
        limit: None,
    }
}

async fn every_form_of_a_query_is_exact(backend: Backend) {
    let (mut refused, mut too_many, mut answered) = (0, 0, 0);
    for seed in SEEDS {
        backend.execute(&format!("DELETE FROM {}", backend.tray())).await;
        for table in ["series", "days", "months", "calendar"] {
            backend.execute(&format!("DELETE FROM tally_request_{table}")).await;
        }
        let mut random = Random(seed);
        let mut books = Books::random(&mut random);
        books.fill(&backend, &mut random).await;
        for _ in 0..QUERIES {
            let query = random_query(&mut random);
            let answer = backend.store.totals(&query).await;
            match (books.answer(&query), answer) {
                (None, Err(error)) => {
                    assert_eq!(error.kind(), Kind::FailedPrecondition, "{}", chain(&error));
                    refused += 1;
                }
                (Some(expected), Err(error)) => {
                    assert!(error.find::<TooMany>().is_some(), "{} {query:?}", chain(&error));
                    assert!(expected.len() > query.totals_max, "{query:?}");
                    too_many += 1;
                }
                (Some(expected), Ok(answer)) => {
                    assert!(expected.len() <= query.totals_max, "{query:?}");
                    assert_eq!(listed(&answer, &query), expected, "seed {seed}: {query:?}");
                    answered += usize::from(!expected.is_empty());
                }
                (None, Ok(_)) => panic!("a pruned day is cut: {query:?}"),
            }
        }
    }
    assert!(refused > 10 && too_many > 5 && answered > 100, "{refused} {too_many} {answered}");
}

async fn pruned_days_have_no_hours(backend: Backend) {
    let mut random = Random(4);
    let mut books = Books::random(&mut random);
    books.fill(&backend, &mut random).await;
    let last = *books.pruned.last().unwrap();
    let refused = async |query: &Query| {
        let error = backend.store.totals(query).await.expect_err("no quarters");
        assert_eq!(error.kind(), Kind::FailedPrecondition);
        chain(&error)
    };
    // A day of Kolkata begins 5.5 hours before that of UTC, and one of New York 5 hours after it.
    for (name, first) in [("Asia/Kolkata", 2), ("America/New_York", 1), ("UTC", 1)] {
        let zone = Zone::named(name).unwrap();
        let hours = Query { zone: zone.clone(), ..query(Granularity::Hour, true) };
        let (error, first) = (refused(&hours).await, last.plus(first).date());
        assert!(error.contains(&format!("{last} (UTC)")), "{error}");
        assert!(error.contains(&format!("ask for {first} and later")), "{error}");
        let range = QuarterRange::of_dates(Some(first), None, &zone).unwrap();
        let later = Query { range, ..hours.clone() };
        assert!(ask(&backend.store, &later).await.is_ok(), "it is the first one");
        let early = books.pruned.iter().next().map(|day| day.date());
        let range = QuarterRange::of_dates(early, early, &zone).unwrap();
        let error = refused(&Query { range, ..hours.clone() }).await;
        assert!(
            error.contains(&format!("ask for {first} and later")),
            "of a pruned range: {error}"
        );
        let before = Some(first.yesterday().unwrap());
        let range = QuarterRange::of_dates(before, before, &zone).unwrap();
        refused(&Query { range, ..hours }).await;
    }
    assert!(
        ask(&backend.store, &query(Granularity::Day, true)).await.is_ok(),
        "UTC's days are kept"
    );
}

async fn a_text_that_is_no_count_names_its_column(backend: Backend) {
    let date = if backend.database_name() == "main" { "19700" } else { "DATE '2023-12-01'" };
    let now = if backend.database_name() == "main" { "1" } else { "now()" };
    let sql = format!(
        "INSERT INTO tally_request_calendar (day, rolled_up_at) VALUES ({date}, {now}); \
         INSERT INTO tally_request_months VALUES ({date}, 1, 5, '[0,5'); \
         INSERT INTO tally_request_days VALUES ({date}, 1, 5, '[96,5]')"
    );
    backend.execute(&sql.replace("19700", &day("2023-12-01").0.to_string())).await;
    for (granularity, column) in [
        (Granularity::Day, "tally_request_months.days"),
        (Granularity::Hour, "tally_request_days.quarters"),
    ] {
        let error = backend.store.totals(&query(granularity, true)).await.expect_err("no counts");
        assert!(chain(&error).contains(column), "{}", chain(&error));
    }
}

async fn an_empty_database_has_an_empty_answer(backend: Backend) {
    for granularity in GRANULARITIES {
        for live in [false, true] {
            let answer = ask(&backend.store, &query(granularity, live)).await.unwrap();
            assert_eq!(answer, Totals::default());
        }
    }
}
