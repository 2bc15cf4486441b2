//! Which names are told apart, and which are believed to be stored.

use tally_producers::stream::Builder as _;

use super::*;

fn resolve(endpoints: &Endpoints, path: &str) -> Arc<Named> {
    endpoints.resolve(&[Endpoint::new(3, path)]).remove(0)
}

fn rows(named: &Arc<Named>, belief: u64) -> Parcel<Rows> {
    let mut rows = crate::rows::RowsBuilder::new(belief);
    rows.push(named.id, 0);
    rows.name(named);
    rows.finish().into()
}

#[test]
fn a_name_is_stored_until_it_is_confirmed_and_again_after_a_doubt() {
    let endpoints = Endpoints::new(10);
    let named = resolve(&endpoints, "/");
    let asked = |state| {
        // Encoded under what is believed before the batch is written.
        let chunk = rows(&named, endpoints.belief());
        endpoints.names_of(&[chunk], state)
    };
    let names = asked(0);
    assert_eq!(names.new.len(), 1);
    endpoints.confirm(&names, HashMap::new());
    assert!(asked(0).new.is_empty());
    // The store is in another state: the chunk was encoded before this is known.
    let names = asked(1);
    assert_eq!(names.new.len(), 1);
    endpoints.confirm(&names, HashMap::new());
    assert!(asked(1).new.is_empty());
    endpoints.doubt();
    let names = asked(1);
    assert_eq!(names.new.len(), 1);
    // What was committed before the doubt confirms nothing after it.
    endpoints.doubt();
    endpoints.confirm(&names, HashMap::new());
    assert_eq!(asked(1).new.len(), 1);
}

#[test]
fn ids_are_told_apart_within_a_process() {
    let endpoints = Endpoints::new(10);
    let (b, c) = (Endpoint::new(3, "/b"), Endpoint::new(3, "/c"));
    // The dictionary has another name under the hash of "/b".
    endpoints.load(vec![(b.id(0), Endpoint::new(3, "/a"))], 0);
    assert_eq!(resolve(&endpoints, "/a").id, b.id(0));
    assert_eq!(resolve(&endpoints, "/b").id, b.id(1));
    assert_eq!(resolve(&endpoints, "/c").id, c.id(0));
}

#[test]
fn what_has_moved_is_known_until_a_doubt() {
    let endpoints = Endpoints::new(10);
    let named = resolve(&endpoints, "/");
    let names = endpoints.names_of(&[rows(&named, endpoints.belief())], 0);
    endpoints.confirm(&names, [(named.id, 7)].into());
    assert_eq!(endpoints.names_of(&[], 0).moved, [(named.id, 7)].into());
    endpoints.doubt();
    assert!(endpoints.names_of(&[], 0).moved.is_empty());
}

#[test]
fn endpoints_are_bounded_in_number_and_bytes() {
    let endpoints = Endpoints::new(3);
    let long = "x".repeat(2 * MEAN_PATH_BYTES_MAX);
    let all = ["/a", &long, &long.to_uppercase(), "/b", "/c"];
    let all: Vec<_> = all.iter().map(|path| Endpoint::new(42, *path)).collect();
    let paths = |named: Vec<Arc<Named>>| -> Vec<String> {
        named.iter().map(|one| one.endpoint.path.to_string()).collect()
    };
    let expected = ["/a", &long, OTHER_PATH, OTHER_PATH, OTHER_PATH];
    assert_eq!(paths(endpoints.resolve(&all)), expected);
    assert_eq!(paths(endpoints.resolve(&all)), expected);
    let other = resolve(&endpoints, "/d");
    assert_eq!((other.endpoint.method, &*other.endpoint.path), (3, OTHER_PATH));
}

#[test]
fn other_has_an_endpoint_for_each_method_of_count_v1() {
    let others = (-1..1_000).map(|method| other(&Endpoint::new(method, "/a")).method);
    assert_eq!(others.collect::<HashSet<_>>().len(), OTHERS_MAX);
}

/// Neither rows of `_other`, which come beyond the limit, nor what several servers added
/// together takes the place of what was told apart before a restart.
#[test]
fn what_the_dictionary_has_is_told_apart_after_a_restart() {
    let named = |path: &str| (Endpoint::new(3, path).id(0), Endpoint::new(3, path));
    let endpoints = Endpoints::new(2);
    endpoints.load(vec![named(OTHER_PATH), named("/a")], 0);
    assert_eq!(&*resolve(&endpoints, "/b").endpoint.path, "/b");
    let endpoints = Endpoints::new(2);
    endpoints.load(["/a", "/b", "/c", OTHER_PATH].map(named).to_vec(), 0);
    for (path, counted) in [("/a", "/a"), ("/c", "/c"), ("/d", OTHER_PATH)] {
        assert_eq!(&*resolve(&endpoints, path).endpoint.path, counted);
    }
    let (count_max, path_bytes_max) = endpoints.loaded_max();
    assert!(count_max >= 4 + OTHERS_MAX && path_bytes_max >= 4 * MEAN_PATH_BYTES_MAX);
    // However often it learns what there is, its memory is bounded.
    for round in 0..10 {
        endpoints.learn((0..10).map(|n| named(&format!("/{round}/{n}"))).collect());
    }
    assert_eq!(endpoints.lock().by_id.len(), count_max);
}
