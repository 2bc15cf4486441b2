//! Composes the server from its parts, runs it, and drains it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tally_requests::{MIGRATIONS, Parts, Service};
use tally_runtime::{Clock, Drain, Signals, chain};
use tally_serve::{Listener, Offer, Server, Successor};
use tally_store::{Database, DatabaseUrl};
use tokio::time::timeout;

use crate::client::SERVER_DEFAULT;
use crate::output::{plural, say, visible};
use crate::port::{self, Port};
use crate::settings::Settings;

/// How long connections stay open after everything is stored and answered.
pub(crate) const LAST_ANSWERS_MAX: Duration = Duration::from_secs(3);

/// Opens the database, and logs what was ignored of what is read besides its URL. The error names
/// it, without its password.
pub(crate) async fn open(
    url: &DatabaseUrl,
    pool: tally_store::postgres::Settings,
) -> anyhow::Result<Database> {
    if let DatabaseUrl::Postgres(url) = url {
        url.notes().iter().for_each(|note| tracing::warn!("{note}"));
    }
    Database::open(url, pool).await.map_err(plain)
}

/// An error in one line, which does not repeat itself, and is safe to show: databases and other
/// programs have a say in it.
pub(crate) fn plain(error: impl std::error::Error + 'static) -> anyhow::Error {
    anyhow::anyhow!(visible(&chain(&error)).into_owned())
}

