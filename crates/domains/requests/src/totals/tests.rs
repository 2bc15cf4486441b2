//! Answers in order, their limits and their sums.

use std::sync::Arc;

use jiff::civil::Date;
use tally_proto::wire::UNKNOWN_PATH;

use super::*;
use crate::model::{Day, DayRange, Quarter, SeriesRef};

fn query(granularity: Granularity, totals_max: usize) -> Query {
    Query {
        range: QuarterRange::ALL,
        granularity,
        zone: Zone::utc(),
        filter: Filter::default(),
        group_by: vec![GroupBy::Method, GroupBy::Path],
        live: true,
        with_corrections: false,
        sum: false,
        totals_max,
        limit: None,
    }
}

fn day(text: &str) -> Day {
    text.parse::<Date>().unwrap().into()
}

fn known<'a>(method: &'a str, path: &'a str) -> SeriesRef<'a> {
    SeriesRef { namespace: Namespace::DEFAULT, service: "", method, path, status: 0, customer: "" }
}

fn plan(query: &Query, first: &str, last: &str) -> Plan {
    let span = Span(Some(DayRange { first: day(first), last: day(last) }));
    Plan::of(query, span, Some(span)).unwrap()
}

/// For the days from 2015-01-01 to 2016-12-31.
fn collector(query: &Query, series: &[(i64, SeriesRef<'_>)]) -> Collector {
    let mut groups = Groups::new(query);
    let filter = &query.filter;
    let asked = series.iter().filter(|one| filter.is_empty() || filter.lets_through(&one.1));
    asked.for_each(|(id, series)| groups.add(*id, series));
    Collector::new(query, plan(query, "2015-01-01", "2016-12-31"), groups, &Arc::default())
}

fn listed(totals: &Totals) -> Vec<(String, &str, &str, i64)> {
    let of = |period: &PeriodTotals| {
        let date = period.label.date.to_string();
        let one = move |(group, count): &(u32, i64)| {
            let Group { method, path, .. } = &totals.groups[*group as usize];
            (date.clone(), &**method, &**path, *count)
        };
        period.counts.iter().map(one).collect::<Vec<_>>()
    };
    totals.periods.iter().flat_map(of).collect()
}

#[test]
fn a_sum_is_over_all_groups() {
    let query = Query { sum: true, ..query(Granularity::Month, 2) };
    let series = [(1, known("GET", "/a")), (2, known("GET", "/b"))];
    let mut collector = collector(&query, &series);
    for (date, series, count) in [("2015-05-17", 1, 5), ("2015-05-18", 2, 2), ("2015-06-06", 3, 1)]
    {
        collector.add_day(day(date), series, count).unwrap();
    }
    let totals = collector.finish().unwrap();
    let counts: Vec<_> = totals.periods.iter().map(|period| &*period.counts).collect();
    assert_eq!(counts, [[(0, 7)], [(0, 1)]]);
    assert_eq!((totals.groups.len(), totals.unnamed), (0, 0));
}

#[test]
fn sums_stay_within_64_bits() {
    for sum in [true, false] {
        for granularity in [Granularity::Whole, Granularity::Day] {
            let query = Query { sum, ..query(granularity, 2) };
            let mut collector = collector(&query, &[(1, known("GET", "/"))]);
            for count in [i64::MAX, 1] {
                collector.add_day(day("2015-05-17"), 1, count).unwrap();
            }
            let totals = collector.finish().unwrap();
            assert_eq!(totals.periods[0].counts[0], (0, i64::MAX), "{sum}");
            assert_eq!(totals.sum(), i64::MAX, "{sum}");
        }
    }
}

#[test]
fn an_answer_is_by_period_path_and_method() {
    let series = [
        (1, known("GET", "/b")),
        (2, known("POST", "/a")),
        (3, known("GET", "/a")),
        (4, known("GET", "/unused")),
        (5, known("42", "/a")),
        (6, known("", "/a")),
    ];
    let mut collector = collector(&query(Granularity::Month, 100), &series);
    for (date, series, count) in [
        ("2015-05-17", 1, 5),
        ("2015-05-18", 1, 2),
        ("2015-05-17", 2, 1),
        ("2015-05-17", 5, 3),
        ("2015-05-17", 6, 8),
        ("2015-04-17", 3, 4),
    ] {
        collector.add_day(day(date), series, count).unwrap();
    }
    let totals = collector.finish().unwrap();
    let [april, may] = ["2015-04-01", "2015-05-01"].map(str::to_owned);
    assert_eq!(
        listed(&totals),
        [
            (april, "GET", "/a", 4),
            // As if it were METHOD_UNSPECIFIED.
            (may.clone(), "", "/a", 8),
            (may.clone(), "POST", "/a", 1),
            (may.clone(), "42", "/a", 3),
            (may, "GET", "/b", 7),
        ]
    );
    assert_eq!(totals.groups.len(), 5);
}

#[test]
fn what_has_no_name_is_unknown_and_in_the_sum() {
    let series = [(1, known("GET", "/")), (9, known("", UNKNOWN_PATH))];
    let count = |query: &Query| {
        let mut collector = collector(query, &series);
        for (series, count) in [(7, 5), (1, 2), (8, 3), (9, 1), (7, 1)] {
            collector.add_day(day("2015-05-17"), series, count).unwrap();
        }
        collector.finish().unwrap()
    };
    let totals = count(&query(Granularity::Whole, 100));
    let counts: Vec<_> = listed(&totals).into_iter().map(|one| (one.2, one.3)).collect();
    assert_eq!(counts, [("/", 2), (UNKNOWN_PATH, 10)]);
    assert_eq!(totals.unnamed, 2);
    let get = Filter { methods: ["GET".to_owned()].into(), ..Filter::default() };
    for filter in [get, Filter { namespace: Namespace(1), ..Filter::default() }] {
        let totals = count(&Query { filter, ..query(Granularity::Whole, 100) });
        assert_eq!(totals.unnamed, 0, "they are in no filter and in no other namespace");
        assert!(totals.groups.iter().all(|group| &*group.path != UNKNOWN_PATH));
    }
}

#[test]
fn too_many_totals_are_refused() {
    let series: Vec<_> = (0..100_000).map(|id| (id, known("GET", "/"))).collect();
    let paths: Vec<String> = series.iter().map(|(id, _)| format!("/{id}")).collect();
    let series: Vec<_> = series
        .iter()
        .zip(&paths)
        .map(|((id, one), path)| (*id, SeriesRef { path, ..*one }))
        .collect();
    // Few cells, which all have a place; and many, of which few may have one.
    for some in [2, 100_000] {
        let mut collector = collector(&query(Granularity::Day, 2), &series[..some]);
        let mut add = |date, series| collector.add_day(day(date), series, 1);
        for _ in 0..10 {
            assert!(add("2015-05-17", 0).is_ok() && add("2016-05-17", 1).is_ok());
        }
        let third = add("2015-05-18", 0);
        assert_eq!(third.is_err(), some > 2, "memory is bounded");
        if let Err(error) = third {
            assert!(error.find::<TooMany>().is_some());
        } else {
            assert_eq!(collector.finish(), Err(TooMany));
        }
    }
}

/// Only those of the answer count.
#[test]
fn texts_that_are_too_long_are_refused() {
    let long = "x".repeat(1 << 19);
    let series = ["a", "b", "c"].map(|path| SeriesRef { customer: &long, ..known("GET", path) });
    let series: Vec<_> = (1..).zip(series).collect();
    let by = [GroupBy::Customer, GroupBy::Path];
    for (group_by, used, is_refused) in
        [(&by[..], 1, false), (&by, 2, true), (&by[1..], 3, false), (&by[..1], 3, false)]
    {
        let query = Query { group_by: group_by.to_vec(), ..query(Granularity::Whole, 100) };
        let mut collector = collector(&query, &series);
        for id in 1..=used {
            collector.add_day(day("2015-05-17"), id, 1).unwrap();
        }
        assert_eq!(collector.finish().is_err(), is_refused, "{group_by:?} {used}");
    }
}

#[test]
fn a_month_counts_as_a_whole_if_it_is_in_one_period() {
    let text = |days: &[(Day, Day)]| {
        days.iter().map(|one| format!("{}..{}", one.0, one.1)).collect::<Vec<_>>().join(" ")
    };
    let all = |name: &str, granularity, first: &str, last: &str| {
        let zone = Zone::named(name).unwrap();
        let [first, last] = [first, last].map(|date| Some(date.parse().unwrap()));
        let range = QuarterRange::of_dates(first, last, &zone).unwrap();
        let plan =
            plan(&Query { range, zone, ..query(granularity, 9) }, "2015-01-10", "2016-06-20");
        let whole: Vec<_> = plan.whole.iter().map(|one| (one.0, one.1)).collect();
        (text(&whole), text(&plan.parts))
    };
    let [first, last] = ["2015-01-01", "2016-12-31"];
    // The first and the last month have days without anything, which the clipped range leaves out.
    let whole =
        ("2015-02-01..2016-05-01".into(), "2015-01-01..2015-01-01 2016-06-01..2016-06-01".into());
    assert_eq!(all("UTC", Granularity::Whole, first, last), whole);
    assert_eq!(
        all("UTC", Granularity::Year, first, last).0,
        "2015-02-01..2015-12-01 2016-01-01..2016-05-01"
    );
    assert_eq!(
        all("UTC", Granularity::Day, first, last),
        ("".into(), "2015-01-01..2016-06-01".into())
    );
    assert_eq!(all("UTC", Granularity::Hour, first, last), (String::new(), String::new()));
    // In New York the year 2016 begins within the first day of UTC's January.
    assert_eq!(
        all("America/New_York", Granularity::Year, first, last),
        (
            "2015-02-01..2015-12-01 2016-02-01..2016-05-01".into(),
            "2015-01-01..2015-01-01 2016-01-01..2016-01-01 2016-06-01..2016-06-01".into()
        )
    );
    let part = all("UTC", Granularity::Whole, "2015-03-02", "2015-05-31");
    assert_eq!(part, ("2015-04-01..2015-05-01".into(), "2015-03-01..2015-03-01".into()));
}

#[test]
fn rows_are_counted_as_coarsely_as_periods_allow() {
    let zone = Zone::named("Asia/Kolkata").unwrap();
    let query = query(Granularity::Month, 9);
    let quarters = |query: &Query| plan(query, "2015-01-01", "2015-12-31").rows_quarters();
    assert_eq!(quarters(&query), Quarter::PER_DAY);
    assert_eq!(quarters(&Query { zone, ..query.clone() }), 1);
    let whole = Query { granularity: Granularity::Whole, ..query };
    assert!(quarters(&whole) > 9_000 * 365 * Quarter::PER_DAY);
}

#[test]
fn a_status_has_the_class_of_its_http_status() {
    for (method, status, class) in [
        ("GET", 200, 2),
        ("GET", 599, 5),
        ("GET", 600, 0),
        ("GET", 999, 0),
        ("GET", 5, 0),
        ("GET", 0, 0),
        ("GRPC", 0, 0),
        ("GRPC", 1, 4),
        ("GRPC", 2, 5),
        ("GRPC", 5, 4),
        ("GRPC", 13, 5),
        ("GRPC", 14, 5),
        ("GRPC", 16, 4),
        ("GRPC", 17, 0),
        ("GRPC", 200, 2),
        ("GRPC", 404, 4),
        ("GRPC", 499, 4),
    ] {
        let series = SeriesRef { status, ..known(method, "/") };
        assert_eq!(series.status_class(), class, "{method} {status}");
    }
}
