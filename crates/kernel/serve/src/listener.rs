//! The port: bound, or inherited from a service manager.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::Error;
use crate::admission::HostNames;
use crate::tls::Tls;

/// How many connections may wait to be accepted, if the system allows it.
#[cfg(unix)]
const BACKLOG: i32 = 4_096;

/// A port that this server listens on.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: TcpListener,
    address: SocketAddr,
    /// The host's name or address, as configured.
    pub(crate) host: Option<String>,
    /// What else the server is called.
    pub(crate) names: HostNames,
    pub(crate) tls: Option<Arc<Tls>>,
}

/// What a server works on. Its successor must work on the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The database, in one line without secrets.
    pub database: String,
    /// Grows with each version of the program that changes the database.
    pub version: i64,
}

// === impl Listener ===

impl Listener {
    /// Binds `address`, such as `127.0.0.1:7777`; port 0 means any free port.
    pub async fn bind(address: &str) -> Result<Self, Error> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => Error::PortInUse { address: address.to_owned() },
            _ => Error::Bind { address: address.to_owned(), source },
        };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        // As many may wait as the system allows: those who find no place there wait for a second.
        #[cfg(unix)]
        let _ = rustix::net::listen(&socket, BACKLOG);
        Self::new(socket, Some(address)).map_err(failed)
    }

    /// The socket that systemd, or another program with its protocol (`sd_listen_fds(3)`), has
    /// opened for this process. It outlives the process, so connections wait during a restart
    /// instead of being refused.
    #[cfg(unix)]
    pub fn inherited() -> Result<Option<Self>, Error> {
        let failed = |problem: String| Error::Inherited { problem };
        let mut sockets = listenfd::ListenFd::from_env();
        match sockets.len() {
            0 => return Ok(None),
            1 => {}
            many => return Err(failed(format!("it says {many} sockets"))),
        }
        let taken = sockets.take_tcp_listener(0).map_err(|error| failed(error.to_string()))?;
        let socket = taken.ok_or_else(|| failed("it is taken already".to_owned()))?;
        Self::from_std(socket, None).map(Some).map_err(|error| failed(error.to_string()))
    }

    /// There is no such protocol here.
    #[cfg(not(unix))]
    pub fn inherited() -> Result<Option<Self>, Error> {
        Ok(None)
    }

    /// By these names browsers may ask for it, too.
    #[must_use]
    pub fn named(self, names: HostNames) -> Self {
        Self { names, ..self }
    }

    /// It speaks TLS, if this is some.
    #[must_use]
    pub fn secured(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A socket that another process has opened.
    #[cfg(unix)]
    pub(crate) fn from_std(
        socket: std::net::TcpListener,
        configured: Option<&str>,
    ) -> io::Result<Self> {
        if !rustix::net::sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::other("the socket does not listen"));
        }
        socket.set_nonblocking(true)?;
        Self::new(TcpListener::from_std(socket)?, configured)
    }

    fn new(socket: TcpListener, configured: Option<&str>) -> io::Result<Self> {
        let host = configured.and_then(|address| address.rsplit_once(':'));
        let host = host.map(|(host, _)| host.to_owned());
        let (address, names) = (socket.local_addr()?, HostNames::default());
        Ok(Self { address, socket, host, names, tls: None })
    }
}
