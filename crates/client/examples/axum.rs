//! An axum service that counts its requests by route.
//!
//! `cargo run -p tally-client --features axum --example axum [127.0.0.1:3000]`, then
//! `curl http://127.0.0.1:3000/hello/you` and `tally totals --live`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, error, io};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::routing::get;
use tally_client::Queue;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The service's own count, to compare with the totals.
static VISITS: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> Result<(), Box<dyn error::Error>> {
    let tally = env::var("TALLY_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7777".to_owned());
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());

    let queue = Queue::connect(tally).await?;
    let app = Router::new()
        .route("/hello/{name}", get(hello))
        .route("/download", get(download))
        .route("/healthz", get(|| async { "ok" }))
        .layer(queue.layer().skip(|head| head.path() == "/healthz"));

    let stopped = stopped()?;
    let listener = TcpListener::bind(address).await?;
    println!("listens on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;

    println!("saw {} visits", VISITS.load(Ordering::Relaxed));
    let report = queue.close().await;
    println!("{} counted, {} lost", report.acknowledged, report.lost());
    Ok(())
}

async fn hello(Path(name): Path<String>) -> String {
    format!("Hello {name}, you are visitor {}.\n", visit())
}

/// A body in pieces, 13 MB in all.
async fn download() -> Body {
    visit();
    let pieces = (0..200).map(|_| Ok::<_, io::Error>(Bytes::from_static(&[b'.'; 65_536])));
    Body::from_stream(tokio_stream::iter(pieces))
}

fn visit() -> u64 {
    VISITS.fetch_add(1, Ordering::Relaxed) + 1
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
