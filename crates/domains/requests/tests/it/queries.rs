//! Queries of totals: periods, filters, order and limits, live and rolled up.

use std::sync::Arc;

use tally_proto::methods::text;
use tally_requests::periods::{Granularity, QuarterRange};
use tally_requests::{DayRange, Filter, Named, Query, Rows, Series, TooMany, Totals};
use tally_runtime::{Namespace, chain};

use crate::backend::{
    Backend, OLD, Producer, TODAY, Total, append, append_named, ask, day, listed, noon, one_day,
    query, sum, total,
};
use crate::conformance::on_every_backend;

on_every_backend!(crate::queries:
    totals_by_every_period,
    totals_of_a_range_only,
    totals_of_a_method,
    totals_of_a_path_prefix,
    totals_of_exact_paths,
    sums_over_all_endpoints,
    paths_are_ordered_by_their_bytes,
    too_many_totals_are_refused,
    names_that_are_too_long_are_refused,
    what_others_have_makes_no_range_too_long,
    what_others_had_pruned_refuses_nothing,
);

/// Queries when nothing, something and everything is rolled up: the live answer must not change,
/// and the rolled-up one must match it at the end.
async fn at_every_stage(backend: &Backend, query: &Query, expected: &[Total]) {
    let live = Query { live: true, ..query.clone() };
    let rolled_up = Query { live: false, ..query.clone() };
    assert!(listed(&ask(&backend.store, &rolled_up).await.unwrap()).is_empty());
    for days in [one_day("1970-01-01"), one_day(OLD), one_day(TODAY), DayRange::ALL] {
        backend.roll_up(days).await;
        assert_eq!(listed(&ask(&backend.store, &live).await.unwrap()), expected, "{days}");
    }
    assert_eq!(listed(&ask(&backend.store, &rolled_up).await.unwrap()), expected);
}

/// Rows on days around the end of a month and of a year.
async fn some_days(backend: &Backend) {
    backend.maintain().await;
    let (a, b) = (backend.id(3, "/a").await, backend.id(3, "/b").await);
    let days = [OLD, "2015-05-31", "2015-06-01", "2015-12-31", "2016-01-01", TODAY, "2030-06-16"];
    for day in days {
        append(backend, [(a, noon(day)), (b, noon(day)), (b, noon(day))]).await;
    }
}

fn of_method(method: i32) -> Filter {
    Filter { methods: [text(method).into_owned()].into(), ..Filter::default() }
}

async fn totals_by_every_period(backend: Backend) {
    some_days(&backend).await;
    let expected = |periods: &[(&str, i64)]| -> Vec<Total> {
        let both = |(day, n): &(&str, i64)| [total(day, 3, "/a", *n), total(day, 3, "/b", 2 * n)];
        periods.iter().flat_map(both).collect()
    };
    for (granularity, periods) in [
        (Granularity::Whole, &[("0001-01-01", 7)][..]),
        (Granularity::Year, &[("2015-01-01", 4), ("2016-01-01", 1), ("2030-01-01", 2)]),
        (
            Granularity::Month,
            &[
                ("2015-05-01", 2),
                ("2015-06-01", 1),
                ("2015-12-01", 1),
                ("2016-01-01", 1),
                ("2030-06-01", 2),
            ],
        ),
    ] {
        let live = ask(&backend.store, &query(granularity, true)).await.unwrap();
        assert_eq!(listed(&live), expected(periods), "{granularity:?}");
    }
    // Roll up half, so that both halves of a month are added.
    backend.roll_up(one_day(OLD)).await;
    backend.roll_up(one_day(TODAY)).await;
    let month = ask(&backend.store, &query(Granularity::Month, true)).await.unwrap();
    assert_eq!(listed(&month)[..2], expected(&[("2015-05-01", 2)]));
    backend.roll_up(DayRange::ALL).await;
    let year = ask(&backend.store, &query(Granularity::Year, false)).await.unwrap();
    assert_eq!(listed(&year), expected(&[("2015-01-01", 4), ("2016-01-01", 1), ("2030-01-01", 2)]));
}

