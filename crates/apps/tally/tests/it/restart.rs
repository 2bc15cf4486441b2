//! The database is killed, or its answer is lost, while clients count: each request counts once.

use tally_testkit::{Cluster, Options, Proxy};

use crate::load::Load;
use crate::support::{Home, totals};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_loses_and_doubles_nothing() {
    let cluster = Cluster::start(Options::default()).expect("Postgres is installed");
    let home = Home::sqlite();
    let url = cluster.url("postgres");
    let server = tokio::task::block_in_place(|| home.serve_at(&url, &[]));
    let load = Load::start(&server.url);
    tokio::task::block_in_place(|| {
        load.await_calls();
        server.await_serving(true);
        cluster.kill9();
        server.await_serving(false);
        cluster.restart().expect("it restarts");
        server.await_serving(true);
    });
    load.finish(&server).await;
    tokio::task::block_in_place(|| {
        let live = server.live();
        server.ok(&["roll-up", "yesterday..today"]);
        assert_eq!(server.rolled_up(), live);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_lost_answer_counts_once() {
    let home = Home::postgres("lost_answer");
    let (proxy, url) = Proxy::before(&home.database_url()).await;
    tokio::task::block_in_place(|| {
        let server = home.serve_at(&url, &[]);
        server.ok(&["add", "GET", "/a"]);
        // The statement that stores these requests contains their time as Postgres encodes it:
        // microseconds since 2000. It commits, and its answer is lost.
        let micros: i64 = (1_431_857_103 - 946_684_800) * 1_000_000;
        proxy.swallow_after(&[&micros.to_be_bytes()]);
        server.ok(&["add", "GET", "/a", "-n", "5", "--at", "2015-05-17T10:05:03Z"]);
        assert_eq!(proxy.swallowed(), 1, "{}", server.log());
        assert_eq!(server.live(), totals([("GET /a", 6)]));
    });
}
