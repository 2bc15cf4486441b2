//! Wrong usage, settings and their sources, and a missing server.

use std::net::TcpListener;

use tally_testkit::{Process, free_port, run};

use crate::support::{Home, LIMIT, Server, assert_fails, assert_no_secret, command, totals};

#[test]
fn a_port_in_use() {
    let home = Home::sqlite();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let output = home.run(&["serve", "--listen", &address]);
    assert_fails(&output, 1, &[&address, "another program uses this port", "--listen"]);
    assert!(!home.path("tally.db").exists(), "no database is touched");
}

#[test]
fn an_invalid_address() {
    let home = Home::sqlite();
    let output = home.run(&["serve", "--listen", "nonsense:7777"]);
    assert_fails(&output, 1, &["cannot listen on nonsense:7777"]);
    for address in ["nonsense", "7777", ""] {
        let output = home.run(&["serve", "--listen", address]);
        assert_fails(&output, 2, &["it has no port: write HOST:PORT, as in 127.0.0.1:7777"]);
    }
}

#[test]
fn every_wrong_setting_is_reported_at_once() {
    let home = Home::sqlite();
    let mut command = home.command(&[
        "serve",
        "--listen",
        "http://127.0.0.1:7777",
        "--requests-workers",
        "0",
        "--requests-write-wait-ms",
        "soon",
        "--requests-roll-up-at",
        "24:00",
        "--requests-quarter-retention-days",
        "1",
        "--database-url",
        "oracle://me:s3cret@db/counts",
    ]);
    command.env("TALLY_LOG_FORMAT", "xml");
    let output = run(&command, b"", LIMIT);
    assert_fails(&output, 2, &["7 settings are wrong"]);
    for words in [
        "--listen (LISTEN_ADDR): \u{201c}http://127.0.0.1:7777\u{201d}: it is a URL: write HOST:PORT",
        "--requests-workers (TALLY_REQUESTS_WORKERS): \u{201c}0\u{201d}: must be between 1 and 64",
        "--requests-write-wait-ms (TALLY_REQUESTS_WRITE_WAIT_MS): \u{201c}soon\u{201d}: it is not a whole number",
        "--requests-roll-up-at (TALLY_REQUESTS_ROLL_UP_AT): \u{201c}24:00\u{201d}: write a time of day in UTC as HH:MM",
        "--requests-quarter-retention-days (TALLY_REQUESTS_QUARTER_RETENTION_DAYS): \u{201c}1\u{201d}: must be 0 (for ever), or 2 to 36500: a day in",
        "--database-url (DB_URL): oracle://",
        "--log-format (TALLY_LOG_FORMAT): \u{201c}xml\u{201d}",
    ] {
        assert!(output.stderr.contains(words), "{words} is not in {output:?}");
    }
    assert!(!home.path("tally.db").exists());
}

#[test]
fn a_date_that_does_not_exist() {
    let home = Home::sqlite();
    for arguments in [
        &["roll-up", "2023-02-30"][..],
        &["roll-up", "2023-02-01..2023-02-30"],
        &["totals", "--from", "2023-02-30"],
        &["totals", "--live", "--to", "2023-02-30"],
        &["add", "GET", "/a", "--at", "2023-02-30"],
    ] {
        let output = home.run(arguments);
        assert_fails(&output, 2, &["2023-02-30", "there is no such day"]);
    }
    let output = home.run(&["totals", "--from", "2023-02-02", "--to", "2023-02-01"]);
    assert_fails(&output, 2, &["--to 2023-02-01 is before --from 2023-02-02"]);
    let output = home.run(&["roll-up", "2023-02..2023-01"]);
    assert_fails(&output, 2, &["ends on 2023-01-31", "begins on 2023-02-01"]);
}

#[test]
fn a_missing_server() {
    let home = Home::sqlite();
    let server = format!("http://127.0.0.1:{}", free_port());
    let log = home.file("access.log", "");
    for arguments in [
        &["add", "GET", "/a"][..],
        &["totals"],
        &["roll-up"],
        &["import", &log],
        &["health"],
        &["bench"],
    ] {
        let output = home.run(&[arguments, &["--server", &server]].concat());
        let words =
            ["cannot reach the server at", &server, "refused", "start one with `tally serve`"];
        assert_fails(&output, 1, &words);
    }
}

/// The system accepts connections for a suspended server.
#[test]
fn a_silent_server() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.process.signal("STOP");
    let run = |arguments: &[&str]| Process::spawn(&server.command(arguments));
    let health = run(&["health"]);
    let add = run(&["add", "GET", "/a", "--patience", "1"]);
    let askers = [run(&["totals"]), run(&["roll-up"]), run(&["producers"])];
    assert_fails(&health.wait(LIMIT), 1, &["the server did not answer within 5 s"]);
    assert_fails(&add.wait(LIMIT), 1, &["nothing was counted"]);
    for asker in askers {
        let output = asker.wait(LIMIT);
        assert_fails(&output, 1, &["cannot ", ": the server does not answer"]);
        assert!(output.stderr.contains("has not answered yet; still waiting"), "{output:?}");
    }
    server.process.signal("CONT");
}

