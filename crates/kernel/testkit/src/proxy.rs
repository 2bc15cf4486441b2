//! A TCP proxy that stands between a client and a database, and has faults on demand.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::eventually::eventually;
use crate::port::free_port;

/// How much is carried at a time in each direction.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long to try for our port after it was closed. It is outside of the range that the
/// system hands out, so the first try works unless someone asked for exactly this port.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

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
    upstream: String,
    stalled: watch::Sender<bool>,
    pattern: Mutex<Option<Vec<u8>>>,
    swallowed: AtomicUsize,
    accepted: AtomicUsize,
}

/// The last bytes of a direction, in which a pattern may have begun.
#[derive(Default)]
struct Tail(Vec<u8>);

// === impl Proxy ===

impl Proxy {
    /// Listens on a port of 127.0.0.1 and forwards to `upstream`, a `host:port`.
    ///
    /// # Panics
    /// When no port can be listened on.
    pub async fn start(upstream: impl ToString) -> Proxy {
        let shared = Arc::new(Shared {
            upstream: upstream.to_string(),
            stalled: watch::Sender::new(false),
            pattern: Mutex::new(None),
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
        let task = tokio::spawn(accept(listener, shared, closed));
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

    /// Loses one answer: when a client next sends these bytes, they are forwarded, the
    /// server's answer is waited for and thrown away, and the connection is closed. As when
    /// the network fails between a COMMIT and its answer.
    pub fn swallow_after(&self, pattern: &[u8]) {
        assert!(!pattern.is_empty(), "an empty pattern is in everything");
        *self.shared.pattern() = Some(pattern.to_vec());
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
    fn pattern(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.pattern.lock().expect("no thread panics while it holds the pattern")
    }

    /// Whether the pattern is in what the client sent; if so, it is not looked for again.
    fn matches(&self, tail: &mut Tail, bytes: &[u8]) -> bool {
        let mut pattern = self.pattern();
        let Some(wanted) = pattern.as_deref() else {
            // Bytes from before the pattern was set do not count.
            tail.0.clear();
            return false;
        };
        let found = tail.find(bytes, wanted);
        if found {
            *pattern = None;
        }
        found
    }

    async fn while_stalled(&self) {
        let mut stalled = self.stalled.subscribe();
        // The sender lives as long as `self`.
        let _ = stalled.wait_for(|stalled| !*stalled).await;
    }
}

// === impl Tail ===

impl Tail {
    fn find(&mut self, bytes: &[u8], wanted: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        let found = self.0.windows(wanted.len()).any(|window| window == wanted);
        let keep = self.0.len().min(wanted.len() - 1);
        self.0.drain(..self.0.len() - keep);
        found
    }
}

/// Takes connections until it is asked to close all of them, or is aborted.
async fn accept(listener: TcpListener, shared: Arc<Shared>, mut closed: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut closed => break,
        };
        let Ok((client, _)) = accepted else { break };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // An error is an end like another: both sides are closed.
            let _ = carry(client, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    connections.shutdown().await;
}

/// Carries one connection to its end.
async fn carry(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut server = TcpStream::connect(&shared.upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let losing = AtomicBool::new(false);
    tokio::try_join!(
        requests(client_read, server_write, shared, &losing),
        answers(server_read, client_write, shared, &losing),
    )?;
    Ok(())
}

async fn requests(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    losing: &AtomicBool,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut tail = Tail::default();
    loop {
        let read = from.read(&mut chunk).await?;
        shared.while_stalled().await;
        if read == 0 {
            return to.shutdown().await;
        }
        if shared.matches(&mut tail, &chunk[..read]) {
            losing.store(true, Ordering::SeqCst);
        }
        to.write_all(&chunk[..read]).await?;
    }
}

async fn answers(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    losing: &AtomicBool,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk).await?;
        shared.while_stalled().await;
        if losing.load(Ordering::SeqCst) {
            shared.swallowed.fetch_add(1, Ordering::SeqCst);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..read]).await?;
    }
}
