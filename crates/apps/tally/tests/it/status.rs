//! `tally status`, completions and manual pages.

use std::process::Command;

use serde_json::Value;
use tally_testkit::{eventually_blocking, http, run};

use crate::support::{Home, LIMIT, Server, assert_fails, assert_no_secret};

fn json(server: &Server) -> Value {
    let output = server.ok(&["status", "--format", "json"]);
    assert_no_secret(&output);
    serde_json::from_str(&output.stdout).expect("JSON")
}

#[test]
fn sqlite_has_a_status() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/hello"]);
    let status = json(&server);
    assert!(status["database"]["free_bytes"].as_u64() > Some(0), "{status}");
    assert_eq!(status["domains"]["requests"]["facts"]["unfolded_rows"]["value"], 1);
    has_status(&home, &server, "SQLite");
    server.stop();
}

#[test]
fn postgres_has_a_status_without_a_password() {
    let home = Home::postgres("status");
    let server = home.serve(&["--requests-roll-up-at", "00:10"]);
    server.ok(&["add", "GET", "/hello"]);
    let facts = &json(&server)["domains"]["requests"]["facts"];
    assert!(facts["unfolded_bytes"]["value"].as_u64() > Some(0), "{facts}");
    assert_eq!(facts["roll_up_schedule"]["value"], "daily at 00:10 UTC");
    has_status(&home, &server, "Postgres");
    server.stop();
}

fn has_status(home: &Home, server: &Server, kind: &str) {
    let status = json(server);
    assert_eq!((&status["ready"], &status["trouble"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["process"], server.process.pid());
    assert_eq!(status["database"]["kind"], kind);
    assert!(status["database"]["bytes"].as_u64() > Some(0), "{status}");
    assert!(status["database"]["schemas"]["requests"].as_u64() > Some(0), "{status}");
    let facts = &status["domains"]["requests"]["facts"];
    assert_eq!((&facts["series"]["value"], &facts["series"]["max"]), (&1.into(), &100_000.into()));
    assert_eq!(
        (&facts["queue_rows"]["value"], &facts["days_behind"]["value"]),
        (&0.into(), &0.into())
    );
    let is_kept = || {
        let facts = &json(server)["domains"]["requests"]["facts"];
        facts["duties_of"]["value"] == "this server"
            && facts["fold_checked_at"]["value"].is_string()
    };
    assert_eq!(eventually_blocking(LIMIT, is_kept), Ok(()));

    let output = server.ok(&["status"]);
    assert_no_secret(&output);
    for words in ["ready", kind, "series", "1 of 100,000", "rolled up"] {
        assert!(output.stdout.contains(words), "{words:?} is not in {}", output.stdout);
    }
    let address =
        output.stdout.lines().filter(|line| !line.contains("://") && !line.contains("sqlite:"));
    assert!(address.into_iter().all(|line| line.chars().count() <= 80), "{}", output.stdout);
    let absent = home.run(&["status", "--server", "http://127.0.0.1:1"]);
    assert_fails(&absent, 1, &["connection refused", "start one with `tally serve`"]);
    assert_eq!(absent.stdout, "");
}

#[test]
fn a_server_that_cannot_store_says_why() {
    let home = Home::postgres("status_trouble");
    let server = home.serve(&[]);
    let name = home.database().name();
    home.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    // It applies to new sessions.
    home.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let is_in_trouble = || {
        let output = server.run(&["status"]);
        assert_no_secret(&output);
        let is_said = output.stdout.contains("NOT READY: ") && output.stdout.contains("read-only");
        (is_said && output.status.code() == Some(1)).then_some(()).ok_or(output)
    };
    assert_eq!(eventually_blocking(LIMIT, is_in_trouble).err(), None);
    server.kill();
}

/// Requests can be stored, so nothing else tells that their rows pile up.
#[test]
fn a_server_whose_fold_is_overdue_is_not_ready() {
    let home = Home::postgres("overdue");
    let mut command = home.serve_command(&[]);
    let server = Server::start(command.env("TALLY_FAULT", "duties.eager,chores.hurried"));
    let await_ready = |is_ready: bool, words: &str| {
        let is_so = || {
            let answer = http(&server.url, "GET /readyz", &[], "");
            let is_so = answer.status == if is_ready { 200 } else { 503 };
            (is_so && answer.body.contains(words)).then_some(()).ok_or(answer)
        };
        assert_eq!(eventually_blocking(LIMIT, is_so).map_err(|last| format!("{last:?}")), Ok(()));
    };
    await_ready(true, "serving");
    home.sql("ALTER TABLE tally_request_days RENAME TO hidden");
    server.ok(&["add", "GET", "/hello"]);
    await_ready(false, "not serving: requests: the fold is overdue: not done for ");
    let output = server.run(&["status"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // Why it is, for those who run it.
    for words in ["NOT READY: requests: the fold is overdue", "fold checked", "tally_request_days"]
    {
        assert!(output.stdout.contains(words), "{words:?} is not in {}", output.stdout);
    }
    server.ok(&["add", "GET", "/hello"]);
    home.sql("ALTER TABLE hidden RENAME TO tally_request_days");
    await_ready(true, "serving");
    assert_eq!(home.stored(), 2);
    server.stop();
}

#[test]
fn bash_completes_the_command_line() {
    let home = Home::sqlite();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = home.run(&["completions", shell]);
        assert!(
            output.status.success() && output.stdout.contains("roll-up"),
            "{shell}: {output:?}"
        );
    }
    let script = home.file("tally.bash", home.run(&["completions", "bash"]).stdout);
    for (words, last, expected) in [
        ("tally sta", "sta", "status"),
        ("tally totals --by ho", "ho", "hour"),
        ("tally top --int", "--int", "--interval"),
    ] {
        let complete = format!(
            "source '{script}'; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); \
             _tally tally '{last}' \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &complete]);
        assert_eq!(run(&bash, b"", LIMIT).stdout.trim(), expected, "{words}");
    }
    assert_fails(&home.run(&["completions", "perl"]), 2, &["perl"]);
}

#[test]
fn each_command_has_a_manual_page() {
    let home = Home::sqlite();
    let folder = crate::support::text(&home.path("man/man1"));
    let output = home.run(&["man", &folder]);
    assert!(output.status.success(), "{output:?}");
    let page = |name: &str| std::fs::read_to_string(format!("{folder}/{name}.1")).expect("a page");
    let main = page("tally");
    for command in ["serve", "add", "totals", "top", "status", "completions"] {
        assert!(main.contains(&format!("tally\\-{command}(1)")), "{command} is not in {main}");
        let page = page(&format!("tally-{command}"));
        let title = format!(".TH tally-{command} 1");
        assert!(page.contains(&title) && page.contains(".SH OPTIONS"), "{page}");
    }
    assert!(page("tally-rules").contains("tally\\-rules\\-add(1)"));
    let add = page("tally-rules-add");
    assert!(add.contains("\n\\fBtally rules add\\fR [OPTIONS] \\-\\-in <TIME>"), "{add}");
    let examples = "Examples:\n.nf\n  tally rules add \\*(Aqshop is silent";
    assert!(page("tally-rules").contains(examples), "{}", page("tally-rules"));
    assert!(
        page("tally-serve").contains("requests\\-roll\\-up\\-at"),
        "with the domains' settings"
    );
    let file = home.file("file", "");
    assert_fails(&home.run(&["man", &format!("{file}/x")]), 1, &["cannot write manual pages"]);
}
