//! Which series are told apart, and which are believed to be stored.

use proptest::prelude::*;
use tally_producers::stream::Builder as _;
use tally_proto::wire::OTHER_PATH;

use super::room::{COARSE_MAX, MEAN_TEXT_BYTES_MAX, OTHERS_MAX};
use super::*;
use crate::model::Namespace;

/// Enough requests for a series to be told apart, however little room is left.
const OFTEN: usize = 1 << 15;

fn get(path: &str) -> Series {
    Series::of_endpoint(3, path)
}

fn resolve(known: &KnownSeries, series: &Series) -> Arc<Named> {
    known.resolve([(series.into(), 1)]).remove(0)
}

fn rows(named: &Arc<Named>, belief: u64) -> Parcel<Rows> {
    let mut rows = crate::rows::RowsBuilder::new(belief, crate::Resolution::Raw);
    rows.push(named.id, 0, 1);
    rows.name(named);
    rows.finish().into()
}

#[test]
fn a_name_is_stored_until_it_is_confirmed_and_again_after_a_doubt() {
    let known = KnownSeries::new(10);
    let named = resolve(&known, &get("/"));
    let asked = |state| {
        // Encoded under what is believed before the batch is written.
        let chunk = rows(&named, known.belief());
        known.names_of(&[chunk], state)
    };
    let names = asked(0);
    assert_eq!(names.new.len(), 1);
    known.confirm(&names, HashMap::new());
    assert!(asked(0).new.is_empty());
    // The store is in another state: the chunk was made before this is known.
    let names = asked(1);
    assert_eq!(names.new.len(), 1);
    known.confirm(&names, HashMap::new());
    assert!(asked(1).new.is_empty());
    known.doubt();
    let names = asked(1);
    assert_eq!(names.new.len(), 1);
    // What was committed before the doubt confirms nothing after it.
    known.doubt();
    known.confirm(&names, HashMap::new());
    assert_eq!(asked(1).new.len(), 1);
}

#[test]
fn ids_are_told_apart_within_a_process() {
    let known = KnownSeries::new(10);
    let (b, c) = (get("/b"), get("/c"));
    // The dictionary has another name under the hash of "/b".
    known.load(vec![(b.id(0), get("/a"))], 0);
    assert_eq!(resolve(&known, &get("/a")).id, b.id(0));
    assert_eq!(resolve(&known, &b).id, b.id(1));
    assert_eq!(resolve(&known, &c).id, c.id(0));
}

#[test]
fn what_is_renumbered_is_known_until_a_doubt() {
    let known = KnownSeries::new(10);
    let named = resolve(&known, &get("/"));
    let names = known.names_of(&[rows(&named, known.belief())], 0);
    known.confirm(&names, [(named.id, 7)].into());
    assert_eq!(known.names_of(&[], 0).stored_as, [(named.id, 7)].into());
    known.doubt();
    assert!(known.names_of(&[], 0).stored_as.is_empty());
}

#[test]
fn every_field_tells_series_apart() {
    let known = KnownSeries::new(100);
    let base = get("/");
    let all = [
        base.clone(),
        Series { namespace: Namespace(1), ..base.clone() },
        Series { service: "shop".into(), ..base.clone() },
        Series { method: "POST".into(), ..base.clone() },
        Series { path: "/a".into(), ..base.clone() },
        Series { status: 200, ..base.clone() },
        Series { customer: "shop".into(), ..base.clone() },
    ];
    for _ in 0..2 {
        let named = known.resolve(all.iter().map(|one| (one.into(), 1)));
        let series: Vec<_> = named.iter().map(|one| one.series.clone()).collect();
        assert_eq!(series, all);
    }
    assert_eq!(known.lock().by_id.len(), all.len());
}

