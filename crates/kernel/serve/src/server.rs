//! The domains behind one port: the connection's limits, the graceful end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::{StreamExt as _, stream};
use tally_proto::tally::server::v1::server_service_server::ServerServiceServer;
use tally_runtime::metrics::Scrape;
use tally_runtime::{Drain, Tasks};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::server::NamedService as _;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::server::TcpIncoming;

use crate::admission::Names;
use crate::api::document;
use crate::clients::{CONNECTIONS_MAX, Clients};
use crate::domain::{Domains, Draining, Started};
use crate::grpc::{Answering, PACKAGE};
use crate::linger::Lingering;
use crate::metrics::{Measure, Metrics, Requests};
use crate::pages::{About, Pages};
use crate::{Doors, Error, Listener, Origin, health, http};

/// HTTP/2's windows. The h2 library ends a connection, with all its streams, when its unread frames
/// are too many and too small: each frame costs 256 bytes less its payload, and half of the
/// connection's window is the budget. A client may send each message in a frame of its own, of at
/// least 10 bytes, and a service that waits for its database reads none of them. At worst, every
/// stream's window is full of those: 4,096 x 246 x 1,024 is 1.03 billion, and half of the largest
/// window is 1.07 billion. (Only frames that arrive for a stream after the server ended it stay on
/// the account: 4 million of them end a connection.)
///
/// The streams' windows bound what waits unread: 40 MiB for a connection, and h2 keeps some 250
/// bytes beside each frame, so 1 GB at that worst, until the service reads on or ends the streams.
const STREAM_WINDOW_BYTES: u32 = 40 << 10;
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// How many streams one connection may have at the same time.
pub(crate) const STREAMS_MAX: u32 = 1_024;
/// How many streams of a connection may be cancelled before the service sees them, as happens when
/// the server is behind a client that opens and cancels one for each message. Each keeps its headers
/// until then.
const UNSEEN_RESETS_MAX: usize = 4_096;
/// How large a message to the server's own services may be.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// How large the headers of a request may be. gRPC's have some hundred bytes.
const HEADERS_BYTES_MAX: u32 = 8 << 10;
/// How many frames of a connection, over its lifetime, may be answered by the reset of a stream: a
/// client sends frames for a stream that has ended here until it hears of the end.
const FRAMES_TOO_LATE_MAX: usize = 65_536;
/// How often an idle connection is pinged, and how long the answer may take: a client that vanished
/// frees its streams.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause after a connection could not be accepted, mostly because the process has no file
/// descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stop waits for the first bytes of connections that it has just accepted, because only
/// then can they be told to go elsewhere.
const FIRST_BYTES_MAX: Duration = Duration::from_millis(250);

/// A server with its domains, before it listens.
pub struct Server {
    /// What programs get at `/`.
    text: String,
    about: About,
    domains: Domains,
    doors: Vec<Doors>,
    measure: Vec<Measure>,
    clients: Clients,
    /// What it says of itself, if it does.
    origin: Option<Origin>,
}

// === impl Server ===

impl Server {
    /// A server of these domains. Their UDP sockets are read from now on, until the drain begins.
    /// `GET /` answers programs with the title, the gRPC services, and the hints, and browsers with a page.
    pub async fn open(
        title: &str,
        hints: &str,
        started: Vec<Started>,
        drain: &Drain,
    ) -> Result<Self, Error> {
        let (mut doors, mut draining) = (Vec::new(), Vec::new());
        for mut domain in started {
            let sockets = Tasks::new();
            for socket in domain.doors.sockets.drain(..) {
                socket.open(&sockets, drain.clone()).await?;
            }
            doors.push(domain.doors);
            let Started { name, running, tasks, .. } = domain;
            draining.push(Draining { name, sockets, running, tasks });
        }
        let services = doors.iter().flat_map(|doors| &doors.names).copied();
        let text = http::about(title, services, hints);
        let (about, domains) = (About::default(), Domains(draining.into()));
        let clients = Clients::new(CONNECTIONS_MAX);
        Ok(Self { text, about, domains, doors, measure: Vec::new(), clients, origin: None })
    }

    /// How many connections clients may have at the same time: at least 1, and fewer than the process may
    /// open files. When all are taken, idle ones make room for new ones.
    #[must_use]
    pub fn with_connections(self, connections_max: usize) -> Self {
        Self { clients: Clients::new(connections_max), ..self }
    }

