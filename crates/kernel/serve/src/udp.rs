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
/// How many datagrams may wait for their domain: at most 8 MiB.
const QUEUE_DATAGRAMS_MAX: usize = 1_024;
/// How long to retry an address in use, and how often: the server before this one closes its
/// sockets once its drain begins.
const ADDRESS_RELEASE_MAX: Duration = Duration::from_secs(2);
const ADDRESS_PAUSE: Duration = Duration::from_millis(10);

/// Takes the datagrams of a socket, one by one.
#[async_trait]
pub trait Datagrams: Send + Sync {
    /// Takes one. The next one waits until this returns.
    async fn take(&self, datagram: Bytes, from: SocketAddr);
}

/// A socket that is not bound yet.
pub(crate) struct Socket {
    pub(crate) address: String,
    pub(crate) datagrams: Arc<dyn Datagrams>,
}

type Queue = mpsc::Sender<(Bytes, SocketAddr)>;

// === impl Socket ===

impl Socket {
    /// Binds the socket, and starts the tasks that read it and feed the domain.
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

/// Reads what arrives before the drain begins. While the queue is full, datagrams wait in the
/// system's buffer, which drops what has no room.
async fn read(socket: UdpSocket, queue: Queue, drain: Drain) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
    loop {
        tokio::select! {
            // For example, an earlier answer could not be delivered.
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
    // This fails only if the domain panicked.
    let _ = queue.send((Bytes::copy_from_slice(datagram), from)).await;
}
