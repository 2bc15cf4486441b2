//! The connections of a proxy: forwarding their bytes and applying the faults.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Direction, Faults, Shared};

/// How much is forwarded at a time in each direction.
const CHUNK_BYTES: usize = 64 * 1024;

/// The last bytes of a direction, which may be the start of a pattern.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    /// How many patterns were found in this search.
    found: usize,
    search: u64,
}

/// Ends a connection in a way that both sides see as a reset.
const RESET: io::ErrorKind = io::ErrorKind::ConnectionReset;

/// Accepts connections until it is asked to close all of them, or is aborted.
pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut closed: oneshot::Receiver<()>,
) {
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
            // An error closes both sides, like any other end.
            let _ = connect(client, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    connections.shutdown().await;
}

/// Runs one connection to its end.
async fn connect(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut resets = shared.resets.subscribe();
    let upstream = shared.faults().upstream.clone();
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ended = tokio::select! {
        ended = carry(&mut client, &mut server, shared) => ended,
        _ = resets.changed() => Err(RESET.into()),
    };
    if ended.as_ref().is_err_and(|error| error.kind() == RESET) {
        // Even if a peer reset one side: the other side must see a reset, too.
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    ended
}

async fn carry(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let losing = AtomicBool::new(false);
    tokio::try_join!(
        forward(client_read, server_write, Direction::ToServer, shared, &losing),
        forward(server_read, client_write, Direction::ToClient, shared, &losing),
    )?;
    Ok(())
}

async fn forward(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    shared: &Shared,
    losing: &AtomicBool,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut tail = Tail::default();
    let mut has_hole = false;
    loop {
        let read = from.read(&mut chunk).await?;
        shared.hold().await;
        if direction == Direction::ToClient && losing.load(Ordering::SeqCst) {
            shared.swallowed.fetch_add(1, Ordering::SeqCst);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        // Nothing may follow a hole, because the receiver would misread it.
        has_hole |= shared.faults().lost[direction as usize];
        if has_hole && read == 0 {
            return Ok(());
        }
        if has_hole {
            shared.bytes_lost.fetch_add(read, Ordering::SeqCst);
            continue;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        if direction == Direction::ToServer {
            if let Some(rest) = shared.tears(read) {
                to.write_all(&chunk[..rest]).await?;
                return Err(RESET.into());
            }
            if shared.faults().matches(&mut tail, &chunk[..read]) {
                losing.store(true, Ordering::SeqCst);
            }
        }
        to.write_all(&chunk[..read]).await?;
    }
}

// === impl Shared ===

impl Shared {
    /// Waits while connections are stalled, then for the delay.
    async fn hold(&self) {
        let mut stalled = self.stalled.subscribe();
        // The sender lives as long as `self`.
        let _ = stalled.wait_for(|stalled| !*stalled).await;
        let delay = self.faults().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// How many of these bytes to forward before a reset; `None` without a reset.
    fn tears(&self, bytes: usize) -> Option<usize> {
        let mut faults = self.faults();
        let left = faults.tear_after?;
        faults.tear_after = left.checked_sub(bytes);
        if faults.tear_after.is_some() {
            return None;
        }
        self.torn.fetch_add(1, Ordering::SeqCst);
        Some(left)
    }
}

// === impl Faults ===

impl Faults {
    /// Whether the client has sent the last pattern; if so, the search ends.
    fn matches(&mut self, tail: &mut Tail, bytes: &[u8]) -> bool {
        if self.patterns.is_empty() || tail.search != self.search {
            // Bytes from before the patterns were set do not count.
            *tail = Tail { search: self.search, ..Tail::default() };
        }
        tail.bytes.extend_from_slice(bytes);
        while let Some(wanted) = self.patterns.get(tail.found) {
            if !tail.find(wanted) {
                return false;
            }
            tail.found += 1;
        }
        let all_found = !self.patterns.is_empty();
        self.patterns.clear();
        tail.bytes.clear();
        all_found
    }
}

// === impl Tail ===

impl Tail {
    /// Finds the pattern, and keeps bytes that may be the start of the next one.
    fn find(&mut self, wanted: &[u8]) -> bool {
        let at = self.bytes.windows(wanted.len()).position(|window| window == wanted);
        let keep_from = match at {
            Some(at) => at + wanted.len(),
            None => self.bytes.len().saturating_sub(wanted.len() - 1),
        };
        self.bytes.drain(..keep_from);
        at.is_some()
    }
}