async fn totals_of_a_range_only(backend: Backend) {
    some_days(&backend).await;
    let days = DayRange { first: day("2015-05-31"), last: day("2015-12-31") };
    let query = Query { range: QuarterRange::of_days(days), ..query(Granularity::Day, true) };
    let expected = ["2015-05-31", "2015-06-01", "2015-12-31"]
        .map(|day| [total(day, 3, "/a", 1), total(day, 3, "/b", 2)])
        .concat();
    at_every_stage(&backend, &query, &expected).await;
}

async fn totals_of_a_method(backend: Backend) {
    backend.maintain().await;
    for (n, method) in [0, 3, 9, 42, i32::MAX, i32::MIN].into_iter().enumerate() {
        let id = backend.id(method, "/").await;
        append(&backend, (0..=n).map(|_| (id, noon(TODAY)))).await;
    }
    for (method, count) in [(42, 4), (i32::MAX, 5), (0, 1), (i32::MIN, 6)] {
        let filter = of_method(method);
        let query = Query { filter, ..query(Granularity::Day, true) };
        let live = listed(&ask(&backend.store, &query).await.unwrap());
        assert_eq!(live, [total(TODAY, method, "/", count)]);
    }
    let filter = of_method(3);
    let query = Query { filter, ..query(Granularity::Day, true) };
    at_every_stage(&backend, &query, &[total(TODAY, 3, "/", 2)]).await;
}

async fn totals_of_exact_paths(backend: Backend) {
    backend.maintain().await;
    for (n, path) in ["/a", "/A", "/a/b", "/%", "/é", "/x"].into_iter().enumerate() {
        let id = backend.id(3, path).await;
        append(&backend, (0..=n).map(|_| (id, noon(TODAY)))).await;
    }
    let filtered = |prefix: &str, paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let filter = Filter { path_prefix: prefix.to_owned(), paths, ..of_method(3) };
        Query { filter, ..query(Granularity::Day, true) }
    };
    for (prefix, paths, expected) in [
        ("", &["/a"][..], &[("/a", 1)][..]),
        ("", &["/é", "/%", "/nothing", "/é"], &[("/%", 4), ("/é", 5)]),
        ("/a", &["/a", "/x"], &[("/a", 1)]),
        ("/b", &["/a"], &[]),
    ] {
        let answer = ask(&backend.store, &filtered(prefix, paths)).await.unwrap();
        let expected: Vec<_> = expected.iter().map(|one| total(TODAY, 3, one.0, one.1)).collect();
        assert_eq!(listed(&answer), expected, "{prefix} {paths:?}");
    }
    let expected = [total(TODAY, 3, "/a/b", 3)];
    at_every_stage(&backend, &filtered("", &["/a/b"]), &expected).await;
}

async fn sums_over_all_endpoints(backend: Backend) {
    backend.maintain().await;
    for (method, path, rows) in [(3, "/a", 3), (6, "/a", 2), (3, "/b", 1)] {
        let id = backend.id(method, path).await;
        append(&backend, (0..rows).map(|_| (id, noon(TODAY)))).await;
        append(&backend, [(id, noon(OLD))]).await;
    }
    let of_posts = of_method(6);
    for days in [one_day("1970-01-01"), one_day(OLD), one_day(TODAY), DayRange::ALL] {
        backend.roll_up(days).await;
        for (filter, whole, by_day) in [
            (Filter::default(), &[9][..], &[3, 6][..]),
            (of_posts.clone(), &[3], &[1, 2]),
            (Filter { paths: ["/nothing".to_owned()].into(), ..Filter::default() }, &[], &[]),
        ] {
            for (granularity, expected) in [
                (Granularity::Whole, whole),
                (Granularity::Year, by_day),
                (Granularity::Day, by_day),
            ] {
                // More endpoints than allowed totals, because they are summed first.
                let query = Query {
                    sum: true,
                    totals_max: 2,
                    filter: filter.clone(),
                    ..query(granularity, true)
                };
                let answer = ask(&backend.store, &query).await.unwrap();
                let sums: Vec<_> =
                    answer.periods.iter().flat_map(|period| &period.counts).collect();
                let expected: Vec<_> = expected.iter().map(|sum| (0, *sum)).collect();
                assert_eq!(sums, expected.iter().collect::<Vec<_>>(), "{query:?} {days}");
                assert!(answer.groups.is_empty());
            }
        }
    }
}