/// Without room a series gives up its path and customer first, then its service, then its method.
/// What is empty stays empty.
#[test]
fn a_series_without_room_counts_under_a_coarser_form() {
    let series = Series {
        namespace: Namespace(7),
        service: "shop".into(),
        method: "GET".into(),
        path: "/".into(),
        status: 200,
        customer: "acme".into(),
    };
    let forms: Vec<_> = (0..FORMS).map(|form| coarser((&series).into(), form).to_owned()).collect();
    let other = || Box::<str>::from(OTHER_PATH);
    let first = Series { path: other(), customer: other(), ..series.clone() };
    let second = Series { service: other(), ..first.clone() };
    let third = Series { method: other(), ..second.clone() };
    assert_eq!(forms, [series.clone(), first, second, third]);
    let known = KnownSeries::new(0);
    assert_eq!(resolve(&known, &series).series, forms[1]);
    let bare = Series::of_endpoint(0, "/");
    assert_eq!(resolve(&known, &bare).series, Series::of_endpoint(0, OTHER_PATH));
}

#[test]
fn series_are_bounded_in_number_and_bytes() {
    let known = KnownSeries::new(4);
    let long = "x".repeat(2 * MEAN_TEXT_BYTES_MAX - 6);
    let all = ["/a", &long, &long.to_uppercase(), &long.repeat(2), "/c"].map(get);
    let paths = |requests: usize| -> Vec<String> {
        let requests = u32::try_from(requests).unwrap();
        let named = known.resolve(all.iter().map(|one| (one.into(), requests)));
        named.iter().map(|one| one.series.path.to_string()).collect()
    };
    let upper = long.to_uppercase();
    assert_eq!(paths(OFTEN), ["/a", &long, &upper, OTHER_PATH, OTHER_PATH]);
    assert_eq!(paths(OFTEN), ["/a", &long, &upper, OTHER_PATH, OTHER_PATH]);
    // There is a place left, but only a byte.
    assert_eq!(&*resolve(&known, &get("/")).series.path, OTHER_PATH);
}

/// Neither coarse series, which come beyond the limit, nor what several servers added together takes
/// the place of what was told apart before a restart.
#[test]
fn what_the_dictionary_has_is_told_apart_after_a_restart() {
    let named = |path: &str| (get(path).id(0), get(path));
    let known = KnownSeries::new(2);
    known.load(vec![named(OTHER_PATH), named("/a")], 0);
    assert_eq!(&*known.resolve([((&get("/b")).into(), REQUESTS_ENOUGH)])[0].series.path, "/b");
    let known = KnownSeries::new(2);
    known.load(["/a", "/b", "/c", OTHER_PATH].map(named).to_vec(), 0);
    for (path, counted) in [("/a", "/a"), ("/c", "/c"), ("/d", OTHER_PATH)] {
        assert_eq!(&*resolve(&known, &get(path)).series.path, counted);
    }
    let (count_max, bytes_max) = known.loaded_max();
    assert!(count_max >= 4 + COARSE_MAX && bytes_max >= 4 * MEAN_TEXT_BYTES_MAX);
    // However often it learns what there is, its memory is bounded.
    for round in 0..10 {
        known.learn((0..10).map(|n| named(&format!("/{round}/{n}"))).collect());
    }
    assert_eq!(known.lock().by_id.len(), 4 + 1);
}

/// Counts what requests are counted under.
struct Flood {
    known: KnownSeries,
    counts: HashMap<SeriesId, u64>,
    sent: u64,
}

// === impl Flood ===

impl Flood {
    fn new(max: usize) -> Self {
        Self { known: KnownSeries::new(max), counts: HashMap::new(), sent: 0 }
    }

    fn send(&mut self, all: impl Iterator<Item = Series>) {
        let all: Vec<Series> = all.collect();
        for some in all.chunks(1_000) {
            self.sent += some.len() as u64;
            for named in self.known.resolve(some.iter().map(|one| (one.into(), 1))) {
                *self.counts.entry(named.id).or_default() += 1;
            }
        }
    }

    /// Each request is counted once, and there are not too many names to store.
    fn check(&self) -> usize {
        assert_eq!(self.counts.values().sum::<u64>(), self.sent);
        let inner = self.known.lock();
        assert!(self.counts.keys().all(|id| inner.by_id.contains_key(id)));
        inner.by_id.len()
    }
}

