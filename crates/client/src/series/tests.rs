//! Series: found by every thread, within the limit.

use super::*;

#[test]
fn the_same_key_has_the_same_number() {
    let table = Table::new(1000);
    let texts = |n: i32| [n / 500, n / 2, n % 10].map(|n| format!("/{n}"));
    let key = |n: i32, [service, path, customer]: &[String; 3]| {
        let status = [200, 500][n.cast_unsigned() as usize % 2];
        let (service, path, customer) = (&**service, &**path, &**customer);
        table.series(SeriesKey { service, method: Method(n % 3), path, status, customer })
    };
    let all: Vec<_> = (0..1000).map(|n| (n, texts(n), key(n, &texts(n)))).collect();
    for (at, (n, texts, series)) in all.iter().enumerate() {
        assert_eq!(key(*n, texts), *series);
        assert_eq!(series.0 as usize, at + 1, "each is another one");
        let key = table.key(series.0);
        assert_eq!([key.service, key.path, key.customer], texts.each_ref().map(String::as_str));
        assert_eq!((key.method, key.status), (Method(n % 3), [200, 500][at % 2]));
    }
}

/// Each field alone tells series apart.
#[test]
fn no_field_is_left_out() {
    let table = Table::new(100);
    let key =
        SeriesKey { service: "a", method: Method::GET, path: "b", status: 200, customer: "c" };
    let keys = [
        key,
        SeriesKey { service: "", ..key },
        SeriesKey { service: "ab", path: "", ..key },
        SeriesKey { service: "b", path: "a", ..key },
        SeriesKey { method: Method::PUT, ..key },
        SeriesKey { path: "bc", customer: "", ..key },
        SeriesKey { path: "/", ..key },
        SeriesKey { status: 0, ..key },
        SeriesKey { customer: "", ..key },
        SeriesKey { customer: "d", ..key },
    ];
    let numbers: std::collections::HashSet<_> = keys.map(|key| table.series(key)).into();
    assert_eq!(numbers.len(), keys.len());
}

#[test]
fn beyond_the_limit_there_is_one_for_each_method() {
    let table = Table::new(2);
    let name = |method, path| {
        let key = table.key(table.series(SeriesKey::endpoint(method, path)).0);
        (key.method, key.path.to_owned())
    };
    let (get, post) = (Method::GET, Method::POST);
    assert_eq!(name(get, "/a"), (get, "/a".to_owned()));
    assert_eq!(name(get, "/b"), (get, "/b".to_owned()));
    for path in ["/c", "/d", "_other"] {
        assert_eq!(name(get, path), (get, "_other".to_owned()));
        assert_eq!(name(post, path), (post, "_other".to_owned()));
    }
    assert_eq!(name(get, "/a"), (get, "/a".to_owned()));
    for status in [200, 404] {
        let key = SeriesKey { service: "shop", method: get, path: "/x", status, customer: "acme" };
        let kept = SeriesKey { path: OTHER_PATH, customer: "", ..key };
        assert_eq!(table.key(table.series(key).0), kept, "the customer goes with the path");
    }
    for method in 1000..1300 {
        assert_eq!(name(Method(method), "/x").1, "_other");
    }
    assert_eq!(name(Method(5000), "/x"), (Method::UNSPECIFIED, "_other".to_owned()));
}

#[test]
fn what_a_server_refuses_is_other() {
    let table = Table::new(10);
    let kept = |key| table.key(table.series(key).0);
    let key = SeriesKey::endpoint(Method::PUT, "/");
    let long = "x".repeat(2_049);
    for path in ["", "/\0", &long] {
        assert_eq!(kept(SeriesKey { path, ..key }), SeriesKey { path: OTHER_PATH, ..key });
    }
    let (service, path, customer) = ("s".repeat(128), "x".repeat(2_048), "c".repeat(256));
    let (service, path, customer) = (&*service, &*path, &*customer);
    let longest = SeriesKey { service, path, status: 999, customer, ..key };
    assert_eq!(kept(longest), longest);
    for text in ["\0", &long[..257]] {
        let too_long = SeriesKey { service: text, customer: text, status: 1000, ..key };
        let other = SeriesKey { service: OTHER_PATH, customer: OTHER_PATH, ..key };
        assert_eq!(kept(too_long), other);
    }
    assert_eq!(table.key(77), SeriesKey { path: OTHER_PATH, ..SeriesKey::default() });
}

#[test]
fn threads_that_add_the_same_agree() {
    let table = Table::new(500);
    let series = |n: usize| table.series(SeriesKey::endpoint(Method::GET, &n.to_string()));
    let add = || -> Vec<_> { (0..1000).map(series).collect() };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
        let all: Vec<_> =
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        let known = |n: usize| {
            let path = n.to_string();
            all.iter().all(|seen| table.key(seen[n].0).path == path)
        };
        let other = |n: usize| all.iter().all(|seen| table.key(seen[n].0).path == OTHER_PATH);
        assert!((0..1000).all(|n| known(n) || other(n)));
        assert_eq!((0..1000).filter(|n| known(*n)).count(), 500);
    });
}

/// A chain holds what differs in the status alone, and only saves the hash.
#[test]
fn each_status_is_found_with_and_without_its_chain() {
    let table = Table::new(1000);
    let keys = ["", "c"].map(|customer| SeriesKey {
        service: "s",
        customer,
        ..SeriesKey::endpoint(Method::GET, "/a")
    });
    let begun = keys.map(|key| table.series(key));
    for status in 100..100 + 2 * NEAR as u16 {
        for (key, begun) in keys.iter().zip(begun) {
            assert_eq!(table.near(begun, status), None);
            let ended = table.with_status(begun, status);
            assert_eq!(table.key(ended.0), SeriesKey { status, ..*key });
            assert_eq!(table.series(SeriesKey { status, ..*key }), ended);
            assert_eq!(table.with_status(begun, status), ended);
            // The series without a status is the first of a chain.
            let is_near = usize::from(status - 100) < NEAR - 1;
            assert_eq!(table.near(begun, status), is_near.then_some(ended), "{status}");
            assert_eq!(table.with_status(ended, 0), begun);
        }
    }
}