async fn totals_of_a_path_prefix(backend: Backend) {
    backend.maintain().await;
    let paths = ["/100%", "/100x", "/a_b", "/axb", "/é/1", "/è", "/e", "/A", "/a", "/\\", "/'"];
    for path in paths {
        let id = backend.id(3, path).await;
        append(&backend, [(id, noon(TODAY)), (id, noon(OLD))]).await;
    }
    let filtered = |prefix: &str| {
        let filter = Filter { path_prefix: prefix.to_owned(), ..of_method(3) };
        Query { filter, ..query(Granularity::Whole, true) }
    };
    for stage in ["live", "half", "rolled up"] {
        match stage {
            "half" => backend.roll_up(one_day(OLD)).await,
            "rolled up" => backend.roll_up(DayRange::ALL).await,
            _ => 0,
        };
        for (prefix, expected) in [
            ("/100%", &["/100%"][..]),
            ("/100", &["/100%", "/100x"]),
            ("/a_", &["/a_b"]),
            ("/a", &["/a", "/a_b", "/axb"]),
            ("/A", &["/A"]),
            ("/é", &["/é/1"]),
            ("/e", &["/e"]),
            ("/\\", &["/\\"]),
            ("/'", &["/'"]),
            ("%", &[]),
            ("_", &[]),
            ("/é/12", &[]),
            ("a", &[]),
        ] {
            let found = listed(&ask(&backend.store, &filtered(prefix)).await.unwrap());
            let expected: Vec<_> =
                expected.iter().map(|path| total("0001-01-01", 3, path, 2)).collect();
            assert_eq!(found, expected, "{prefix} {stage}");
        }
    }
    let everything = listed(&ask(&backend.store, &filtered("")).await.unwrap());
    assert_eq!(sum(&everything), 2 * paths.len() as i64);
}

async fn paths_are_ordered_by_their_bytes(backend: Backend) {
    let paths = ["B", "Z", "_", "a", "a ", "a!", "aB", "aa", "b", "é", "日本", "🦀"];
    for path in paths.iter().rev() {
        for method in [6, 3, 100] {
            let id = backend.id(method, path).await;
            append(&backend, [(id, noon(OLD))]).await;
        }
    }
    let expected = paths.map(|path| [3, 100, 6].map(|method| total(OLD, method, path, 1)));
    let expected = expected.as_flattened();
    assert!(paths.is_sorted());
    at_every_stage(&backend, &query(Granularity::Day, true), expected).await;
}

async fn too_many_totals_are_refused(backend: Backend) {
    for n in 0..3 {
        let id = backend.id(3, &format!("/{n}")).await;
        append(&backend, [(id, noon(OLD)), (id, noon(OLD)), (id, noon("2015-06-01"))]).await;
    }
    let at_most = |totals_max, live| Query { totals_max, ..query(Granularity::Day, live) };
    assert_eq!(ask(&backend.store, &at_most(5, true)).await, Err(TooMany));
    assert!(ask(&backend.store, &at_most(6, true)).await.is_ok());
    backend.roll_up(DayRange::ALL).await;
    for live in [false, true] {
        assert_eq!(ask(&backend.store, &at_most(5, live)).await, Err(TooMany));
        assert!(ask(&backend.store, &at_most(6, live)).await.is_ok());
    }
}

