//! Databases that are unusable when the server starts: each causes one clear line.

use std::fs;

use tally_testkit::{Process, free_port, run_with};

use crate::support::{
    Home, LIMIT, Server, assert_fails, command, set_mode, text, totals, unprivileged,
};

/// Replaces the password of a URL.
fn with_password(url: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (login, host) = rest.split_once('@').unwrap_or(("postgres", rest));
    let user = login.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:{password}@{host}")
}

#[test]
fn an_unreachable_database() {
    let home = Home::sqlite();
    let url = format!("postgres://me:s3cret@127.0.0.1:{}/counts", free_port());
    let output = home.serve_fails(&url);
    let shown = url.replace(":s3cret", "");
    assert_fails(&output, 1, &[&shown, "onnection refused"]);
}

#[test]
fn a_wrong_password() {
    // Our own server, because that of TEST_DATABASE_URL may accept any password.
    let cluster = tally_testkit::Cluster::start(tally_testkit::Options::default())
        .expect("Postgres is installed");
    let url = with_password(&cluster.url("postgres"), "s3cret");
    let home = Home::sqlite();
    let refused = home.serve_fails(&url);
    assert_fails(&refused, 1, &["password authentication failed for user"]);
    let is_wrapped = ["db error", "FATAL"].iter().any(|words| refused.stderr.contains(words));
    assert!(!is_wrapped, "the driver's message: {refused:?}");
    let output = home.run(&["migrate", "--database-url", &url]);
    assert_fails(&output, 1, &["password authentication failed for user"]);
}

#[test]
fn a_database_that_does_not_exist() {
    let home = Home::postgres("absent");
    let url = home.database_url().replace(home.database().name(), "no_such_database");
    assert_fails(&home.serve_fails(&url), 1, &["no_such_database", "does not exist"]);
}

#[test]
fn a_database_where_tables_cannot_be_created() {
    let home = Home::postgres("not_ready");
    let (url, name) = (home.database_url(), home.database().name());
    let user = format!("{name}_user");
    home.sql(&format!(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE {user} LOGIN PASSWORD 's3cret'"
    ));
    let (_, host) = url.split_once('@').expect("a user");
    let theirs = format!("postgres://{user}:s3cret@{host}");
    let words = format!(
        "migrate the database: {user} may not make tables in the schema public: make {user} the \
         owner of the database (CREATE DATABASE {name} OWNER {user}, or "
    );
    assert_fails(&home.run(&["migrate", "--database-url", &theirs]), 1, &[&words]);
    home.sql(&format!("DROP ROLE {user}"));
    let separator = if url.contains('?') { '&' } else { '?' };
    let elsewhere = format!("{url}{separator}search_path=counts");
    let words = "the schema counts does not exist: CREATE SCHEMA counts AUTHORIZATION ";
    assert_fails(&home.serve_fails(&elsewhere), 1, &[words]);
    let (_, rest) = url.split_once("://").expect("a scheme");
    let cockroach = format!("cockroachdb://{rest}");
    let words = "this is PostgreSQL, not CockroachDB: write postgres://";
    assert_fails(&home.serve_fails(&cockroach), 1, &[words]);
}

#[test]
fn a_read_only_database() {
    let home = Home::postgres("read_only");
    let name = home.database().name();
    home.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    assert_fails(&home.serve_fails(&home.database_url()), 1, &["read-only"]);
}

#[test]
fn a_database_of_a_newer_tally() {
    let postgres = Home::postgres("newer");
    postgres.serve(&[]).stop();
    postgres.sql(
        "INSERT INTO tally_migrations_requests
         SELECT version + 9000, name, applied_on, checksum FROM tally_migrations_requests
         ORDER BY version DESC LIMIT 1",
    );
    let url = postgres.database_url();
    let words = ["version 900", "a newer Tally made it"];
    assert_fails(&postgres.serve_fails(&url), 1, &words);
    assert_fails(&postgres.run(&["migrate", "--database-url", &url]), 1, &words);
    assert_fails(&postgres.run(&["migrate", "--check", "--database-url", &url]), 1, &words);
}

#[test]
fn a_read_only_sqlite_file() {
    let home = Home::sqlite();
    home.serve(&[]).stop();
    for entry in fs::read_dir(home.path("")).expect("the folder").flatten() {
        set_mode(&entry.path(), 0o444);
    }
    let (program, user) = unprivileged(&home);
    let url = home.database_url();
    let serve = command(
        &program,
        &home.path(""),
        &["serve", "--listen", "127.0.0.1:0", "--database-url", &url],
    );
    let output = run_with(&serve, b"", LIMIT, user);
    assert_fails(&output, 1, &[&url, "read-only"]);
}

