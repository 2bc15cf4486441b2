//! The threads that carry out the schedule.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tally_testkit::{Direction, Proxy};

use crate::changes::Change;
use crate::client::load::LONG_AGO_DAY;
use crate::door::Door;
use crate::rewind;
use crate::schedule::{Act, Lane, Schedule};
use crate::sessions;
use crate::stop::Stop;
use crate::stored;
use crate::views::date_of;
use crate::watch::Watch;
use crate::world::client::Client;
use crate::world::server::{Server, StartOptions};
use crate::world::{DATABASE, World};

/// How long a client may take to end after SIGTERM before it is killed.
const TERMINATE_LIMIT: Duration = Duration::from_secs(5);

/// How long traffic may take to trigger a fault.
const TRAFFIC_LIMIT_MS: u64 = 1_000;

/// How long a server may take to come to a point in its books.
const POINT_LIMIT_MS: u64 = 6_000;

/// How long the clients may take to fill a disk, and what a server logs then.
const FILLS_UP_LIMIT_MS: u64 = 10_000;
const FULL: &str = "disk is full";

/// How long to wait before a key is revoked again, because the database was away.
const REVOKE_PAUSE_MS: u64 = 200;

/// The header of an array of timestamps on the wire, which only a small batch has: one dimension,
/// no NULL, timestamptz. The statement is its own transaction.
const TIMES: &[u8] = b"\0\0\0\x01\0\0\0\0\0\0\x04\xa0";

/// The end of a COPY's rows, and the COMMIT after it.
pub(crate) const LARGE_COMMIT: [&[u8]; 2] = [b"c\0\0\0\x04", b"COMMIT"];

/// Counts what was done, and prints the timeline if asked to.
#[derive(Debug)]
pub(crate) struct Log {
    start: Instant,
    verbose: bool,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// How many requests the database is known to have lost.
    pub(crate) lost: AtomicU64,
}

// === impl Log ===

impl Log {
    pub(crate) fn new(verbose: bool) -> Log {
        let (counts, lost) = (Mutex::default(), AtomicU64::new(0));
        Log { start: Instant::now(), verbose, counts, lost }
    }

    /// Prints a line of the timeline.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:8.3} s  {}", self.start.elapsed().as_secs_f64(), what());
        }
    }

    pub(crate) fn done(&self, name: &'static str) {
        *self.counts.lock().expect("no thread panics here").entry(name).or_default() += 1;
    }

    /// Notes how many requests the database had before and after it was set back.
    pub(crate) fn lose(&self, before: i64, after: i64) {
        let lost = u64::try_from(before - after).unwrap_or(0);
        self.say(|| format!("the database lost {lost} requests"));
        self.lost.fetch_add(lost, Ordering::SeqCst);
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().expect("no thread panics here").clone()
    }

    /// How often things whose name starts with `prefix` were done.
    pub(crate) fn count(&self, prefix: &str) -> u64 {
        let counts = self.counts();
        counts.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count).sum()
    }
}

/// Runs a lane's schedule until the run stops.
pub(crate) fn run(watch: &Watch<'_>, seed: u64, lane: Lane, stop: &Stop) -> anyhow::Result<()> {
    let world = watch.world;
    for (pause_ms, act) in Schedule::new(seed, lane, world.shape) {
        if !stop.pause(pause_ms) {
            break;
        }
        world.log.say(|| format!("{act:?}"));
        let acted = match lane {
            Lane::ClientLinks | Lane::DatabaseLinks => Ok(on_link(world, act, stop)),
            Lane::Servers => on_server(watch, act, stop),
            Lane::Postgres => on_postgres(world, act, stop),
            Lane::Clients => on_client(world, act, stop),
            Lane::Duties => on_duties(watch, act),
            Lane::Names => on_names(watch, act),
            Lane::Rewind => rewind::act(watch, act, stop).map(|()| true),
        };
        match acted {
            Ok(true) => world.log.done(act.name()),
            Ok(false) => {}
            // Half a rewind would be another loss.
            Err(_) if stop.is_set() && lane != Lane::Rewind => {}
            Err(error) => return Err(error.context(format!("{act:?}"))),
        }
    }
    Ok(())
}

