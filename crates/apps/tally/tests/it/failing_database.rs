//! Databases that fail while the server runs: no OK for unstored requests, and recovery.

use tally_testkit::Output;
use tonic::Code;

use crate::support::{
    Home, LIMIT, LOG_LINE, OLD_DAY, RAW, Server, assert_fails, request, totals, wait_for,
};

/// A server that gives up on a batch soon.
const IMPATIENT: &[&str] = &["--requests-write-wait-ms", "50"];

/// Ends the database's other sessions, because its settings apply to new ones only.
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Makes inserts fail as if the disk were full.
const DISK_FULL: &str = "
    CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file: No space left on device'
        USING ERRCODE = '53100';
    END $$;
    DO $$ BEGIN
        FOR tray IN 0..3 LOOP
            EXECUTE format('CREATE TRIGGER disk_full BEFORE INSERT ON tally_requests_%s
                            FOR EACH ROW EXECUTE FUNCTION disk_full()', tray);
        END LOOP;
    END $$";

/// Makes room again. The trigger stays, because dropping it needs a lock that inserts may block.
const ROOM_AGAIN: &str = "
    CREATE OR REPLACE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RETURN NEW;
    END $$";

/// Asserts that a request is refused with UNAVAILABLE and is not counted, and that `tally add`
/// reports `known`.
#[track_caller]
fn assert_unavailable(server: &Server, known: &str, words: &str) {
    let output: Output = server.run(&["add", "GET", "/a", "--patience", "10"]);
    assert_fails(&output, 1, &[known, words]);
    let status =
        wait_for(async { server.client().await.add(tokio_stream::iter([request("/a")])).await });
    let status = status.expect_err("it is not stored");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let counted = status.metadata().get("tally-counted");
    assert_eq!(
        counted.map(tonic::metadata::MetadataValue::as_bytes),
        Some(&b"0"[..]),
        "{status:?}"
    );
}

#[test]
fn postgres_turns_read_only() {
    let home = Home::postgres("turns_read_only");
    let server = home.serve(IMPATIENT);
    server.ok(&["add", "GET", "/a"]);
    server.await_serving(true);
    let name = home.database().name().to_owned();
    let read_only = |value: &str| {
        // The first statement works even if the default is read-only.
        home.sql("SET default_transaction_read_only = off");
        home.sql(&format!(
            "BEGIN READ WRITE; ALTER DATABASE {name} SET default_transaction_read_only = {value};
             COMMIT"
        ));
        home.sql(END_SESSIONS);
    };
    read_only("on");
    server.await_serving(false);
    assert_unavailable(&server, "nothing was counted", "read-only");
    assert_eq!(server.live(), totals([("GET /a", 1)]), "reading still works");
    read_only("off");
    server.await_serving(true);
    server.ok(&["add", "GET", "/a"]);
    assert_eq!(server.live(), totals([("GET /a", 2)]));
}

#[test]
fn postgres_runs_full() {
    let home = Home::postgres("runs_full");
    let server = home.serve(IMPATIENT);
    server.ok(&["add", "GET", "/a"]);
    home.sql(DISK_FULL);
    assert_unavailable(&server, "nothing was counted", "No space left on device");
    assert_eq!(server.live(), totals([("GET /a", 1)]));
    // Without any request, it still notices.
    server.await_serving(false);
    assert!(server.log().contains("not ready"), "{}", server.log());
    assert!(server.log().contains("No space left on device"), "{}", server.log());
    home.sql(ROOM_AGAIN);
    server.await_serving(true);
    server.ok(&["add", "GET", "/a"]);
    assert_eq!(server.live(), totals([("GET /a", 2)]));
}

/// A certain rollback by Postgres is reported as such, whatever its cause.
#[test]
fn postgres_refuses_rows() {
    let home = Home::postgres("refuses_rows");
    let server = home.serve(&[]);
    home.sql(&DISK_FULL.replace("53100", "23505"));
    let output = server.run(&["add", "GET", "/a", "-n", "3", "--patience", "1"]);
    assert_fails(&output, 1, &["nothing was counted", "No space left on device"]);
    let path = home.file("access.log", LOG_LINE.repeat(30));
    let output = server.run(&["import", &path, "--patience", "1"]);
    assert_fails(&output, 1, &["the import stopped"]);
    let words = "counted 0 requests; no line is known to be counted";
    assert!(output.stderr.contains(words), "{output:?}");
    assert_eq!(server.live(), totals([]));
}

/// The client asks how much is counted if it gives up while the server is still trying.
#[test]
fn a_client_that_gives_up_first_knows_how_much_is_counted() {
    let home = Home::postgres("gives_up_first");
    let server = home.serve(&["--requests-write-wait-ms", "600000"]);
    server.ok(&["add", "GET", "/a"]);
    home.sql(DISK_FULL);
    let output = server.run(&["add", "GET", "/a", "-n", "3", "--patience", "1"]);
    assert_fails(&output, 1, &["nothing was counted"]);
    home.sql(ROOM_AGAIN);
    // The client's requests are not stored later, either.
    server.ok(&["add", "GET", "/b"]);
    assert_eq!(server.live(), totals([("GET /a", 1), ("GET /b", 1)]));
}

#[test]
fn postgres_is_full_only_briefly() {
    let home = Home::postgres("full_for_a_moment");
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/a"]);
    home.sql(DISK_FULL);
    let client = tally_testkit::Process::spawn(&server.command(&["add", "GET", "/a"]));
    let stream = tally_testkit::Stream::Stderr;
    let limit = crate::support::LIMIT;
    server.process.wait_for_line(stream, "could not be stored, trying again", limit);
    home.sql(ROOM_AGAIN);
    let output = client.wait(limit);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.live(), totals([("GET /a", 2)]));
}