#[test]
fn a_read_only_folder() {
    let home = Home::sqlite();
    let (program, user) = unprivileged(&home);
    let folder = home.path("data");
    fs::create_dir(&folder).expect("room");
    set_mode(&folder, 0o555);
    let url = format!("sqlite:{}", text(&folder.join("tally.db")));
    let serve = command(
        &program,
        &home.path(""),
        &["serve", "--listen", "127.0.0.1:0", "--database-url", &url],
    );
    let output = run_with(&serve, b"", LIMIT, user);
    set_mode(&folder, 0o755);
    assert_fails(&output, 1, &[&text(&folder), "ermission denied"]);
}

#[test]
fn a_missing_folder() {
    let home = Home::sqlite();
    let url = format!("sqlite:{}", text(&home.path("absent/tally.db")));
    assert_fails(&home.serve_fails(&url), 1, &["absent/tally.db", "o such file or directory"]);
}

#[test]
fn a_file_that_is_not_a_database() {
    let home = Home::sqlite();
    home.file("tally.db", "this is a shopping list\n".repeat(1_000));
    let url = home.database_url();
    assert_fails(&home.serve_fails(&url), 1, &[&url, "not a database"]);
    let left = fs::read_to_string(home.path("tally.db")).expect("it still exists");
    assert!(left.starts_with("this is a shopping list"), "it was not touched");
}

#[test]
fn a_file_used_by_another_server() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let url = home.database_url();
    assert_fails(&home.serve_fails(&url), 1, &[&url, "a Tally server uses this file"]);
    fs::hard_link(home.path("tally.db"), home.path("b.db")).expect("a second name");
    let second = format!("sqlite:{}", text(&home.path("b.db")));
    assert_fails(&home.serve_fails(&second), 1, &["a Tally server uses this file"]);
    server.ok(&["add", "GET", "/a"]);
    server.kill();
    // A killed server leaves no lock.
    assert_eq!(home.serve(&[]).live(), totals([("GET /a", 1)]));
}

#[test]
fn an_unknown_kind_of_database() {
    let home = Home::sqlite();
    let output = home.serve_fails("mysql://me:s3cret@db/counts");
    assert_fails(&output, 2, &["--database-url (DB_URL)", "mysql://", "use sqlite:PATH"]);
    let output = home.serve_fails("tally.db");
    assert_fails(&output, 2, &["--database-url (DB_URL)", "use sqlite:PATH"]);
}

#[test]
fn migrations_are_checked_and_applied() {
    for home in [Home::sqlite(), Home::postgres("migrate")] {
        let url = home.database_url();
        let check = ["migrate", "--check", "--database-url", &url];
        let before = home.run(&check);
        assert_eq!(before.status.code(), Some(1), "{before:?}");
        assert!(before.stderr.contains("; missing: V1__"), "{before:?}");
        let is_empty = fs::read_dir(home.path("")).expect("the folder").next().is_none();
        assert!(is_empty, "a check creates no file");

        let refused = home.serve_command(&["--migrate", "false"]);
        let refused = run_with(&refused, b"", LIMIT, None);
        assert_fails(&refused, 1, &["V1__", "run `tally migrate`", "--migrate true"]);

        for applied in [true, false] {
            let output = home.run(&["migrate", "--database-url", &url]);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert_eq!(output.stderr.contains("applied V1__"), applied, "{output:?}");
            assert!(
                output.stderr.contains(
                    "is up to date: kernel at version 1, access at version 1, requests at version"
                ),
                "{output:?}"
            );
        }
        let after = home.run(&check);
        assert_eq!(after.status.code(), Some(0), "{after:?}");
        home.serve(&["--migrate", "false"]).ok(&["add", "GET", "/a"]);
    }
}

#[test]
fn two_servers_start_on_a_new_database_at_once() {
    let home = Home::postgres("both_start");
    let commands = [home.serve_command(&[]), home.serve_command(&[])];
    let processes = commands.each_ref().map(Process::spawn);
    let servers = processes
        .into_iter()
        .zip(&commands)
        .map(|(process, command)| Server::await_start(process, command))
        .collect::<Vec<_>>();
    for server in &servers {
        server.ok(&["add", "GET", "/a"]);
    }
    for server in &servers {
        assert_eq!(server.live(), totals([("GET /a", 2)]));
    }
}
