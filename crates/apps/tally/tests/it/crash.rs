//! `kill -9` at every step of a roll-up and of a batch: nothing is lost, nothing is doubled.

use tally_testkit::{Process, Stream};

use crate::support::{Home, LIMIT, LOG_LINE, OLD_DAY, RAW, assert_fails, totals};

/// Defines one test for each point on one database.
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
        fold_begun = "fold.begun",
        fold_added = "fold.added",
        fold_before_commit = "fold.before_commit",
        fold_committed = "fold.committed",
        begun = "roll_up.begun",
        added = "roll_up.added",
        before_commit = "roll_up.before_commit",
        committed = "roll_up.committed",
    }
}

mod roll_up_on_postgres {
    use super::*;

    killed_at! { killed_in_a_roll_up(Home::postgres("crash")):
        fold_begun = "fold.begun",
        fold_locked = "fold.locked",
        fold_added = "fold.added",
        fold_before_commit = "fold.before_commit",
        fold_committed = "fold.committed",
        begun = "roll_up.begun",
        added = "roll_up.added",
        before_commit = "roll_up.before_commit",
        committed = "roll_up.committed",
    }
}

/// The points of a merge are the same on each database.
macro_rules! merge_on {
    ($($database:ident = $home:expr,)*) => {$(
        mod $database {
            use super::*;

            killed_at! { killed_in_a_merge($home):
                noted = "moves.noted",
                before_commit = "moves.before_commit",
                committed = "moves.committed",
                settle_before_commit = "settle.before_commit",
                settle_committed = "settle.committed",
            }
        }
    )*};
}

merge_on! {
    merge_on_sqlite = Home::sqlite(),
    merge_on_postgres = Home::postgres("crash"),
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

fn killed_in_a_roll_up(home: &Home, point: &str) {
    let server = home.serve_until(point);
    server.ok(&["add", "GET", "/today", "-n", "5"]);
    server.ok(&["add", "GET", "/old", "-n", "7", "--at", OLD_DAY]);
    let expected = totals([("GET /old", 7), ("GET /today", 5)]);
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

/// It is merged as a whole or not at all, and what is left of it is done by the server that starts next.
fn killed_in_a_merge(home: &Home, point: &str) {
    let server = home.serve_until(point);
    for user in ["/users/1", "/users/2"] {
        server.ok(&["add", "GET", user, "-n", "5", "--at", OLD_DAY]);
    }
    server.ok(&["roll-up", "2015-05"]);
    server.ok(&["add", "GET", "/users/1", "-n", "3"]);
    server.ok(&["add", "GET", "/other"]);
    let merge = ["merge", "--path-prefix", "/users/", "--into-path", "/users/{id}"];
    let client = Process::spawn(&server.command(&merge));
    server.process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
    server.kill();
    let output = client.wait(LIMIT);
    let unknown = "it is not known whether anything is merged: the connection broke";
    assert_fails(&output, 1, &[unknown, "run the same command again"]);

    let server = home.serve(&[]);
    let merged = totals([("GET /other", 1), ("GET /users/{id}", 13)]);
    let before = totals([("GET /other", 1), ("GET /users/1", 8), ("GET /users/2", 5)]);
    let is_done = !["moves.noted", "moves.before_commit"].contains(&point);
    assert_eq!(server.live(), if is_done { merged.clone() } else { before }, "after the crash");
    server.ok(&merge);
    assert_eq!(server.live(), merged);
    server.ok(&["add", "GET", "/users/1"]);
    server.ok(&["roll-up", "yesterday..today"]);
    assert_eq!(server.rolled_up(), totals([("GET /other", 1), ("GET /users/{id}", 14)]));
}

/// Three requests are acknowledged and five are not, but `stored` are stored.
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

/// The same with a batch large enough for COPY.
fn killed_in_a_copy(home: &Home, point: &str) {
    const LINES: i64 = 30_000;
    let server = home.serve_until(point);
    let log = home.file("a.log", LOG_LINE.repeat(LINES as usize));
    let import = ["import", &log, "--patience", "1"];
    let client = Process::spawn(&server.command(&import));
    server.process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
    let stored = home.rows();
    server.kill();
    let output = client.wait(LIMIT);
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    let server = home.serve(RAW);
    assert_eq!(server.live().get("GET /a").copied().unwrap_or(0), stored);
    assert!(point == "append.before_commit" || stored >= 2_000, "{stored}");
    server.ok(&import);
    server.ok(&["roll-up", OLD_DAY]);
    assert_eq!(server.rolled_up(), totals([("GET /a", LINES)]));
}
