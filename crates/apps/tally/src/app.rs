//! Composes the server from its domains, runs it, and drains it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tally_access::Keys;
use tally_outbox::{Counting, Courier, Outbox};
use tally_runtime::{Clock, Drain, ServiceManager, Signals, Tasks, chain};
use tally_serve::pages::{About, Setting};
use tally_serve::{Domains, Offer, Origin, Parts, Server, Started, Successor, Tls, TlsFiles};
use tally_store::{Database, DatabaseUrl};
use tokio::time::timeout;

use crate::greeting::{about, greet, hints, status};
use crate::metrics::Watched;
use crate::output::{plural, say, visible};
use crate::port::{self, Port};
use crate::schema::Sets;
use crate::settings::{LogSettings, Settings};

/// How long connections stay open once everything is stored.
pub(crate) const LAST_ANSWERS_MAX: Duration = Duration::from_secs(3);

/// How many files are open besides connections, and while connections are being closed.
const OTHER_FILES: usize = 64;

/// The namespace that everything is counted in.
const NAMESPACE: &str = "default";

/// Opens the database, and logs which settings of libpq were ignored.
pub(crate) async fn open(
    url: &DatabaseUrl,
    pool: tally_store::postgres::Settings,
) -> anyhow::Result<Database> {
    if let DatabaseUrl::Postgres(url) = url {
        url.notes().iter().for_each(|note| tracing::warn!("{note}"));
    }
    Database::open(url, pool).await.map_err(plain)
}

/// An error in one line that is safe to show: parts of it come from other programs.
pub(crate) fn plain(error: impl std::error::Error + 'static) -> anyhow::Error {
    anyhow::anyhow!(visible(&chain(&error)).into_owned())
}

