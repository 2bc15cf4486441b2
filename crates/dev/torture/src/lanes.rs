//! The threads that bring about what the schedule says.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_testkit::{Direction, Proxy};

use crate::goes_back;
use crate::schedule::{Act, Lane, Schedule};
use crate::sessions;
use crate::stop::Stop;
use crate::watch::Watch;
use crate::world::server::{How, Server};
use crate::world::{DATABASE, World};

/// How long a client may take over SIGTERM before it is killed, while everything is failing.
const TERMINATE_LIMIT: Duration = Duration::from_secs(5);

/// How long the clients may take to fill a disk, and what a server says then.
const FILLS_UP_LIMIT: Duration = Duration::from_secs(10);
const FULL: &str = "disk is full";

/// How Postgres is told of an array of times, which only a small batch has: one dimension, no
/// NULL, timestamptz. The statement is its own transaction.
pub(crate) const TIMES: &[u8] = b"\0\0\0\x01\0\0\0\0\0\0\x04\xa0";

/// The end of the rows of a COPY, and the COMMIT after it.
pub(crate) const LARGE_COMMIT: [&[u8]; 2] = [b"c\0\0\0\x04", b"COMMIT"];

/// What was done, how often, and whether to tell of it.
#[derive(Debug)]
pub(crate) struct Log {
    start: Instant,
    verbose: bool,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// How many requests the database has lost, as far as it was looked.
    lost: AtomicU64,
}

// === impl Log ===

impl Log {
    pub(crate) fn new(verbose: bool) -> Log {
        let (counts, lost) = (Mutex::default(), AtomicU64::new(0));
        Log { start: Instant::now(), verbose, counts, lost }
    }

    /// A line of the timeline.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:8.3} s  {}", self.start.elapsed().as_secs_f64(), what());
        }
    }

    pub(crate) fn done(&self, name: &'static str) {
        *self.counts.lock().expect("no thread panics here").entry(name).or_default() += 1;
    }

    /// The database had so many requests before it went back, and so many after that.
    pub(crate) fn lose(&self, before: i64, after: i64) {
        let lost = u64::try_from(before - after).unwrap_or(0);
        self.say(|| format!("the database went back by {lost} requests"));
        self.lost.fetch_add(lost, Ordering::SeqCst);
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::SeqCst)
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().expect("no thread panics here").clone()
    }

    /// How often something was done whose name begins so.
    pub(crate) fn count(&self, prefix: &str) -> u64 {
        let counts = self.counts();
        counts.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count).sum()
    }
}

/// Follows the schedule of a lane until the run stops.
pub(crate) fn run(
    world: &World,
    watch: &Watch<'_>,
    seed: u64,
    lane: Lane,
    stop: &Stop,
    log: &Log,
) -> anyhow::Result<()> {
    for step in Schedule::new(seed, lane, world.shape()) {
        if !stop.pause_ms(step.pause_ms) {
            break;
        }
        log.say(|| format!("{:?}", step.act));
        if lane == Lane::GoesBack {
            // Also when the run stops meanwhile: half of it would be another loss.
            goes_back::act(world, watch, step.act, stop, log)
                .with_context(|| format!("{:?}", step.act))?;
            log.done(step.act.name());
            continue;
        }
        let acted = act(world, step.act, stop, log);
        if !stop.is_set() {
            acted.with_context(|| format!("{:?}", step.act))?;
        }
    }
    Ok(())
}

fn act(world: &World, act: Act, stop: &Stop, log: &Log) -> anyhow::Result<()> {
    match act {
        Act::Cut { link, .. }
        | Act::Reset { link }
        | Act::Tear { link, .. }
        | Act::HalfOpen { link, .. }
        | Act::Delay { link, .. }
        | Act::Stall { link, .. }
        | Act::LoseCommit { link, .. } => {
            if on_link(world, act, world.links()[link].1, stop) {
                log.done(act.name());
            }
            return Ok(());
        }
        Act::Redirect { client, server } => {
            world.clients[client].proxy.redirect(&world.servers[server].address);
            world.clients[client].proxy.reset();
        }
        Act::KillServer { .. } | Act::TerminateServer { .. } | Act::StopServer { .. } => {
            on_server(world, act, stop)?;
        }
        Act::FillDisk { server, kib, ms } => {
            if fill_disk(world, &world.servers[server], (kib, ms), stop)? {
                log.done(act.name());
            }
            return Ok(());
        }
        Act::KillPostgres { .. }
        | Act::RestartPostgres { .. }
        | Act::EndSessions
        | Act::UseUpConnections { .. } => on_postgres(world, act, stop)?,
        Act::KillClient { client, ms } => {
            world.clients[client].kill();
            stop.pause_ms(ms);
            world.clients[client].start(false)?;
        }
        Act::TerminateClient { client } => {
            let client = &world.clients[client];
            client.signal("TERM");
            // One that does not get through in time is killed there.
            let _ = client.await_end(TERMINATE_LIMIT);
            client.start(false)?;
        }
        Act::StopClient { client, ms } => {
            world.clients[client].signal("STOP");
            stop.pause_ms(ms);
            world.clients[client].signal("CONT");
        }
        // They have a lane of their own.
        Act::Restore { .. }
        | Act::LoseCommits { .. }
        | Act::FailOver { .. }
        | Act::DeleteNames { .. } => return Ok(()),
    }
    log.done(act.name());
    Ok(())
}

