//! Sentry: check-ins of curl, and the envelopes of SDKs and of `sentry-cli monitors run`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tally_access::Scope;
use tally_testkit::{eventually, http};

use super::{Place, Port};

on_both!(
    open: [calls_of_curl_are_runs, a_config_makes_and_changes_a_monitor, a_config_of_the_wrong_type_is_told_with_the_check_in, a_check_in_in_progress_is_a_heartbeat, an_end_waits_for_the_beginning_that_makes_its_monitor, an_envelope_has_so_many_check_ins_and_only_an_end_says_how_long_it_took],
    with_keys: [an_envelope_is_taken_as_it_is_and_compressed, nobody_is_told_to_stop_sending],
);

const RUN: &str = "3fa85f6457174562b3fc2c963f66afa6";
const SAME: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
/// How long a test waits for what must come.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
const JSON: &[&str] = &["content-type: application/json"];
const CRONTAB: &str = r#"{"schedule":{"type":"crontab","value":"0 * * * *"},"checkin_margin":5,"max_runtime":30,"timezone":"Europe/Riga","failure_issue_threshold":2}"#;

fn envelope(check_in: &str) -> String {
    let head =
        r#"{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","sent_at":"2030-06-15T06:00:00Z"}"#;
    let length = check_in.len();
    format!("{head}\n{{\"type\":\"check_in\",\"length\":{length}}}\n{check_in}\n")
}