/// Returns whether it happened: tearing a message or losing an answer needs traffic.
fn on_link(world: &World, act: Act, stop: &Stop) -> bool {
    let links = world.links();
    match act {
        Act::Cut { link, ms } => {
            world.runtime.block_on(links[link].cut());
            stop.pause(ms);
            world.runtime.block_on(links[link].restore());
        }
        Act::Reset { link } => links[link].reset(),
        Act::Tear { link, bytes } => {
            let before = links[link].torn();
            links[link].tear_after(bytes);
            let torn = happens(stop, TRAFFIC_LIMIT_MS, || links[link].torn() > before);
            links[link].heal();
            return torn;
        }
        Act::HalfOpen { link, to_client, ms } => {
            links[link].lose(if to_client { Direction::ToClient } else { Direction::ToServer });
            stop.pause(ms);
            links[link].heal();
        }
        Act::Delay { link, by_ms, ms } => {
            links[link].delay(Duration::from_millis(by_ms));
            stop.pause(ms);
            links[link].heal();
        }
        Act::Stall { link, ms } => {
            links[link].stall();
            stop.pause(ms);
            links[link].resume();
        }
        Act::LoseCommit { link, small } => {
            let before = links[link].swallowed();
            links[link].swallow_after(if small { &[TIMES] } else { &LARGE_COMMIT });
            let lost = happens(stop, TRAFFIC_LIMIT_MS, || links[link].swallowed() > before);
            links[link].heal();
            return lost;
        }
        Act::Redirect { client, server } => {
            links[client].redirect(&world.servers[server].address);
            links[client].reset();
        }
        _ => {}
    }
    true
}

/// Waits until it is done, the limit is reached, or the run stops. Returns whether it is done.
fn happens(stop: &Stop, limit_ms: u64, done: impl Fn() -> bool) -> bool {
    (0..limit_ms / 10).any(|_| done() || !stop.pause(10)) && done()
}

/// Returns whether it happened: a disk must fill up in time.
fn on_server(watch: &Watch<'_>, act: Act, stop: &Stop) -> anyhow::Result<bool> {
    let world = watch.world;
    match act {
        Act::KillServer { server, ms, errors } => {
            let server = &world.servers[server];
            server.process.kill();
            stop.pause(ms);
            let fault = errors.map(|(state, every)| format!("sqlstate.{state}.{every}"));
            server.bring_up(&StartOptions { fault, ..StartOptions::default() }, stop)?;
        }
        Act::TerminateServer { server, ms } => {
            let server = &world.servers[server];
            // How it ends matters at the end of the run only.
            let _ = server.terminate();
            stop.pause(ms);
            server.bring_up(&StartOptions::default(), stop)?;
        }
        Act::StopServer { server, ms } => {
            world.servers[server].process.signal("STOP");
            stop.pause(ms);
            world.servers[server].process.signal("CONT");
        }
        Act::OutliveLease { server, ms } => {
            let server = &world.servers[server];
            server.process.signal("STOP");
            let ended = end_leases(world);
            stop.pause(ms);
            server.process.signal("CONT");
            return Ok(ended);
        }
        Act::KillServerAt { server, point, ms } => {
            // A roll-up folds first.
            let date = date_of(LONG_AGO_DAY, 1);
            let roll_up = async move |door: Door| stored::roll_up(&door, date).await.map(drop);
            return kill_at(world, (&world.servers[server], 0), (point, ms), stop, roll_up);
        }
        Act::KillServerIn { server, change, point, ms } => {
            let change = Change::new(change);
            watch.attempt(change);
            let ask = async move |door: Door| stored::change(&door, change).await.map(drop);
            let server = (&world.servers[server], change.namespace());
            return kill_at(world, server, (point, ms), stop, ask);
        }
        Act::FillDisk { server, kib, ms } => {
            return fill_disk(world, &world.servers[server], (kib, ms), stop);
        }
        _ => {}
    }
    Ok(true)
}

/// Starts a server with a point at which it stops, asks it for something in a namespace whose answer does not
/// matter, and kills it there, this many ms later. Returns whether it came there.
fn kill_at<F>(
    world: &World,
    (server, namespace): (&Server, i64),
    (point, ms): (&str, u64),
    stop: &Stop,
    ask: impl FnOnce(Door) -> F,
) -> anyhow::Result<bool>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    server.process.kill();
    stop.pause(ms);
    let how = StartOptions { fault: Some(point.to_owned()), ..StartOptions::default() };
    server.bring_up(&how, stop)?;
    end_leases(world);
    let asked = world.runtime.spawn(ask(world.door(server, namespace)));
    let stopped = format!("stopped at {point}");
    let reached = happens(stop, POINT_LIMIT_MS, || server.process.has_logged(&stopped));
    asked.abort();
    // Others notice what it holds.
    stop.pause(ms);
    server.process.kill();
    server.bring_up(&StartOptions::default(), stop)?;
    Ok(reached)
}

/// Returns whether it happened: a server or the database may be away.
fn on_names(watch: &Watch<'_>, act: Act) -> anyhow::Result<bool> {
    let Act::Change { server, change } = act else { return Ok(false) };
    watch.change(&watch.world.servers[server], Change::new(change))
}