const MADE_UP: u32 = 1_000_000;
const MAX: usize = 1_000;

/// What is made up, and the series of each number.
type MadeUp = (&'static str, Box<dyn Fn(u32) -> Series>);

fn made_up() -> [MadeUp; 6] {
    let base = || Series { service: "shop".into(), status: 200, ..get("/") };
    [
        ("paths", Box::new(|n| get(&format!("/{n}")))),
        ("paths that are not found", {
            Box::new(move |n| Series { path: format!("/{n}").into(), status: 404, ..base() })
        }),
        ("customers", Box::new(move |n| Series { customer: format!("{n}").into(), ..base() })),
        ("services", Box::new(move |n| Series { service: format!("{n}").into(), ..base() })),
        ("methods", Box::new(move |n| Series { method: format!("{n}").into(), ..base() })),
        ("services and methods", {
            let text = |n: u32| -> Box<str> { format!("{n}").into() };
            Box::new(move |n| Series { service: text(n), method: text(n), ..base() })
        }),
    ]
}

/// A million made-up names leave room for a route that a service has, however they are made up, and
/// even if each comes twice.
#[test]
fn made_up_names_are_bounded_and_crowd_no_route_out() {
    for (what, make) in made_up() {
        let mut flood = Flood::new(MAX);
        let made_up = if what == "paths" { MADE_UP } else { MADE_UP / 20 };
        flood.send((0..made_up).flat_map(|n| [make(n), make(n)]));
        let stored = flood.check();
        assert!(stored <= MAX + COARSE_MAX, "{what}: {stored}");
        let told_apart = MAX / 2 + MAX / 4;
        assert!(stored <= told_apart + 2 * OTHERS_MAX + 1, "{what}: {stored}");
        let route = Series { service: "shop".into(), status: 200, ..get("/a/new/route") };
        flood.send(std::iter::repeat_n(route.clone(), OFTEN));
        assert_eq!(resolve(&flood.known, &route).series, route, "{what}");
        flood.check();
    }
}

/// A batch that names very many at once takes no more of the room than single ones.
#[test]
fn many_names_at_once_take_the_first_half_only() {
    let known = KnownSeries::new(MAX);
    let all: Vec<_> = (0..10 * MAX).map(|n| get(&format!("/{n}"))).collect();
    known.resolve(all.iter().map(|one| (one.into(), 1)));
    assert_eq!(known.lock().by_id.len(), MAX / 2 + 1);
}

/// Also while they come.
#[test]
fn a_route_is_told_apart_amidst_made_up_names() {
    let mut flood = Flood::new(MAX);
    let route = Series { service: "shop".into(), status: 200, ..get("/a/new/route") };
    flood.send((0..2_000).map(|n| get(&format!("/{n}"))));
    flood.send((2_000..50_000).flat_map(|n| [get(&format!("/{n}")), route.clone()]));
    assert_eq!(resolve(&flood.known, &route).series, route);
    flood.check();
}

/// Made-up names that come often enough fill the room; what comes then is decided without a lock.
#[test]
fn what_has_no_room_takes_no_lock() {
    let mut flood = Flood::new(100);
    for n in 0..200 {
        let often = u32::try_from(OFTEN).unwrap();
        flood.known.resolve([((&get(&format!("/{n}"))).into(), often)]);
    }
    flood.send(std::iter::once(get("/200")));
    assert!(flood.known.is_full(Namespace::DEFAULT));
    assert_eq!(flood.check(), 101);
    for (_, make) in made_up() {
        flood.send((0..10_000).map(make));
    }
    let stored = flood.check();
    // What took the lock now would wait for ever.
    let known = flood.known;
    let _held = known.lock();
    for (what, make) in made_up() {
        for n in 0..10_000 {
            let series = make(n);
            let room = known.rooms.of(series.namespace);
            let find = |one| known.find(one, Arc::clone);
            let is_decided = super::place(&room, (&series).into(), 1, find);
            assert!(is_decided.is_ok(), "{what}");
        }
    }
    assert!(stored <= 100 + COARSE_MAX);
}

proptest! {
    /// Whatever comes in whatever order, each request has one series with its namespace and status,
    /// and as long as there is room its own.
    #[test]
    fn sums_are_exact(
        max in 0..40_usize,
        requests in prop::collection::vec((0..8_u8, 0..8_u8, 0..40_u8, 0..4_u16, 0..8_u8), 1..400),
    ) {
        let mut flood = Flood::new(max);
        for (service, method, path, status, customer) in requests {
            let text = |n: u8| -> Box<str> { if n == 0 { "".into() } else { format!("{n}").into() } };
            let series = Series {
                namespace: Namespace(i64::from(service % 2)),
                service: text(service),
                method: text(method),
                path: format!("/{path}").into(),
                status,
                customer: text(customer),
            };
            let named = resolve(&flood.known, &series);
            let forms = (0..FORMS).map(|form| coarser((&series).into(), form).to_owned());
            prop_assert!(forms.into_iter().any(|form| form == named.series));
            flood.send(std::iter::once(series));
        }
        let stored = flood.check();
        prop_assert!(stored <= max + COARSE_MAX);
    }
}

#[test]
fn a_series_that_has_moved_is_known_as_what_it_has_become() {
    use crate::changes::{Changes, Version};
    use crate::renaming::{Renaming, Renamings};
    use crate::selection::{NewNames, PathIs, Selection};

    let known = KnownSeries::new(100);
    let (a, b, c) = (get("/a"), get("/b"), get("/c"));
    let [of_a, of_c] = [&a, &c].map(|series| resolve(&known, series));
    let chunks = [rows(&of_a, known.belief()), rows(&of_c, known.belief())];
    let path = Some(PathIs::Exactly("/a".into()));
    let selection = Selection { path, ..Selection::default() };
    let into = NewNames { path: Some("/b".into()), ..NewNames::default() };
    let renaming = Arc::new(Renaming::of(Namespace::DEFAULT, &selection, into).expect("no regex"));
    let version = Version { seq: 1, token: 7 };
    let changes = Changes {
        seqs: vec![1],
        version,
        renamings: Renamings(vec![renaming]),
        are_all: true,
        moves: vec![(of_a.id, b.id(0))],
        targets: vec![(b.id(0), b.clone())],
    };
    known.follow_changes(changes.clone());
    // Rows that are on their way go where they belong, and bring the new name instead of the old one.
    let names = known.names_of(&chunks, 0);
    assert_eq!(names.version, version);
    assert_eq!(names.stored_as, [(of_a.id, b.id(0))].into());
    let mut new: Vec<_> = names.new.iter().map(|named| &*named.series.path).collect();
    new.sort_unstable();
    assert_eq!(new, ["/b", "/c"]);
    // The old name is nowhere.
    assert_eq!(resolve(&known, &a).series, b);
    assert!(known.names().iter().all(|one| *one != a));
    assert_eq!(known.moved(&of_a).map(|named| named.id), Some(b.id(0)));
    assert!(known.learn(vec![(of_a.id, a.clone())]).is_empty());
    // An older answer that comes late changes nothing; a database that went back does.
    known.follow_changes(Changes { version: Version::default(), are_all: false, ..changes });
    assert_eq!(known.version(), version);
    known.follow_changes(Changes { are_all: true, ..Changes::default() });
    assert_eq!(resolve(&known, &a).id, of_a.id);
}

#[test]
fn long_names_take_the_first_half_only() {
    let known = KnownSeries::new(8);
    let name = |n: usize| get(&format!("/{n}{}", "x".repeat(400)));
    // More than half of the bytes, and less than half of the places.
    for n in 0..3 {
        assert_eq!(resolve(&known, &name(n)).series, name(n));
    }
    assert_eq!(&*resolve(&known, &name(3)).series.path, OTHER_PATH);
}
