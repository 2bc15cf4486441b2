//! Rows come back as they went in, and merged ones have all requests.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const DAY_MICROS: i64 = 86_400_000_000;

proptest! {
    #[test]
    fn rows_come_back_as_they_went_in(
        rows in prop::collection::vec((any::<i64>(), -62_135_596_800_000_000..253_402_300_800_000_000_i64), 0..50)
    ) {
        let packed: Rows = rows.iter().copied().collect();
        prop_assert_eq!(packed.rows(), rows.len());
        let read = |row: Row| (row.series, row.micros);
        prop_assert_eq!(packed.iter().map(read).collect::<Vec<_>>(), rows);
    }

    #[test]
    fn days_are_counted_once(times in prop::collection::vec(-3 * DAY_MICROS..3 * DAY_MICROS, 0..50)) {
        let packed: Rows = times.iter().map(|time| (1, *time)).collect();
        for day in -4..4 {
            let counted: Vec<i64> =
                packed.days().iter().filter(|(of, _)| of.0 == day).map(|(_, rows)| *rows).collect();
            let there = times.iter().filter(|time| Day::of_micros(**time).0 == day).count();
            prop_assert_eq!(counted, Vec::from_iter((there > 0).then_some(there as i64)));
        }
    }

    #[test]
    fn what_is_cut_off_is_not_counted(
        times in prop::collection::vec(-3 * DAY_MICROS..3 * DAY_MICROS, 1..50),
        at: prop::sample::Index,
    ) {
        let sorted = |rows: &Rows| {
            let mut days = rows.days().to_vec();
            days.sort_unstable();
            days
        };
        let at = at.index(times.len());
        let (first, rest) = times.split_at(at);
        let of = |times: &[i64]| times.iter().map(|time| (1, *time)).collect::<Rows>();
        prop_assert_eq!(sorted(&of(&times).skip(at)), sorted(&of(rest)));
        let mut builder = RowsBuilder::new(0, Resolution::Raw);
        times.iter().for_each(|time| builder.push(1, *time, 1));
        builder.truncate(at);
        prop_assert_eq!(sorted(&builder.finish()), sorted(&of(first)));
    }

    /// Whatever is merged, and wherever a run is cut: the sums by series and step stay the same, no row of
    /// an earlier batch changes, and each series has one row for each step in the end.
    #[test]
    fn merged_rows_have_all_requests(
        batches in prop::collection::vec(
            prop::collection::vec((0..4_i64, -90_000_000..90_000_000_i64, 1..4_i64), 0..40),
            1..5,
        ),
        at: prop::sample::Index,
    ) {
        for resolution in [Resolution::Raw, Resolution::Second, Resolution::Minute] {
            let mut builder = RowsBuilder::new(0, resolution);
            let mut ends = vec![0];
            for batch in &batches {
                builder.begin_batch();
                batch.iter().for_each(|(series, micros, requests)| {
                    builder.push(*series, *micros, *requests);
                });
                ends.push(builder.rows());
            }
            let known = at.index(batches.len());
            let rows = builder.finish();
            prop_assert_eq!(rows.clone().skip(ends[known]).rows(), rows.rows() - ends[known]);
            let rest = rows.skip(ends[known]);
            let expected = batches[known..].iter().flatten().copied();
            prop_assert_eq!(sums(&rest, resolution), sums_of(expected.clone(), resolution));
            let requests: i64 = expected.clone().map(|(_, _, requests)| requests).sum();
            prop_assert_eq!(rest.days().iter().map(|(_, requests)| requests).sum::<i64>(), requests);
            let merged = merge(vec![rest.clone(), rest.clone()]);
            let all: Vec<Row> = merged.iter().flat_map(Rows::iter).collect();
            let twice = sums_of(expected.clone().chain(expected), resolution);
            prop_assert_eq!(all.iter().map(|row| row.requests).sum::<i64>(), 2 * requests);
            match resolution {
                Resolution::Raw => prop_assert_eq!(all.len(), 2 * rest.rows()),
                _ => prop_assert_eq!(all.len(), twice.len()),
            }
        }
    }
}

/// However many they are: the table of their places grows, and begins anew.
#[test]
fn many_series_have_a_row_each() {
    const SERIES: i64 = 10_000;
    let mut builder = RowsBuilder::new(0, Resolution::Second);
    for requests in 1..3 {
        for _ in 0..2 {
            (0..SERIES).for_each(|series| builder.push(series, 1_500_000, requests));
        }
        let rows: Vec<Row> = builder.take(0).iter().collect();
        let row = |series| Row { series, micros: 1_000_000, requests: 2 * requests };
        assert!(rows.into_iter().eq((0..SERIES).map(row)));
    }
}

type Sums = BTreeMap<(SeriesId, i64), i64>;

fn sums(rows: &Rows, resolution: Resolution) -> Sums {
    sums_of(rows.iter().map(|row| (row.series, row.micros, row.requests)), resolution)
}

fn sums_of(requests: impl Iterator<Item = (SeriesId, i64, i64)>, resolution: Resolution) -> Sums {
    let step = resolution.step_micros().unwrap_or(1);
    let mut sums = Sums::new();
    for (series, micros, requests) in requests {
        *sums.entry((series, micros.div_euclid(step) * step)).or_default() += requests;
    }
    sums
}
