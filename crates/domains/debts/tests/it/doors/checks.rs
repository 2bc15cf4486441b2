//! healthchecks' management API.

use serde_json::{Value, json};
use tally_access::Scope;

use super::Port;

on_both!(
    with_keys: [a_check_is_made_found_changed_paused_and_deleted, checks_are_listed_and_each_key_sees_what_it_may, what_is_wrong_with_a_check_is_said, checks_are_changed_by_their_uuid_in_their_namespace_only, flips_are_of_a_stretch_of_time, a_check_without_a_slug_has_a_free_one_and_the_oldest_is_found, what_a_check_does_not_name_stays_and_what_makes_no_sense_goes],
);

impl Port {
    pub(super) fn managed(&self, line: &str, scope: Scope, body: &Value) -> (u16, Value) {
        let key = format!("x-api-key: {}", self.key(scope));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.send(line, &[&key], &body);
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)))
    }
}

async fn a_check_is_made_found_changed_paused_and_deleted(port: Port) {
    let admin = |line: &str, body: Value| port.managed(line, Scope::Admin, &body);
    let wanted = json!({"name": "DB Backup", "tags": "prod  db", "timeout": 3600, "grace": 300, "unique": ["name"]});
    let (status, made) = admin("POST /api/v3/checks/", wanted.clone());
    assert_eq!(status, 201, "{made}");
    for (field, value) in [
        ("name", json!("DB Backup")),
        ("slug", json!("db-backup")),
        ("tags", json!("prod db")),
        ("timeout", json!(3600)),
        ("grace", json!(300)),
        ("status", json!("new")),
        ("started", json!(false)),
        ("n_pings", json!(0)),
        ("last_ping", Value::Null),
        ("next_ping", json!("2030-06-15T07:00:00+00:00")),
    ] {
        assert_eq!(made[field], value, "{field} of {made}");
    }
    let uuid = made["uuid"].as_str().expect("an administrator sees it");
    let path = format!("/api/v3/checks/{uuid}");
    assert_eq!(made["ping_url"], format!("{}/ping/{uuid}", port.url));
    assert_eq!(made["pause_url"], format!("{}{path}/pause", port.url));
    // Found, and changed.
    let (status, found) = admin(
        "POST /api/v3/checks/",
        json!({"name": "DB Backup", "tags": "x", "unique": ["name"]}),
    );
    assert_eq!((status, &found["uuid"], &found["tags"]), (200, &made["uuid"], &json!("x")));
    let cron = json!({"schedule": "15 3 * * *", "tz": "Europe/Riga"});
    let (status, changed) = admin(&format!("POST {path}"), cron);
    assert_eq!(
        (status, &changed["schedule"], &changed["tz"]),
        (200, &json!("15 3 * * *"), &json!("Europe/Riga"))
    );
    assert_eq!((&changed["tags"], changed.get("timeout")), (&json!("x"), None));
    is_paid_and_paused(&port, uuid);
    let (status, deleted) = admin(&format!("DELETE {path}"), Value::Null);
    assert_eq!((status, &deleted["uuid"]), (200, &made["uuid"]));
    assert_eq!(admin(&format!("GET {path}"), Value::Null), (404, json!({"error": "not found"})));
}

fn is_paid_and_paused(port: &Port, uuid: &str) {
    let admin = |line: &str, body: Value| port.managed(line, Scope::Admin, &body);
    let path = format!("/api/v3/checks/{uuid}");
    // Pings pay it, and do not end a pause: healthchecks/healthchecks#343, #369.
    assert_eq!(admin(&format!("POST {path}/resume"), Value::Null).0, 409);
    assert_eq!(admin(&format!("POST {path}/pause"), Value::Null).1["status"], "paused");
    assert_eq!(port.says(&format!("POST /ping/{uuid}/start")).0, 200);
    assert_eq!(admin(&format!("GET {path}"), Value::Null).1["status"], "paused");
    assert_eq!(admin(&format!("POST {path}/resume"), Value::Null).1["status"], "new");
    let ping = format!("POST /ping/{uuid}?rid=3fa85f64-5717-4562-b3fc-2c963f66afa6");
    assert_eq!(port.send(&ping, &["user-agent: curl/8.1"], "done").status, 200);
    let (_, shown) = admin(&format!("GET {path}"), Value::Null);
    assert_eq!(
        (&shown["status"], &shown["last_ping"]),
        (&json!("up"), &json!("2030-06-15T06:00:00+00:00"))
    );
    let (_, pings) = admin(&format!("GET {path}/pings/"), Value::Null);
    let last = &pings["pings"][0];
    for (field, value) in [
        ("type", json!("success")),
        ("n", json!(2)),
        ("date", json!("2030-06-15T06:00:00.000000+00:00")),
        ("method", json!("POST")),
        ("ua", json!("curl/8.1")),
        ("remote_addr", json!("127.0.0.1")),
        ("rid", json!("3fa85f64-5717-4562-b3fc-2c963f66afa6")),
        ("body_url", json!(format!("{}{path}/pings/2/body", port.url))),
    ] {
        assert_eq!(last[field], value, "{field} of {last}");
    }
    assert_eq!(admin(&format!("GET {path}/pings/2/body"), Value::Null), (200, json!("done")));
    assert_eq!(admin(&format!("GET {path}/pings/1/body"), Value::Null).0, 404);
    assert_eq!(
        admin(&format!("GET {path}/flips/?seconds=60"), Value::Null),
        (200, json!({"flips": []}))
    );
    assert_eq!(port.says(&format!("POST /ping/{uuid}/fail")).0, 200);
    let flips = json!({"flips": [{"timestamp": "2030-06-15T06:00:00+00:00", "up": 0}]});
    assert_eq!(admin(&format!("GET {path}/flips/?seconds=60"), Value::Null), (200, flips));
}

