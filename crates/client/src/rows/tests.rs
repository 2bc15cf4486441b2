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
    let row = |path| Row::one(table.series(SeriesKey::endpoint(Method::GET, path)), 5);
    let mut names = Names::new(usize::MAX);
    let none = Drops::default();
    let first = message(1, &[row("/a"), row("/b"), row("/a")], &none, &mut names, &table);
    assert_eq!((first.series.len(), first.number), (2, vec![0, 1, 0]));
    assert_eq!((first.time_delta, first.count), (vec![5, 0, 0], 3));
    let foreign = Row::one(Series(9_999), 0);
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
        (0..).zip(keys).map(|(time_us, key)| Row::one(table.series(key), time_us)).collect();
    let payload = payload(&rows, &Drops::default(), &table);
    // The next process has a table of its own.
    let next = Table::new(10);
    let requests = Requests::decode(&payload, &next).expect("it is a batch");
    let read: Vec<_> =
        requests.rows.iter().map(|row| (row.time_us, next.key(row.series.0))).collect();
    assert_eq!(read, Vec::from_iter((0..).zip(keys)));
}

#[test]
fn a_spool_gives_back_how_many_requests_a_row_has() {
    let table = Table::new(10);
    let series = table.series(SeriesKey::endpoint(Method::GET, "/"));
    let row = |requests| Row { requests, ..Row::one(series, 7) };
    let rows = [1, 3, wire::ENTRY_REQUESTS_MAX].map(row);
    let read = |payload: &[u8]| Requests::decode(payload, &table).map(|requests| requests.rows);
    assert_eq!(read(&payload(&rows, &Drops::default(), &table)), Some(rows.to_vec()));
    assert_eq!(read(&payload(&rows[..1], &Drops::default(), &table)), Some(vec![row(1)]));
    let batch = message(0, &rows, &Drops::default(), &mut Names::new(usize::MAX), &table);
    for requests in
        [vec![1, 0, 1], vec![1, wire::ENTRY_REQUESTS_MAX + 1, 1], vec![1, 1], vec![1; 4]]
    {
        let damaged = proto::Batch { requests: requests.clone(), ..batch.clone() };
        assert_eq!(read(&damaged.encode_to_vec()), None, "{requests:?}");
    }
}

/// Where the number of a series takes two bytes, and how many requests there are takes three.
#[test]
fn how_many_requests_rows_have_takes_room() {
    let table = Table::new(1_000);
    let series = (0..300).map(|n| table.series(SeriesKey::endpoint(Method::GET, &format!("/{n}"))));
    let series: Vec<_> = series.collect();
    let row = |n: usize| Row { requests: wire::ENTRY_REQUESTS_MAX, ..Row::one(series[n % 300], 0) };
    let rows: Vec<_> = (0..20_000).map(row).collect();
    let limits = BatchLimits { rows: 20_000, bytes: 40_000, series: 1_000 };
    let fits = fitting(&rows, &Drops::default(), limits, &table);
    let mut names = Names::new(usize::MAX);
    let batch = message(u64::MAX, &rows[..fits], &Drops::default(), &mut names, &table);
    assert!((25_000..=40_000).contains(&batch.encoded_len()), "{}", batch.encoded_len());
}

#[test]
fn rows_of_one_request_each_say_no_more() {
    let table = Table::new(10);
    let row = |requests| Row { requests, ..Row::one(Series(0), 7) };
    let sent = |rows: &[Row]| {
        message(1, rows, &Drops::default(), &mut Names::new(usize::MAX), &table).requests
    };
    assert_eq!(sent(&[row(1), row(1)]), []);
    assert_eq!(sent(&[row(1), row(2)]), [1, 2]);
}

fn most_are_one() -> impl Strategy<Value = u32> {
    prop_oneof![9 => Just(1), 1 => 1..=wire::ENTRY_REQUESTS_MAX]
}

proptest! {
    /// A batch is within every limit, and as large as they allow.
    #[test]
    fn what_fits_is_within_the_limits(
        requests in proptest::collection::vec((0..40_usize, any::<i32>(), most_are_one()), 1..300),
        max in 1..200_usize,
        bytes in 600..4_000_usize,
        named in 2..20_usize,
    ) {
        let table = Table::new(100);
        let row = |&(n, time, requests): &(usize, i32, u32)| {
            let (service, path, customer) = ("s".repeat(n), "/x".repeat(n + 1), "c".repeat(4 * n));
            let key = SeriesKey {
                service: &service,
                method: Method(i32::MIN),
                path: &path,
                status: 999,
                customer: &customer,
            };
            let time_us = i64::from(time) * 1_000_000;
            Row { requests, ..Row::one(table.series(key), time_us) }
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
        let entries = batch.time_delta.iter().zip(&batch.number).zip(&rows);
        for (at, ((delta, number), row)) in entries.enumerate() {
            time += delta;
            prop_assert_eq!(time, row.time_us);
            let requests = batch.requests.get(at).copied().unwrap_or(1);
            prop_assert_eq!(requests, row.requests);
            let sent = &batch.series[*number as usize];
            prop_assert_eq!(sent, &super::named(table.key(row.series.0), usize::MAX));
        }
    }
}