/// Start and end became two check-ins: getsentry/sentry#68161.
async fn calls_of_curl_are_runs(port: Port) {
    port.add(r#"{"slug":"nightly","every":"1h","run_limit":"1h"}"#);
    let call = |line: &str| port.says(line);
    for (line, status) in [
        ("GET /api/1/cron/nightly/any-key?status=in_progress", 202),
        ("POST /api/1/cron/nightly/any-key/?status=ok", 202),
        // Zeros are the newest that is open, or a new one.
        (
            "GET /api/1/cron/nightly/k?status=in_progress&check_in_id=00000000000000000000000000000000",
            202,
        ),
        ("GET /api/1/cron/nightly?status=error&duration=2.5&environment=production", 202),
        (&*format!("GET /api/1/cron/nightly/k/?status=in_progress&check_in_id={RUN}"), 202),
        (&*format!("GET /api/1/cron/nightly/k/?status=ok&check_in_id={SAME}"), 202),
        (&*format!("GET /api/1/cron/nightly/k/?status=ok&check_in_id={SAME}"), 202),
    ] {
        assert_eq!(call(line), (status, String::new()), "{line}");
    }
    let run = SAME.to_owned();
    let none = String::new;
    let right = [
        ("heartbeat", none()),
        ("success", none()),
        ("heartbeat", none()),
        ("fail", none()),
        ("heartbeat", run.clone()),
        ("success", run),
    ];
    let payments = port.payments("nightly");
    assert_eq!(payments.iter().map(|one| (&*one.0, one.1.clone())).collect::<Vec<_>>(), right);
    let runs = port.own("GET /api/v1/debts/nightly/runs", "");
    let outcomes: Vec<_> =
        runs["runs"].as_array().expect("a list").iter().map(|run| &run["outcome"]).collect();
    assert_eq!(outcomes, ["succeeded", "failed", "succeeded"]);
    for (line, status, told) in [
        ("GET /api/1/cron/nightly/k", 400, "status: it is missing"),
        ("GET /api/1/cron/nightly/k?status=missed", 400, "status: it is none of"),
        ("GET /api/1/cron/nightly/k?status=ok&check_in_id=x", 400, "check_in_id: it is no UUID"),
        ("GET /api/1/cron/nightly/k?status=ok&duration=x", 400, "duration: write it in seconds"),
        ("GET /api/1/cron/nightly/k?status=ok&duration=-1", 400, "duration: it is a number"),
        ("GET /api/1/cron/unknown/k?status=ok", 404, "there is no debt unknown"),
        ("GET /api/1/cron/nightly/k?status=ok&environment=dev", 404, "no debt nightly--dev"),
    ] {
        let answer = call(line);
        assert!(answer.0 == status && answer.1.contains(told), "{line}: {answer:?}");
    }
}

async fn a_config_makes_and_changes_a_monitor(port: Port) {
    let send = |slug: &str, body: &str| {
        let answer = port.send(&format!("POST /api/1/cron/{slug}/k?status=error"), JSON, body);
        (answer.status, answer.body)
    };
    let with =
        |config: &str, more: &str| format!(r#"{{"status":"ok"{more},"monitor_config":{config}}}"#);
    assert_eq!(send("hourly", &with(CRONTAB, "")), (202, String::new()));
    assert_eq!(send("hourly", &with(CRONTAB, r#","environment":"staging""#)), (202, String::new()));
    let definition =
        |debt: &str| port.own(&format!("GET /api/v1/debts/{debt}"), "")["definition"].clone();
    for slug in ["hourly", "hourly--staging"] {
        let definition = definition(slug);
        for (term, value) in [
            ("cron", "0 * * * *"),
            ("time_zone", "Europe/Riga"),
            ("start_limit", "5m"),
            ("heartbeat_limit", "30m"),
            ("run_limit", "28d"),
        ] {
            assert_eq!(definition[term], value, "{slug} {term}");
        }
        assert_eq!(definition["failures_to_alarm"], 2);
    }
    // A number as a text, as an example of the documentation has it.
    let interval =
        r#"{"schedule":{"type":"interval","value":"2","unit":"day"},"timezone":"Europe/Riga"}"#;
    assert_eq!(send("hourly", &with(interval, "")).0, 202);
    let changed = definition("hourly");
    assert_eq!((&changed["every"], changed.get("cron")), (&"2d".into(), None));
    // A wrong config leaves a monitor as it is, and makes none.
    let wrong = r#"{"schedule":{"type":"crontab","value":"0 0 30 2 *"}}"#;
    assert_eq!(send("hourly", &with(wrong, "")).0, 202);
    assert_eq!(definition("hourly"), changed);
    for (config, told) in [
        (wrong, "cron: "),
        (r#"{"schedule":{"type":"interval","value":1,"unit":"second"}}"#, "schedule.unit: "),
        (r#"{"schedule":{"type":"interval","value":-1,"unit":"day"}}"#, "schedule.value: "),
        (r#"{"schedule":{"type":"never"}}"#, "schedule.type: "),
        (
            r#"{"schedule":{"type":"crontab","value":"0 3 * * *"},"max_runtime":40321}"#,
            "max_runtime: ",
        ),
    ] {
        let answer = send("other", &with(config, ""));
        assert!(answer.0 == 400 && answer.1.contains(told), "{config}: {answer:?}");
    }
    assert_eq!(port.says("GET /api/1/cron/other/k?status=ok").0, 404);
    assert_eq!(send("hourly", "{").0, 400);
    assert_eq!(port.kinds("hourly"), ["success"; 3]);
    // Pausing is independent of config and pings: healthchecks/healthchecks#343, #369.
    port.own("POST /api/v1/debts/hourly/pause", "");
    assert_eq!(send("hourly", &with(CRONTAB, "")).0, 202);
    assert_eq!(port.own("GET /api/v1/debts/hourly", "")["status"], "paused");
}

/// It is no reason to lose the check-in, which its client would not send again. Whoever looks at it is told.
async fn a_config_of_the_wrong_type_is_told_with_the_check_in(port: Port) {
    port.add(r#"{"slug":"hourly","every":"1h"}"#);
    for (config, told) in [
        ("7", "monitor_config: invalid type: integer"),
        (r#""hourly""#, "monitor_config: invalid type: string"),
        (r#"{"schedule":"0 * * * *"}"#, "monitor_config: invalid type: string"),
        (
            r#"{"schedule":{"type":"interval","value":{},"unit":"day"}}"#,
            "monitor_config.schedule.value: ",
        ),
        (
            r#"{"schedule":{"type":"crontab","value":"0 * * * *"},"checkin_margin":-1}"#,
            "monitor_config: invalid value: integer `-1`",
        ),
        (r#"{"schedule":{"type":"crontab","value":"0 0 30 2 *"}}"#, "cron: no day of any year"),
    ] {
        let send = |slug: &str| {
            let body = format!(r#"{{"status":"ok","monitor_config":{config}}}"#);
            let answer = port.send(&format!("POST /api/1/cron/{slug}/k"), JSON, &body);
            (answer.status, answer.body)
        };
        assert_eq!(send("hourly"), (202, String::new()), "{config}");
        let paid = port.own("GET /api/v1/debts/hourly/payments", "")["payments"][0].clone();
        let body = paid["body"].as_str().unwrap_or_default();
        assert!(body.contains(" is left aside: ") && body.contains(told), "{config}: {paid}");
        let (status, text) = send("other");
        assert!(status == 400 && text.contains(told), "{config}: {status} {text}");
    }
    assert_eq!(port.kinds("hourly"), ["success"; 6]);
    assert_eq!(port.own("GET /api/v1/debts/hourly", "")["definition"]["every"], "1h");
}

/// Each check-in in progress moves the time-out on: healthchecks/healthchecks#1232.
async fn a_check_in_in_progress_is_a_heartbeat(port: Port) {
    let body =
        format!(r#"{{"status":"in_progress","check_in_id":"{RUN}","monitor_config":{CRONTAB}}}"#);
    let overdue_at = |now: &str| {
        port.server.clock.set(crate::backend::time(now));
        assert_eq!(port.send("POST /api/1/cron/job/k", JSON, &body).status, 202);
        let debt = port.own("GET /api/v1/debts/job", "");
        assert_eq!(debt["open_runs"], 1);
        debt["runs"][0]["overdue_at"].as_str().expect("it has one").to_owned()
    };
    assert_eq!(overdue_at("06:00:00"), "2030-06-15T06:30:00Z");
    assert_eq!(overdue_at("06:20:00"), "2030-06-15T06:50:00Z");
}

async fn an_envelope_is_taken_as_it_is_and_compressed(port: Port) {
    let auth = format!(
        "x-sentry-auth: Sentry sentry_key={}, sentry_version=7, sentry_client=sentry-cli/2.50",
        port.key(Scope::Ingest)
    );
    let begin = format!(
        r#"{{"check_in_id":"{RUN}","monitor_slug":"job","status":"in_progress","environment":"production","monitor_config":{CRONTAB}}}"#
    );
    let end =
        format!(r#"{{"check_in_id":"{RUN}","monitor_slug":"job","status":"ok","duration":1.25}}"#);
    let answer = port.send("POST /api/42/envelope/", &[&auth], &envelope(&begin));
    assert_eq!((answer.status, answer.body.trim()), (200, &*format!(r#"{{"id":"{RUN}"}}"#)));
    let mut gzip = Vec::new();
    let plain = envelope(&end);
    let mut encoder = flate2::read::GzEncoder::new(plain.as_bytes(), flate2::Compression::fast());
    encoder.read_to_end(&mut gzip).expect("it is coded");
    let query = format!("sentry_key={}", port.key(Scope::Ingest));
    let answer = sent(&port, &format!("/api/42/envelope/?{query}"), "gzip", &gzip);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(port.kinds("job"), ["heartbeat", "success"]);
    // Nothing in it that matters here.
    let empty = port.send("POST /api/42/envelope/", &[&auth], "{}\n{\"type\":\"session\"}\n{}\n");
    assert_eq!((empty.status, empty.body.trim()), (200, "{}"));
    let refused = port.send("POST /api/42/envelope/", &[], &envelope(&begin));
    assert_eq!((refused.status, refused.body.contains("this needs a key")), (401, true));
    let wrong = port.send("POST /api/42/envelope/", &[&auth], "nothing");
    assert!(wrong.status == 400 && wrong.body.contains("detail"), "{wrong:?}");
}

/// Sends bytes, and reads the answer as far as it is text.
fn sent(port: &Port, path: &str, coding: &str, body: &[u8]) -> String {
    tokio::task::block_in_place(|| {
        let address = port.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("it listens");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\
             content-encoding: {coding}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    })
}

/// As the SDK for JavaScript sends them, whose end has no config: the beginning is still on its way when the end
/// comes, which waits for it.
async fn an_end_waits_for_the_beginning_that_makes_its_monitor(port: Port) {
    let Place::Database(database) = &port.place else { return };
    let lock = database.connect().await;
    lock.batch_execute("BEGIN; LOCK TABLE tally_debts IN SHARE MODE").await.expect("locked");
    let config = format!(r#","monitor_config":{CRONTAB}"#);
    let send = |status: &str, config: &str| {
        let body = format!(r#"{{"check_in_id":"{RUN}","status":"{status}"{config}}}"#);
        let url = port.url.clone();
        std::thread::spawn(move || http(&url, "POST /api/1/cron/job/k", JSON, &body).status)
    };
    let begun = send("in_progress", &config);
    let waiting =
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tally_debts'::REGCLASS";
    let is_waiting = async || {
        let row = lock.query_one(waiting, &[]).await.expect("a count");
        if row.get::<_, i64>(0) > 0 { Ok(()) } else { Err("it is not on its way") }
    };
    eventually("the beginning", LIMIT, is_waiting).await;
    let ended = send("ok", "");
    let is_looked_at = async || {
        let metrics = port.says("GET /metrics").1;
        let is_done = metrics.contains("tally_batch_rows_count{domain=\"debts\"} 1\n");
        if is_done { Ok(()) } else { Err("no debt is found for the end") }
    };
    eventually("the end", LIMIT, is_looked_at).await;
    // A call that begins now, and does not wait, is done before the beginning is.
    assert_eq!(port.says("GET /ping/k/unknown").0, 404);
    lock.batch_execute("ROLLBACK").await.expect("unlocked");
    let told = tokio::task::block_in_place(|| [begun, ended].map(std::thread::JoinHandle::join));
    let told = told.map(|status| status.expect("an answer"));
    assert_eq!((told, port.kinds("job")), ([202; 2], vec!["heartbeat".into(), "success".into()]));
}

/// A client that is told 429 sends nothing for a minute, of other monitors as well.
async fn nobody_is_told_to_stop_sending(port: Port) {
    for number in 0..20 {
        port.add(&format!(r#"{{"slug":"debt-{number}","every":"1h"}}"#));
    }
    let line = format!("POST /api/1/cron/more/{}", port.key(Scope::Ingest));
    let body = format!(r#"{{"status":"ok","monitor_config":{CRONTAB}}}"#);
    let full = port.send(&line, JSON, &body);
    assert!(full.status == 403 && full.body.contains("--debts-max"), "{full:?}");
    let guess = format!("GET /api/1/cron/debt-1/tally_ingest_{}?status=ok", "x".repeat(36));
    let statuses: Vec<_> = (0..12).map(|_| port.ask(&guess).status).collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[403; 2]].concat());
}

async fn an_envelope_has_so_many_check_ins_and_only_an_end_says_how_long_it_took(port: Port) {
    port.add(r#"{"slug":"job","every":"1h"}"#);
    let items = |count: usize| {
        let item = "{\"type\":\"check_in\"}\n{\"monitor_slug\":\"job\",\"status\":\"ok\"}\n";
        format!("{{}}\n{}", item.repeat(count))
    };
    let many = port.send("POST /api/1/envelope/", &[], &items(101));
    assert!(many.status == 400 && many.body.contains("more than 100 check-ins"), "{many:?}");
    assert_eq!(port.kinds("job"), [""; 0]);
    assert_eq!(port.send("POST /api/1/envelope/", &[], &items(100)).status, 200);
    assert_eq!(port.kinds("job").len(), 100);
    for status in ["in_progress", "ok"] {
        let line = format!("GET /api/1/cron/job/k?status={status}&duration=2.5");
        assert_eq!(port.ask(&line).status, 202);
    }
    let payments = port.own("GET /api/v1/debts/job/payments", "")["payments"].clone();
    assert_eq!((payments[0]["took"].as_f64(), payments[1]["took"].as_f64()), (Some(2.5), None));
}
