//! A tonic service counted by an interceptor, for where a layer does not fit.
//!
//! `cargo run -p tally-client --example tonic_interceptor [127.0.0.1:3000]`. It serves the health
//! service, which needs no protobuf compiler. `PathLayer` gives the interceptor the path; without
//! it, calls are counted under the service's name.

use std::{env, error, io};

use tally_client::{PathLayer, Queue};
use tokio::signal::unix::{SignalKind, signal};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

#[tokio::main]
async fn main() -> Result<(), Box<dyn error::Error>> {
    let tally = env::var("TALLY_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7777".to_owned());
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());

    let queue = Queue::connect(tally).await?;
    let (_reporter, health) = tonic_health::server::health_reporter();
    let counted = queue.interceptor("grpc.health.v1.Health");

    let stopped = stopped()?;
    let incoming = TcpIncoming::bind(address.parse()?)?;
    println!("listens on http://{}", incoming.local_addr()?);
    Server::builder()
        .layer(PathLayer)
        .add_service(InterceptedService::new(health, counted))
        .serve_with_incoming_shutdown(incoming, stopped)
        .await?;

    let report = queue.close().await;
    println!("{} counted, {} lost", report.acknowledged, report.lost());
    Ok(())
}

/// Waits for the first SIGTERM or ctrl-c.
fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
