//! The domains behind one port: the connection's limits, the graceful end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tally_access::Refusals;
use tally_proto::tally::server::v1::server_service_server::ServerServiceServer;
use tally_runtime::metrics::Scrape;
use tally_runtime::{Clock, Drain, SystemClock, Tasks};
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
use crate::guard::{Address, Guard};
use crate::health::Readiness;
use crate::linger::Lingering;
use crate::metrics::{Measure, Metrics, Requests};
use crate::needs::Declared;
use crate::pages::{About, Pages, assets, login};
use crate::tls::Entrance;
use crate::{Access, Doors, Error, Listener, Needs, Origin, health, http};

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

/// What the pages of the server itself need.
const PAGES: [(&str, Needs); 3] =
    [("/", Needs::Read), ("/about", Needs::OperatorRead), (login::PATH, Needs::Nothing)];
/// What the methods of its own services need. Health is for load balancers.
const OWN_METHODS: [(&str, &[(&str, Needs)]); 4] = [
    (
        "grpc.health.v1.Health",
        &[("Check", Needs::Nothing), ("List", Needs::Nothing), ("Watch", Needs::Nothing)],
    ),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", Needs::Key)]),
    ("grpc.reflection.v1alpha.ServerReflection", &[("ServerReflectionInfo", Needs::Key)]),
    (ServerServiceServer::<Answering>::NAME, &[("GetStatus", Needs::OperatorRead)]),
];

