//! What is selected, what becomes of it, and what is stored of that.

use super::*;

fn get(path: &str) -> Series {
    Series::of_endpoint(3, path)
}

fn of_customer(path: &str, customer: &str) -> Series {
    Series { customer: customer.into(), ..get(path) }
}

fn merge(path: PathIs, into: &str) -> Renaming {
    let selection = Selection { path: Some(path), ..Selection::default() };
    Renaming::of(
        Namespace::DEFAULT,
        &selection,
        NewNames { path: Some(into.into()), ..NewNames::default() },
    )
    .expect("a regex")
}

fn exactly(path: &str) -> PathIs {
    PathIs::Exactly(path.into())
}

fn apply(renaming: &Renaming, series: &Series) -> Option<String> {
    renaming.apply(series.into()).map(|one| format!("{} {}", one.path, one.customer))
}

#[test]
fn names_are_compared_whole_by_prefix_or_by_regex() {
    let users = merge(PathIs::BeginsWith("/users/".into()), "/users/{id}");
    assert_eq!(apply(&users, &of_customer("/users/7", "acme")), Some("/users/{id} acme".into()));
    for path in ["/users", "/user/7", "_other", "_forgotten", "/users/{id}"] {
        assert_eq!(apply(&users, &get(path)), None, "{path}");
    }
    let digits = merge(PathIs::Matches("^/users/[0-9]+$".into()), "/users/{id}");
    assert!(apply(&digits, &get("/users/12")).is_some());
    assert!(apply(&digits, &get("/users/12/x")).is_none());
    assert!(apply(&merge(exactly("/a"), "/b"), &get("/a")).is_some());
    assert!(merge(exactly("/a"), "/a").is_idle() && !users.is_idle());
    let other = Series { namespace: Namespace(1), ..get("/users/7") };
    assert_eq!(apply(&users, &other), None);
}

#[test]
fn a_regex_is_bounded() {
    for bad in ["(", "a{5000}{5000}", "(?:x{1000}){1000}", &"(".repeat(1_000)] {
        let path = Some(PathIs::Matches(bad.into()));
        let selection = Selection { path, ..Selection::default() };
        assert!(
            Renaming::of(Namespace::DEFAULT, &selection, NewNames::default()).is_err(),
            "{bad}"
        );
    }
    // Few bytes of text, and many when compiled.
    let path = Some(PathIs::Matches("[a-z]{900}".into()));
    let selection = Selection { path, ..Selection::default() };
    assert!(Renaming::of(Namespace::DEFAULT, &selection, NewNames::default()).is_err());
    // One that would not end elsewhere.
    let slow = merge(PathIs::Matches("^(a+)+$".into()), "/a");
    assert!(apply(&slow, &get(&format!("{}!", "a".repeat(2_000)))).is_none());
}

#[test]
fn what_is_stored_of_a_forget_has_no_name() {
    let selection = Selection {
        path: Some(PathIs::BeginsWith("/users/ann/".into())),
        customer: Some("ann".into()),
        ..Selection::default()
    };
    let forgotten = || Some("_forgotten".into());
    let into = NewNames { path: forgotten(), customer: forgotten(), ..NewNames::default() };
    let renaming = Renaming::of(Namespace::DEFAULT, &selection, into).expect("no regex");
    let hashed = renaming.hashed((7, 8)).expect("no regex");
    let columns = hashed.columns();
    assert!(!format!("{columns:?}").contains("ann"), "{columns:?}");
    let read = Renaming::of_columns(&columns).expect("well formed").expect("a renaming");
    for one in [&renaming, &hashed, &read] {
        assert!(apply(one, &of_customer("/users/ann/7", "ann")).is_some());
        assert!(apply(one, &of_customer("/users/ann/", "ann")).is_some());
        assert!(apply(one, &of_customer("/users/ann", "ann")).is_none());
        assert!(apply(one, &of_customer("/users/ann/7", "bob")).is_none());
        assert!(one.is(&renaming));
    }
    let other = merge(exactly("/users/ann/"), "_forgotten");
    assert!(!read.is(&other));
}

#[test]
fn columns_are_read_again() {
    for path in [exactly("/a:b"), PathIs::BeginsWith("é:".into()), PathIs::Matches("^x:".into())] {
        let renaming = merge(path, "/into");
        let columns = renaming.columns();
        let read = Renaming::of_columns(&columns).expect("well formed").expect("a renaming");
        assert_eq!(read.columns(), columns);
        assert!(read.is(&renaming));
    }
    let none = Renaming::of_columns(&Columns::default()).expect("well formed");
    assert!(none.is_none());
    let path = Some("what:ever".to_owned());
    let error = Renaming::of_columns(&Columns { path, ..Columns::default() });
    assert!(tally_runtime::chain(&error.expect_err("malformed")).contains("what:ever"));
}