    /// Lets the server say what it is, which database it has, and how its domains are.
    #[must_use]
    pub fn saying(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// What a scrape is told besides what the server and the domains know.
    #[must_use]
    pub fn measured(mut self, measure: impl Fn(&mut Scrape) + Send + Sync + 'static) -> Self {
        self.measure.push(Box::new(measure));
        self
    }

    /// What `/about` says.
    #[must_use]
    pub fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    /// The domains, to ask and to wait for while the server runs.
    pub fn domains(&self) -> Domains {
        self.domains.clone()
    }

    /// Serves until the drain begins and every call is answered. `probe` says whether the server
    /// can work.
    pub async fn run<P, F>(self, listener: Listener, probe: P, drain: &Drain) -> Result<(), Error>
    where
        P: Fn() -> F + Send + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let mut own = Routes::builder();
        own.add_service(health_service.max_decoding_message_size(MESSAGE_BYTES_MAX));
        self.add_reflection(&mut own)?;
        let mut services = vec![""];
        let of_pages = self.origin.clone().map(|origin| (self.domains.clone(), origin));
        if let Some(origin) = self.origin {
            let answering = Answering { domains: self.domains.clone(), origin };
            services.push(ServerServiceServer::<Answering>::NAME);
            let service = ServerServiceServer::new(answering);
            own.add_service(service.max_decoding_message_size(MESSAGE_BYTES_MAX));
        }
        let (serving, is_serving) = watch::channel(false);
        let (mut grpc, mut routes) = (router(own), Router::new());
        let mut pages = Pages::new();
        let document = document(self.doors.iter().flat_map(|doors| &doors.apis));
        let requests = Requests::of(self.doors.iter().flat_map(|doors| &doors.apis));
        for doors in self.doors {
            services.extend(doors.names);
            grpc = grpc.merge(router(doors.grpc));
            routes = routes.merge(doors.http);
            pages = pages.and(doors.pages);
        }
        let (pages, site) = pages.finish(self.about, of_pages, self.text);
        routes = routes.merge(pages);
        let tasks = Tasks::new();
        tasks.spawn("health", health::watch(probe, reporter, services, serving, drain.clone()));
        let names = Names::new(listener.address(), listener.host.as_deref(), listener.names);
        let metrics = Arc::new(Metrics {
            requests,
            domains: self.domains,
            serving: is_serving.clone(),
            more: self.measure,
            clients: self.clients.clone(),
        });
        let router = http::all(grpc, routes, names, site, document, is_serving, metrics);
        let (newcomers, clients) = (TaskTracker::new(), self.clients);
        let incoming = TcpIncoming::from(listener.socket)
            .with_nodelay(Some(true))
            .filter_map(|connection| accepted(connection, &clients, newcomers.token()))
            // The port is closed, or left to others, as soon as the drain begins.
            .take_until(drain.begun())
            .chain(stream::pending());
        let stopped = async {
            drain.begun().await;
            newcomers.close();
            let _ = timeout(FIRST_BYTES_MAX, newcomers.wait()).await;
        };
        tonic::transport::Server::builder()
            .accept_http1(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_pending_accept_reset_streams(Some(UNSEEN_RESETS_MAX))
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .http2_max_local_error_reset_streams(Some(FRAMES_TOO_LATE_MAX))
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_routes(Routes::from(router))
            .serve_with_incoming_shutdown(incoming, stopped)
            .await
            .map_err(Error::Serve)?;
        tasks.finished().await;
        Ok(())
    }

    /// Both versions of the reflection protocol: older clients know only v1alpha.
    fn add_reflection(&self, routes: &mut RoutesBuilder) -> Result<(), Error> {
        let own = self.origin.as_ref().map(|_| tally_proto::descriptors(PACKAGE));
        let own = own.unwrap_or_default();
        let builder = || {
            self.doors
                .iter()
                .flat_map(|doors| &doors.descriptors)
                .fold(tonic_reflection::server::Builder::configure(), |builder, set| {
                    builder.register_encoded_file_descriptor_set(set)
                })
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .register_file_descriptor_set(own.clone())
        };
        let (v1, v1alpha) = (builder().build_v1(), builder().build_v1alpha());
        let v1 = v1.map_err(Error::Reflection)?;
        routes.add_service(v1.max_decoding_message_size(MESSAGE_BYTES_MAX));
        let v1alpha = v1alpha.map_err(Error::Reflection)?;
        routes.add_service(v1alpha.max_decoding_message_size(MESSAGE_BYTES_MAX));
        Ok(())
    }
}

/// The routes of gRPC services, without tonic's answer to all others.
fn router(services: RoutesBuilder) -> Router {
    services.routes().prepare().into_axum_router().reset_fallback()
}

/// None if there is no room for it.
async fn accepted(
    connection: std::io::Result<TcpStream>,
    clients: &Clients,
    newcomer: TaskTrackerToken,
) -> Option<std::io::Result<Lingering>> {
    let connection = connection.and_then(|stream| Ok((stream.peer_addr()?, stream)));
    if let Err(error) = &connection {
        tracing::warn!(%error, "could not accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
    let lingering =
        |(address, stream)| Some(Lingering::new(stream, clients.admit(address)?, newcomer));
    connection.map(lingering).transpose()
}