#[test]
fn a_closed_output_is_not_a_failure() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    // More than a pipe's buffer.
    let line = |number| {
        format!("h - - [17/May/2015:10:05:03 +0000] \"GET /a/page/{number:05} HTTP/1.1\" 200 1\n")
    };
    let log = home.file("access.log", (0..8_000).map(line).collect::<String>());
    server.ok(&["import", &log]);
    let script = "{ \"$0\" totals --live --format csv; echo \"exit $?\" >&2; } | head -n 1";
    let mut shell = command(std::path::Path::new("sh"), &home.path(""), &["-c", script]);
    shell.arg(env!("CARGO_BIN_EXE_tally")).env("TALLY_SERVER", &server.url);
    let output = run(&shell, b"", LIMIT);
    assert_eq!(output.stdout, "date,method,path,count\n");
    assert_eq!(output.stderr, "exit 0\n");
}

#[test]
fn config_shows_each_setting_and_its_source() {
    let home = Home::sqlite();
    home.file(
        ".env",
        "TALLY_REQUESTS_WORKERS=3\nTALLY_REQUESTS_BATCH_ROWS_MAX=5000\nDB_URL=postgres://me:s3cret#1@db/x?password=s3cret&search_path=a\n",
    );
    let mut command = home.command(&["config", "--requests-workers", "2"]);
    command
        .env("TALLY_REQUESTS_QUEUE_ROWS_MAX", "4096")
        .env("TALLY_REQUESTS_BATCH_ROWS_MAX", "6000");
    let output = run(&command, b"", LIMIT);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_no_secret(&output);
    for line in [
        "LISTEN_ADDR=127.0.0.1:7777  # default",
        "DB_URL=postgres://me@db/x?search_path=a  # .env",
        "MIGRATION_DRIVER=  # not set",
        "TALLY_REQUESTS_WORKERS=2  # flag",
        "TALLY_REQUESTS_QUEUE_ROWS_MAX=4096  # environment",
        "TALLY_REQUESTS_BATCH_ROWS_MAX=6000  # environment",
        "TALLY_LOG=info  # default",
    ] {
        assert!(output.stdout.lines().any(|found| found == line), "{line} is not in {output:?}");
    }
    let help = home.run(&["config", "--help"]).stdout;
    for name in output.stdout.lines().filter_map(|line| line.split('=').next()) {
        assert!(help.contains(name), "{name} is not a variable of the help");
    }
}

/// As files for containers write an unset value.
#[test]
fn an_empty_variable_is_not_set() {
    let home = Home::sqlite();
    let config = home.run(&["config"]);
    let names = config.stdout.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let mut empty = home.command(&["config"]);
    empty.envs(names.map(|name| (name, "")));
    let output = run(&empty, b"", LIMIT);
    assert_eq!((output.status.code(), &output.stdout), (Some(0), &config.stdout), "{output:?}");

    let server = home.serve(&[]);
    let names = ["TLS_CA", "TLS_CLIENT_CERT", "TLS_CLIENT_KEY", "KEY"];
    home.file(".env", names.map(|name| format!("TALLY_{name}=\n")).concat());
    server.ok(&["add", "GET", "/a"]);
    let mut nowhere = home.command(&["help", "totals"]);
    nowhere.env("TALLY_SERVER", "");
    let help = run(&nowhere, b"", LIMIT);
    assert!(help.stdout.contains("[env: TALLY_SERVER="), "{help:?}");
}

#[test]
fn a_dry_run_creates_no_database() {
    let home = Home::sqlite();
    let flags = ["--dry-run", "--database-url", "sqlite:new.db", "--from", "postgres://db/x"];
    let output = home.run(&[&["import-count"], &flags[..]].concat());
    assert_fails(&output, 1, &["Tally's tables are missing", "`tally migrate`"]);
    let is_empty = std::fs::read_dir(home.path("")).expect("the folder").next().is_none();
    assert!(is_empty, "a dry run creates no file");
}

#[test]
fn config_shows_mistakes_but_no_password() {
    let home = Home::sqlite();
    let output = home.run(&[
        "config",
        "--database-url",
        "oracle://me:s3cret@db/x",
        "--requests-workers",
        "x",
    ]);
    assert_fails(&output, 2, &["2 settings are wrong"]);
    assert!(output.stdout.contains("DB_URL=(invalid)"), "{output:?}");
}

