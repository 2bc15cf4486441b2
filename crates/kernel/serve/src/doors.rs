//! The ways into a domain: gRPC services, HTTP routes, pages, UDP sockets.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tower_service::Service;

use crate::Needs;
use crate::api::Api;
use crate::foreign::Foreign;
use crate::pages::Pages;
use crate::udp::{Datagrams, Socket};

/// The ways into a domain.
#[derive(Default)]
pub struct Doors {
    pub(crate) grpc: RoutesBuilder,
    /// The gRPC services.
    pub(crate) names: Vec<&'static str>,
    pub(crate) declared: Vec<(&'static str, &'static [(&'static str, Needs)])>,
    pub(crate) descriptors: Vec<&'static [u8]>,
    pub(crate) http: Router,
    pub(crate) pages: Pages,
    pub(crate) apis: Vec<Api>,
    pub(crate) foreign: Foreign,
    pub(crate) sockets: Vec<Socket>,
}

// === impl Doors ===

impl Doors {
    /// No doors yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a gRPC service, and says what each of its methods needs.
    #[must_use]
    pub fn grpc<S>(mut self, service: S, needs: &'static [(&'static str, Needs)]) -> Self
    where
        S: Service<http::Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.declared.push((S::NAME, needs));
        self.grpc.add_service(service);
        self
    }

    /// Adds an encoded `FileDescriptorSet`, for reflection.
    #[must_use]
    pub fn descriptors(mut self, set: &'static [u8]) -> Self {
        self.descriptors.push(set);
        self
    }

    /// Adds pages. Panics if two domains have the same route.
    #[must_use]
    pub fn pages(mut self, pages: Pages) -> Self {
        self.pages = self.pages.and(pages);
        self
    }

    /// Adds an HTTP API, which the OpenAPI document describes. Panics if two domains have the same
    /// route.
    #[must_use]
    pub fn api(mut self, mut api: Api) -> Self {
        self.http = self.http.merge(std::mem::take(&mut api.router));
        self.apis.push(api);
        self
    }

    /// Adds the routes of other products. Panics if two domains have the same route.
    #[must_use]
    pub fn foreign(mut self, mut foreign: Foreign) -> Self {
        self.http = self.http.merge(std::mem::take(&mut foreign.router));
        self.foreign.routes.extend(foreign.routes);
        self
    }

    /// Adds a UDP socket, which is bound to `address` when the server starts.
    #[must_use]
    pub fn udp(mut self, address: impl Into<String>, datagrams: Arc<dyn Datagrams>) -> Self {
        self.sockets.push(Socket { address: address.into(), datagrams });
        self
    }
}
