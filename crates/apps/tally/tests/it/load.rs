//! Clients that count while a server is replaced or its database is killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_testkit::eventually_blocking;
use tokio::task::JoinSet;

use crate::support::{LIMIT, Server, request, totals};

/// Concurrent clients.
const CLIENTS: usize = 4;
/// Requests of each call.
const REQUESTS: i64 = 3;
/// How many calls succeed before each fault, and after the last one.
const CALLS: usize = 50;

/// Which paths the clients know to be counted, and which may be.
type Known = BTreeMap<String, bool>;

/// Clients that make a new connection for each call.
pub(crate) struct Load {
    clients: JoinSet<Known>,
    counted: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
}

// === impl Load ===

impl Load {
    pub(crate) fn start(url: &str) -> Load {
        let (counted, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (counted, done) = (Arc::clone(&counted), Arc::clone(&done));
            clients.spawn(count(url.to_owned(), number, counted, done));
        }
        Load { clients, counted, done }
    }

    /// Waits until some more calls have succeeded.
    #[track_caller]
    pub(crate) fn await_calls(&self) {
        let calls = self.counted.load(Ordering::SeqCst) + CALLS;
        let reached = eventually_blocking(LIMIT, || self.counted.load(Ordering::SeqCst) >= calls);
        assert_eq!(reached, Ok(()), "{calls} calls succeed");
    }

    /// Asserts that every connection succeeded and that acknowledged requests are counted.
    pub(crate) async fn finish(self, server: &Server) {
        tokio::task::block_in_place(|| self.await_calls());
        self.done.store(true, Ordering::SeqCst);
        let known: Known = self.clients.join_all().await.into_iter().flatten().collect();
        let live = tokio::task::block_in_place(|| server.live());
        for (path, is_counted) in &known {
            let total = live.get(path).copied().unwrap_or(0);
            let least = if *is_counted { REQUESTS } else { 0 };
            assert!((least..=REQUESTS).contains(&total), "{path}: {total}, {is_counted}");
        }
        assert!(live.keys().all(|path| known.contains_key(path)), "{live:?}");
        assert_ne!(live, totals([]));
    }
}

/// Counts to a new path with each call until stopped. Connections are never refused, but one may
/// fail when its server ends.
async fn count(
    url: String,
    number: usize,
    counted: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
) -> Known {
    let mut known = Known::new();
    while !done.load(Ordering::SeqCst) {
        let mut client = CountServiceClient::connect(url.clone()).await.expect("it can connect");
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
