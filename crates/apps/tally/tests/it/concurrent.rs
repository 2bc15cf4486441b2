//! Days are rolled up while clients count to them, even by two servers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tally_proto::count::v1::CountDailyTotalsRequest;
use tally_proto::google::r#type::Date;
use tally_runtime::{Clock as _, SystemClock};
use tokio::task::JoinSet;

use crate::support::{Home, Server, request, totals};

/// Concurrent clients.
const CLIENTS: usize = 4;
/// Consecutive streams of each client.
const STREAMS: i64 = 30;
/// Requests of each stream.
const REQUESTS: i64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_day_on_sqlite_is_rolled_up_while_four_clients_count() {
    let home = Home::sqlite();
    counts_and_rolls_up_at_once(&[home.serve(&[])]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_on_postgres_is_rolled_up_while_four_clients_count() {
    let home = Home::postgres("concurrent");
    counts_and_rolls_up_at_once(&[home.serve(&[])]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_rolled_up_by_two_servers_at_once_while_four_clients_count() {
    let home = Home::postgres("two_servers");
    counts_and_rolls_up_at_once(&[home.serve(&[]), home.serve(&[])]).await;
}

async fn counts_and_rolls_up_at_once(servers: &[Server]) {
    let (sent, acknowledged) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let mut client = servers[number % servers.len()].client().await;
        let (sent, acknowledged) = (Arc::clone(&sent), Arc::clone(&acknowledged));
        clients.spawn(async move {
            for _ in 0..STREAMS {
                sent.fetch_add(REQUESTS, Ordering::SeqCst);
                let requests = (0..REQUESTS).map(|_| request("/a"));
                client.add(tokio_stream::iter(requests)).await.expect("counted");
                acknowledged.fetch_add(REQUESTS, Ordering::SeqCst);
            }
        });
    }
    let mut rolling = JoinSet::new();
    for server in servers {
        let (mut client, done) = (server.client().await, Arc::clone(&done));
        rolling.spawn(async move {
            let mut roll_ups = 0;
            while !done.load(Ordering::SeqCst) {
                let date = Some(this_year());
                let answer = client.count_daily_totals(CountDailyTotalsRequest { date }).await;
                answer.expect("rolled up");
                roll_ups += 1;
            }
            roll_ups
        });
    }
    // Acknowledged requests are always visible, and none is visible twice.
    while !clients.is_empty() {
        let least = acknowledged.load(Ordering::SeqCst);
        let live: i64 = tokio::task::block_in_place(|| servers[0].live()).values().sum();
        let most = sent.load(Ordering::SeqCst);
        assert!((least..=most).contains(&live), "{least} <= {live} <= {most}");
        while let Some(ended) = clients.try_join_next() {
            ended.expect("a client succeeds");
        }
    }
    done.store(true, Ordering::SeqCst);
    for roll_ups in rolling.join_all().await {
        assert!(roll_ups > 0, "no roll-up ran meanwhile");
    }
    tokio::task::block_in_place(|| check(servers));
}

fn check(servers: &[Server]) {
    let expected = totals([("GET /a", i64::try_from(CLIENTS).expect("four") * STREAMS * REQUESTS)]);
    for server in servers {
        assert_eq!(server.live(), expected);
    }
    servers[0].ok(&["roll-up", "yesterday..today"]);
    for server in servers {
        assert_eq!(server.rolled_up(), expected);
        assert_eq!(server.live(), expected);
    }
}

/// The current year. Around New Year requests may fall outside of it, but live totals still include
/// them.
fn this_year() -> Date {
    let today = SystemClock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    Date { year: today.year().into(), month: 0, day: 0 }
}
