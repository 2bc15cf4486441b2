//! Answers in order, their limits and their sums.

use proptest::prelude::*;

use super::*;

fn query(granularity: Granularity, totals_max: usize) -> Query {
    let (days, filter) = (DayRange::ALL, Filter::default());
    Query { days, granularity, filter, live: true, sum: false, totals_max, limit: None }
}

#[test]
fn a_sum_is_over_all_endpoints() {
    let query = Query { sum: true, ..query(Granularity::Month, 2) };
    let mut collector = Collector::new(&query, None);
    let may = Day::from(Date::constant(2015, 5, 17));
    for (day, endpoint, count) in [(may, 1, 5), (may.plus(1), 2, 2), (may.plus(20), 3, 1)] {
        collector.add(day, endpoint, count).unwrap();
    }
    assert!(collector.ids().is_empty(), "no names are needed");
    let totals = collector.finish(Vec::new()).unwrap();
    let counts: Vec<_> = totals.periods.iter().map(|period| &*period.counts).collect();
    assert_eq!(counts, [[(0, 7)], [(0, 1)]]);
    assert_eq!((totals.endpoints.len(), totals.unnamed), (0, 0));
}

#[test]
fn sums_stay_within_64_bits() {
    for sum in [true, false] {
        let query = Query { sum, ..query(Granularity::Whole, 2) };
        let mut collector = Collector::new(&query, None);
        for (day, endpoint, count) in [(1, 1, i64::MAX), (2, 1, 1), (2, 2, 1)] {
            collector.add(Day(day), endpoint, count).unwrap();
        }
        let names = [1, 2].map(|id| (id, Endpoint::new(3, format!("/{id}"))));
        let totals = collector.finish(if sum { Vec::new() } else { names.into() }).unwrap();
        assert_eq!(totals.periods[0].counts[0], (0, i64::MAX), "{sum}");
        assert_eq!(totals.sum(), i64::MAX, "{sum}");
    }
}

#[test]
fn an_answer_is_by_period_path_and_method() {
    let names = vec![
        (1, Endpoint::new(3, "/b")),
        (2, Endpoint::new(6, "/a")),
        (3, Endpoint::new(3, "/a")),
        (4, Endpoint::new(3, "/unused")),
    ];
    let mut collector = Collector::new(&query(Granularity::Month, 100), None);
    let day = Day::from(Date::constant(2015, 5, 17));
    for (day, endpoint, count) in
        [(day, 1, 5), (day.plus(1), 1, 2), (day, 2, 1), (day.plus(-30), 3, 4)]
    {
        collector.add(day, endpoint, count).unwrap();
    }
    let totals = collector.finish(names).unwrap();
    let names: Vec<_> = totals.endpoints.iter().map(|one| (one.method, &*one.path)).collect();
    assert_eq!(names, [(3, "/a"), (6, "/a"), (3, "/b")]);
    let april = Day::from(Date::constant(2015, 4, 1));
    let may = Day::from(Date::constant(2015, 5, 1));
    assert_eq!(
        totals.periods,
        [
            PeriodTotals { first: april, counts: vec![(0, 4)] },
            PeriodTotals { first: may, counts: vec![(1, 1), (2, 7)] },
        ]
    );
}

#[test]
fn what_has_no_name_is_unknown_and_in_the_sum() {
    let mut collector = Collector::new(&query(Granularity::Day, 100), None);
    for (endpoint, count) in [(7, 5), (1, 2), (8, 3), (9, 1)] {
        collector.add(Day(1), endpoint, count).unwrap();
    }
    let names = vec![(1, Endpoint::new(3, "/")), (9, Endpoint::new(0, UNKNOWN_PATH))];
    let totals = collector.finish(names).unwrap();
    let counts = totals.periods[0].counts.iter();
    let counts: Vec<_> =
        counts.map(|(at, count)| (&*totals.endpoints[*at as usize].path, *count)).collect();
    assert_eq!((totals.sum(), totals.unnamed), (11, 2));
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<i64>(), 11);
    assert!(
        counts.contains(&("/", 2))
            && counts.iter().all(|one| one.0 == "/" || one.0 == UNKNOWN_PATH)
    );
}

#[test]
fn too_many_totals_are_refused() {
    let only = Some(HashSet::from_iter([1, 2]));
    let mut collector = Collector::new(&query(Granularity::Day, 1), only);
    assert_eq!(collector.add(Day(1), 3, 1), Ok(()), "of another endpoint");
    assert_eq!(collector.add(Day(1), 1, 1), Ok(()));
    assert_eq!(collector.add(Day(1), 2, 1), Err(TooMany));
}

#[test]
fn parts_of_a_total_are_one_total() {
    let names = || vec![(1, Endpoint::new(3, "/1")), (2, Endpoint::new(3, "/2"))];
    for max in [2, 3, 5, 100] {
        let mut collector = Collector::new(&query(Granularity::Whole, max), None);
        for day in 0..50 {
            collector.add(Day(day), i64::from(day % 2) + 1, 1).unwrap();
        }
        assert!(collector.counts <= max + max / 4 + 1 || max == 100, "memory is bounded");
        let totals = collector.finish(names()).unwrap();
        assert_eq!(totals.periods[0].counts, [(0, 25), (1, 25)]);
    }
    let mut collector = Collector::new(&query(Granularity::Whole, 1), None);
    let refused = (0..9).find_map(|n| collector.add(Day(0), n % 2 + 1, 1).err());
    assert_eq!(refused, Some(TooMany));
}

proptest! {
    #[test]
    fn no_granularity_loses_a_count(
        counts in prop::collection::vec((-800_i32..800, 1_i64..6, 1_i64..100), 0..60)
    ) {
        let sum: i64 = counts.iter().map(|(_, _, count)| count).sum();
        for granularity in
            [Granularity::Day, Granularity::Month, Granularity::Year, Granularity::Whole]
        {
            let names = (1..6).map(|id| (id, Endpoint::new(3, format!("/{id}")))).collect();
            let mut collector = Collector::new(&query(granularity, 100), None);
            for (day, endpoint, count) in &counts {
                collector.add(Day(*day), *endpoint, *count).unwrap();
            }
            let totals = collector.finish(names).unwrap();
            prop_assert_eq!(totals.sum(), sum);
            let keys: Vec<_> = totals.periods.iter()
                .flat_map(|period| period.counts.iter().map(|(rank, _)| (period.first, *rank)))
                .collect();
            prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
