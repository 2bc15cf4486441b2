//! Database URLs: parameters, what libpq reads besides, and what nobody else is told.

use tally_testkit::{Cluster, Options, TestDatabase, run};

use crate::import_count::{SCHEMA, TABLES, execute};
use crate::support::{Home, LIMIT, Server, assert_fails, assert_no_secret, set_mode, totals};
use crate::support::{text, wait_for};

/// The user, the password, the host, the port and the database of a URL.
fn parts(url: &str) -> [String; 5] {
    let rest = url.split_once("://").expect("a URL").1;
    let (login, rest) = rest.split_once('@').expect("a login");
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, database) = rest.split_once('/').expect("a database");
    let (host, port) = host.split_once(':').unwrap_or((host, "5432"));
    [user, password, host, port, database].map(str::to_owned)
}

#[test]
fn settings_of_the_session_are_passed_on() {
    let home = Home::postgres("session");
    home.sql("CREATE SCHEMA counts");
    let url = home.database_url();
    let mark = if url.contains('?') { '&' } else { '?' };
    let with = |query: &str| format!("{url}{mark}{query}");
    let server = home.serve_at(&with("search_path=counts&timezone=Asia/Tokyo"), &[]);
    server.ok(&["add", "GET", "/a", "-n", "3"]);
    server.ok(&["roll-up", "yesterday..today"]);
    assert_eq!(server.rolled_up(), totals([("GET /a", 3)]));
    home.sql("SELECT FROM counts.tally_request_days");
    let session = wait_for(async {
        let client = home.database().connect().await;
        let sql = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        client.query_one(sql, &[]).await.expect("it answers").get::<_, i64>(0)
    });
    assert_eq!(session, 0, "nothing is in the usual schema");
    assert_fails(&home.serve_fails(&with("no_such=1")), 1, &["parameter \"no_such\""]);
    assert_fails(&home.serve_fails(&with("timezone=Nowhere")), 1, &["\"TimeZone\": \"Nowhere\""]);
    assert_fails(&home.serve_fails(&with("service=x")), 2, &["service: libpq has this"]);
}

#[test]
fn what_the_url_leaves_out_is_read_as_libpq_does() {
    let cluster = Cluster::start(Options::default()).expect("Postgres is installed");
    let [user, password, host, port, database] = parts(&cluster.url("postgres"));
    let home = Home::sqlite();
    let common =
        [("PGHOST", &host), ("PGPORT", &port), ("PGUSER", &user), ("PGDATABASE", &database)];
    let command = || {
        let mut command = home.serve_command_at("postgres://", &[]);
        command.envs(common).env("HOME", home.path(""));
        command
    };
    Server::start(command().env("PGPASSWORD", &password)).ok(&["add", "GET", "/a"]);
    let passwords = home.file(".pgpass", format!("*:{port}:*:*:{password}\n"));
    set_mode(passwords.as_ref(), 0o600);
    let server = Server::start(&command());
    assert_eq!(server.live(), totals([("GET /a", 1)]));
    server.stop();
    set_mode(passwords.as_ref(), 0o644);
    let output = run(&command(), b"", LIMIT);
    assert_fails(&output, 1, &["it requires a password", "~/.pgpass"]);
    assert!(output.stderr.contains("others may read it: chmod 600"), "{output:?}");
    let output = home.run(&[
        "config",
        "--database-url",
        "postgres://a/b",
        "--migration-driver",
        "cockroach",
    ]);
    assert!(output.stdout.contains("DB_URL=cockroachdb://a/b  # flag\n"), "{output:?}");
    let mut config = home.command(&["config", "--database-url", "postgres://other"]);
    let output = run(config.envs(common).env("PGPASSWORD", &password), b"", LIMIT);
    let shown = format!("DB_URL=postgres://{user}@other:{port}/{database}  # flag\n");
    assert!(output.stdout.contains(&shown), "{output:?}");
    assert_no_secret(&output);
    let mut wrong = home.serve_command_at("postgres://", &["--workers", "0"]);
    let output = run(wrong.env("PGPORT", "many"), b"", LIMIT);
    assert_fails(&output, 2, &["2 settings are wrong"]);
    assert!(output.stderr.contains("PGPORT: \u{201c}many\u{201d} is not a port"), "{output:?}");
    let socket = format!("postgres://{user}:{password}@/{database}?host=");
    let output = home.serve_fails(&format!("{socket}{}", text(&home.path("no_such_folder"))));
    assert_fails(&output, 1, &["no_such_folder", "No such file or directory"]);
}

