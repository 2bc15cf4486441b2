//! Debts, from the command line and over HTTP, through a real server.

use serde_json::{Value, json};
use tally_testkit::{Hook, Output, eventually_blocking, http};

use crate::support::{Home, LIMIT, Server, assert_fails};

/// The secret that the tests sign with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Runs a command through `tally debts run`.
fn run(server: &Server, home: &Home, debt: &str, script: &str) -> Output {
    let spool = home.path("spool").display().to_string();
    let words = ["debts", "run", debt, "--spool", &spool, "--patience", "0s", "--"];
    let words = [&words[..], &["sh", "-c", script]].concat();
    server.run(&words)
}

fn payments(server: &Server, debt: &str) -> Vec<Value> {
    let path = format!("GET /api/v1/debts/{debt}/payments");
    let answer = http(&server.url, &path, &[], "");
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    answer["payments"].as_array().expect("a list").iter().rev().cloned().collect()
}

#[test]
fn a_command_is_run_and_its_end_is_told() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["debts", "add", "job", "--every", "1h", "--grace", "5m"]);
    let done = run(&server, &home, "job", "echo first; echo last >&2");
    assert_eq!((done.status.code(), &*done.stdout), (Some(0), "first\n"), "{done:?}");
    assert!(done.stderr.contains("last\n") && done.stderr.contains("paid: job, up"), "{done:?}");
    let failed = run(&server, &home, "job", "exit 7");
    assert_eq!(failed.status.code(), Some(7), "{failed:?}");
    let killed = run(&server, &home, "job", "kill -KILL $$");
    assert_eq!(killed.status.code(), Some(128 + 9), "{killed:?}");
    let missing = server.run(&["debts", "run", "job", "--", "/no/such/program"]);
    assert!(!missing.status.success(), "{missing:?}");
    assert!(missing.stderr.contains("/no/such/program"), "{missing:?}");
    let told: Vec<_> = payments(&server, "job")
        .iter()
        .map(|one| (one["kind"].clone(), one["exit_status"].clone()))
        .collect();
    let expected = [
        ("start", json!(null)),
        ("success", json!(0)),
        ("start", json!(null)),
        ("fail", json!(7)),
        ("start", json!(null)),
        ("fail", json!(137)),
        ("start", json!(null)),
        ("fail", json!(null)),
    ];
    assert_eq!(told, expected.map(|(kind, status)| (json!(kind), status)));
    let list = server.ok(&["debts", "list", "--format", "csv"]).stdout;
    assert!(list.contains("\njob,down,"), "{list}");
    let pay = |kind: &str| {
        let words = ["debts", "pay", "job", "--run-id", "r", "--kind", kind];
        server.ok(&words).stderr
    };
    assert!(!pay("success").contains("changed nothing"), "it is the first word of this run");
    for told in ["paid: job, up", "was paid already: job, up"] {
        let said = pay("fail");
        assert!(said.contains(told) && said.contains("it changed nothing: "), "{said}");
    }
    let badge = || {
        let shown = server.ok(&["debts", "show", "job"]).stdout;
        shown.lines().find(|line| line.starts_with("badge")).map(str::to_owned)
    };
    let old = badge();
    server.ok(&["debts", "renew-badges"]);
    assert_ne!(badge(), old);
    let shown = server.ok(&["debts", "show", "job"]).stdout;
    assert!(shown.contains("fail (7)") && shown.contains("it failed"), "{shown}");
}

#[test]
fn what_could_not_be_told_is_told_later_and_once() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["debts", "add", "job", "--every", "1h"]);
    server.stop();
    // Nobody listens there any more: the command is run all the same.
    let alone = run(&server, &home, "job", "echo alone");
    assert_eq!((alone.status.code(), &*alone.stdout), (Some(0), "alone\n"), "{alone:?}");
    assert!(alone.stderr.contains("told by the next"), "{alone:?}");
    let server = server.again(&home);
    assert_eq!(run(&server, &home, "job", "true").status.code(), Some(0));
    let kinds: Vec<_> = payments(&server, "job").iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds, ["start", "success", "start", "success"]);
    let runs = http(&server.url, "GET /api/v1/debts/job/runs", &[], "");
    let runs: Value = serde_json::from_str(&runs.body).expect("JSON");
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(2), "{runs}");
}

#[test]
fn debts_are_exported_and_imported() {
    let (home, other) = (Home::sqlite(), Home::sqlite());
    let (server, second) = (home.serve(&[]), other.serve(&[]));
    server.ok(&[
        "debts",
        "add",
        "nightly",
        "--cron",
        "0 3 * * *",
        "--tz",
        "Europe/Berlin",
        "--grace",
        "1h",
        "--tag",
        "db",
        "--stage",
        "upload=10m",
        "--rate-payments",
        "3",
        "--rate-period",
        "1h",
        "--failures-to-alarm",
        "2",
        "--name",
        "Möwe",
    ]);
    server.ok(&["debts", "add", "beat", "--every", "90s", "--heartbeat-limit", "5m"]);
    let again =
        server.ok(&["debts", "change", "beat", "--every", "90s", "--heartbeat-limit", "5m"]);
    assert!(again.stderr.contains("is so already: beat"), "{again:?}");
    let lines = server.ok(&["debts", "export"]).stdout;
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let file = other.file("debts.jsonl", &lines);
    for said in
        ["2 debts added, 0 changed, 0 there already", "0 debts added, 0 changed, 2 there already"]
    {
        let output = second.ok(&["debts", "import", &file]);
        assert!(output.stderr.contains(said), "{output:?}");
    }
    assert_eq!(second.ok(&["debts", "export"]).stdout, lines);
}