/// Any answer may have 1 MiB of paths.
async fn names_that_are_too_long_are_refused(backend: Backend) {
    let long = "x".repeat(1 << 17);
    for n in 0..=8 {
        let id = backend.id(3, &format!("/{n}{long}")).await;
        append(&backend, [(id, noon(OLD))]).await;
    }
    let all = |totals_max| Query { totals_max, ..query(Granularity::Day, true) };
    let filter = Filter { path_prefix: "/8".to_owned(), ..Filter::default() };
    for days in [one_day(TODAY), one_day(OLD)] {
        backend.roll_up(days).await;
        assert_eq!(ask(&backend.store, &all(100)).await, Err(TooMany));
        assert!(ask(&backend.store, &all(100_000)).await.is_ok());
        let some = Query { filter: filter.clone(), ..all(100) };
        assert!(ask(&backend.store, &some).await.is_ok());
    }
}

/// A series of a neighbour.
async fn of_neighbour(backend: &Backend, times: &[i64]) -> Query {
    let namespace = Namespace(1);
    let series = Series { namespace, ..Series::of_endpoint(3, "/neighbour") };
    let named = Arc::new(Named::new(series.id(0), series));
    let rows: Rows = times.iter().map(|time| (named.id, *time)).collect();
    let chunks = [rows.into()];
    let batch = Producer::new().next(&chunks);
    append_named(&backend.store, &batch, &[named]).await.expect("stored");
    let filter = Filter { namespace, ..Filter::default() };
    Query { filter, ..query(Granularity::Hour, true) }
}

fn hours(answer: &Totals) -> usize {
    listed(answer).len()
}

/// Hours of all days, when somebody else has a day in the year 5: of rows, days and months.
async fn what_others_have_makes_no_range_too_long(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/a").await;
    append(&backend, [(id, noon(OLD)), (id, noon(TODAY))]).await;
    let theirs = of_neighbour(&backend, &[noon("0005-03-01"), noon("9876-05-04")]).await;
    let own = query(Granularity::Hour, true);
    for is_rolled_up in [false, true] {
        for granularity in [Granularity::Hour, Granularity::Quarter] {
            for live in [true, !is_rolled_up] {
                let own = Query { granularity, live, ..own.clone() };
                assert_eq!(hours(&ask(&backend.store, &own).await.unwrap()), 2, "{own:?}");
            }
        }
        let refused = backend.store.totals(&theirs).await.expect_err("they are too far apart");
        assert!(chain(&refused).contains("shorten it"), "{}", chain(&refused));
        backend.roll_up(DayRange::ALL).await;
    }
    let none = Query { filter: Filter { namespace: Namespace(2), ..Filter::default() }, ..own };
    assert_eq!(hours(&ask(&backend.store, &none).await.unwrap()), 0);
}

/// Hours of a day whose quarters are gone, and of which only somebody else has anything.
async fn what_others_had_pruned_refuses_nothing(backend: Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/a").await;
    append(&backend, [(id, noon("2015-05-16")), (id, noon(TODAY))]).await;
    let theirs = of_neighbour(&backend, &[noon(OLD), noon(TODAY)]).await;
    let own = query(Granularity::Hour, true);
    backend.roll_up(DayRange::ALL).await;
    assert_eq!(backend.prune(day(TODAY)).await, 2);
    let since = |text: &str| QuarterRange {
        start: QuarterRange::of_days(one_day(text)).start,
        ..QuarterRange::ALL
    };
    for live in [true, false] {
        let own = Query { live, ..own.clone() };
        let after = Query { range: since(OLD), ..own.clone() };
        assert_eq!(hours(&ask(&backend.store, &after).await.unwrap()), 1);
        let filter = Filter { path_prefix: "/b".to_owned(), ..Filter::default() };
        let other = Query { filter, ..own.clone() };
        assert_eq!(hours(&ask(&backend.store, &other).await.unwrap()), 0);
        for (query, last, from) in [(&own, "2015-05-16", OLD), (&theirs, OLD, "2015-05-18")] {
            let refused = chain(&backend.store.totals(query).await.expect_err("it is pruned"));
            let (last, from) = (format!("those of {last} (UTC)"), format!("ask for {from} and"));
            assert!(refused.contains(&last) && refused.contains(&from), "{refused}");
        }
    }
    let later = Query { range: since("2015-05-18"), ..theirs };
    assert_eq!(hours(&ask(&backend.store, &later).await.unwrap()), 1);
}
