//! Badges: who has the link sees how a debt or a tag stands, and makes no other link of it.

use serde_json::{Value, json};
use tally_access::Scope;

use super::Port;
use crate::backend::time;

on_both!(
    open: [a_page_of_another_site_shows_a_badge],
    with_keys: [
        who_has_the_link_sees_how_it_stands_without_a_key,
        of_a_link_nobody_makes_another_one,
        a_link_is_void_once_badges_are_renewed,
    ],
);

const SVG: &str = "image/svg+xml; charset=utf-8";

impl Port {
    /// What a badge says.
    fn badge(&self, link: &str) -> String {
        let answer = self.ask(&format!("GET {link}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(SVG)), "{answer:?}");
        let title = answer.body.split("<title>").nth(1).and_then(|rest| rest.split('<').next());
        title.expect("a title").to_owned()
    }

    fn link(&self, debt: &str) -> String {
        let debt = self.own(&format!("GET /api/v1/debts/{debt}"), "");
        debt["badge"].as_str().expect("a link").to_owned()
    }
}

async fn who_has_the_link_sees_how_it_stands_without_a_key(port: Port) {
    for debt in [
        json!({"slug": "first", "name": "The first", "every": "1h", "grace": "5m", "tags": ["nächt&ly", "a"]}),
        json!({"slug": "second", "every": "1d", "grace": "5m", "tags": ["nächt&ly"]}),
    ] {
        port.add(&debt.to_string());
    }
    let (first, second) = (port.link("first"), port.link("second"));
    assert_eq!(port.badge(&first), "The first: new");
    let (_, tags) = port.managed("GET /api/v3/badges/", Scope::Read, &Value::Null);
    let tags = tags["badges"].as_object().expect("an object").clone();
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["a", "nächt&ly"]);
    let of_tag = |tag: &str| tags[tag]["svg"].as_str().expect("a URL")[port.url.len()..].to_owned();
    let (_, checks) = port.managed("GET /api/v3/checks/", Scope::Admin, &Value::Null);
    let urls: Vec<_> = checks["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|check| &check["badge_url"])
        .collect();
    assert!(urls.contains(&&json!(format!("{}{first}", port.url))), "{urls:?}");
    // It is kept by those who ask each time whether it is still right.
    let answer = port.ask(&format!("GET {first}"));
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    let tag = answer.header("etag").expect("a tag").to_owned();
    let known = format!("if-none-match: {tag}");
    let again = || port.send(&format!("GET {first}"), &[&known], "").status;
    assert_eq!(again(), 304);
    port.own("POST /api/v1/debts/first/payments", "{}");
    assert_eq!((again(), port.badge(&first)), (200, "The first: up".to_owned()));
    assert_eq!(
        (port.badge(&of_tag("a")), port.badge(&of_tag("nächt&ly"))),
        ("a: up".into(), "nächt&amp;ly: up".into())
    );
    port.server.sweep("06:00:00").await;
    port.server.sweep_until("06:00:40", "07:04:00").await;
    assert_eq!(
        (port.badge(&first), port.badge(&of_tag("nächt&ly"))),
        ("The first: late".into(), "nächt&amp;ly: late".into())
    );
    port.server.sweep_until("07:04:10", "07:05:10").await;
    assert_eq!(
        (port.badge(&first), port.badge(&of_tag("nächt&ly"))),
        ("The first: down".into(), "nächt&amp;ly: down".into())
    );
    assert_eq!(port.badge(&second), "second: new");
    port.own("POST /api/v1/debts/first/pause", "{}");
    assert_eq!(port.badge(&first), "The first: paused");
    // All debts are read for a tag, so whoever may look is told what was seen some seconds ago.
    assert_eq!(port.badge(&of_tag("nächt&ly")), "nächt&amp;ly: down");
    port.server.clock.set(time("07:05:19.9"));
    assert_eq!(port.badge(&of_tag("nächt&ly")), "nächt&amp;ly: down");
    port.server.clock.set(time("07:05:20"));
    assert_eq!(port.badge(&of_tag("a")), "a: paused");
    assert_eq!(port.badge(&of_tag("nächt&ly")), "nächt&amp;ly: new");
}

async fn of_a_link_nobody_makes_another_one(port: Port) {
    for slug in ["first", "second"] {
        port.add(&json!({"slug": slug, "tags": ["1", slug]}).to_string());
    }
    let (first, second) = (port.link("first"), port.link("second"));
    let secret = |link: &str| link.split("secret=").nth(1).expect("a secret").to_owned();
    let (of_first, of_second) = (secret(&first), secret(&second));
    assert_eq!((of_first.len(), of_first == of_second), (64, false));
    let path = "/badges/debts.svg";
    for wrong in [
        first.replace("debt=1", "debt=2"),
        first.replace("debt=1", "tag=1"),
        first.replace("debt=1", "debt=1&tag=1"),
        first.replace("debt=1", "debt=3"),
        first.replace("debt=1", "debt=first"),
        first.replace("secret=", "namespace=7&secret="),
        first.replace(&of_first, &of_first[..62]),
        first.replace(&of_first, &of_second),
        first.replace(&of_first, &"0".repeat(64)),
        first.replace(&of_first, &"+1".repeat(32)),
        first.replace(&of_first, &"%C3%A4".repeat(32)),
        first.replace(&of_first, ""),
        format!("{path}?debt=1"),
        format!("{path}?secret={of_first}"),
        path.to_owned(),
    ] {
        assert_eq!(port.says(&format!("GET {wrong}")), (404, "not found\n".into()), "{wrong}");
    }
    assert_eq!(port.badge(&first), "first: new");
    port.own("DELETE /api/v1/debts/first", "");
    assert_eq!(port.ask(&format!("GET {first}")).status, 404);
}

/// healthchecks has one badge key for a project, and a new one makes all links void.
async fn a_link_is_void_once_badges_are_renewed(port: Port) {
    port.add(r#"{"slug":"first"}"#);
    let old = port.link("first");
    let admin = format!("authorization: Bearer {}", port.key(Scope::Admin));
    assert_eq!(port.send("POST /api/v1/debts/badges/renew", &[&admin], "").status, 204);
    let new = port.link("first");
    assert_ne!(old, new);
    assert_eq!((port.ask(&format!("GET {old}")).status, &*port.badge(&new)), (404, "first: new"));
}

/// Where no key is asked for, a page of another site makes browsers send nothing that does something: an image does
/// nothing.
async fn a_page_of_another_site_shows_a_badge(port: Port) {
    let ping = port.add(r#"{"slug":"first"}"#);
    let by_page = |path: &str| {
        let headers =
            ["accept-language: de", "sec-fetch-site: cross-site", "sec-fetch-dest: image"];
        port.send(&format!("GET {path}"), &headers, "").status
    };
    assert_eq!((by_page(&port.link("first")), by_page(&format!("/ping/{ping}"))), (200, 403));
    assert_eq!(port.kinds("first"), [""; 0]);
}