/// One wrong line is in no other line's way, and nobody has to find the wrong ones one by one.
#[test]
fn an_import_tells_all_refusals_and_imports_the_rest() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let lines = [
        r#"{"slug":"first","every":"1h"}"#,
        r#"{"slug":"second","every":"1y"}"#,
        "",
        r#"{"slug":"Third","every":"1h"}"#,
        "{",
        r#"{"slug":"fifth","cron":"0 0 30 2 *"}"#,
        r#"{"slug":"sixth","evry":"1h"}"#,
        r#"{"every":"1h"}"#,
        r#"{"slug":"last","every":"1h"}"#,
        r#"{"slug":"tenth","failures_to_alarm":0}"#,
    ];
    let file = home.file("some.jsonl", lines.join("\n"));
    let import = |stderr: &str| {
        let output = server.run(&["debts", "import", &file]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stderr.contains(stderr), "{output:?}");
        output.stderr
    };
    let told = import("2 debts added, 0 changed, 0 there already, 7 lines refused");
    for (line, why) in [
        (2, "line 2: every: "),
        (4, "slug: "),
        (5, "EOF"),
        (6, "cron: "),
        (7, "unknown field `evry`"),
        (8, "slug: "),
        (10, "failures_to_alarm: it is 0, and may be 1 to 720"),
    ] {
        let at = format!("some.jsonl, line {line}: ");
        let of_line = told.lines().find(|told| told.contains(&at));
        assert!(of_line.is_some_and(|told| told.contains(why)), "{line} {why}: {told}");
    }
    import("0 debts added, 0 changed, 2 there already, 7 lines refused");
}

#[test]
fn an_overdue_debt_is_told_once_and_so_is_its_recovery() {
    let (home, hook) = (Home::sqlite(), Hook::start());
    let mut command = home.serve_command(&["--webhooks-allow", &hook.url("/tally")]);
    command.env("TALLY_WEBHOOKS_SECRET", SECRET);
    let server = Server::start(&command);
    let url = hook.url("/tally/debts");
    server.ok(&["debts", "add", "beat", "--every", "1s", "--notify", &url]);
    let posted = eventually_blocking(LIMIT, || {
        let posted = hook.posted();
        if posted.is_empty() { Err(()) } else { Ok(posted) }
    });
    let alarm: Value = serde_json::from_str(&posted.expect("an alarm")[0].body).expect("JSON");
    assert_eq!(alarm["type"], "debts.debt.overdue", "{alarm}");
    assert_eq!(
        (&alarm["data"]["debt"]["slug"], &alarm["data"]["flip"]),
        (&json!("beat"), &json!(1))
    );
    // It does not become overdue again meanwhile.
    server.ok(&["debts", "change", "beat", "--every", "1h", "--notify", &url]);
    server.ok(&["debts", "pay", "beat"]);
    // Without its path, which may be a secret, it is an address where it is one already, and nowhere else.
    let lines = server.ok(&["debts", "export"]).stdout;
    assert!(lines.contains("/\u{2026}\"") && !lines.contains("/tally/debts"), "{lines}");
    let file = home.file("beat.jsonl", &lines);
    let output = server.ok(&["debts", "import", &file]);
    assert!(output.stderr.contains("0 changed, 1 there already"), "{output:?}");
    let other = home.file("other.jsonl", lines.replace("\"beat\"", "\"other\""));
    let refused = server.run(&["debts", "import", &other]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("notify: has /\u{2026} in place of its path"), "{refused:?}");
    let whole = server.ok(&["debts", "export", "--with-secrets"]).stdout;
    assert!(whole.contains(&url), "{whole}");
    let posted = eventually_blocking(LIMIT, || {
        let posted = hook.posted();
        if posted.len() < 2 { Err(()) } else { Ok(posted) }
    });
    let posted = posted.expect("a recovery");
    let recovery: Value = serde_json::from_str(&posted[1].body).expect("JSON");
    assert_eq!(
        (posted.len(), &recovery["type"]),
        (2, &json!("debts.debt.recovered")),
        "{recovery}"
    );
    let answer = http(&server.url, "GET /api/v1/debts/beat/flips", &[], "");
    let flips: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(flips["flips"].as_array().map(Vec::len), Some(2), "{flips}");
    assert!(
        !server.ok(&["debts", "show", "beat"]).stdout.contains("/tally/debts"),
        "it is a secret"
    );
}

