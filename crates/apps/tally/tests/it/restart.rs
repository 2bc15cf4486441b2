//! The database is killed, or its answer is lost, while clients count: each request counts once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tally_testkit::{Cluster, Options, Proxy, eventually_blocking};
use tokio::task::JoinSet;

use crate::support::{Home, LIMIT, Server, request, totals};

/// How many clients count.
const CLIENTS: usize = 4;
/// How many requests each call has.
const REQUESTS: i64 = 3;
/// How many calls succeed before the database is killed, and after it is back.
const CALLS: usize = 20;

/// What a client knows of a path: it is counted, or it may be.
type Known = BTreeMap<String, bool>;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_loses_and_doubles_nothing() {
    let cluster = Cluster::start(Options::default()).expect("Postgres is installed");
    let home = Home::sqlite();
    let url = cluster.url("postgres");
    let server = tokio::task::block_in_place(|| home.serve_at(&url, &[]));
    let (counted, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(count(
            server.client().await,
            number,
            Arc::clone(&counted),
            Arc::clone(&done),
        ));
    }
    tokio::task::block_in_place(|| {
        await_calls(&counted, CALLS);
        server.await_serving(true);
        cluster.kill9();
        server.await_serving(false);
        cluster.restart().expect("it comes back");
        server.await_serving(true);
        await_calls(&counted, counted.load(Ordering::SeqCst) + CALLS);
    });
    done.store(true, Ordering::SeqCst);
    let known: Vec<Known> = clients.join_all().await;
    tokio::task::block_in_place(|| check(&server, &known));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_is_lost_counts_once() {
    let home = Home::postgres("lost_answer");
    let (proxy, url) = Proxy::before(&home.database_url()).await;
    tokio::task::block_in_place(|| {
        let server = home.serve_at(&url, &[]);
        server.ok(&["add", "GET", "/a"]);
        // The statement that stores these requests has their time in it, as Postgres writes it:
        // microseconds since 2000. It commits, and nobody is told.
        let micros: i64 = (1_431_857_103 - 946_684_800) * 1_000_000;
        proxy.swallow_after(&micros.to_be_bytes());
        server.ok(&["add", "GET", "/a", "-n", "5", "--at", "2015-05-17T10:05:03Z"]);
        assert_eq!(proxy.swallowed(), 1, "{}", server.log());
        assert_eq!(server.live(), totals([("GET /a", 6)]));
    });
}

/// Counts to a new path with each call, until it is done.
async fn count(
    mut client: tally_proto::count::v1::count_service_client::CountServiceClient<
        tonic::transport::Channel,
    >,
    number: usize,
    counted: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
) -> Known {
    let mut known = Known::new();
    while !done.load(Ordering::SeqCst) {
        let path = format!("/{number}/{}", known.len());
        let requests: Vec<_> = (0..REQUESTS).map(|_| request(&path)).collect();
        let is_counted = client.add(tokio_stream::iter(requests)).await.is_ok();
        if is_counted {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        known.insert(format!("GET {path}"), is_counted);
    }
    known
}

#[track_caller]
fn await_calls(counted: &AtomicUsize, calls: usize) {
    let reached = eventually_blocking(LIMIT, || counted.load(Ordering::SeqCst) >= calls);
    assert_eq!(reached, Ok(()), "{calls} calls succeed");
}

fn check(server: &Server, known: &[Known]) {
    let live = server.live();
    server.ok(&["roll-up", "yesterday..today"]);
    assert_eq!(server.rolled_up(), live);
    for (path, is_counted) in known.iter().flatten() {
        let total = live.get(path).copied().unwrap_or(0);
        if *is_counted {
            assert_eq!(total, REQUESTS, "{path} was acknowledged");
        } else {
            assert!((0..=REQUESTS).contains(&total), "{path} was not: {total}");
        }
    }
}