/// Returns whether it happened: a server or the database may be away.
fn on_duties(watch: &Watch<'_>, act: Act) -> anyhow::Result<bool> {
    match act {
        Act::SwapCertificate => watch.world.access.swap_certificate().map(|()| true),
        Act::Fold { server } => watch.fold(&watch.world.servers[server]),
        _ => Ok(end_leases(watch.world)),
    }
}

/// Ends every lease, unless the database is away. Returns whether it did.
fn end_leases(world: &World) -> bool {
    world.primary().is_some_and(|url| world.runtime.block_on(sessions::end_leases(&url)).is_ok())
}

/// Returns whether it happened: the database may be away.
fn on_client(world: &World, act: Act, stop: &Stop) -> anyhow::Result<bool> {
    match act {
        Act::KillClient { client, ms } => {
            world.clients[client].process.kill();
            stop.pause(ms);
            world.clients[client].start(false)?;
        }
        Act::TerminateClient { client } => {
            let client = &world.clients[client];
            client.process.signal("TERM");
            // `await_end` kills one that does not finish in time.
            let _ = client.process.await_end(TERMINATE_LIMIT);
            client.start(false)?;
        }
        Act::StopClient { client, ms } => {
            world.clients[client].process.signal("STOP");
            stop.pause(ms);
            world.clients[client].process.signal("CONT");
        }
        Act::ReplaceKey { client } => return replace_key(world, &world.clients[client], stop),
        _ => {}
    }
    Ok(true)
}

/// Starts a client anew with another key, and revokes the one before. Returns whether it did.
fn replace_key(world: &World, client: &Client, stop: &Stop) -> anyhow::Result<bool> {
    let (access, name) = (&world.access, &client.arguments.name);
    let Ok(replaced) = access.replace_key(&world.database_url(), name) else { return Ok(false) };
    client.process.kill();
    client.start(false)?;
    let revoked = || access.revoke(&world.database_url(), &replaced).is_ok();
    while !revoked() {
        if !stop.pause(REVOKE_PAUSE_MS) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Leaves this many KiB in the file until they are used up, and for this many ms after that.
/// Returns whether they were used up in time.
fn fill_disk(
    world: &World,
    server: &Server,
    (kib, ms): (u64, u64),
    stop: &Stop,
) -> anyhow::Result<bool> {
    server.process.kill();
    let size = std::fs::metadata(world.sqlite_path()).map_or(0, |file| file.len());
    let size_bytes_max = Some(size + kib * 1024);
    world.roll_ups_paused.store(true, Ordering::SeqCst);
    server.bring_up(&StartOptions { size_bytes_max, ..StartOptions::default() }, stop)?;
    let is_full = happens(stop, FILLS_UP_LIMIT_MS, || server.process.has_logged(FULL));
    stop.pause(ms);
    world.roll_ups_paused.store(false, Ordering::SeqCst);
    server.process.kill();
    server.bring_up(&StartOptions::default(), stop)?;
    Ok(is_full)
}

/// Returns whether it happened: a busy Postgres may not take a connection in time.
fn on_postgres(world: &World, act: Act, stop: &Stop) -> anyhow::Result<bool> {
    let Some(postgres) = world.postgres() else { return Ok(false) };
    let url = postgres.url(DATABASE);
    match act {
        Act::KillPostgres { ms } => {
            postgres.kill9();
            stop.pause(ms);
            postgres.restart()?;
        }
        Act::RestartPostgres { ms } => {
            postgres.stop()?;
            stop.pause(ms);
            postgres.restart()?;
        }
        Act::EndSessions => return Ok(world.runtime.block_on(sessions::end_all(&url)).is_ok()),
        Act::UseUpConnections { ms } => {
            let held = world.runtime.block_on(sessions::use_up(&url));
            // Now every new connection is refused.
            world.databases().for_each(Proxy::reset);
            stop.pause(ms);
            drop(held);
        }
        _ => {}
    }
    Ok(true)
}

// === impl World ===

impl World {
    /// Removes every fault and starts everything that does not run.
    pub(crate) fn heal(&self) -> anyhow::Result<()> {
        self.hurry(false);
        for proxy in self.links() {
            self.runtime.block_on(proxy.restore());
            proxy.resume();
            proxy.heal();
        }
        if let Some(postgres) = self.postgres()
            && postgres.pid().is_none()
        {
            postgres.restart()?;
        }
        for server in &self.servers {
            // Even a running server may have a fault or be stopped.
            server.process.signal("CONT");
            let _ = server.terminate();
            server.bring_up(&StartOptions::default(), &Stop::default())?;
        }
        for client in &self.clients {
            client.process.signal("CONT");
            if !client.process.is_running() {
                client.start(false)?;
            }
        }
        Ok(())
    }
}
