//! A server that stands still while it does the duties of all: another one takes them over, and the first
//! one does no harm when it goes on.

use tally_testkit::{Stream, eventually};

use crate::support::{Home, LIMIT, Server, totals};

/// Which sessions wait for the books.
const WAITING: &str = "SELECT pid FROM pg_locks \
                       WHERE relation = 'tally_request_calendar'::REGCLASS AND NOT granted";

/// Everything is due in every round of its duties.
fn eager(home: &Home) -> Server {
    Server::start(home.serve_command(&[]).env("TALLY_FAULT", "duties.eager"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_in_its_duties_is_succeeded() {
    let home = Home::postgres("stands_still");
    let client = home.database().connect().await;
    let are_folded = async || {
        let sql = "SELECT count(*) FROM tally_requests";
        client.query_one(sql, &[]).await.expect("a count").get::<_, i64>(0) == 0
    };
    let holder = async || {
        let sql = "SELECT holder::TEXT FROM tally_leases WHERE name = 'requests'";
        client.query_opt(sql, &[]).await.expect("the lease").map(|row| row.get::<_, String>(0))
    };
    let one = eager(&home);
    one.ok(&["add", "GET", "/a", "-n", "3"]);
    eventually("the first one folds", LIMIT, are_folded).await;
    let first = holder().await.expect("it has the lease");
    let two = eager(&home);

    // It stands still within a fold: its session waits for the books.
    let holding = home.database().connect().await;
    let hold = "BEGIN; LOCK TABLE tally_request_calendar IN SHARE ROW EXCLUSIVE MODE";
    holding.batch_execute(hold).await.expect("the books");
    one.ok(&["add", "GET", "/a", "-n", "3"]);
    let waiting = async || client.query(WAITING, &[]).await.expect("the locks").first().cloned();
    let waits = eventually("it waits for the books", LIMIT, waiting).await;
    one.process.signal("STOP");
    holding.batch_execute("COMMIT").await.expect("they are free");
    // Its silence, and what the database does to a session that idles in a transaction.
    let ends = format!(
        "UPDATE tally_leases SET until = now() - INTERVAL '1 hour'; \
         SELECT pg_terminate_backend({})",
        waits.get::<_, i32>(0)
    );
    client.batch_execute(&ends).await.expect("both end");
    eventually("the second one folds", LIMIT, are_folded).await;
    assert_ne!(holder().await.expect("it has the lease"), first);
    assert_eq!(two.live(), totals([("GET /a", 6)]));

    // For a moment it still believes to have the lease.
    one.process.signal("CONT");
    one.ok(&["add", "GET", "/a", "-n", "2"]);
    two.ok(&["add", "GET", "/a"]);
    one.ok(&["roll-up", "yesterday..today"]);
    for server in [&one, &two] {
        assert_eq!(server.live(), totals([("GET /a", 9)]));
        assert_eq!(server.rolled_up(), totals([("GET /a", 9)]));
        assert!(server.process.is_running(), "{}", server.process.text(Stream::Stderr));
    }
    let sql = "SELECT sum(total)::INT8 FROM tally_totals_by_day";
    assert_eq!(client.query_one(sql, &[]).await.expect("the view").get::<_, i64>(0), 9);
}
