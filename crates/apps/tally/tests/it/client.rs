//! The client library against a real server that is killed and stopped under load: totals are
//! exact.

use std::time::Duration;

use tally_client::{Method, Producer, Queue, Row};
use tally_testkit::Proxy;

use crate::support::{Home, LIMIT, Server, totals};

/// How often the server is replaced.
const ROUNDS: u64 = 6;

/// How many requests are sent before and after an acknowledgement.
const REQUESTS: u64 = 3_000;

/// 2015-05-17T10:05:03Z in microseconds.
const TIME_US: i64 = 1_431_857_103_000_000;

fn address(server: &Server) -> &str {
    server.url.trim_start_matches("http://")
}

/// Kills or stops the server and starts another one at the same address.
fn replace(home: &Home, server: &mut Server, proxy: &Proxy, round: u64) {
    tokio::task::block_in_place(|| {
        if round.is_multiple_of(2) {
            server.kill();
        } else {
            server.stop();
        }
        *server = home.serve(&[]);
    });
    proxy.redirect(address(server));
}

async fn a_queue_loses_and_doubles_nothing(home: Home) {
    let mut server = tokio::task::block_in_place(|| home.serve(&[]));
    let proxy = Proxy::start(address(&server)).await;
    let queue = Queue::builder(format!("http://{}", proxy.addr()))
        .name("shop")
        .batch_rows_max(200)
        .linger(Duration::from_millis(1))
        .backoff(Duration::from_millis(1), Duration::from_millis(50))
        .close_timeout(LIMIT)
        .connect()
        .await
        .expect("a queue");
    let (get, post) = (queue.endpoint(Method::GET, "/a"), queue.endpoint(Method::POST, "/b"));
    let mut posts = 0;
    for round in 0..ROUNDS {
        let before = queue.stats().acknowledged;
        for _ in 0..REQUESTS {
            queue.try_record(get).expect("room");
        }
        // In the middle of the acknowledgements.
        let posting = async {
            while queue.stats().acknowledged == before {
                queue.record(post).await.expect("room");
                posts += 1;
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, posting).await.expect("an acknowledgement");
        replace(&home, &mut server, &proxy, round);
    }
    let report = queue.close().await;
    let expected = ROUNDS * REQUESTS + posts;
    assert_eq!((report.acknowledged, report.lost(), report.queued), (expected, 0, 0));
    let count = |count: u64| i64::try_from(count).expect("few");
    let expected = totals([("GET /a", count(ROUNDS * REQUESTS)), ("POST /b", count(posts))]);
    tokio::task::block_in_place(|| assert_eq!(server.live(), expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_on_sqlite() {
    a_queue_loses_and_doubles_nothing(Home::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_on_postgres() {
    a_queue_loses_and_doubles_nothing(Home::postgres("client_queue")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_resumes() {
    let home = Home::sqlite();
    let mut server = tokio::task::block_in_place(|| home.serve(&[]));
    let proxy = Proxy::start(address(&server)).await;
    let mut producer = Producer::builder(format!("http://{}", proxy.addr()))
        .name("import")
        .batch_rows_max(100)
        .backoff(Duration::from_millis(1), Duration::from_millis(50))
        .close_timeout(LIMIT)
        .connect()
        .await
        .expect("a producer");
    let series = producer.endpoint(Method::GET, "/a");
    let mut given = 0;
    for round in 0..ROUNDS {
        let rows = vec![Row::one(series, TIME_US); 5_000];
        let first = given + 1;
        given = producer.send(rows).await.expect("room");
        producer.settled(first).await;
        replace(&home, &mut server, &proxy, round);
    }
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.lost()), (given, 0));
    let expected = totals([("GET /a", i64::try_from(given).expect("few"))]);
    tokio::task::block_in_place(|| {
        assert_eq!(server.live(), expected);
        server.ok(&["roll-up", "2015-05-17"]);
        assert_eq!(server.rolled_up(), expected);
    });
}
