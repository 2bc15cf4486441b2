//! A TCP proxy between a client and a server, with faults on demand.

mod carry;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::eventually::eventually;
use crate::port::free_port;

/// How long to try to listen on our port again. The first attempt succeeds unless another process
/// asked for exactly this port, because the system does not assign it.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// The direction of a connection's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// A TCP proxy in front of one server, transparent without faults.
///
/// Faults affect current and later connections until they are undone. Dropping the proxy closes its
/// connections.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: tokio::sync::Mutex<Option<Acceptor>>,
}

/// The task that accepts and owns connections.
struct Acceptor {
    task: JoinHandle<()>,
    /// Asks it to close everything.
    close: oneshot::Sender<()>,
}

/// State read by every connection.
#[derive(Default)]
struct Shared {
    faults: Mutex<Faults>,
    stalled: watch::Sender<bool>,
    /// How often all connections were reset.
    resets: watch::Sender<u64>,
    bytes_lost: AtomicUsize,
    torn: AtomicUsize,
    swallowed: AtomicUsize,
    accepted: AtomicUsize,
}

/// Where the bytes go, and what happens to them.
#[derive(Default)]
struct Faults {
    upstream: String,
    delay: Duration,
    /// By direction, whether its bytes are discarded.
    lost: [bool; 2],
    /// How many more bytes to forward to the server before a reset.
    tear_after: Option<usize>,
    /// Bytes that a client sends in this order before its answer is lost; empty to lose none.
    patterns: Vec<Vec<u8>>,
    /// Changes whenever the patterns are set, so that connections restart the search.
    search: u64,
}

// === impl Proxy ===

impl Proxy {
    /// Listens on a port of 127.0.0.1 and forwards to `upstream`, a `host:port`.
    pub async fn start(upstream: impl ToString) -> Proxy {
        let shared = Arc::<Shared>::default();
        shared.faults().upstream = upstream.to_string();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let proxy = Proxy { address, shared, acceptor: tokio::sync::Mutex::new(None) };
        proxy.restore().await;
        proxy
    }

    /// Starts a proxy in front of this URL's server, and returns the URL through the proxy.
    pub async fn before(url: &str) -> (Proxy, String) {
        let start = url.find("://").map_or(0, |at| at + "://".len());
        let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
        let host = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
        let proxy = Proxy::start(&url[host..end]).await;
        let through = format!("{}{}{}", &url[..host], proxy.addr(), &url[end..]);
        (proxy, through)
    }

    /// The address for clients. It stays the same when the proxy is cut and restored.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection and refuses new ones, as if the server were down. All are closed
    /// when this returns.
    pub async fn cut(&self) {
        if let Some(acceptor) = self.acceptor.lock().await.take() {
            let _ = acceptor.close.send(());
            let _ = acceptor.task.await;
        }
    }

    /// Accepts connections again after [`Proxy::cut`].
    pub async fn restore(&self) {
        let mut acceptor = self.acceptor.lock().await;
        if acceptor.is_some() {
            return;
        }
        let listen = async || TcpListener::bind(self.address).await;
        let listener = eventually("the proxy listens", LISTEN_LIMIT, listen).await;
        let shared = Arc::clone(&self.shared);
        let (close, closed) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "cut waits for it, drop aborts it")]
        let task = tokio::spawn(carry::accept(listener, shared, closed));
        *acceptor = Some(Acceptor { task, close });
    }

    /// Holds all bytes in both directions. Connections stay open, and new ones are accepted.
    pub fn stall(&self) {
        self.shared.stalled.send_replace(true);
    }

    /// Forwards the bytes held by [`Proxy::stall`] and all later ones.
    pub fn resume(&self) {
        self.shared.stalled.send_replace(false);
    }

    /// Resets every current connection. New ones are accepted.
    pub fn reset(&self) {
        self.shared.resets.send_modify(|resets| *resets += 1);
    }

    /// Forwards this many more bytes to the server, even if that cuts a message, and resets the
    /// connection that carried the last one.
    pub fn tear_after(&self, bytes: usize) {
        self.shared.faults().tear_after = Some(bytes);
    }

    /// How many connections were reset by [`Proxy::tear_after`].
    pub fn torn(&self) -> usize {
        self.shared.torn.load(Ordering::SeqCst)
    }

    /// Discards the bytes of one direction until [`Proxy::heal`], while the other one works, as in
    /// a half-open connection.
    pub fn lose(&self, direction: Direction) {
        self.shared.faults().lost[direction as usize] = true;
    }

    /// How many bytes were discarded by [`Proxy::lose`].
    pub fn bytes_lost(&self) -> usize {
        self.shared.bytes_lost.load(Ordering::SeqCst)
    }

    /// Delays all data by this long, in both directions, until [`Proxy::heal`].
    pub fn delay(&self, by: Duration) {
        self.shared.faults().delay = by;
    }

    /// Undoes [`Proxy::lose`], [`Proxy::delay`], [`Proxy::tear_after`] and
    /// [`Proxy::swallow_after`]. If bytes were being lost, all connections are reset.
    pub fn heal(&self) {
        let mut faults = self.shared.faults();
        faults.delay = Duration::ZERO;
        faults.tear_after = None;
        faults.patterns.clear();
        if std::mem::take(&mut faults.lost).contains(&true) {
            self.reset();
        }
    }

    /// Forwards new connections to another server, a `host:port`.
    pub fn redirect(&self, upstream: &str) {
        self.shared.faults().upstream = upstream.to_owned();
    }

    /// Loses one answer, as when the network fails between a COMMIT and its answer: when a client
    /// has sent all of these bytes, in this order and from now on, the proxy forwards them, waits
    /// for the server's answer, discards it, and closes the connection.
    pub fn swallow_after(&self, patterns: &[&[u8]]) {
        let empty = patterns.iter().any(|pattern| pattern.is_empty());
        assert!(!empty && !patterns.is_empty(), "an empty pattern matches everything");
        let mut faults = self.shared.faults();
        faults.search += 1;
        faults.patterns = patterns.iter().map(|pattern| pattern.to_vec()).collect();
    }

    /// How many answers were lost to [`Proxy::swallow_after`].
    pub fn swallowed(&self) -> usize {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(acceptor) = self.acceptor.get_mut().take() {
            acceptor.task.abort();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no thread panics while it holds the faults")
    }
}