/// Definitions of which one field is wrong.
fn wrong_definitions() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"slug": "a", "cron": "0 0 30 2 *"}), "cron"),
        (json!({"slug": "a", "cron": "61 * * * *"}), "cron"),
        (json!({"slug": "12", "every": "1h"}), "slug"),
        (json!({"slug": "a", "every": "1h", "deadline": "2030-01-01T00:00:00Z"}), "schedule"),
        (json!({"slug": "a", "deadline": "2001-01-01T00:00:00Z"}), "deadline"),
        (json!({"slug": "a", "every": "1h", "notify": ["https://a.example/x"]}), "notify"),
        (json!({"slug": "a", "failures_to_alarm": 0}), "failures_to_alarm"),
        (json!({"slug": "a", "successes_to_recover": 721}), "successes_to_recover"),
        (json!({"slug": "a", "every": "1h", "start_limit": "1m"}), "start_limit"),
        (
            json!({
                "slug": "a", "run_limit": "5m", "stages": [{"name": "upload", "time_out": "6m"}],
            }),
            "stages",
        ),
        (
            json!({"slug": "a", "deadline": "2999-01-01T00:00:00Z", "failures_to_alarm": 2}),
            "failures_to_alarm",
        ),
    ]
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let json = ["content-type: application/json"];
    let body = json!({
        "slug": "Big", "cron": "61 * * * *", "time_zone": "Mars/Base", "grace": "-1h", "tags": ["a b"],
        "run_min": "2h", "run_limit": "1h", "notify": ["https://a.example/x"],
    });
    let answer = http(&server.url, "POST /api/v1/debts", &json, body.to_string());
    let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
    let fields: Vec<_> = problem["mistakes"].as_array().expect("mistakes").iter().collect();
    let of = |field: &str| fields.iter().any(|one| one["field"] == field);
    assert_eq!(answer.status, 400, "{problem}");
    for field in ["slug", "grace", "tags", "time_zone", "run_min"] {
        assert!(of(field), "{field}: {problem}");
    }
    for (body, field) in wrong_definitions() {
        let answer = http(&server.url, "POST /api/v1/debts", &json, body.to_string());
        let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(
            (answer.status, &problem["mistakes"][0]["field"]),
            (400, &json!(field)),
            "{problem}"
        );
    }
    server.ok(&["debts", "add", "job"]);
    for (body, field) in [
        (json!({"exit_status": 256}), "exit_status"),
        (json!({"kind": "paid"}), "kind"),
        (json!({"stage": "a"}), "stage"),
        (json!({"time": "today"}), "time"),
        (json!({"run": "x".repeat(101)}), "run"),
    ] {
        let path = "POST /api/v1/debts/job/payments";
        let answer = http(&server.url, path, &json, body.to_string());
        let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(
            (answer.status, &problem["mistakes"][0]["field"]),
            (400, &json!(field)),
            "{problem}"
        );
    }
    let ahead = json!({"time": "2999-01-01T00:00:00Z"});
    let answer = http(&server.url, "POST /api/v1/debts/job/payments", &json, ahead.to_string());
    assert!(answer.status == 400 && answer.body.contains("24 h ahead"), "{}", answer.body);
    let unknown = http(&server.url, "POST /api/v1/debts/none/payments", &json, "{}");
    assert!(unknown.status == 404 && unknown.body.contains("no debt none"), "{}", unknown.body);
    assert_eq!(payments(&server, "job").len(), 0);
}

/// By our own words, not as flags that nobody knows; no server is asked.
#[test]
fn negative_limits_are_told_by_their_flags() {
    let home = Home::sqlite();
    let durations = ["every", "grace", "early-window", "start-limit", "run-limit", "run-min"];
    let durations = durations.into_iter().chain(["heartbeat-limit"]);
    for flag in durations {
        let output = home.run(&["debts", "add", "job", &format!("--{flag}"), "-5m"]);
        assert_fails(&output, 2, &[&format!("--{flag}: \"-5m\" is not a duration")]);
    }
    let rate = ["--rate-payments", "3", "--rate-period", "-1s"];
    let output = home.run(&[&["debts", "add", "job"], &rate[..]].concat());
    assert!(output.stderr.contains("--rate-period: \"-1s\" is not a duration"), "{output:?}");
    for flag in ["--failures-to-alarm", "--successes-to-recover"] {
        for number in ["-1", "0"] {
            let output = home.run(&["debts", "add", "job", flag, number]);
            assert_fails(&output, 2, &[&format!("invalid value '{number}' for '{flag} <N>'")]);
        }
    }
}

/// What is not given is dropped, so whoever gives nothing means something else.
#[test]
fn a_change_to_nothing_is_refused() {
    let home = Home::sqlite();
    for more in [&[][..], &["--slug", "other"]] {
        let output = home.run(&[&["debts", "change", "job"], more].concat());
        assert_fails(&output, 2, &["replaces all terms", "give all that is to hold"]);
    }
}
