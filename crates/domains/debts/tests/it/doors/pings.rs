//! healthchecks: pings, as curl, runitor and systemd send them, and the webhooks of Alertmanager.

use super::Port;

on_both!(
    open: [pings_are_answered_as_healthchecks_does, the_bytes_of_runitor_are_a_run_and_a_retry_counts_once, a_ping_makes_its_debt_if_it_asks_for_that_once, alertmanager_pays_while_its_watchdog_fires],
);

const RUN: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

async fn pings_are_answered_as_healthchecks_does(port: Port) {
    let id = port.add(r#"{"slug":"backup","every":"1h","run_limit":"1h"}"#);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (line, status, body) in [
        (format!("GET /ping/{id}"), 200, "OK"),
        (format!("POST /ping/{id}/"), 200, "OK"),
        (format!("PUT /ping/{}", id.to_uppercase()), 200, "OK"),
        (format!("HEAD /ping/{id}"), 200, ""),
        (format!("GET /ping/{id}/start"), 200, "OK"),
        (format!("GET /ping/{id}/fail"), 200, "OK"),
        (format!("GET /ping/{id}/log"), 200, "OK"),
        (format!("GET /ping/{id}/0"), 200, "OK"),
        (format!("GET /ping/{id}/255"), 200, "OK"),
        ("GET /ping/any-key/backup".to_owned(), 200, "OK"),
        ("GET /ping/any-key/backup/3".to_owned(), 200, "OK"),
        ("GET /ping/any-key/backup/start".to_owned(), 200, "OK"),
        // What is wrong.
        (format!("GET /ping/{id}/256"), 400, "invalid url format"),
        (format!("GET /ping/{id}/99999999999999999999"), 400, "invalid url format"),
        // What systemd says of a service that was killed.
        (format!("GET /ping/{id}/TERM"), 400, "invalid url format"),
        (format!("GET /ping/{id}/nonsense"), 404, "not found"),
        (format!("GET /ping/{id}/start/0"), 404, "not found"),
        (format!("GET /ping/{id}?rid=x"), 400, "invalid uuid format"),
        (
            format!("GET /ping/{id}?rid=3fa85f6457174562b3fc2c963f66afa6"),
            400,
            "invalid uuid format",
        ),
        (format!("GET /ping/{unknown}"), 404, "not found"),
        ("GET /ping/nothing".to_owned(), 404, "not found"),
        ("GET /ping/any-key/unknown".to_owned(), 404, "not found"),
        ("GET /ping/any-key/unknown?create=0".to_owned(), 404, "not found"),
        ("GET /ping/any-key/Backup".to_owned(), 400, "invalid url format"),
        ("GET /ping/any-key/Backup?create=1".to_owned(), 400, "invalid url format"),
    ] {
        let answer = port.ask(&line);
        assert_eq!((answer.status, &*answer.body), (status, body), "{line}");
        assert_eq!(answer.header("ping-body-limit"), Some("10000"), "{line}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{line}");
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("no-cache")));
    }
    let kinds = port.kinds("backup");
    let right = "success success success success start fail log success fail success fail start";
    assert_eq!(kinds.join(" "), right);
    let statuses: Vec<_> = port.payments("backup").into_iter().filter_map(|one| one.2).collect();
    assert_eq!(statuses, [0, 255, 3]);
}

