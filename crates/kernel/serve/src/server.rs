//! The listener, the connection's limits, the graceful end.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tally_runtime::{Drain, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::server::TcpIncoming;

use crate::linger::Lingering;
use crate::{health, http};

/// HTTP/2's window for a whole connection. The h2 library ends a connection that has too many
/// small unread frames, with all its streams; it counts them against half of this. With
/// 16 MiB, streams that are held back for seconds do no harm.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// How often an idle connection is asked for a sign of life, and how long that may take: a
/// client that vanished frees its streams.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How many streams one connection may have at the same time.
const STREAMS_MAX: u32 = 256;
/// The pause after a connection could not be accepted, which will not be better at once: the
/// process has no file descriptor left, most of the time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// What is served, and how to know whether it can be.
pub struct Server {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    descriptors: Vec<&'static [u8]>,
    about: String,
}

/// The server could not start, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken.
    #[error(
        "cannot listen on {address}: another program uses this port, perhaps another Tally; \
         stop it, or choose another port with --listen"
    )]
    PortInUse {
        /// As configured.
        address: String,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// As configured.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Reflection could not be set up.
    #[error("set up gRPC reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The server failed while it ran.
    #[error("serve")]
    Serve(#[source] tonic::transport::Error),
}

// === impl Listener ===

impl Listener {
    /// Binds `address`, as in `127.0.0.1:7777`; port 0 means any free port.
    ///
    /// # Errors
    /// When the address is taken, or is none of this machine's.
    pub async fn bind(address: &str) -> Result<Self, Error> {
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::PortInUse { address: address.to_owned() },
            _ => Error::Bind { address: address.to_owned(), source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address: bound })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

// === impl Server ===

impl Server {
    /// A server without services. `about` is what `GET /` answers.
    #[must_use]
    pub fn new(about: impl Into<String>) -> Self {
        Self {
            routes: Routes::builder(),
            names: Vec::new(),
            descriptors: Vec::new(),
            about: about.into(),
        }
    }

    /// Adds a gRPC service.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: tower_service::Service<
                ::http::Request<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// Adds an encoded `FileDescriptorSet` that reflection serves.
    #[must_use]
    pub fn descriptors(mut self, set: &'static [u8]) -> Self {
        self.descriptors.push(set);
        self
    }

    /// Serves until the drain begins and every call is answered. `probe` says whether the
    /// server can do its work.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run<P, F>(
        mut self,
        listener: Listener,
        probe: P,
        drain: &Drain,
    ) -> Result<(), Error>
    where
        P: Fn() -> F + Send + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (reporter, health_service) = tonic_health::server::health_reporter();
        self.routes.add_service(health_service);
        self.add_reflection()?;
        let (serving, is_serving) = watch::channel(false);
        let tasks = Tasks::new();
        tasks.spawn("health", health::watch(probe, reporter, self.names, serving, drain.clone()));
        let grpc = self.routes.routes().prepare().into_axum_router();
        let router = http::with_pages(grpc, self.about, is_serving);
        tonic::transport::Server::builder()
            .accept_http1(true)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_routes(Routes::from(router))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener.listener).with_nodelay(Some(true)).then(accepted),
                drain.begun(),
            )
            .await
            .map_err(Error::Serve)?;
        tasks.close();
        tasks.finished().await;
        Ok(())
    }

    /// Both versions of the reflection protocol: older clients know only v1alpha.
    fn add_reflection(&mut self) -> Result<(), Error> {
        let builder = || {
            self.descriptors
                .iter()
                .fold(tonic_reflection::server::Builder::configure(), |builder, set| {
                    builder.register_encoded_file_descriptor_set(set)
                })
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let (v1, v1alpha) = (builder().build_v1(), builder().build_v1alpha());
        self.routes.add_service(v1.map_err(Error::Reflection)?);
        self.routes.add_service(v1alpha.map_err(Error::Reflection)?);
        Ok(())
    }
}

async fn accepted(connection: std::io::Result<TcpStream>) -> std::io::Result<Lingering> {
    if let Err(error) = &connection {
        tracing::warn!(%error, "could not accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
    connection.map(Lingering::new)
}
