//! The mock's server on a port.

use std::net::SocketAddr;
use std::time::Duration;

use tally_client::{ProducerBuilder, QueueBuilder};
use tally_proto::count::v1::count_service_server::CountServiceServer;
use tally_proto::tally::requests::v1::request_service_server::RequestServiceServer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::ServerTlsConfig;

use super::{Mock, fast_producer, fast_queue};

/// A running server. Dropping it kills it with all its connections.
pub(crate) struct Server {
    runtime: Option<tokio::runtime::Runtime>,
    address: SocketAddr,
    scheme: &'static str,
}

// === impl Mock ===

impl Mock {
    pub(crate) fn start(&self) -> Server {
        self.start_at("127.0.0.1:0".parse().expect("an address"))
    }

    pub(crate) fn start_at(&self, address: SocketAddr) -> Server {
        self.serve_at(address, "http", tonic::transport::Server::builder())
    }

    /// Behind TLS.
    pub(crate) fn start_secured(&self, tls: ServerTlsConfig) -> Server {
        let builder = tonic::transport::Server::builder().tls_config(tls).expect("certificates");
        self.serve_at("127.0.0.1:0".parse().expect("an address"), "https", builder)
    }

    fn serve_at(
        &self,
        address: SocketAddr,
        scheme: &'static str,
        builder: tonic::transport::Server,
    ) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let within = runtime.enter();
        let listener = std::net::TcpListener::bind(address).expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let serve = builder
            .initial_connection_window_size(16 << 20)
            .add_service(
                RequestServiceServer::new(self.clone()).max_decoding_message_size(16 << 20),
            )
            .add_service(CountServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(serve);
        drop(within);
        Server { runtime: Some(runtime), address, scheme }
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn queue(&self) -> QueueBuilder {
        fast_queue(&self.url())
    }

    pub(crate) fn producer(&self) -> ProducerBuilder {
        fast_producer(&self.url())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Its sockets are closed when this returns. A runtime must not wait within another.
            let kill = std::thread::spawn(|| runtime.shutdown_timeout(Duration::from_secs(10)));
            kill.join().expect("no panic");
        }
    }
}
