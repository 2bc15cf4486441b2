//! A UDP socket of a domain: datagrams of bounded size, in a bounded queue, drained at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tally_runtime::{Drain, Tasks};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::Error;

/// The largest datagram that is taken. Larger ones are dropped.
const DATAGRAM_BYTES_MAX: usize = 8 << 10;
/// How many datagrams wait for their domain: 8 MiB at most.
const QUEUE_DATAGRAMS_MAX: usize = 1_024;
/// How long an address may stay in use: the server before this one closes its sockets once its
/// drain begins. And how often it is tried.
const ADDRESS_RELEASE_MAX: Duration = Duration::from_secs(2);
const ADDRESS_PAUSE: Duration = Duration::from_millis(10);

/// Takes the datagrams of a socket, one after the other.
#[async_trait]
pub trait Datagrams: Send + Sync {
    /// Takes one. The next ones wait until this returns.
    async fn take(&self, datagram: Bytes, from: SocketAddr);
}

/// A socket that is not bound yet.
pub(crate) struct Socket {
    pub(crate) address: String,
    pub(crate) datagrams: Arc<dyn Datagrams>,
}

/// What waits for the domain.
type Queue = mpsc::Sender<(Bytes, SocketAddr)>;

// === impl Socket ===

impl Socket {
    /// Binds the socket, and starts the tasks that read it and hand over what they read.
    pub(crate) async fn open(self, tasks: &Tasks, drain: Drain) -> Result<(), Error> {
        let socket = bind(&self.address).await?;
        let (sender, mut receiver) = mpsc::channel(QUEUE_DATAGRAMS_MAX);
        tasks.spawn("read datagrams", read(socket, sender, drain));
        let datagrams = self.datagrams;
        tasks.spawn("take datagrams", async move {
            while let Some((datagram, from)) = receiver.recv().await {
                datagrams.take(datagram, from).await;
            }
        });
        Ok(())
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
                return bound
                    .map_err(|source| Error::BindUdp { address: address.to_owned(), source });
            }
        }
    }
}

/// Reads until the drain begins, and then what has arrived by then. While the queue is full,
/// datagrams wait in the system's buffer, which drops what has no room.
async fn read(socket: UdpSocket, queue: Queue, drain: Drain) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
    loop {
        tokio::select! {
            // An error is about an earlier answer that could not be delivered, for example.
            received = socket.recv_from(&mut buffer) => match received {
                Ok((bytes, from)) => hand_over(&buffer[..bytes], from, &queue).await,
                Err(error) => tracing::debug!(%error, "could not read a datagram"),
            },
            () = drain.begun() => break,
        }
    }
    let socket = socket.into_std()?;
    for _ in 0..QUEUE_DATAGRAMS_MAX {
        let (bytes, from) = socket.recv_from(&mut buffer)?;
        hand_over(&buffer[..bytes], from, &queue).await;
    }
    Ok(())
}

async fn hand_over(datagram: &[u8], from: SocketAddr, queue: &Queue) {
    if datagram.len() > DATAGRAM_BYTES_MAX {
        tracing::debug!(%from, "dropped a datagram of more than {DATAGRAM_BYTES_MAX} bytes");
        return;
    }
    // The other end lives until this one is dropped, unless the domain panicked.
    let _ = queue.send((Bytes::copy_from_slice(datagram), from)).await;
}
