//! The counters of endpoints: none falls, and together they are exact.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{Series, SeriesRef};
use crate::series::REQUESTS_ENOUGH;

fn series(path: &str, status: u16) -> Series {
    Series { status, ..Series::of_endpoint(3, path) }
}

/// Endpoints that a server knows, each with two statuses.
fn known(endpoints: usize) -> (KnownSeries, Vec<[SeriesId; 2]>) {
    let known = KnownSeries::new(8 * endpoints);
    let ids = (0..endpoints).map(|at| {
        [200, 404].map(|status| {
            let one = series(&format!("/{at}"), status);
            known.resolve([(SeriesRef::from(&one), REQUESTS_ENOUGH)])[0].id
        })
    });
    let ids = ids.collect();
    (known, ids)
}

/// The counters by path; the others are `other`.
fn counters(text: &str) -> BTreeMap<String, u64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let counter = |line: &str| {
        let (labels, value) = line.rsplit_once(' ').expect("a value");
        let path = labels.split("path=\"").nth(1).expect("a path").trim_end_matches("\"}");
        (path.to_owned(), value.parse().expect("a number"))
    };
    samples.map(counter).collect()
}

struct Server {
    busiest: Busiest,
    committed: Counter,
    known: KnownSeries,
    ids: Vec<[SeriesId; 2]>,
}

impl Server {
    fn new(endpoints: usize, places: usize) -> Self {
        let (known, ids) = known(endpoints);
        Self { busiest: Busiest::new(places), committed: Counter::default(), known, ids }
    }

    fn commit(&self, requests: &[(usize, u64)]) {
        let mut counting = self.busiest.counting();
        for (at, requests) in requests {
            counting.add(self.ids[*at][*requests as usize % 2], *requests);
            self.committed.add(*requests);
        }
    }

    fn scrape(&self) -> BTreeMap<String, u64> {
        let mut scrape = Scrape::new();
        let all = self.busiest.measure(&self.committed, &self.known, &mut scrape);
        let counters = counters(&scrape.finish());
        assert_eq!(counters.values().sum::<u64>(), all);
        counters
    }
}

fn expect<const N: usize>(counters: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counters.map(|(path, requests)| (path.to_owned(), requests)).into()
}

#[test]
fn an_endpoint_begins_at_0_and_stays_until_another_is_twice_as_busy() {
    let server = Server::new(3, 2);
    server.commit(&[(0, 5), (1, 3), (2, 1)]);
    assert_eq!(server.scrape(), expect([("/0", 0), ("/1", 0), ("other", 9)]));
    server.commit(&[(0, 10), (1, 1), (2, 6)]);
    assert_eq!(server.scrape(), expect([("/0", 10), ("/1", 1), ("other", 15)]), "7 and 4");
    server.commit(&[(2, 2)]);
    assert_eq!(server.scrape(), expect([("/0", 10), ("/2", 0), ("other", 18)]), "9 and 4");
    server.commit(&[(1, 1), (2, 2)]);
    assert_eq!(server.scrape(), expect([("/0", 10), ("/2", 2), ("other", 19)]));
}

#[test]
fn a_change_of_names_takes_all_counters_away() {
    let server = Server::new(2, 2);
    server.commit(&[(0, 1)]);
    server.scrape();
    server.commit(&[(0, 4)]);
    assert_eq!(server.scrape(), expect([("/0", 4), ("other", 1)]));
    server.busiest.lock().version = Version { seq: 1, token: 7 };
    assert_eq!(server.scrape(), expect([("other", 5)]));
}

#[test]
fn no_endpoint_is_taken_for_the_others() {
    let server = Server::new(1, 2);
    let odd = Series { method: OTHERS.into(), path: OTHERS.into(), ..series("/", 200) };
    let odd = server.known.resolve([(SeriesRef::from(&odd), REQUESTS_ENOUGH)])[0].id;
    server.busiest.counting().add(odd, 3);
    server.busiest.counting().add(-1, 4);
    server.committed.add(7);
    assert_eq!(server.scrape(), expect([("other", 7)]));
}

proptest! {
    #[test]
    fn no_counter_falls_and_together_they_are_exact(
        rounds in prop::collection::vec(
            prop::collection::vec((0_usize..12, 1_u64..50), 0..20),
            1..30,
        ),
    ) {
        let server = Server::new(12, 3);
        let mut before = BTreeMap::new();
        for requests in &rounds {
            server.commit(requests);
            let now = server.scrape();
            prop_assert!(now.len() <= 4);
            for (path, requests) in &now {
                let least = before.get(path).copied();
                prop_assert!(*requests >= least.unwrap_or(0), "{path} fell");
                prop_assert!(least.is_some() || path == "other" || *requests == 0, "{path}");
            }
            before = now;
        }
    }
}
