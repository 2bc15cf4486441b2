//! Keys in URLs open what they are for, and show nowhere.

use tally_access::Scope;

use super::Port;

on_both!(
    open: [pages_of_other_sites_pay_nothing],
    with_keys: [a_ping_url_pays_its_debt_and_nothing_else, a_key_of_the_right_scope_pays_where_the_product_has_it, every_door_asks_for_its_scope, guesses_in_urls_are_slowed, keys_in_urls_show_nowhere, a_key_pays_in_its_namespace_only, a_payment_says_who_paid_in_few_bytes],
);

async fn a_ping_url_pays_its_debt_and_nothing_else(port: Port) {
    let id = port.add(r#"{"slug":"backup","every":"1h"}"#);
    assert_eq!(port.says(&format!("GET /ping/{id}")), (200, "OK".into()));
    assert_eq!(port.says(&format!("GET /ping/{id}/fail")), (200, "OK".into()));
    // It is no key.
    assert_eq!(port.says(&format!("GET /ping/{id}/backup")), (404, "not found".into()));
    assert_eq!(port.says(&format!("GET /ping/{id}/other?create=1")), (404, "not found".into()));
    assert_eq!(port.says(&format!("GET /ping/{id}/backup/fail")), (404, "not found".into()));
    for line in ["GET /debts", "POST /debts/backup", "GET /api/v1/debts"] {
        let bearer = format!("authorization: Bearer {id}");
        assert_eq!(port.send(line, &[&bearer], "").status, 401, "{line}");
    }
    assert_eq!(port.kinds("backup"), ["success", "fail"]);
}

async fn a_key_of_the_right_scope_pays_where_the_product_has_it(port: Port) {
    port.add(r#"{"slug":"backup","every":"1h"}"#);
    let ping = |key: &str| port.says(&format!("GET /ping/{key}/backup"));
    assert_eq!(ping(port.key(Scope::Ingest)), (200, "OK".into()));
    assert_eq!(ping(port.key(Scope::Admin)), (200, "OK".into()));
    let (status, text) = ping(port.key(Scope::Read));
    assert_eq!(status, 403, "{text}");
    // As of an unknown debt.
    assert_eq!(ping("any-key"), (404, "not found".into()));
    let header = format!("authorization: Bearer {}", port.key(Scope::Ingest));
    assert_eq!(port.send("POST /ping/any-key/backup", &[&header], "").status, 200);
    assert_eq!(port.send("POST /debts/backup", &[&header], "").status, 200);
    assert_eq!(port.send("GET /debts", &[&header], "").status, 403);
    // A browser is not sent to log in, with the key in the address.
    let page = port.send("GET /ping/any-key/backup", &["accept: text/html"], "");
    assert_eq!((page.status, &*page.body), (404, "not found"));
    assert_eq!(port.kinds("backup").len(), 4);
}

async fn every_door_asks_for_its_scope(port: Port) {
    for (line, needed) in [
        ("GET /ping/k/unknown", Scope::Ingest),
        ("POST /ping/k/unknown/start", Scope::Ingest),
        ("GET /debts", Scope::Read),
        ("PUT /debts?every=x", Scope::Ingest),
        ("GET /debts/unknown", Scope::Read),
        ("POST /debts/unknown", Scope::Ingest),
        ("GET /api/1/cron/unknown/k?status=ok", Scope::Ingest),
        ("POST /api/1/cron/unknown/?status=ok", Scope::Ingest),
        ("POST /api/1/envelope/", Scope::Ingest),
        ("GET /api/v3/checks/", Scope::Read),
        ("POST /api/v3/checks/unknown", Scope::Admin),
        ("DELETE /api/v3/checks/unknown", Scope::Admin),
        ("POST /api/v3/checks/unknown/pause", Scope::Admin),
        ("POST /api/v3/checks/unknown/resume", Scope::Admin),
        ("GET /api/v3/checks/unknown/pings/", Scope::Read),
        ("GET /api/v3/checks/unknown/flips/", Scope::Read),
        ("GET /api/push/k/unknown", Scope::Ingest),
        ("GET /p/k/unknown", Scope::Ingest),
    ] {
        for scope in Scope::ALL {
            let header = format!("authorization: Bearer {}", port.key(scope));
            let status = port.send(line, &[&header], "").status;
            assert_eq!(status != 403, scope.allows(needed), "{line} with {scope:?}: {status}");
        }
    }
}

/// As wrong keys in headers do.
async fn guesses_in_urls_are_slowed(port: Port) {
    port.add(r#"{"slug":"backup","every":"1h"}"#);
    let guess = format!("GET /ping/tally_ingest_{}/backup", "x".repeat(36));
    let statuses: Vec<_> = (0..12).map(|_| port.ask(&guess).status).collect();
    assert_eq!(statuses, [[404; 10].as_slice(), &[429; 2]].concat());
    let right = format!("GET /ping/{}/backup", port.key(Scope::Ingest));
    assert_eq!(port.ask(&right).status, 200, "others may have the same address");
}

/// Metrics have the pattern of a route, and errors nothing of the path that may be a key.
async fn keys_in_urls_show_nowhere(port: Port) {
    let id = port.add(r#"{"slug":"backup","every":"1h"}"#);
    let (ingest, admin) = (port.key(Scope::Ingest), port.key(Scope::Admin));
    let mut told = String::new();
    for path in [
        format!("/ping/{ingest}/backup"),
        format!("/ping/{ingest}/unknown"),
        format!("/ping/{ingest}/UNKNOWN?create=1"),
        format!("/ping/{id}/nonsense"),
        format!("/ping/{ingest}/backup/0/more"),
        format!("/pings/{ingest}/backup"),
    ] {
        for accept in ["accept: */*", "accept: text/html"] {
            told.push_str(&port.send(&format!("GET {path}"), &[accept], "").body);
        }
    }
    let header = format!("authorization: Bearer {admin}");
    let metrics = port.send("GET /metrics", &[&header], "").body;
    assert!(metrics.contains("route=\"/ping/{key}/{slug}\""), "{metrics}");
    for secret in [ingest, admin, &id] {
        assert!(!told.contains(secret), "{told}");
        assert!(!metrics.contains(secret), "{metrics}");
    }
}

/// A page of another site can send what has no `Origin`: an image's address.
async fn pages_of_other_sites_pay_nothing(port: Port) {
    let id = port.add(r#"{"slug":"backup","every":"1h"}"#);
    let paths = [format!("/ping/{id}"), "/ping/any/new?create=1".into(), "/debts/backup".into()];
    for path in &paths {
        for header in [
            "sec-fetch-site: cross-site",
            "sec-fetch-site: same-site",
            "origin: https://evil.example",
        ] {
            let answer = port.send(&format!("POST {path}"), &[header], "");
            assert_eq!(answer.status, 403, "{path} {header}: {answer:?}");
        }
    }
    assert_eq!(
        port.send(&format!("GET {}", paths[0]), &["sec-fetch-site: cross-site"], "").status,
        403
    );
    assert_eq!(port.kinds("backup"), [""; 0]);
    // A link from elsewhere may be followed, and a person may open a ping URL.
    assert_eq!(port.send("GET /debts", &["sec-fetch-site: cross-site"], "").status, 200);
    assert_eq!(port.send(&format!("GET {}", paths[0]), &["sec-fetch-site: none"], "").status, 200);
}

/// A slug is one of the key's namespace, in every product.
async fn a_key_pays_in_its_namespace_only(port: Port) {
    port.add(r#"{"slug":"backup","every":"1h"}"#);
    let foreign = port.foreign();
    let bearer = format!("authorization: Bearer {foreign}");
    for line in [
        &*format!("GET /ping/{foreign}/backup"),
        &format!("GET /api/1/cron/backup/{foreign}?status=ok"),
        &format!("GET /api/push/{foreign}/backup"),
        &format!("GET /p/{foreign}/backup"),
        "POST /debts/backup",
        "POST /debts/1",
    ] {
        let answer = port.send(line, &[&bearer], "");
        assert_eq!(answer.status, 404, "{line}: {answer:?}");
    }
    assert_eq!(
        port.says(&format!("POST /ping/{foreign}/backup?create=1")),
        (201, "Created".into())
    );
    assert_eq!(port.kinds("backup"), [""; 0]);
}

/// What is shown of who paid: the name of the key, and an address and a client that decide nothing.
async fn a_payment_says_who_paid_in_few_bytes(port: Port) {
    port.add(r#"{"slug":"backup","every":"1h"}"#);
    let line = format!("POST /ping/{}/backup", port.key(Scope::Ingest));
    let agent = format!("user-agent: {}", "x".repeat(1_000));
    for headers in [&[&*agent, "x-forwarded-for: 203.0.113.9, 10.0.0.1"][..], &[&agent]] {
        assert_eq!(port.send(&line, headers, "").status, 200);
    }
    let payments = port.own("GET /api/v1/debts/backup/payments", "")["payments"].clone();
    for (at, from) in [(1, "203.0.113.9"), (0, "127.0.0.1")] {
        let source = format!("healthchecks POST {from} {}", "x".repeat(200));
        assert_eq!(
            (&payments[at]["source"], &payments[at]["key"]),
            (&source.into(), &"default-ingest".into())
        );
    }
}
