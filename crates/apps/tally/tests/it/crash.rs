//! `kill -9` at every step of a roll-up and of a batch: nothing is lost, nothing is doubled.

use tally_testkit::{Process, Stream};

use crate::support::{Home, LIMIT, OLD_DAY, Server, totals};

/// One test for each point, on one database.
macro_rules! killed_at {
    ($check:ident($home:expr): $($name:ident = $point:literal,)*) => {$(
        #[test]
        fn $name() {
            $check(&$home, $point);
        }
    )*};
}

mod roll_up_on_sqlite {
    use super::*;

    killed_at! { killed_in_a_roll_up(Home::sqlite()):
        begun = "roll_up.begun",
        counted = "roll_up.counted",
        added = "roll_up.added",
        before_commit = "roll_up.before_commit",
        committed = "roll_up.committed",
    }
}

mod roll_up_on_postgres {
    use super::*;

    killed_at! { killed_in_a_roll_up(Home::postgres("crash")):
        begun = "roll_up.begun",
        locked = "roll_up.locked",
        added = "roll_up.added",
        before_commit = "roll_up.before_commit",
        committed = "roll_up.committed",
        late_begun = "roll_up.late.begun",
        late_added = "roll_up.late.added",
        late_committed = "roll_up.late.committed",
        drop_partition = "drop_partition.before_commit",
    }
}

mod batch_on_sqlite {
    use super::*;

    #[test]
    fn before_commit() {
        killed_in_a_batch(&Home::sqlite(), "append.before_commit", 3);
    }

    #[test]
    fn committed() {
        killed_in_a_batch(&Home::sqlite(), "append.committed", 8);
    }
}

mod batch_on_postgres {
    use super::*;

    killed_at! { killed_in_a_copy(Home::postgres("crash")):
        before_commit = "append.before_commit",
        committed = "append.committed",
    }
}

/// A partition of a past day that has a row, as a server that was down since then finds it.
/// At once, since housekeeping drops it when it sees it empty.
const PAST_PARTITION: &str = "
    BEGIN;
    CREATE TABLE tally_requests_p20150516 PARTITION OF tally_requests
    FOR VALUES FROM ('2015-05-16 00:00:00+00') TO ('2015-05-17 00:00:00+00');
    INSERT INTO tally_requests
    SELECT id, '2015-05-16 12:00:00+00' FROM tally_request_series WHERE path = '/old';
    COMMIT;";

fn killed_in_a_roll_up(home: &Home, point: &str) {
    let server = home.serve_until(point);
    server.ok(&["add", "GET", "/today", "-n", "5"]);
    server.ok(&["add", "GET", "/old", "-n", "7", "--at", OLD_DAY]);
    let mut expected = totals([("GET /old", 7), ("GET /today", 5)]);
    if home.is_postgres() {
        home.sql(PAST_PARTITION);
        expected.insert("GET /old".to_owned(), 8);
    }
    // The whole month first: the first call has rows in a partition and late ones.
    let roll_up = ["roll-up", "2015-05..today"];
    let client = Process::spawn(&server.command(&roll_up));
    server.process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
    server.kill();
    let output = client.wait(LIMIT);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("error: cannot roll up 2015-05:"), "{output:?}");

    let server = home.serve(&[]);
    assert_eq!(server.live(), expected, "after the crash");
    for _ in 0..2 {
        server.ok(&roll_up);
        assert_eq!(server.rolled_up(), expected, "rolled up again");
        assert_eq!(server.live(), expected, "live after that");
    }
    if home.is_postgres() {
        assert_eq!(home.rows(), 0, "every row is pruned");
    }
}

/// Three requests are acknowledged; then five are not, and `stored` are there all the same.
fn killed_in_a_batch(home: &Home, point: &str, stored: i64) {
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/a", "-n", "3"]);
    server.stop();

    let server = home.serve_until(point);
    let client =
        Process::spawn(&server.command(&["add", "GET", "/a", "-n", "5", "--patience", "1"]));
    server.process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
    server.kill();
    let output = client.wait(LIMIT);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("it is not known whether"), "{output:?}");

    let server = home.serve(&[]);
    assert_eq!(server.live(), totals([("GET /a", stored)]));
    server.ok(&["add", "GET", "/a"]);
    server.ok(&["roll-up", "yesterday..today"]);
    assert_eq!(server.rolled_up(), totals([("GET /a", stored + 1)]));
}

/// The same in a batch that is large enough for COPY. One comes sooner or later: the stream
/// is endless, and its only worker stops there.
fn killed_in_a_copy(home: &Home, point: &str) {
    let server = Server::start(home.serve_command(&["--workers", "1"]).env("TALLY_FAULT", point));
    let endless = ["add", "GET", "/a", "-n", "1000000000", "--patience", "1"];
    let client = Process::spawn(&server.command(&endless));
    server.process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
    let stored = home.rows();
    server.kill();
    let output = client.wait(LIMIT);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("it is not known whether"), "{output:?}");

    let server = home.serve(&[]);
    let live = server.live().get("GET /a").copied().unwrap_or(0);
    assert_eq!(live, stored);
    assert!(point == "append.before_commit" || stored >= 2_000, "{stored}");
    server.ok(&["add", "GET", "/a"]);
    server.ok(&["roll-up", "yesterday..today"]);
    assert_eq!(server.rolled_up(), totals([("GET /a", stored + 1)]));
}