#[test]
fn an_unknown_variable_is_reported_with_the_nearest_setting() {
    let home = Home::sqlite();
    let mut command = home.command(&["config"]);
    command.env("TALLY_WORKER", "3").env("TALLY_SERVICE_HOST", "10.0.0.1");
    let output = run(&command, b"", LIMIT);
    let words = ["the variable TALLY_WORKER is unknown: did you mean TALLY_REQUESTS_WORKERS?"];
    assert_fails(&output, 2, &words);
    home.file(".env", "TALLY_QUEUE_ROWS=5\nTALLY_MAX_BATCH_ROWS=6\nTALLY_COLOUR=red\n");
    let output = home.run(&["config"]);
    assert_fails(&output, 2, &["2 settings are wrong"]);
    for words in ["mean TALLY_REQUESTS_QUEUE_ROWS_MAX?", "mean TALLY_REQUESTS_BATCH_ROWS_MAX?"] {
        assert!(output.stderr.contains(words), "{words} is not in {output:?}");
    }
    // It hides no other mistake.
    for command in ["serve", "migrate", "import-count"] {
        let output = home.run(&[command, "--migration-driver", "x"]);
        assert_fails(&output, 2, &["settings are wrong"]);
        for words in ["TALLY_QUEUE_ROWS is unknown", "--migration-driver (MIGRATION_DRIVER)"] {
            assert!(output.stderr.contains(words), "{command}: {words} is not in {output:?}");
        }
    }
    // The advice can be followed while the variable is still there.
    for (command, variable) in
        [("serve", "TALLY_REQUESTS_QUEUE_ROWS_MAX"), ("totals", "TALLY_SERVER")]
    {
        let help = home.run(&["help", command]);
        assert_eq!(help.status.code(), Some(0), "{help:?}");
        assert!(help.stdout.contains(variable), "{variable} is not in {help:?}");
    }
}

#[test]
fn foreign_variables_are_only_warned_about() {
    let home = Home::sqlite();
    let others = "TALLY_VERSION=1.2\nTALLY_HOME=/srv\nTALLY_NAME=/web/tally\nTALLY_ENV_PATH=/\n";
    home.file(".env", others);
    let server = home.serve(&[]);
    let words =
        "warning: unknown variables, ignored: TALLY_HOME, TALLY_VERSION; `tally help serve`";
    let is_warning = |line: &&str| line.contains("TALLY_");
    for command in ["config", "totals"] {
        let output = server.ok(&[command]);
        let warnings: Vec<_> = output.stderr.lines().filter(is_warning).collect();
        assert!(warnings.len() == 1 && warnings[0].starts_with(words), "{output:?}");
    }
    // Commands that only query a server ignore its settings.
    home.file(".env", "TALLY_WORKER=3\n");
    let output = server.ok(&["totals"]);
    assert!(output.stderr.contains("warning: the variable TALLY_WORKER is unknown"), "{output:?}");
    assert_eq!(server.ok(&["totals", "--quiet"]).stderr, "");
}

#[test]
fn every_command_reads_an_env_file() {
    let home = Home::sqlite();
    home.file(".env", "DB_URL=sqlite:other.db\nLISTEN_ADDR=127.0.0.1:0\n");
    let server = Server::start(&home.command(&["serve"]));
    assert!(home.path("other.db").exists() && !home.path("tally.db").exists());
    home.file(".env", format!("TALLY_SERVER={}\n", server.url));
    let output = home.run(&["add", "GET", "/a"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 1)]));
    home.file(".env", "DB_URL=\"s3cret\nTALLY_LOG=info\n");
    let output = home.run(&["config"]);
    assert_fails(&output, 2, &[".env"]);
    // Somebody else's would lead the key elsewhere. Only an administrator may make such a file here.
    let path = home.file(".env", "TALLY_SERVER=http://127.0.0.1:1\n");
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
        let output = home.run(&["totals"]);
        assert_fails(&output, 2, &["belongs to user 12345", "run tally in another folder"]);
        let own = run(home.command(&["config"]).env("SUDO_UID", "12345"), b"", LIMIT);
        assert!(own.status.success(), "{own:?}");
    }
}

#[test]
fn version_and_help_are_printed() {
    let home = Home::sqlite();
    let version = home.run(&["--version"]);
    assert_eq!(version.stdout, format!("tally {}\n", env!("CARGO_PKG_VERSION")));
    let help = home.run(&["--help"]);
    for verb in
        ["serve", "add", "import", "roll-up", "totals", "producers", "migrate", "config", "health"]
    {
        assert!(help.stdout.contains(&format!("\n  {verb}")), "{verb} is not in {help:?}");
    }
    let unknown = home.run(&["count"]);
    assert_fails(&unknown, 2, &["unrecognized subcommand 'count'"]);
}

#[test]
fn a_path_that_cannot_be_stored_is_other_and_a_future_time_is_refused() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    for path in ["", &"/".repeat(2_049)] {
        let output = server.ok(&["add", "GET", path]);
        assert!(output.stderr.contains("counted 1 request: GET _other"), "{output:?}");
    }
    let output = server.run(&["add", "GET", "/a", "--at", "2999-01-01"]);
    assert_fails(&output, 1, &["nothing was counted", "24 h ahead"]);
    assert_eq!(server.live(), totals([("GET _other", 2)]));
}
