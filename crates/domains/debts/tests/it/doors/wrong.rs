//! Wrong input through each door by which it can come: one clear answer each, and nothing is made or paid.

use serde_json::{Value, json};

use super::Port;

on_both!(
    open: [
        wrong_terms_are_told_by_each_door,
        wrong_exit_statuses_are_told_by_each_door,
        bodies_that_are_too_large_are_refused_or_cut_by_each_door,
        a_clock_that_is_far_off_is_told_by_each_door_that_takes_a_time,
        unknown_slugs_make_no_more_debts_than_allowed_by_each_door,
    ],
);

const JSON: &[&str] = &["content-type: application/json"];

/// As a query has it.
fn coded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What makes a debt by each door: the request, its body, and the status of an answer to what is wrong.
fn ways(slug: &str, terms: &[(&str, &str)]) -> Vec<(String, String)> {
    let query: Vec<_> =
        terms.iter().map(|(name, value)| format!("{name}={}", coded(value))).collect();
    let query = query.join("&");
    let mut own: serde_json::Map<String, Value> = terms
        .iter()
        .map(|(name, value)| {
            (if *name == "tz" { "time_zone" } else { *name }.to_owned(), json!(value))
        })
        .collect();
    let create = json!({"create": own});
    own.insert("slug".to_owned(), json!(slug));
    vec![
        ("POST /api/v1/debts".to_owned(), Value::Object(own).to_string()),
        (format!("POST /api/v1/debts/{slug}/payments"), create.to_string()),
        (format!("POST /ping/k/{slug}?create=1&{query}"), String::new()),
        (format!("PUT /debts?slug={slug}&{query}"), String::new()),
        (format!("POST /debts/{slug}?create=1&{query}"), String::new()),
        (format!("GET /api/push/k/{slug}?create=1&status=up&{query}"), String::new()),
        (format!("GET /p/k/{slug}?create=1&{query}"), String::new()),
    ]
}

/// Whether it makes a debt and pays nothing.
fn makes_alone(line: &str) -> bool {
    line == "POST /api/v1/debts" || line.starts_with("PUT /debts?")
}

