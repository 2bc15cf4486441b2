//! How batches are cut and encoded.

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::Method;

#[test]
fn drops_are_told_a_thousand_days_at_a_time() {
    let mut drops = Drops::default();
    for day in 0..2_500 {
        drops.add(day, 2);
    }
    let mut bounded = drops.clone();
    bounded.bound();
    assert_eq!((bounded.0.len(), bounded.total()), (1_000, 5_000));
    let parts: Vec<_> =
        std::iter::from_fn(|| Some(drops.take_some()).filter(|d| !d.is_empty())).collect();
    let parts = parts.iter().map(|part| part.0.len()).collect::<Vec<_>>();
    assert_eq!((parts, drops.total()), (vec![1_000, 1_000, 500], 0));
}

#[test]
fn a_series_is_named_once_on_a_stream() {
    let table = Table::new(10);
    let row =
        |path| Row { series: table.series(SeriesKey::endpoint(Method::GET, path)), time_us: 5 };
    let mut names = Names::new(usize::MAX);
    let none = Drops::default();
    let first = message(1, &[row("/a"), row("/b"), row("/a")], &none, &mut names, &table);
    assert_eq!((first.series.len(), first.number), (2, vec![0, 1, 0]));
    assert_eq!((first.time_delta, first.count), (vec![5, 0, 0], 3));
    let foreign = Row { series: Series(9_999), time_us: 0 };
    assert_eq!(names.missing(&[row("/b"), row("/c"), foreign]), 2);
    let second = message(2, &[row("/b"), row("/c"), foreign], &none, &mut names, &table);
    let paths: Vec<_> = second.series.iter().map(|name| &*name.path).collect();
    assert_eq!((paths, second.number), (vec!["/c", "_other"], vec![1, 2, 3]));
}

#[test]
fn a_spool_gives_back_each_field_of_a_series() {
    let table = Table::new(10);
    let key = SeriesKey {
        service: "shop",
        method: Method(42),
        path: "/a",
        status: 404,
        customer: "acme",
    };
    let keys =
        [key, SeriesKey::endpoint(Method::UNSPECIFIED, "/b"), SeriesKey { status: 0, ..key }];
    let rows: Vec<_> =
        (0..).zip(keys).map(|(time_us, key)| Row { series: table.series(key), time_us }).collect();
    let payload = payload(&rows, &Drops::default(), &table);
    // The next process has a table of its own.
    let next = Table::new(10);
    let requests = Requests::decode(&payload, &next).expect("it is a batch");
    let read: Vec<_> =
        requests.rows.iter().map(|row| (row.time_us, next.key(row.series.0))).collect();
    assert_eq!(read, Vec::from_iter((0..).zip(keys)));
}

proptest! {
    /// A batch is within every limit, and as large as they allow.
    #[test]
    fn what_fits_is_within_the_limits(
        requests in proptest::collection::vec((0..40_usize, any::<i32>()), 1..300),
        max in 1..200_usize,
        bytes in 600..4_000_usize,
        named in 2..20_usize,
    ) {
        let table = Table::new(100);
        let row = |&(n, time): &(usize, i32)| {
            let (service, path, customer) = ("s".repeat(n), "/x".repeat(n + 1), "c".repeat(4 * n));
            let key = SeriesKey {
                service: &service,
                method: Method(i32::MIN),
                path: &path,
                status: 999,
                customer: &customer,
            };
            Row { series: table.series(key), time_us: i64::from(time) * 1_000_000 }
        };
        let rows: Vec<Row> = requests.iter().map(row).collect();
        let limits = BatchLimits { rows: max, bytes, series: named };
        let fits = fitting(&rows, &Drops::default(), limits, &table);
        prop_assert!((1..=rows.len().min(max)).contains(&fits));
        let mut names = Names::new(usize::MAX);
        let batch = message(u64::MAX, &rows[..fits], &Drops::default(), &mut names, &table);
        prop_assert!(batch.encoded_len() <= bytes, "{} > {bytes}", batch.encoded_len());
        prop_assert!(batch.series.len() <= named);
        let mut time = 0;
        for ((delta, number), row) in batch.time_delta.iter().zip(&batch.number).zip(&rows) {
            time += delta;
            prop_assert_eq!(time, row.time_us);
            let sent = &batch.series[*number as usize];
            prop_assert_eq!(sent, &super::named(table.key(row.series.0), usize::MAX));
        }
    }
}
