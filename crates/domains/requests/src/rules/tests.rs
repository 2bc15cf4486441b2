//! What is wrong with a rule, and how it is stored.

use tally_outbox::Secrets;

use super::*;

fn webhooks() -> Webhooks {
    let secret: Secrets = format!("whsec_{}", "A".repeat(32)).parse().expect("a secret");
    Webhooks::new("https://hooks.example.com".parse().expect("a prefix"), secret)
}

fn rule(limit: Limit) -> Rule {
    Rule {
        name: "shop is silent".to_owned(),
        services: vec!["shop".to_owned()],
        methods: Vec::new(),
        paths: Vec::new(),
        path_prefix: String::new(),
        statuses: Vec::new(),
        status_classes: Vec::new(),
        customers: Vec::new(),
        limit,
        window_minutes: 15,
        at_least: None,
        repeat_minutes: None,
    }
}

#[test]
fn a_condition_is_said_in_words() {
    for (rule, words) in [
        (rule(Limit::Below(1)), "fewer than 1 request in 15 minutes"),
        (
            Rule { window_minutes: 1_440, repeat_minutes: Some(60), ..rule(Limit::Above(5)) },
            "more than 5 requests in 1 day, told again after 1 hour",
        ),
        (
            Rule { window_minutes: 90, ..rule(Limit::ShareAboveMillionths(25_000)) },
            "more than 2.5% of at least 100 requests in 90 minutes",
        ),
        (
            Rule { at_least: Some(1), ..rule(Limit::ShareBelowMillionths(1_000_000)) },
            "less than 100% of at least 1 request in 15 minutes",
        ),
    ] {
        assert_eq!(rule.condition(), words);
    }
}

#[test]
fn every_mistake_is_named() {
    let right = rule(Limit::Below(1));
    assert_eq!(right.check("", &webhooks(), 400), Ok(None));
    assert!(matches!(right.check("https://hooks.example.com/x", &webhooks(), 400), Ok(Some(_))));
    let wrong = Rule {
        name: " ".to_owned(),
        paths: vec!["/\0".to_owned()],
        path_prefix: "x".repeat(2_049),
        statuses: vec![1_000],
        status_classes: vec![6],
        limit: Limit::Below(0),
        window_minutes: 20,
        at_least: Some(1),
        repeat_minutes: Some(1),
        ..right.clone()
    };
    let problems = wrong.check("http://127.0.0.1/?s3cret", &webhooks(), 400).expect_err("wrong");
    let fields = [
        "name",
        "paths",
        "path_prefix",
        "statuses",
        "status_classes",
        "below",
        "window_minutes",
        "at_least",
        "repeat_minutes",
        "webhook",
    ];
    let named: Vec<_> =
        problems.iter().filter_map(|problem| problem.split([':', ' ']).next()).collect();
    assert_eq!(named, fields, "{problems:?}");
    assert!(!problems.concat().contains("s3cret"), "{problems:?}");
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let share = Rule { status_classes: vec![5], ..rule(Limit::ShareAboveMillionths(50_000)) };
    let with = |change: fn(&mut Rule)| {
        let mut rule = share.clone();
        change(&mut rule);
        rule.check("", &webhooks(), 400).err().map(|problems| problems.join("; "))
    };
    assert_eq!(with(|_| {}), None);
    assert_eq!(with(|rule| rule.window_minutes = 10_080), None);
    type Change = fn(&mut Rule);
    let changes: [(Change, &str); 11] = [
        (|rule| rule.name = "x".repeat(201), "name: has 201 bytes"),
        (|rule| rule.name = "a\nb".to_owned(), "name: has control characters"),
        (|rule| rule.name = Uuid::nil().to_string(), "name: is a UUID"),
        (|rule| rule.limit = Limit::ShareBelowMillionths(0), "share_below_millionths: is 0% (0 "),
        (|rule| rule.limit = Limit::ShareBelowMillionths(1_000_001), "is 100.0001% (1000001 "),
        (|rule| rule.limit = Limit::ShareAboveMillionths(1_000_000), "is 100% (1000000 "),
        (|rule| rule.status_classes.clear(), "statuses: is missing"),
        (|rule| rule.window_minutes = 0, "window_minutes: is 0"),
        (|rule| rule.window_minutes = 10_095, "window_minutes: is 10095"),
        (|rule| rule.repeat_minutes = Some(10_081), "repeat_minutes: is 10081"),
        (|rule| rule.statuses = (0..100).collect(), "the filters have 102 entries"),
    ];
    for (change, words) in changes {
        let problems = with(change).unwrap_or_default();
        assert!(problems.contains(words), "{words}: {problems}");
    }
    // Days that are pruned cannot be counted by quarter-hour.
    let week = Rule { window_minutes: 10_080, ..share };
    let problems = week.check("", &webhooks(), 8).expect_err("it needs nine days");
    assert!(problems[0].contains("--requests-quarter-retention-days"), "{problems:?}");
    assert_eq!(week.check("", &webhooks(), 9), Ok(None));
    assert_eq!(week.check("", &webhooks(), 0), Ok(None));
}

#[test]
fn a_rule_is_stored_as_it_is() {
    let all = Rule {
        methods: vec!["GET".to_owned()],
        paths: vec!["/".to_owned()],
        path_prefix: "/a".to_owned(),
        statuses: vec![404],
        status_classes: vec![5],
        customers: vec![String::new()],
        at_least: Some(7),
        repeat_minutes: Some(60),
        ..rule(Limit::ShareBelowMillionths(1))
    };
    for rule in [all, rule(Limit::Above(u64::MAX)), rule(Limit::Below(1))] {
        let text = serde_json::to_string(&rule).expect("JSON");
        assert_eq!(serde_json::from_str::<Rule>(&text).expect("a rule"), rule, "{text}");
    }
    let text = serde_json::to_string(&rule(Limit::Below(1))).expect("JSON");
    let expected =
        r#"{"name":"shop is silent","services":["shop"],"limit":{"below":1},"window_minutes":15}"#;
    assert_eq!(text, expected, "what is stored is read by later versions");
}