async fn wrong_terms_are_told_by_each_door(port: Port) {
    let cron = ("cron", "0 3 * * *");
    for (terms, field, why) in [
        (&[("cron", "61 3 * * *")][..], "cron", "the minute of the cron expression is wrong"),
        (&[("cron", "x")], "cron", "x"),
        (&[("cron", "0 0 30 2 *")], "cron", "no day of any year matches"),
        (&[cron, ("tz", "Europe/Rigga")], "time_zone", "did you mean Europe/Riga?"),
        (&[("every", "-1h")], "every", "-1h"),
        (&[cron, ("grace", "-5m")], "grace", "-5m"),
        (&[cron, ("run_limit", "-1s")], "run_limit", "-1s"),
        (&[cron, ("early_window", "11y")], "early_window", "11y"),
        (&[("every", "1h"), cron], "schedule", "give one of every, cron and deadline"),
        (
            &[cron, ("start_limit", "1m")],
            "start_limit",
            "it needs a run_limit or a heartbeat_limit",
        ),
    ] {
        for (line, body) in ways("new", terms) {
            let answer = port.send(&line, JSON, &body);
            assert_eq!(answer.status, 400, "{line} {body}: {answer:?}");
            let text = &answer.body;
            let is_told = (text.contains(&format!("{field}: "))
                || text.contains(&format!("{field}\"")))
                && text.contains(why);
            assert!(is_told, "{line} {body}: {text}");
        }
    }
    // A payment is not lost for it, because the debt that it makes may be late.
    let passed = [("deadline", "2029-01-31T12:00:00Z")];
    for (line, body) in ways("new", &passed).into_iter().filter(|(line, _)| makes_alone(line)) {
        let answer = port.send(&line, JSON, &body);
        let is_told = answer.body.contains("deadline") && answer.body.contains("is not after now");
        assert!(answer.status == 400 && is_told, "{line} {body}: {answer:?}");
    }
    for (line, body) in ways("New", &[cron]) {
        let answer = port.send(&line, JSON, &body);
        assert_eq!(answer.status, 400, "{line} {body}: {answer:?}");
        let text = &answer.body;
        assert!(text.contains("slug") || text == "invalid url format", "{line} {body}: {text}");
    }
    // healthchecks' API and Sentry have words of their own.
    for (field, body) in [
        ("cron", json!({"schedule": "0 0 30 2 *"})),
        ("time_zone", json!({"schedule": "0 3 * * *", "tz": "Europe/Rigga"})),
        ("grace", json!({"grace": -5})),
        ("timeout", json!({"timeout": -5})),
        ("slug", json!({"slug": "New"})),
    ] {
        let answer = port.send("POST /api/v3/checks/", JSON, &body.to_string());
        let is_told = answer.status == 400 && answer.body.contains(field);
        assert!(is_told, "{body}: {answer:?}");
    }
    let crontab = |value: &str| json!({"schedule": {"type": "crontab", "value": value}});
    let zoned =
        json!({"schedule": {"type": "crontab", "value": "0 3 * * *"}, "timezone": "Europe/Rigga"});
    let interval = json!({"schedule": {"type": "interval", "value": -2, "unit": "hour"}});
    for (field, config) in [
        ("cron", crontab("61 3 * * *")),
        ("cron", crontab("0 0 30 2 *")),
        ("time_zone", zoned),
        ("schedule.value", interval),
    ] {
        let body = json!({"status": "ok", "monitor_config": config}).to_string();
        let answer = port.send("POST /api/1/cron/new/k", JSON, &body);
        assert!(answer.status == 400 && answer.body.contains(field), "{body}: {answer:?}");
    }
    let listed = port.own("GET /api/v1/debts", "");
    assert_eq!(listed["debts"], json!([]), "nothing is made");
}