/// Whether it came about: a message is only torn, and an answer lost, when there is one.
fn on_link(world: &World, act: Act, proxy: &Proxy, stop: &Stop) -> bool {
    match act {
        Act::Cut { ms, .. } => {
            world.runtime.block_on(proxy.cut());
            stop.pause_ms(ms);
            world.runtime.block_on(proxy.restore());
        }
        Act::Reset { .. } => proxy.reset(),
        Act::Tear { bytes, .. } => {
            let before = proxy.torn();
            proxy.tear_after(bytes);
            let torn = await_moment(stop, || proxy.torn() > before);
            proxy.heal();
            return torn;
        }
        Act::HalfOpen { to_client, ms, .. } => {
            proxy.lose(if to_client { Direction::ToClient } else { Direction::ToServer });
            stop.pause_ms(ms);
            proxy.heal();
        }
        Act::Delay { by_ms, ms, .. } => {
            proxy.delay(Duration::from_millis(by_ms));
            stop.pause_ms(ms);
            proxy.heal();
        }
        Act::Stall { ms, .. } => {
            proxy.stall();
            stop.pause_ms(ms);
            proxy.resume();
        }
        Act::LoseCommit { small, .. } => {
            let before = proxy.swallowed();
            let batch: &[&[u8]] = if small { &[TIMES] } else { &LARGE_COMMIT };
            proxy.swallow_after_all(batch);
            let lost = await_moment(stop, || proxy.swallowed() > before);
            proxy.heal();
            return lost;
        }
        _ => {}
    }
    true
}

/// Waits a moment for what the traffic brings about.
fn await_moment(stop: &Stop, done: impl Fn() -> bool) -> bool {
    (0..100).any(|_| done() || !stop.pause_ms(10)) && done()
}

fn on_server(world: &World, act: Act, stop: &Stop) -> anyhow::Result<()> {
    match act {
        Act::KillServer { server, ms, errors } => {
            let server = &world.servers[server];
            server.kill();
            stop.pause_ms(ms);
            let fault = errors.map(|(state, every)| format!("sqlstate.{state}.{every}"));
            world.keep_up(server, &How { fault, ..How::default() }, stop)
        }
        Act::TerminateServer { server, ms } => {
            let server = &world.servers[server];
            server.terminate();
            stop.pause_ms(ms);
            world.keep_up(server, &How::default(), stop)
        }
        Act::StopServer { server, ms } => {
            world.servers[server].signal("STOP");
            stop.pause_ms(ms);
            world.servers[server].signal("CONT");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Leaves so many KiB in the file, until they are used up and for so many ms after that.
/// Whether they were used up in time.
fn fill_disk(
    world: &World,
    server: &Server,
    (kib, ms): (u64, u64),
    stop: &Stop,
) -> anyhow::Result<bool> {
    server.kill();
    let size = std::fs::metadata(world.sqlite_path()).map_or(0, |file| file.len());
    let size_bytes_max = Some(size + kib * 1024);
    world.rows_stay.store(true, Ordering::SeqCst);
    world.keep_up(server, &How { size_bytes_max, ..How::default() }, stop)?;
    let fills_up = Instant::now() + FILLS_UP_LIMIT;
    let mut is_full = false;
    while !is_full && Instant::now() < fills_up && stop.pause_ms(20) {
        is_full = server.has_said(FULL);
    }
    stop.pause_ms(ms);
    world.rows_stay.store(false, Ordering::SeqCst);
    server.kill();
    world.keep_up(server, &How::default(), stop)?;
    Ok(is_full)
}

fn on_postgres(world: &World, act: Act, stop: &Stop) -> anyhow::Result<()> {
    let Some(postgres) = world.postgres() else { return Ok(()) };
    let url = postgres.url(DATABASE);
    match act {
        Act::KillPostgres { ms } => {
            postgres.kill9();
            stop.pause_ms(ms);
            postgres.restart()?;
        }
        Act::RestartPostgres { ms } => {
            postgres.stop()?;
            stop.pause_ms(ms);
            postgres.restart()?;
        }
        Act::EndSessions => world.runtime.block_on(sessions::end_all(&url))?,
        Act::UseUpConnections { ms } => {
            let held = world.runtime.block_on(sessions::use_up(&url));
            // Whoever needs a connection now gets none.
            world
                .servers
                .iter()
                .filter_map(|server| server.database.as_ref())
                .for_each(Proxy::reset);
            stop.pause_ms(ms);
            drop(held);
        }
        _ => {}
    }
    Ok(())
}

// === impl World ===

impl World {
    /// Takes every fault back, and has everything run.
    pub(crate) fn heal(&self) -> anyhow::Result<()> {
        for (_, proxy) in self.links() {
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
            // Also those that run: with a fault, perhaps, or stopped.
            server.signal("CONT");
            server.terminate();
            self.keep_up(server, &How::default(), &Stop::default())?;
        }
        for client in &self.clients {
            client.signal("CONT");
            if !client.is_running() {
                client.start(false)?;
            }
        }
        Ok(())
    }
}
