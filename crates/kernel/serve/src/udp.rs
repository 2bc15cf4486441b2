//! A UDP socket of a domain: datagrams of bounded size, in a bounded queue, drained at the end. What is lost on
//! the way is counted.
//!
//! | file | what it owns |
//! |---|---|
//! | `received.rs` | how many datagrams a socket has had, and how many of them were lost |

mod received;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tally_runtime::{Drain, Tasks};
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub(crate) use self::received::Received;
use crate::Error;

/// The largest datagram that is taken. Larger ones are dropped.
const DATAGRAM_BYTES_MAX: usize = 8 << 10;
/// How much memory datagrams may take that wait for their domain, and what each takes besides its bytes.
const QUEUE_BYTES_MAX: usize = 16 << 20;
const DATAGRAM_BYTES: usize = 192;
/// How many a domain takes at once.
const TAKEN_MAX: usize = 2_048;
/// How large the system's buffer should be, if the system allows it.
const SYSTEM_BYTES: usize = 4 << 20;
/// How many datagrams are read once the drain has begun: as many as the system's buffer may hold.
const LAST_DATAGRAMS_MAX: usize = 65_536;
/// How long to retry an address in use, and how often: the server before this one closes its
/// sockets once its drain begins.
const ADDRESS_RELEASE_MAX: Duration = Duration::from_secs(2);
const ADDRESS_PAUSE: Duration = Duration::from_millis(10);

/// Takes the datagrams of a socket.
#[async_trait]
pub trait Datagrams: Send + Sync {
    /// Takes those that have come, at least one, in their order. The next ones wait until this returns; when
    /// 16 MiB of them wait, more are dropped, and counted.
    async fn take(&self, datagrams: Vec<Datagram>);
}

/// A datagram, which has its place in the queue until it is dropped.
#[derive(Debug)]
pub struct Datagram {
    /// What it says.
    pub bytes: Bytes,
    /// Who claims to have sent it: an address can be forged.
    pub from: SocketAddr,
    _place: OwnedSemaphorePermit,
}

/// A socket that is not bound yet.
pub(crate) struct Socket {
    pub(crate) address: String,
    pub(crate) datagrams: Arc<dyn Datagrams>,
}

/// The end of the queue where datagrams come in.
struct Queue {
    datagrams: mpsc::UnboundedSender<Datagram>,
    /// In bytes.
    room: Arc<Semaphore>,
    received: Arc<Received>,
}

// === impl Socket ===

impl Socket {
    /// Binds the socket, and starts the tasks that read it and feed the domain.
    pub(crate) async fn open(self, tasks: &Tasks, drain: Drain) -> Result<Arc<Received>, Error> {
        let socket = bind(&self.address).await?;
        let received = Arc::new(Received::of(&socket));
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        let queue = Queue { datagrams: sender, room, received: Arc::clone(&received) };
        tasks.spawn("read datagrams", read(socket, queue, drain));
        let datagrams = self.datagrams;
        tasks.spawn("take datagrams", async move {
            loop {
                let mut taken = Vec::new();
                if receiver.recv_many(&mut taken, TAKEN_MAX).await == 0 {
                    break;
                }
                datagrams.take(taken).await;
            }
        });
        Ok(received)
    }
}

async fn bind(address: &str) -> Result<UdpSocket, Error> {
    let begun = Instant::now();
    loop {
        match UdpSocket::bind(address).await {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && begun.elapsed() < ADDRESS_RELEASE_MAX =>
            {
                tokio::time::sleep(ADDRESS_PAUSE).await;
            }
            bound => {
                let bound = bound
                    .map_err(|source| Error::BindUdp { address: address.to_owned(), source })?;
                enlarge(&bound);
                return Ok(bound);
            }
        }
    }
}

/// Asks for a large buffer: while this process waits for a processor, datagrams come all the same. Only root may
/// have more than the system's `net.core.rmem_max`.
fn enlarge(socket: &UdpSocket) {
    #[cfg(target_os = "linux")]
    let is_forced =
        rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, SYSTEM_BYTES).is_ok();
    #[cfg(not(target_os = "linux"))]
    let is_forced = false;
    #[cfg(unix)]
    if !is_forced {
        // What it gives instead is less.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(socket, SYSTEM_BYTES);
    }
    #[cfg(not(unix))]
    let _ = (socket, is_forced);
}

/// Reads what arrives before the drain begins.
async fn read(socket: UdpSocket, queue: Queue, drain: Drain) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
    loop {
        tokio::select! {
            // For example, an earlier answer could not be delivered.
            received = socket.recv_from(&mut buffer) => match received {
                Ok((bytes, from)) => queue.put(&buffer[..bytes], from),
                Err(error) => tracing::debug!(%error, "could not read a datagram"),
            },
            () = drain.begun() => break,
        }
    }
    let socket = socket.into_std()?;
    for _ in 0..LAST_DATAGRAMS_MAX {
        let Ok((bytes, from)) = socket.recv_from(&mut buffer) else { break };
        queue.put(&buffer[..bytes], from);
    }
    // Afterwards the system knows nothing of the socket.
    queue.received.look();
    Ok(())
}

// === impl Queue ===

impl Queue {
    /// Puts a datagram into the queue, or drops and counts it.
    fn put(&self, datagram: &[u8], from: SocketAddr) {
        self.received.taken.add(1);
        if datagram.len() > DATAGRAM_BYTES_MAX {
            self.received.too_large.add(1);
            tracing::debug!(%from, "dropped a datagram of more than {DATAGRAM_BYTES_MAX} bytes");
            return;
        }
        let bytes = u32::try_from(datagram.len() + DATAGRAM_BYTES).unwrap_or(u32::MAX);
        let Ok(place) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else {
            self.received.without_room.add(1);
            return;
        };
        let bytes = Bytes::copy_from_slice(datagram);
        // This fails only if the domain panicked.
        let _ = self.datagrams.send(Datagram { bytes, from, _place: place });
    }
}