async fn wrong_exit_statuses_are_told_by_each_door(port: Port) {
    let id = port.add(r#"{"slug":"job","every":"1h"}"#);
    for status in ["256", "TERM", "99999999999999999999", "-1"] {
        let number: Value =
            status.parse::<i64>().map_or_else(|_| json!(status), |number| json!(number));
        let body = json!({"exit_status": number}).to_string();
        for (line, body, told) in [
            (format!("POST /ping/{id}/{status}"), "", &["invalid url format", "not found"][..]),
            (format!("POST /ping/k/job/{status}"), "", &["invalid url format", "not found"]),
            (format!("GET /p/k/job?status_code={status}"), "", &["status_code: write 0 to 255"]),
            ("POST /api/v1/debts/job/payments".to_owned(), &*body, &["exit_status"]),
        ] {
            let answer = port.send(&line, JSON, body);
            let is_told = told.iter().any(|told| answer.body.contains(told));
            assert!([400, 404].contains(&answer.status) && is_told, "{line} {body}: {answer:?}");
        }
    }
    assert_eq!(port.kinds("job"), [""; 0], "nothing is paid");
}

/// What a program has printed is cut, because the payment matters; what must be read as a whole is refused.
async fn bodies_that_are_too_large_are_refused_or_cut_by_each_door(port: Port) {
    let id = port.add(r#"{"slug":"job","every":"1h"}"#);
    let large = "x".repeat((1 << 20) + 1);
    let (alertmanager, agent) =
        ("POST /ping/{id}".replace("{id}", &id), "user-agent: Alertmanager/0.25.0");
    for (line, header) in [
        ("POST /api/v1/debts", JSON[0]),
        ("PUT /api/v1/debts/job", JSON[0]),
        ("POST /api/v1/debts/job/payments", JSON[0]),
        ("POST /api/v3/checks/", JSON[0]),
        ("POST /api/1/cron/job/k", JSON[0]),
        ("POST /api/1/envelope/?sentry_key=k", "content-type: application/x-sentry-envelope"),
        (&*alertmanager, agent),
    ] {
        let answer = port.send(line, &[header], &large);
        assert_eq!(answer.status, 413, "{line}: {answer:?}");
        assert!(answer.body.contains("at most"), "{line}: {answer:?}");
    }
    assert_eq!(port.kinds("job"), [""; 0], "nothing is paid");
    for line in [format!("POST /ping/{id}"), "POST /ping/k/job/log".to_owned()] {
        let answer = port.send(&line, &[], &"y".repeat(20_000));
        assert_eq!((answer.status, &*answer.body), (200, "OK"), "{line}");
    }
    let payments = port.own("GET /api/v1/debts/job/payments", "")["payments"].clone();
    let kept: Vec<_> =
        payments.as_array().expect("a list").iter().map(|one| &one["body"]).collect();
    assert_eq!(kept, [&json!("y".repeat(10_000)); 2]);
}

async fn a_clock_that_is_far_off_is_told_by_each_door_that_takes_a_time(port: Port) {
    port.add(r#"{"slug":"job","every":"1h"}"#);
    let pay = |time: &str| {
        let body = json!({"time": time}).to_string();
        let answer = port.send("POST /api/v1/debts/job/payments", JSON, &body);
        (answer.status, answer.body)
    };
    for (time, status, told) in [
        ("2030-06-16T06:00:00.000001Z", 400, "more than 24 h ahead of the server's clock"),
        ("9999-12-31T00:00:00Z", 400, ""),
        ("0000-01-01T00:00:00Z", 400, "time"),
        ("yesterday", 400, "time"),
        // Of one that is ahead by less, the payment counts when it was received.
        ("2030-06-16T06:00:00Z", 200, "\"paid_at\":\"2030-06-15T06:00:00Z\""),
        // Of one that is behind, it counts when it says, and settles nothing that came after.
        ("1970-01-01T00:00:00Z", 200, "\"due_at\":\"2030-06-15T07:00:00Z\""),
    ] {
        let (answered, text) = pay(time);
        assert!(answered == status && text.contains(told), "{time}: {answered} {text}");
    }
    // Clients of other products have no say in it: a stamp is left aside.
    assert_eq!(port.says("GET /p/k/job?stamp=99999999999.5"), (200, "OK".to_owned()));
    assert_eq!(port.kinds("job"), ["success"; 3]);
}

/// However many are named: this server has room for 20 debts.
async fn unknown_slugs_make_no_more_debts_than_allowed_by_each_door(port: Port) {
    for number in 0..20 {
        assert_eq!(port.says(&format!("GET /ping/k/d-{number}?create=1")).0, 201);
    }
    for (line, body) in ways("one-more", &[("every", "1h")]) {
        let answer = port.send(&line, JSON, &body);
        let is_told = answer.status == 429 && answer.body.contains("--debts-max");
        assert!(is_told, "{line} {body}: {answer:?}");
    }
    let config = json!({"schedule": {"type": "interval", "value": 2, "unit": "hour"}});
    let body = json!({"status": "ok", "monitor_config": config}).to_string();
    // An SDK that is told 429 sends nothing for a minute.
    let answer = port.send("POST /api/1/cron/one-more/k", JSON, &body);
    assert!(answer.status == 403 && answer.body.contains("--debts-max"), "{answer:?}");
    let answer = port.send("POST /api/v3/checks/", JSON, r#"{"slug":"one-more","timeout":60}"#);
    assert!(answer.status == 400 && answer.body.contains("--debts-max"), "{answer:?}");
    // The debts that are there are paid all the same.
    assert_eq!(port.says("GET /ping/k/d-7?create=1"), (200, "OK".to_owned()));
    assert_eq!(port.own("GET /api/v1/debts", "")["counts"]["up"], 20);
}