async fn checks_are_listed_and_each_key_sees_what_it_may(port: Port) {
    let uuid = port.add(r#"{"slug":"one","every":"1h","tags":["a","b"]}"#);
    port.add(r#"{"slug":"two","cron":"0 3 * * *","tags":["a"]}"#);
    let slugs = |line: &str| {
        let (status, listed) = port.managed(line, Scope::Read, &Value::Null);
        assert_eq!(status, 200, "{line}: {listed}");
        let checks = listed["checks"].as_array().expect("a list").clone();
        checks
            .iter()
            .map(|check| check["slug"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    for version in ["v1", "v2", "v3"] {
        assert_eq!(slugs(&format!("GET /api/{version}/checks/")), ["one", "two"]);
    }
    assert_eq!(slugs("GET /api/v3/checks?tag=a&tag=b"), ["one"]);
    assert_eq!(slugs("GET /api/v3/checks/?slug=two"), ["two"]);
    // A key that may only look cannot pay.
    let (_, shown) = port.managed(&format!("GET /api/v3/checks/{uuid}"), Scope::Read, &Value::Null);
    let unique_key = shown["unique_key"].as_str().expect("in place of the uuid");
    assert_eq!((unique_key.len(), shown.get("uuid"), shown.get("ping_url")), (40, None, None));
    let by_key = format!("GET /api/v3/checks/{unique_key}");
    assert_eq!(port.managed(&by_key, Scope::Read, &Value::Null), (200, shown.clone()));
    let (status, refused) = port.managed("POST /api/v3/checks/", Scope::Read, &json!({}));
    assert_eq!((status, refused["error"].is_string()), (403, true));
    let says = |headers: &[&str]| {
        let answer = port.send("GET /api/v3/checks/", headers, "");
        (answer.status, answer.body)
    };
    assert_eq!(says(&[]), (401, "{\"error\":\"missing api key\"}\n".into()));
    assert_eq!(says(&["x-api-key: hcw_guess"]), (401, "{\"error\":\"wrong api key\"}\n".into()));
    assert_eq!(port.says("GET /api/v3/status/"), (200, "OK".into()));
    assert_eq!(
        port.managed("GET /api/v3/channels/", Scope::Read, &Value::Null),
        (200, json!({"channels": []}))
    );
}

async fn what_is_wrong_with_a_check_is_said(port: Port) {
    port.add(r#"{"slug":"taken","every":"1h"}"#);
    for (body, told) in [
        (json!([]), "could not parse"),
        (json!({"timeout": 59}), "timeout is not a number of seconds from 60"),
        (json!({"grace": "1h"}), "grace is not a number"),
        (json!({"name": null}), "name is null"),
        (json!({"name": "x".repeat(101)}), "name is too long"),
        (json!({"slug": "Slug"}), "slug: it has"),
        (json!({"slug": "taken", "timeout": 60}), "slug: another debt has it"),
        (json!({"schedule": "0 0 30 2 *"}), "cron: "),
        (json!({"schedule": "Mon *-*-* 03:00"}), "schedule is no cron expression"),
        (json!({"schedule": "0 3 * * *", "tz": "Riga"}), "time_zone: "),
        (json!({"methods": "POST"}), "methods is not empty"),
        (json!({"unique": ["uuid"]}), "unique has \"uuid\""),
    ] {
        let (status, answer) = port.managed("POST /api/v3/checks/", Scope::Admin, &body);
        let why = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && why.contains(told), "{body}: {status} {answer}");
    }
}

/// A key that may only look shows a `unique_key`, by which nothing is changed; and a uuid of another namespace is
/// known, and refused.
async fn checks_are_changed_by_their_uuid_in_their_namespace_only(port: Port) {
    let uuid = port.add(r#"{"slug":"one","every":"1h"}"#);
    let (_, shown) = port.managed(&format!("GET /api/v3/checks/{uuid}"), Scope::Read, &Value::Null);
    let unique_key = shown["unique_key"].as_str().expect("in place of the uuid");
    let foreign = format!("x-api-key: {}", port.foreign());
    for (line, rest) in [("POST", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")] {
        let path = |check: &str| format!("{line} /api/v3/checks/{check}{rest}");
        let answer = port.managed(&path(unique_key), Scope::Admin, &Value::Null);
        assert_eq!(answer, (404, json!({"error": "not found"})), "{line} {rest}");
        let refused = port.send(&path(&uuid), &[&foreign], "");
        assert!(refused.status == 403 && refused.body.contains("another project"), "{refused:?}");
    }
    for rest in ["", "/pings/", "/flips/"] {
        let refused = port.send(&format!("GET /api/v3/checks/{uuid}{rest}"), &[&foreign], "");
        assert_eq!(refused.status, 403, "{rest}: {refused:?}");
    }
    assert_eq!(port.send("GET /api/v3/checks/", &[&foreign], "").body, "{\"checks\":[]}\n");
    assert_eq!(port.own("GET /api/v1/debts/one", "")["status"], "new");
}

async fn flips_are_of_a_stretch_of_time(port: Port) {
    let uuid = port.add(r#"{"slug":"one","every":"1d"}"#);
    for (now, kind) in [("06:00:00", "/fail"), ("06:10:00", "")] {
        port.server.clock.set(crate::backend::time(now));
        assert_eq!(port.says(&format!("POST /ping/{uuid}{kind}")).0, 200);
    }
    let at = crate::backend::time("06:05:00").as_second();
    for (query, right) in [
        (String::new(), vec![1, 0]),
        ("?seconds=60".to_owned(), vec![1]),
        (format!("?start={at}"), vec![1]),
        (format!("?end={at}"), vec![0]),
        (format!("?start={}&seconds=60", at - 3_600), vec![1]),
    ] {
        let line = format!("GET /api/v3/checks/{uuid}/flips/{query}");
        let (_, answer) = port.managed(&line, Scope::Read, &Value::Null);
        let ups: Vec<_> =
            answer["flips"].as_array().expect("a list").iter().map(|one| &one["up"]).collect();
        assert_eq!(ups, right, "{query}: {answer}");
    }
    let line = format!("GET /api/v3/checks/{uuid}/flips/?end=now");
    let (status, answer) = port.managed(&line, Scope::Read, &Value::Null);
    assert_eq!((status, answer), (400, json!({"error": "end is not a whole number"})));
}

async fn a_check_without_a_slug_has_a_free_one_and_the_oldest_is_found(port: Port) {
    let made = |body: Value| {
        let (status, check) = port.managed("POST /api/v3/checks/", Scope::Admin, &body);
        assert!([200, 201].contains(&status), "{body}: {check}");
        check
    };
    let slug = |body: Value| made(body)["slug"].as_str().expect("a text").to_owned();
    assert_eq!(slug(json!({"name": "DB Backup"})), "db-backup");
    let second = slug(json!({"name": "DB Backup"}));
    assert!(
        second.len() == "db-backup-01234567".len() && second.starts_with("db-backup-"),
        "{second}"
    );
    assert_eq!(slug(json!({"name": "123"})), "check-123");
    let nameless = slug(json!({}));
    assert!(nameless.len() == "check-01234567".len(), "{nameless}");
    for slug in ["z", "a"] {
        made(json!({"name": "same", "slug": slug}));
    }
    assert_eq!(slug(json!({"name": "same", "unique": ["name"]})), "z");
}

/// healthchecks has one limit for what is late and for what runs, until somebody tells them apart.
async fn what_a_check_does_not_name_stays_and_what_makes_no_sense_goes(port: Port) {
    let (_, made) = port.managed("POST /api/v3/checks/", Scope::Admin, &json!({"name": "one"}));
    let path = format!("POST /api/v3/checks/{}", made["uuid"].as_str().expect("a text"));
    let definition = |body: Value| {
        assert_eq!(port.managed(&path, Scope::Admin, &body).0, 200, "{body}");
        port.own("GET /api/v1/debts/one", "")["definition"].clone()
    };
    let both = definition(json!({"grace": 300}));
    assert_eq!((&both["grace"], &both["run_limit"]), (&json!("5m"), &json!("5m")));
    let terms = r#"{"slug":"one","every":"1d","grace":"5m","run_limit":"2h"}"#;
    port.own("PUT /api/v1/debts/one", terms);
    let one = definition(json!({"grace": 600}));
    assert_eq!((&one["grace"], &one["run_limit"]), (&json!("10m"), &json!("2h")));
    let cron = definition(json!({"schedule": "15 3 * * *", "tz": "Europe/Riga"}));
    assert_eq!(cron["time_zone"], "Europe/Riga");
    let every = definition(json!({"timeout": 3600}));
    assert_eq!(
        (&every["every"], every.get("cron"), every.get("time_zone")),
        (&json!("1h"), None, None)
    );
}
