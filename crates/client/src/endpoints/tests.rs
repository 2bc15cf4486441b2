//! Endpoints: found by every thread, within the limit.

use super::*;

#[test]
fn the_same_endpoint_has_the_same_number() {
    let endpoints = Endpoints::new(1000);
    let numbers: Vec<_> =
        (0..1000).map(|n| endpoints.endpoint(Method(n % 3), &format!("/path/{n}"))).collect();
    for (n, number) in (0..).zip(&numbers) {
        assert_eq!(endpoints.endpoint(Method(n % 3), &format!("/path/{n}")), *number);
        assert_eq!(endpoints.name(number.0), (Method(n % 3), &*format!("/path/{n}")));
    }
}

#[test]
fn beyond_the_limit_there_is_one_for_each_method() {
    let endpoints = Endpoints::new(2);
    let name = |method, path| {
        let (method, path) = endpoints.name(endpoints.endpoint(method, path).0);
        (method, path.to_owned())
    };
    let (get, post) = (Method::GET, Method::POST);
    assert_eq!(name(get, "/a"), (get, "/a".to_owned()));
    assert_eq!(name(get, "/b"), (get, "/b".to_owned()));
    for path in ["/c", "/d", "_other"] {
        assert_eq!(name(get, path), (get, "_other".to_owned()));
        assert_eq!(name(post, path), (post, "_other".to_owned()));
    }
    assert_eq!(name(get, "/a"), (get, "/a".to_owned()));
    for method in 1000..1100 {
        assert_eq!(name(Method(method), "/x").1, "_other");
    }
    assert_eq!(name(Method(5000), "/x"), (Method::UNSPECIFIED, "_other".to_owned()));
}

#[test]
fn a_path_that_a_server_refuses_is_other() {
    let endpoints = Endpoints::new(10);
    for path in ["", "/\0", &"x".repeat(2_049)] {
        let number = endpoints.endpoint(Method::PUT, path);
        assert_eq!(endpoints.name(number.0), (Method::PUT, OTHER_PATH));
    }
    let longest = "x".repeat(2_048);
    let number = endpoints.endpoint(Method::PUT, &longest);
    assert_eq!(endpoints.name(number.0), (Method::PUT, &*longest));
    assert_eq!(endpoints.name(77), (Method::UNSPECIFIED, OTHER_PATH));
}

#[test]
fn threads_that_add_the_same_agree() {
    let endpoints = Endpoints::new(500);
    let add = || -> Vec<_> {
        (0..1000).map(|n| endpoints.endpoint(Method::GET, &n.to_string())).collect()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
        let all: Vec<_> =
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        let known = |n: usize| {
            let path = n.to_string();
            all.iter().all(|seen| endpoints.name(seen[n].0).1 == path)
        };
        let other = |n: usize| all.iter().all(|seen| endpoints.name(seen[n].0).1 == OTHER_PATH);
        assert!((0..1000).all(|n| known(n) || other(n)));
        assert_eq!((0..1000).filter(|n| known(*n)).count(), 500);
    });
}
