//! A TCP proxy that stands between a client and a server, and has faults on demand.

mod carry;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::eventually::eventually;
use crate::port::free_port;

/// How long to try for our port after it was closed. It is outside of the range that the
/// system hands out, so the first try works unless someone asked for exactly this port.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// Where the bytes of a connection go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// A TCP proxy in front of one server. Without a fault it is transparent.
///
/// Faults act on the connections of that moment and on later ones, until they are undone.
/// When this is dropped, its connections are closed.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: tokio::sync::Mutex<Option<Acceptor>>,
}

/// The task that takes connections and owns them.
struct Acceptor {
    task: JoinHandle<()>,
    /// Asks it to close everything.
    close: oneshot::Sender<()>,
}

/// What every connection looks at.
struct Shared {
    upstream: Mutex<String>,
    stalled: watch::Sender<bool>,
    /// How often the connections of a moment were reset.
    resets: watch::Sender<u64>,
    delay_ms: AtomicU64,
    /// By direction: whether its bytes are thrown away.
    lost: [AtomicBool; 2],
    bytes_lost: AtomicUsize,
    /// After how many more bytes to the server a connection is reset.
    tear_after: Mutex<Option<usize>>,
    torn: AtomicUsize,
    /// What a client sends, one after the other, before its answer is lost.
    patterns: Mutex<Patterns>,
    swallowed: AtomicUsize,
    accepted: AtomicUsize,
}

/// What to look for; nothing when there is no pattern.
#[derive(Default)]
struct Patterns {
    wanted: Vec<Vec<u8>>,
    /// How often they were set, so that connections begin anew.
    number: u64,
}

// === impl Proxy ===

impl Proxy {
    /// Listens on a port of 127.0.0.1 and forwards to `upstream`, a `host:port`.
    ///
    /// # Panics
    /// When no port can be listened on.
    pub async fn start(upstream: impl ToString) -> Proxy {
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream.to_string()),
            stalled: watch::Sender::new(false),
            resets: watch::Sender::new(0),
            delay_ms: AtomicU64::new(0),
            lost: [AtomicBool::new(false), AtomicBool::new(false)],
            bytes_lost: AtomicUsize::new(0),
            tear_after: Mutex::new(None),
            torn: AtomicUsize::new(0),
            patterns: Mutex::default(),
            swallowed: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let proxy = Proxy { address, shared, acceptor: tokio::sync::Mutex::new(None) };
        proxy.restore().await;
        proxy
    }

    /// A proxy in front of the server of this URL, and the URL that leads through it.
    ///
    /// # Panics
    /// When the URL has no `host:port`, or no port can be listened on.
    pub async fn before(url: &str) -> (Proxy, String) {
        let start = url.find("://").map_or(0, |at| at + "://".len());
        let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
        let host = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
        let proxy = Proxy::start(&url[host..end]).await;
        let through = format!("{}{}{}", &url[..host], proxy.addr(), &url[end..]);
        (proxy, through)
    }

    /// Where clients connect to. It stays the same when the proxy is cut and restored.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection and refuses new ones, as if the server were gone. All of it
    /// has happened when this returns.
    pub async fn cut(&self) {
        if let Some(acceptor) = self.acceptor.lock().await.take() {
            let _ = acceptor.close.send(());
            let _ = acceptor.task.await;
        }
    }

    /// Takes connections again after [`Proxy::cut`].
    ///
    /// # Panics
    /// When the port cannot be listened on any more.
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

    /// Holds all bytes in both directions. Connections stay open, and new ones are taken.
    pub fn stall(&self) {
        self.shared.stalled.send_replace(true);
    }

    /// Lets the bytes go that [`Proxy::stall`] holds, and all later ones.
    pub fn resume(&self) {
        self.shared.stalled.send_replace(false);
    }

    /// Ends every connection of this moment with a reset. New ones are taken.
    pub fn reset(&self) {
        self.shared.resets.send_modify(|resets| *resets += 1);
    }

    /// Forwards so many more bytes to the server, in the middle of whatever they are part of,
    /// and resets the connection that has carried the last of them.
    pub fn tear_after(&self, bytes: usize) {
        *self.shared.tear_after() = Some(bytes);
    }

    /// How many connections were reset by [`Proxy::tear_after`].
    pub fn torn(&self) -> usize {
        self.shared.torn.load(Ordering::SeqCst)
    }

    /// Throws the bytes of one direction away, while the other one works: a half-open
    /// connection. Until [`Proxy::heal`].
    pub fn lose(&self, direction: Direction) {
        self.shared.lost[direction as usize].store(true, Ordering::SeqCst);
    }

    /// How many bytes were thrown away for [`Proxy::lose`].
    pub fn bytes_lost(&self) -> usize {
        self.shared.bytes_lost.load(Ordering::SeqCst)
    }

    /// Holds each piece of data back for so long, in both directions. Until [`Proxy::heal`].
    pub fn delay(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.shared.delay_ms.store(ms, Ordering::SeqCst);
    }

    /// Takes back what [`Proxy::lose`], [`Proxy::delay`], [`Proxy::tear_after`] and
    /// [`Proxy::swallow_after`] asked for. Connections with a hole in them are reset.
    pub fn heal(&self) {
        self.shared.delay_ms.store(0, Ordering::SeqCst);
        *self.shared.tear_after() = None;
        self.shared.patterns().wanted.clear();
        let lost = &self.shared.lost;
        let had_holes = lost.iter().filter(|lost| lost.swap(false, Ordering::SeqCst)).count() > 0;
        if had_holes {
            self.reset();
        }
    }

    /// Leads new connections to another server, a `host:port`.
    pub fn redirect(&self, upstream: &str) {
        *self.shared.upstream() = upstream.to_owned();
    }

    /// Loses one answer: when a client next sends these bytes, they are forwarded, the
    /// server's answer is waited for and thrown away, and the connection is closed. As when
    /// the network fails between a COMMIT and its answer.
    pub fn swallow_after(&self, pattern: &[u8]) {
        self.swallow_after_all(&[pattern]);
    }

    /// As [`Proxy::swallow_after`], of a connection on which all of these were sent, in this
    /// order, since now.
    pub fn swallow_after_all(&self, patterns: &[&[u8]]) {
        let empty = patterns.iter().any(|pattern| pattern.is_empty());
        assert!(!empty && !patterns.is_empty(), "an empty pattern is in everything");
        let mut shared = self.shared.patterns();
        shared.number += 1;
        shared.wanted = patterns.iter().map(|pattern| pattern.to_vec()).collect();
    }

    /// How many answers were lost to [`Proxy::swallow_after`].
    pub fn swallowed(&self) -> usize {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    /// How many connections were taken so far.
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
    fn upstream(&self) -> MutexGuard<'_, String> {
        self.upstream.lock().expect("no thread panics while it holds the address")
    }

    fn tear_after(&self) -> MutexGuard<'_, Option<usize>> {
        self.tear_after.lock().expect("no thread panics while it holds the number")
    }

    fn patterns(&self) -> MutexGuard<'_, Patterns> {
        self.patterns.lock().expect("no thread panics while it holds the patterns")
    }
}