/// Serves until a signal, and until all that was taken is stored.
pub(crate) async fn serve(settings: Settings, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install().context("take over SIGTERM, SIGHUP and Ctrl-C")?;
    // The port first: a second server started by mistake touches no database.
    let mut port = Port::get(&settings).await.map_err(plain)?;
    let starting = start(&settings, &mut port, clock);
    let (database, service, drain) = tokio::select! {
        started = starting => started?,
        signal = signals.recv() => {
            say(format_args!("{signal}: stopped before the server had started"));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let offer = port.offer();
    let listener = port.listener;
    greet(&listener, &settings.database.url);
    let server = Server::new(about())
        .service(service.count_service())
        .service(service.request_service())
        .descriptors(tally_proto::FILE_DESCRIPTOR_SET);
    let asked = (database.clone(), service.clone());
    let probe = move || ready(asked.clone());
    let serving = server.run(listener, probe, &drain);
    tokio::pin!(serving);
    // Kept to the end of the process: a successor on SQLite waits for that.
    let _successor = tokio::select! {
        ended = &mut serving => {
            ended.context("the server ended by itself")?;
            return Ok(ExitCode::FAILURE);
        }
        successor = told_to_stop(&mut signals, offer, &service, &drain) => successor,
    };
    let stored = timeout(settings.drain_timeout, async {
        tokio::select! {
            // The connections go on meanwhile, so that the streams hear how they ended.
            ended = &mut serving => {
                service.finished().await;
                ended.map(|()| true)
            }
            () = service.finished() => Ok(false),
        }
    });
    let are_closed = tokio::select! {
        stored = stored => match stored {
            Ok(ended) => ended?,
            // An idle server has nothing to wait for, however short the time.
            Err(_) if service.queued_rows() == 0 => false,
            Err(_) => {
                let (rows, ms) = (service.queued_rows(), settings.drain_timeout.as_millis());
                anyhow::bail!(
                    "stopped after {ms} ms with {rows} requests not stored and not acknowledged"
                )
            }
        },
        again = signals.recv() => {
            let rows = service.queued_rows();
            anyhow::bail!(
                "stopped at once by a second {again}, with {rows} requests not stored and not \
                 acknowledged"
            )
        }
    };
    if !are_closed {
        last_answers(serving, &mut signals).await;
    }
    let there = database.check_at_end();
    close(&database).await;
    there.map_err(plain)?;
    tracing::info!("stopped: everything that was acknowledged is stored");
    Ok(ExitCode::SUCCESS)
}

/// Whether what is sent can be stored; or why not.
async fn ready((database, service): (Database, Service)) -> Result<(), String> {
    service.ready().await?;
    database.ping().await.map_err(|error| chain(&error))
}

/// Closes the database; what of it fails is no loss.
pub(crate) async fn close(database: &Database) {
    if let Err(error) = database.close().await {
        tracing::warn!(error = chain(&error), "could not close the database well");
    }
}

/// Waits for a signal, or for a server that takes the port over, and begins the drain.
async fn told_to_stop(
    signals: &mut Signals,
    offer: Option<Offer>,
    service: &Service,
    drain: &Drain,
) -> Option<Successor> {
    let mut successor = tokio::select! {
        signal = signals.recv() => {
            let queued_rows = service.queued_rows();
            tracing::info!(signal, queued_rows, "stopping: storing what was taken");
            None
        }
        successor = port::taken(offer.as_ref()) => {
            let (process, queued_rows) = (successor.process(), service.queued_rows());
            tracing::info!(
                process, queued_rows, "a new server takes the port over: storing what was taken"
            );
            Some(successor)
        }
    };
    // It has a copy of the socket.
    drop(offer);
    drain.begin();
    if let Some(successor) = &mut successor
        && let Err(error) = successor.go().await
    {
        tracing::warn!(%error, "the new server is gone");
    }
    successor
}

/// Lets the streams hear how they ended. Somebody who watches the health of the server, or
/// reads slowly, cannot hold it for long.
async fn last_answers(serving: impl Future, signals: &mut Signals) {
    tokio::select! {
        _ = timeout(LAST_ANSWERS_MAX, serving) => {}
        _ = signals.recv() => {}
    }
}

async fn start(
    settings: &Settings,
    port: &mut Port,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(Database, Service, Drain)> {
    let database = port.open_database(settings).await?;
    if settings.migrate {
        let before = MIGRATIONS.run(&database).await.map_err(plain)?;
        for migration in before.pending {
            tracing::info!(migration, "applied a migration");
        }
    } else {
        let schema = MIGRATIONS.check(&database).await.map_err(plain)?;
        if !schema.pending.is_empty() {
            anyhow::bail!(
                "the database lacks {} ({}): run `tally migrate`, or start with --migrate true",
                plural(schema.pending.len() as u64, "migration"),
                schema.pending.join(", ")
            );
        }
    }
    let drain = Drain::new();
    let parts = Parts { database: database.clone(), clock, drain: drain.clone() };
    let service = Service::start(parts, settings.requests).await.map_err(plain)?;
    port.replace().await?;
    Ok((database, service, drain))
}

/// The first thing that a new user sees.
fn greet(listener: &Listener, url: &DatabaseUrl) {
    let address = listener.address();
    let version = env!("CARGO_PKG_VERSION");
    let server = server_flag(address);
    say(format_args!("tally {version} listens on http://{address} (gRPC and HTTP)"));
    say(format_args!("database: {url}"));
    say(format_args!("count something: tally add GET /hello{server}"));
    say(format_args!("and look at it:  tally totals --live{server}"));
    tracing::debug!(%address, database = %url, "listening");
    if let Some(warning) = open_door(address) {
        tracing::warn!("{warning}");
    }
}

/// What to say of an address that other machines may reach.
fn open_door(address: SocketAddr) -> Option<String> {
    let is_loopback = address.ip().to_canonical().is_loopback();
    (!is_loopback).then(|| {
        format!(
            "anyone who can reach {address} can count, read totals, roll up and clear setbacks: \
             there is no login yet"
        )
    })
}

/// What a command on this machine needs to find the server at this address.
fn server_flag(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let url = format!("http://{address}");
    if url == SERVER_DEFAULT { String::new() } else { format!(" --server {url}") }
}

fn about() -> String {
    format!(
        "Tally {} counts requests.\n\n\
         gRPC   count.v1.CountService, tally.requests.v1.RequestService,\n       \
         grpc.health.v1.Health, and reflection\n\
         HTTP   GET /healthz: 200 while requests can be stored, 503 otherwise\n\n\
         Count something:  tally add GET /hello\n\
         Look at it:       tally totals --live\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Starts the log.
pub(crate) fn log(database: &crate::settings::DatabaseSettings) -> anyhow::Result<()> {
    tally_runtime::telemetry::install(&database.log_level, database.log_format)
        .map_err(io::Error::other)
        .context("start the log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_is_warned_of() {
        let warning = |address: &str| open_door(address.parse().expect("an address"));
        for address in ["127.0.0.1:7777", "127.9.9.9:1", "[::1]:7777", "[::ffff:127.0.0.1]:7777"] {
            assert_eq!(warning(address), None);
        }
        for address in ["0.0.0.0:7777", "[::]:7777", "192.0.2.7:7777"] {
            let warning = warning(address).unwrap_or_default();
            assert!(warning.contains(address) && warning.contains("no login"), "{warning}");
        }
    }

    #[test]
    fn commands_are_told_where_the_server_is() {
        let flag = |address: &str| server_flag(address.parse().expect("an address"));
        assert_eq!(flag("127.0.0.1:7777"), "");
        assert_eq!(flag("0.0.0.0:7777"), "");
        assert_eq!(flag("0.0.0.0:7790"), " --server http://127.0.0.1:7790");
        assert_eq!(flag("127.0.0.2:7777"), " --server http://127.0.0.2:7777");
        assert_eq!(flag("[::1]:7790"), " --server http://[::1]:7790");
        assert_eq!(flag("[::]:7777"), " --server http://[::1]:7777");
    }
}