/// A server with its domains, before it listens.
pub struct Server {
    /// What programs get at `/`.
    text: String,
    about: About,
    domains: Domains,
    doors: Vec<Doors>,
    measure: Vec<Measure>,
    access: Access,
    clock: Arc<dyn Clock>,
    refusals: Arc<Refusals>,
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
            let (sockets, mut received) = (Tasks::new(), Vec::new());
            for socket in domain.doors.sockets.drain(..) {
                received.push(socket.open(&sockets, drain.clone()).await?);
            }
            doors.push(domain.doors);
            let Started { name, running, tasks, .. } = domain;
            draining.push(Draining { name, sockets, received, running, tasks });
        }
        let services = doors.iter().flat_map(|doors| &doors.names).copied();
        let text = http::about(title, services, hints);
        let (about, domains) = (About::default(), Domains(draining.into()));
        let (access, clock) = (Access::Anyone, Arc::new(SystemClock));
        let (refusals, clients) = (Arc::<Refusals>::default(), Clients::new(CONNECTIONS_MAX));
        let measured = Arc::clone(&refusals);
        let measure: Vec<Measure> = vec![Box::new(move |scrape| measured.measure(scrape))];
        let origin = None;
        Ok(Self { text, about, domains, doors, measure, access, clock, refusals, clients, origin })
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

    /// Whether keys are asked for, and which. Without this, none are.
    #[must_use]
    pub fn guarded(mut self, access: Access, clock: Arc<dyn Clock>) -> Self {
        (self.access, self.clock) = (access, clock);
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
        let mut own = Routes::builder();
        own.add_service(health_service.max_decoding_message_size(MESSAGE_BYTES_MAX));
        self.add_reflection(&mut own)?;
        let declared = self.declared()?;
        let mut services = vec![""];
        let of_pages = self.origin.clone().map(|origin| (self.domains.clone(), origin));
        if let Some(origin) = self.origin {
            let answering = Answering { domains: self.domains.clone(), origin };
            services.push(ServerServiceServer::<Answering>::NAME);
            let service = ServerServiceServer::new(answering);
            own.add_service(service.max_decoding_message_size(MESSAGE_BYTES_MAX));
        }
        let (readiness, asked) = watch::channel(Readiness::Starting);
        let document = document(self.doors.iter().flat_map(|doors| &doors.apis));
        let requests = Requests::of(&declared);
        services.extend(self.doors.iter().flat_map(|doors| &doors.names).copied());
        let (grpc, routes, pages) = joined(router(own), self.doors);
        let (pages, site) = pages.finish(self.about, of_pages, self.text);
        let routes = routes.merge(pages).merge(login::router(self.access.keys()));
        let tasks = Tasks::new();
        if let Some(tls) = listener.tls.clone() {
            tasks.spawn("watch the certificate", Arc::clone(&tls).watch(drain.clone()));
            self.measure.push(Box::new(move |scrape| tls.measure(scrape)));
        }
        let domains = self.domains.clone();
        let watched = health::watch(probe, domains, reporter, services, readiness, drain.clone());
        tasks.spawn("health", watched);
        let names = Names::new(listener.address(), listener.host.as_deref(), listener.names);
        let (access, refusals, clock) = (self.access, self.refusals, self.clock);
        let guard = Guard { names, access, declared, refusals, clock };
        let (readiness, clients, more) = (asked.clone(), self.clients.clone(), self.measure);
        let metrics = Metrics { requests, domains: self.domains, readiness, more, clients };
        let (guard, metrics) = (Arc::new(guard), Arc::new(metrics));
        let router = http::all(grpc, routes, guard, site, document, asked, metrics);
        let (newcomers, clients) = (TaskTracker::new(), self.clients);
        let entrance = Entrance::new(listener.tls);
        let incoming = TcpIncoming::from(listener.socket)
            .with_nodelay(Some(true))
            .filter_map(|connection| accepted(connection, &clients, &entrance, newcomers.token()))
            // The port is closed, or left to others, as soon as the drain begins.
            .take_until(drain.begun())
            .chain(stream::pending());
        let stopped = async {
            drain.begun().await;
            newcomers.close();
            let _ = timeout(FIRST_BYTES_MAX, newcomers.wait()).await;
        };
        transport()
            .add_routes(Routes::from(router))
            .serve_with_incoming_shutdown(incoming, stopped)
            .await
            .map_err(Error::Serve)?;
        tasks.finished().await;
        Ok(())
    }

    /// What every call needs. Fails if a method of gRPC does not say it.
    fn declared(&self) -> Result<Declared, Error> {
        let mut declared = Declared::default();
        for (path, needs) in http::OWN.into_iter().chain(PAGES) {
            declared.route(path, "get", needs);
        }
        for path in assets::paths() {
            declared.route(path, "get", Needs::Nothing);
        }
        declared.route(login::PATH, "post", Needs::Nothing);
        declared.route(login::LOGOUT, "post", Needs::Nothing);
        for (service, methods) in OWN_METHODS {
            declared.service(service, methods);
        }
        for doors in &self.doors {
            for (service, methods) in &doors.declared {
                declared.service(service, methods);
            }
            for operation in doors.apis.iter().flat_map(|api| &api.operations) {
                declared.route(operation.path, operation.method, operation.needs);
            }
            for (path, manner, needs) in &doors.foreign.routes {
                declared.manner(path, manner);
                needs.iter().for_each(|(method, needs)| declared.route(path, method, *needs));
            }
            for path in &doors.pages.paths {
                declared.route(path, "get", Needs::Read);
            }
            for path in &doors.pages.forms {
                declared.route(path, "post", Needs::Admin);
            }
        }
        match self.methods().into_iter().find(|method| !declared.has_method(method)) {
            Some(method) => Err(Error::Undeclared { method }),
            None => Ok(declared),
        }
    }

    /// The path of every method of gRPC that is served and described.
    fn methods(&self) -> Vec<String> {
        let mut methods = Vec::new();
        for doors in &self.doors {
            for set in &doors.descriptors {
                let set = FileDescriptorSet::decode(*set).expect("it is generated");
                for file in &set.file {
                    for service in &file.service {
                        let name = format!("{}.{}", file.package(), service.name());
                        let is_served = doors.names.contains(&&*name);
                        let of_service = service.method.iter().filter(|_| is_served);
                        methods.extend(of_service.map(|one| format!("/{name}/{}", one.name())));
                    }
                }
            }
        }
        methods
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

/// The gRPC services, the HTTP routes and the pages of all doors.
fn joined(own: Router, doors: Vec<Doors>) -> (Router, Router, Pages) {
    let joined = (own, Router::new(), Pages::new());
    doors.into_iter().fold(joined, |(grpc, routes, pages), doors| {
        (grpc.merge(router(doors.grpc)), routes.merge(doors.http), pages.and(doors.pages))
    })
}

/// The routes of gRPC services, without tonic's answer to all others.
fn router(services: RoutesBuilder) -> Router {
    services.routes().prepare().into_axum_router().reset_fallback()
}

/// HTTP/1.1 and HTTP/2 within their limits.
fn transport() -> tonic::transport::Server {
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
}

/// None if there is no room for it. It waits for no client.
async fn accepted(
    connection: std::io::Result<TcpStream>,
    clients: &Clients,
    entrance: &Entrance,
    newcomer: TaskTrackerToken,
) -> Option<std::io::Result<Lingering>> {
    let connection = connection.and_then(|stream| Ok((stream.peer_addr()?, stream)));
    if let Err(error) = &connection {
        tracing::warn!(%error, "could not accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
    let (address, stream) = match connection {
        Ok(connection) => connection,
        Err(error) => return Some(Err(error)),
    };
    let client = clients.admit(address)?;
    let stream = entrance.pass(stream);
    Some(Ok(Lingering::new(stream, Address(address), client, newcomer)))
}