#[test]
fn sqlite_runs_full() {
    let home = Home::sqlite();
    let url = format!("{}?size_bytes_max=1048576", home.database_url());
    let server = home.serve_at(&url, &[IMPATIENT, RAW].concat());
    server.ok(&["add", "GET", "/a", "-n", "10"]);
    // A part fits.
    let log = home.file("a.log", LOG_LINE.repeat(60_000));
    let output = server.run(&["import", &log, "--patience", "1"]);
    assert_fails(&output, 1, &["the file has reached size_bytes_max, or the disk is full"]);
    let there = server.live();
    assert!((10..60_010).contains(&there["GET /a"]), "{there:?}");
    server.stop();

    let server = home.serve(IMPATIENT);
    assert_eq!(server.live(), there);
    server.ok(&["import", &log]);
    assert_eq!(server.live(), totals([("GET /a", 60_010)]));
}

#[test]
fn a_removed_write_ahead_log_loses_nothing() {
    let home = Home::sqlite();
    let server = home.serve(IMPATIENT);
    server.ok(&["add", "GET", "/a", "-n", "10"]);
    for name in ["tally.db-wal", "tally.db-shm"] {
        std::fs::remove_file(home.path(name)).expect("it exists while the server runs");
    }
    let output = server.run(&["add", "GET", "/a", "-n", "100", "--patience", "1"]);
    assert_fails(&output, 1, &["tally.db-wal: the file was removed or replaced"]);
    server.await_serving(false);
    server.kill();
    let server = home.serve(IMPATIENT);
    assert_eq!(server.live(), totals([("GET /a", 10)]));
    server.ok(&["add", "GET", "/a", "-n", "100"]);
    assert_eq!(server.live(), totals([("GET /a", 110)]));
}

/// Data in an unlinked file is lost when the server ends.
#[test]
fn a_removed_database_is_not_a_clean_end() {
    let home = Home::sqlite();
    let server = home.serve(IMPATIENT);
    server.ok(&["add", "GET", "/a", "-n", "10"]);
    std::fs::rename(home.path("tally.db"), home.path("away.db")).expect("it exists");
    let output = server.run(&["add", "GET", "/a", "--patience", "1"]);
    assert_fails(&output, 1, &["put it back before you stop the server"]);
    server.process.signal("TERM");
    let output = server.process.wait(LIMIT);
    assert_fails(&output, 1, &["tally.db at the end: the file was removed or replaced"]);
    assert!(!output.stderr.contains("everything that was acknowledged"), "{output:?}");

    std::fs::rename(home.path("away.db"), home.path("tally.db")).expect("it exists");
    let server = home.serve(IMPATIENT);
    assert_eq!(server.live(), totals([("GET /a", 10)]));
    std::fs::rename(home.path("tally.db"), home.path("away.db")).expect("it exists");
    std::fs::rename(home.path("away.db"), home.path("tally.db")).expect("it exists");
    server.stop();
}

#[test]
fn a_full_sqlite_file_has_room_again_after_a_roll_up() {
    let home = Home::sqlite();
    let url = format!("{}?size_bytes_max=1048576", home.database_url());
    let server = home.serve_at(&url, &[IMPATIENT, RAW].concat());
    let log = home.file("a.log", LOG_LINE.repeat(60_000));
    let output = server.run(&["import", &log, "--patience", "1"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let before = server.live();
    server.ok(&["roll-up", OLD_DAY]);
    assert_eq!(server.live(), before);
    server.ok(&["add", "GET", "/b"]);
    assert_eq!(server.live().get("GET /b"), Some(&1));
}