/// runitor: POST, `Content-Type: text/plain`, a run id with each. A start, whose answer says how much of the end of
/// the output is taken; then that, to the plain URL or to the exit status. After a time-out, or 503, it sends the
/// same up to twice more. A retry is known by its run: healthchecks/healthchecks#319.
async fn the_bytes_of_runitor_are_a_run_and_a_retry_counts_once(port: Port) {
    let id = port.add(r#"{"slug":"job","every":"1h","run_limit":"1h"}"#);
    let headers =
        ["user-agent: runitor/v1.4.1 (+https://bdd.fi/x/runitor)", "content-type: text/plain"];
    // It takes 200 and 201 alone for a success.
    let send = |path: &str, query: &str, body: &str, told: (u16, &str)| {
        let answer = port.send(&format!("POST /ping/{path}?{query}"), &headers, body);
        for _ in 1..3 {
            let again = port.send(&format!("POST /ping/{path}?{query}"), &headers, body);
            assert_eq!((again.status, &*again.body), (200, "OK"), "{path}, sent again");
        }
        assert_eq!((answer.status, &*answer.body), told, "{path}");
        let limit = answer.header("ping-body-limit").and_then(|limit| limit.parse::<usize>().ok());
        limit.expect("a limit")
    };
    let (ok, made) = ((200, "OK"), (201, "Created"));
    let output = format!("{}{}", "a".repeat(5_000), "b".repeat(10_000));
    let mut runs = Vec::new();
    for (number, (ends, query, told)) in [
        (format!("{id}/7"), "", ok),
        (id.clone(), "", ok),
        // The program could not be run.
        (format!("{id}/fail"), "", ok),
        ("anykey/made/1".to_owned(), "&create=1", made),
    ]
    .into_iter()
    .enumerate()
    {
        let rid = format!("{}{number}", &RUN[..RUN.len() - 1]);
        let query = format!("rid={rid}{query}");
        let begins =
            if told == made { "anykey/made/start".to_owned() } else { format!("{id}/start") };
        let limit = send(&begins, &query, "", told);
        send(&ends, &query, &output[output.len() - limit..], ok);
        runs.push(rid);
    }
    let run = |at: usize| runs[at].clone();
    let started = |at: usize| ("start".to_owned(), run(at), None);
    let right = [
        started(0),
        ("fail".to_owned(), run(0), Some(7)),
        started(1),
        ("success".to_owned(), run(1), None),
        started(2),
        ("fail".to_owned(), run(2), None),
    ];
    assert_eq!(port.payments("job"), right);
    assert_eq!(port.payments("made"), [started(3), ("fail".to_owned(), run(3), Some(1))]);
    let payments = port.own("GET /api/v1/debts/job/payments", "");
    let last = &payments["payments"][0];
    assert_eq!(last["body"].as_str(), Some(&output[5_000..]), "the end of the output");
    assert!(
        last["source"].as_str().is_some_and(|source| source.contains("runitor/v1.4.1")),
        "{last}"
    );
    assert_eq!(port.own("GET /api/v1/debts/job", "")["open_runs"], 0);
}

/// An unknown debt is 404 unless the call opts in, and then the terms come in that same call:
/// healthchecks/healthchecks#849, #626, #352.
async fn a_ping_makes_its_debt_if_it_asks_for_that_once(port: Port) {
    assert_eq!(port.says("POST /ping/k/new"), (404, "not found".into()));
    assert_eq!(port.says("POST /ping/k/new?create=1"), (201, "Created".into()));
    assert_eq!(port.says("POST /ping/k/new?create=1"), (200, "OK".into()));
    let definition = port.own("GET /api/v1/debts/new", "")["definition"].clone();
    let term = |name: &str| definition[name].as_str().unwrap_or_default().to_owned();
    // healthchecks' own: a day, and an hour for what is late and for what runs.
    assert_eq!([term("every"), term("grace"), term("run_limit")], ["1d", "1h", "1h"]);
    let line =
        "GET /ping/k/nightly/start?create=1&cron=0+3+*+*+*&tz=Europe/Riga&grace=10m&tags=a,b";
    assert_eq!(port.says(line), (201, "Created".into()));
    let definition = port.own("GET /api/v1/debts/nightly", "")["definition"].clone();
    assert_eq!(definition["cron"], "0 3 * * *");
    assert_eq!(definition["time_zone"], "Europe/Riga");
    assert_eq!(definition["tags"], serde_json::json!(["a", "b"]));
    for (query, told) in [
        ("cron=0+0+30+2+*", "cron: "),
        ("cron=x", "cron: "),
        ("cron=0+3+*+*+*&tz=Riga", "time_zone: "),
        ("every=-1h", "every: "),
        ("evry=1h", "evry: a debt has no such term; there are name, "),
        ("every=1h&every=2h", "every: it is given twice"),
        ("failures_to_alarm=x", "failures_to_alarm: write a whole number"),
    ] {
        let (status, text) = port.says(&format!("GET /ping/k/wrong?create=1&{query}"));
        assert_eq!(status, 400, "{query}: {text}");
        assert!(text.starts_with(told), "{query}: {text}");
    }
    assert_eq!(
        port.says("GET /ping/k/wrong?create=yes").1,
        "create: write create=1, or leave it out"
    );
    assert_eq!(port.says("GET /ping/k/wrong").0, 404);
    // However many unknown slugs are named: the server of this test has room for 20 debts.
    let made: Vec<_> =
        (0..30).map(|at| port.says(&format!("GET /ping/k/one-{at}?create=1"))).collect();
    assert_eq!(made.iter().filter(|(status, _)| *status == 201).count(), 18);
    assert!(made[18..].iter().all(|(status, text)| *status == 429 && text.contains("--debts-max")));
}

/// A group that is resolved is sent as well, and is no payment: the switch of a dead man is let go.
async fn alertmanager_pays_while_its_watchdog_fires(port: Port) {
    let id = port.add(r#"{"slug":"watchdog","every":"5m"}"#);
    let headers = ["user-agent: Alertmanager/0.28.0", "content-type: application/json"];
    let webhook = |status: &str, alerts: &str| {
        let alert = r#"{"status":"firing","labels":{"alertname":"Watchdog"},"annotations":{}}"#;
        let alerts = vec![alert; if alerts.is_empty() { 1 } else { 200 }].join(",");
        let body = format!(
            r#"{{"receiver":"tally","status":"{status}","alerts":[{alerts}],"version":"4","groupKey":"{{}}"}}"#
        );
        port.send(&format!("POST /ping/{id}"), &headers, &body).status
    };
    assert_eq!(webhook("firing", ""), 200);
    // Longer than what is kept.
    assert_eq!((webhook("firing", "many"), webhook("resolved", "many")), (200, 200));
    assert_eq!(port.kinds("watchdog"), ["success", "success", "log"]);
    let wrong = port.send(&format!("POST /ping/{id}"), &headers, "{");
    assert_eq!(wrong.status, 400, "{wrong:?}");
    // What the address says is more than success stays what it is.
    let body = r#"{"version":"4","status":"resolved","alerts":[]}"#;
    assert_eq!(port.send(&format!("POST /ping/{id}/fail"), &headers, body).status, 200);
    assert_eq!(port.kinds("watchdog").last().map(String::as_str), Some("fail"));
}