/// Serves until a signal or a successor, and then until everything accepted is stored.
pub(crate) async fn serve(
    settings: Settings,
    in_force: Vec<Setting>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install().context("take over SIGTERM, SIGHUP and Ctrl-C")?;
    let manager = managed(&mut signals);
    let tls = secure(settings.tls.clone(), &clock, &mut signals).await?;
    // First, so that a second server started by mistake touches no database.
    let mut port = Port::get(&settings).await.map_err(plain)?;
    let access = settings.access.clone();
    access.permit(port.listener.address())?;
    let drain = Drain::new();
    let (drain_timeout, on) = (settings.drain_timeout, settings.on().copied().collect::<Vec<_>>());
    let url = settings.database.url.clone();
    let host_names = settings.host_names.clone();
    port.listener = port.listener.secured(tls.clone());
    let files = tally_serve::allow_open_files();
    let connections_max = client_connections_max(&settings, files);
    let starting = start(settings, tls.clone(), &mut port, clock, &drain);
    let (database, server, couriers, keys) = tokio::select! {
        started = starting => started?,
        signal = signals.recv() => {
            say(format_args!("{signal}: stopped before the server had started"));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        namespace: NAMESPACE.to_owned(),
        settings: in_force,
    };
    let server = server.about(about).with_connections(connections_max);
    let offer = port.offer();
    let listener = port.listener.named(host_names);
    greet(&listener, tls.as_deref(), &url, &on, &access.greeting(listener.address(), keys));
    manager.ready(&status(&listener, tls.as_deref(), &url)).await;
    couriers.spawn("keep the watchdog quiet", Arc::clone(&manager).watched(drain.clone()));
    let domains = server.domains();
    let watched = Watched::new(&database);
    let server = server.measured(watched.measure());
    let asked = domains.clone();
    let probe = move || watched.clone().ready(asked.clone());
    let serving = server.run(listener, probe, &drain);
    tokio::pin!(serving);
    // Held until the process ends, which a successor on SQLite waits for.
    let _successor = tokio::select! {
        ended = &mut serving => {
            ended.context("the server ended by itself")?;
            return Ok(ExitCode::FAILURE);
        }
        successor = told_to_stop(&mut signals, offer, &domains, &drain) => successor,
    };
    manager.stopping("storing what was accepted").await;
    let are_closed = stored(serving.as_mut(), &domains, drain_timeout, &mut signals).await?;
    if !are_closed {
        last_answers(serving, &mut signals).await;
    }
    // They end with the drain, a few seconds after it has begun at the latest.
    couriers.finished().await;
    let there = database.check_at_end();
    close(&database).await;
    there.map_err(plain)?;
    tracing::info!("stopped: everything that was acknowledged is stored");
    Ok(ExitCode::SUCCESS)
}

/// Who started this process. Under a service manager SIGHUP means to read files again, and no terminal
/// that is closed.
fn managed(signals: &mut Signals) -> Arc<ServiceManager> {
    let manager = ServiceManager::from_env();
    if manager.is_there() {
        signals.on_hangup(|| tracing::info!("there is no certificate to read again"));
    }
    Arc::new(manager)
}

/// Reads the certificate, if there is one. From then on SIGHUP no longer stops the server, but has the
/// certificate read again.
async fn secure(
    files: Option<TlsFiles>,
    clock: &Arc<dyn Clock>,
    signals: &mut Signals,
) -> anyhow::Result<Option<Arc<Tls>>> {
    let Some(files) = files else { return Ok(None) };
    let tls = Arc::new(Tls::open(files, Arc::clone(clock)).await?);
    let expires_at = tls.expires_at();
    if expires_at <= clock.now() {
        tracing::error!(%expires_at, "the certificate has expired: clients refuse it");
    }
    let reloaded = Arc::clone(&tls);
    signals.on_hangup(move || reloaded.reload());
    Ok(Some(tls))
}

/// How many connections clients may have: fewer than there may be open files.
fn client_connections_max(settings: &Settings, files: Option<u64>) -> usize {
    let asked = settings.client_connections_max;
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    let others = OTHER_FILES + settings.database.pool.connections_max;
    let most = files.saturating_sub(others).max(files / 2).max(1);
    if asked > most {
        tracing::info!(
            open_files_max = files,
            client_connections_max = most,
            "clients may have fewer connections than the settings say, because the process may not open \
             more files: raise its limit (ulimit -n, LimitNOFILE) or lower --client-connections-max"
        );
    }
    asked.min(most)
}

/// Waits until everything that was accepted is stored. Returns whether the connections are closed as well.
async fn stored(
    serving: Pin<&mut impl Future<Output = Result<(), tally_serve::Error>>>,
    domains: &Domains,
    drain_timeout: Duration,
    signals: &mut Signals,
) -> anyhow::Result<bool> {
    let stored = timeout(drain_timeout, async {
        tokio::select! {
            // Connections stay open meanwhile, so that streams learn how they ended.
            ended = serving => {
                domains.finished().await;
                ended.map(|()| true)
            }
            () = domains.finished() => Ok(false),
        }
    });
    tokio::select! {
        stored = stored => match stored {
            Ok(ended) => Ok(ended?),
            // An idle server succeeds even if the timeout is zero.
            Err(_) if domains.queued_rows() == 0 => Ok(false),
            Err(_) => {
                let (rows, ms) = (domains.queued_rows(), drain_timeout.as_millis());
                anyhow::bail!(
                    "stopped after {ms} ms with {rows} rows not stored and not acknowledged"
                )
            }
        },
        again = signals.recv() => {
            let rows = domains.queued_rows();
            anyhow::bail!(
                "stopped at once by a second {again}, with {rows} rows not stored and not \
                 acknowledged"
            )
        }
    }
}

/// Closes the database; a failure loses nothing.
pub(crate) async fn close(database: &Database) {
    if let Err(error) = database.close().await {
        tracing::warn!(error = chain(&error), "could not close the database cleanly");
    }
}

/// Waits for a signal or a successor, and begins the drain.
async fn told_to_stop(
    signals: &mut Signals,
    offer: Option<Offer>,
    domains: &Domains,
    drain: &Drain,
) -> Option<Successor> {
    let mut successor = tokio::select! {
        signal = signals.recv() => {
            let queued_rows = domains.queued_rows();
            tracing::info!(signal, queued_rows, "stopping: storing what was accepted");
            None
        }
        successor = port::taken(offer.as_ref()) => {
            let (process, queued_rows) = (successor.process(), domains.queued_rows());
            tracing::info!(
                process, queued_rows, "a new server is taking over the port: storing what was accepted"
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

/// Lets streams learn how they ended, but a health watcher or a slow reader cannot hold the server.
async fn last_answers(serving: impl Future, signals: &mut Signals) {
    tokio::select! {
        _ = timeout(LAST_ANSWERS_MAX, serving) => {}
        _ = signals.recv() => {}
    }
}

/// Opens the database, migrates it, and starts the domains.
async fn start(
    settings: Settings,
    tls: Option<Arc<Tls>>,
    port: &mut Port,
    clock: Arc<dyn Clock>,
    drain: &Drain,
) -> anyhow::Result<(Database, Server, Tasks, Option<Keys>)> {
    let database = port.open_database(&settings).await?;
    let sets = Sets::of(settings.on());
    if settings.migrate {
        for migration in sets.run(&database).await.map_err(plain)?.pending() {
            tracing::info!(migration, "applied a migration");
        }
    } else {
        let schemas = sets.check(&database).await.map_err(plain)?;
        let pending = schemas.pending();
        if !pending.is_empty() {
            anyhow::bail!(
                "the database lacks {} ({}): run `tally migrate`, or start with --migrate true",
                plural(pending.len() as u64, "migration"),
                pending.join(", ")
            );
        }
    }
    tally_store::copy::check_complete(&database).await.map_err(plain)?;
    let origin = Origin {
        version: env!("CARGO_PKG_VERSION"),
        started_at: clock.now(),
        clock: Arc::clone(&clock),
        database: database.clone(),
        url: settings.database.url.clone(),
        schemas: sets.latest(database.dialect()),
        tls: tls.clone(),
    };
    let title = about(settings.on());
    let hints = hints(settings.on(), tls.as_deref(), port.listener.address());
    let outbox = Outbox::new(database.clone(), settings.webhooks);
    let mut started = Vec::new();
    for (listed, domain) in settings.domains {
        let (database, clock, drain) = (database.clone(), Arc::clone(&clock), drain.clone());
        let tasks = Tasks::new();
        let parts = Parts { database, clock, drain, tasks: tasks.clone(), outbox: outbox.clone() };
        let (running, doors) = domain.start(parts).await.map_err(plain)?;
        started.push(Started { name: listed.name, running, doors, tasks });
    }
    let counter = started.iter().find_map(|one| one.running.counter());
    let access = settings.access.open(&database, port.listener.address(), &clock).await?;
    let keys = access.keys();
    port.replace().await?;
    let server = Server::open(&title, &hints, started, drain).await.map_err(plain)?;
    let couriers = Tasks::new();
    if let Some(keys) = keys.clone() {
        couriers.spawn("read keys", keys.run(drain.clone()));
    }
    let server = server.guarded(access, Arc::clone(&clock));
    if let Some(counter) = counter {
        let counting = Counting::new(outbox.clone(), counter);
        couriers.spawn("count for other domains", counting.run(drain.clone()));
    }
    couriers.spawn("deliver events", Courier::new(outbox.clone(), clock).run(drain.clone()));
    let server = server.saying(origin).measured(move |scrape| outbox.measure(scrape));
    Ok((database, server, couriers, keys))
}

/// Starts the log.
pub(crate) fn log(settings: &LogSettings) -> anyhow::Result<()> {
    tally_runtime::telemetry::install(&settings.level, settings.format)
        .map_err(io::Error::other)
        .context("start the log")
}