/// The Go server's database is named by `--from`.
#[test]
fn an_import_reads_what_its_url_leaves_out() {
    let cluster = Cluster::start(Options::default()).expect("Postgres is installed");
    let source = TestDatabase::create_on(&cluster.url("postgres"), "count");
    execute(&source, SCHEMA);
    execute(&source, TABLES);
    let [user, password, host, port, database] = parts(&source.url());
    let home = Home::sqlite();
    let (url, from) = (home.database_url(), format!("postgres://{user}@{host}:{port}/{database}"));
    let command = |variable, value: &str| {
        let arguments = ["import-count", "--database-url", &url, "--from", &from];
        let mut command = home.command(&arguments);
        command.env("HOME", home.path("")).env(variable, value);
        run(&command, b"", LIMIT)
    };
    let output = command("PGPASSWORD", &password);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.contains("imported 1,328 requests"), "{output:?}");
    let passwords = home.file(".pgpass", format!("*:{port}:*:*:{password}\n"));
    set_mode(passwords.as_ref(), 0o644);
    let output = command("PGPASSWORD", "");
    assert_fails(&output, 1, &["it requires a password", "~/.pgpass"]);
    assert!(output.stderr.contains("others may read it: chmod 600"), "{output:?}");
    let output = command("PGCONNECT_TIMEOUT", "soon");
    assert_fails(&output, 2, &["--from: PGCONNECT_TIMEOUT: \u{201c}soon\u{201d} is not"]);
    let output = command("MIGRATION_DRIVER", "cockroachdb");
    assert_fails(&output, 1, &["cockroachdb://"]);
}

#[test]
fn a_password_that_breaks_the_url_gets_advice() {
    let home = Home::sqlite();
    for (url, words) in [
        ("postgres://me:s3cret/1@db/x", "/ as %2F"),
        ("\"postgres://me:s3cret@db/x\"", "the value has quotes in it"),
        ("'postgres://me:s3cret@db/x'", "the value has quotes in it"),
        ("postgres://me:s3cret@db:s3cret/x", "write @ as %40"),
    ] {
        let mut command = home.command(&["serve"]);
        let output = run(command.env("DB_URL", url), b"", LIMIT);
        assert_fails(&output, 2, &["--database-url (DB_URL): ", words]);
    }
}

/// Somebody changes the password while the server runs: the log says all of it, and clients hear
/// nothing that is not theirs.
#[test]
fn clients_hear_nothing_of_users_and_hosts() {
    let cluster = Cluster::start(Options::default()).expect("Postgres is installed");
    let url = cluster.url("postgres");
    let [user, _, host, port, _] = parts(&url);
    let home = Home::sqlite();
    let server = home.serve_at(&url, &["--write-wait-ms", "0"]);
    server.ok(&["add", "GET", "/a"]);
    wait_for(async {
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("it answers");
        let sql = "ALTER ROLE CURRENT_USER PASSWORD 'another';
                   SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let work = async move { client.batch_execute(sql).await };
        let (done, _) = tokio::join!(work, connection);
        done.expect("it is allowed");
    });
    server.await_serving(false);
    for arguments in [
        &["totals", "--live"][..],
        &["roll-up", "today"],
        &["add", "GET", "/a", "--patience", "1"],
        &["producers"],
        &["health"],
    ] {
        let output = server.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = format!("{}{}", output.stdout, output.stderr).replace(&server.url, "");
        let [user, port] = [format!("\"{user}\""), format!(":{port}")];
        for secret in ["postgres://", "password", &user, &host, &port] {
            assert!(!said.contains(secret), "{secret} is in {output:?}");
        }
    }
    assert!(server.log().contains("password authentication failed for user"), "{}", server.log());
    server.kill();
    assert_no_secret(&server.process.wait(LIMIT));
}