#[test]
fn later_merges_follow_and_circles_are_seen() {
    let (ab, bc) = (merge(exactly("/a"), "/b"), merge(exactly("/b"), "/c"));
    let renamings = Renamings(vec![Arc::new(ab.clone()), Arc::new(bc.clone())]);
    let renamed = renamings.apply((&get("/a")).into()).expect("renamed");
    assert_eq!(&*renamed.path, "/c");
    assert!(renamings.apply((&get("/c")).into()).is_none());
    // NewNames what was merged away, and back.
    assert!(merge(exactly("/x"), "/a").leads_into(&ab));
    assert!(merge(exactly("/b"), "/a").leads_into(&ab));
    assert!(!bc.leads_into(&ab));
    let users = merge(PathIs::BeginsWith("/users/".into()), "/users/{id}");
    assert!(!users.leads_into(&users));
    assert!(merge(exactly("/x"), "/users/7").leads_into(&users));
    // Even one that was made in spite of that ends.
    let circle = Renamings(vec![Arc::new(ab), Arc::new(merge(exactly("/b"), "/a"))]);
    assert!(circle.apply((&get("/a")).into()).is_none());
}

#[test]
fn other_namespaces_are_left_alone() {
    let users = merge(PathIs::BeginsWith("/users/".into()), "/users/{id}");
    let elsewhere = Series { namespace: Namespace(1), ..get("/users/7") };
    assert_eq!(apply(&users, &elsewhere), None);
    assert!(apply(&users, &get("/users/7")).is_some());
}

#[test]
fn names_of_tallys_own_are_never_selected() {
    for path in [PathIs::BeginsWith("_".into()), PathIs::Matches("^_".into())] {
        let all = merge(path, "/into");
        for own in ["_other", "_unknown", "_forgotten"] {
            assert_eq!(apply(&all, &get(own)), None, "{own}");
        }
        assert!(apply(&all, &get("_own")).is_some());
    }
}

#[test]
fn a_forget_by_several_fields_takes_what_has_all_of_them() {
    let of = |path: &str, customer: Option<&str>, into: [Option<&str>; 2]| {
        let selection = Selection {
            path: Some(exactly(path)),
            customer: customer.map(Box::from),
            ..Selection::default()
        };
        let [path, customer] = into.map(|name| name.map(Box::from));
        Renaming::of(
            Namespace::DEFAULT,
            &selection,
            NewNames { path, customer, ..NewNames::default() },
        )
        .expect("no regex")
    };
    let forgotten = Some("_forgotten");
    let both = of("/ann", Some("ann"), [forgotten, forgotten]);
    let path = of("/ann", None, [forgotten, None]);
    let kept = |one: &Renaming, forget: &Renaming| {
        one.without(forget, (7, 8)).map(|one| format!("{:?}", one.columns()))
    };
    // What it selects, what it leads to, and what it leads to with a name that it keeps.
    for merge in [
        of("/ann", Some("ann"), [Some("/a"), Some("a")]),
        of("/a", Some("a"), [Some("/ann"), Some("ann")]),
    ] {
        let kept = kept(&merge, &both).expect("it has both");
        assert!(!kept.contains("ann"), "{kept}");
    }
    let keeps_customer = of("/a", Some("ann"), [Some("/ann"), None]);
    let without = keeps_customer.without(&both, (7, 8)).expect("it leads to both");
    let series = of_customer("/a", "ann");
    assert_eq!(apply(&without, &series), Some("_forgotten _forgotten".into()));
    assert!(!format!("{:?}", without.columns()).contains("/ann"));
    // Other series keep these names.
    for merge in [
        of("/ann", None, [Some("/a"), None]),
        of("/ann", Some("bob"), [Some("/a"), None]),
        of("/b", None, [None, Some("ann")]),
    ] {
        assert_eq!(kept(&merge, &both), None, "{merge:?}");
    }
    assert!(
        !kept(&of("/ann", Some("bob"), [Some("/a"), None]), &path)
            .expect("it has it")
            .contains("/ann")
    );
    assert_eq!(kept(&of("/a", Some("bob"), [Some("/c"), None]), &path), None);
}

/// What somebody merges or forgets neither changes what others have merged nor is the same as it.
#[test]
fn renamings_of_other_namespaces_are_apart() {
    let elsewhere = |one: &Renaming| Renaming { namespace: Namespace(1), ..one.clone() };
    let (ab, before) = (merge(exactly("/a"), "/b"), merge(exactly("/x"), "/a"));
    assert!(ab.is(&ab) && !elsewhere(&ab).is(&ab));
    assert!(before.leads_into(&ab) && !elsewhere(&before).leads_into(&ab));
    for path in ["/a", "/b"] {
        let forget = merge(exactly(path), FORGOTTEN);
        assert!(ab.without(&forget, (7, 8)).is_some(), "{path}");
        assert_eq!(ab.without(&elsewhere(&forget), (7, 8)).map(|one| one.columns()), None);
    }
    let forgotten = get(FORGOTTEN);
    assert!(ab.unforgotten(&forgotten).is_some());
    assert!(elsewhere(&ab).unforgotten(&forgotten).is_none());
}
