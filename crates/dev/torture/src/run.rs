//! One run, from the seed to the verdict.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::runtime::Handle;

use crate::account::Account;
use crate::arguments::Run;
use crate::client::load::day;
use crate::lanes::{self, Log};
use crate::losses::Losses;
use crate::oracle::{self, Stored, Verdict};
use crate::report::Report;
use crate::scenes;
use crate::schedule::Lane;
use crate::stop::{Stop, StopOnDrop};
use crate::stored;
use crate::watch::Watch;
use crate::world::World;
use tally_runtime::{Clock as _, SystemClock};

/// How long the clients may take after the last fault until everything is acknowledged.
const FINISH_LIMIT: Duration = Duration::from_secs(90);

/// How much longer than `--minutes` a run may take to reach the requested numbers of faults.
const EXTRA: Duration = Duration::from_secs(15 * 60);

/// Runs and prints the report. Returns whether the run passed.
pub(crate) fn run(run: &Run, runtime: &Handle) -> anyhow::Result<bool> {
    println!("seed {}, {:?}, {} requests/s", run.seed, run.backend, run.rate);
    let tally = tally(run)?;
    let world = World::build(run, &tally, runtime.clone())?;
    let log = Log::new(run.verbose);
    let start = Instant::now();
    let outcome = torture(run, &world, &log);
    let (report, passed) = match outcome {
        Ok((accounts, losses, stored, verdict)) => {
            let (passed, took) = (verdict.passed(), start.elapsed());
            (Report { accounts, losses, stored, verdict, log: &log, took }.text(), passed)
        }
        Err(error) => (format!("FAIL: the run ended early: {error:#}\n"), false),
    };
    print!("{report}");
    if run.keep || !passed {
        world.keep(&report);
    }
    Ok(passed)
}

/// The server's program.
fn tally(run: &Run) -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("tally");
    let tally = run.tally.clone().unwrap_or(beside);
    tally.canonicalize().with_context(|| {
        format!("{} does not exist: run `cargo xtask torture` to build it", tally.display())
    })
}

type Outcome = (BTreeMap<String, Account>, Losses, Stored, Verdict);

fn torture(run: &Run, world: &World, log: &Log) -> anyhow::Result<Outcome> {
    let watch = Watch::new(world)?;
    scenes::run(world, &watch, run, log).context("in a scene")?;
    for (number, server) in world.servers.iter().enumerate().skip(1) {
        server.start(&Default::default()).with_context(|| format!("server {number}"))?;
    }
    for client in &world.clients {
        if !client.is_running() {
            client.start(false)?;
        }
    }
    for client in &world.clients {
        scenes::acknowledged(&watch, client, 1)?;
    }
    if run.minutes > 0.0 {
        chaos(run, world, &watch, log)?;
    }
    log.say(|| "all faults are over".to_owned());
    world.heal()?;
    for client in &world.clients {
        client.signal("TERM");
    }
    let ends: Vec<_> =
        world.clients.iter().filter_map(|client| client.await_end(FINISH_LIMIT).err()).collect();
    log.say(|| "all clients have ended".to_owned());
    let stored = read(world)?;
    let (accounts, losses, mut verdict) = watch.result()?;
    verdict.merge(oracle::judge(&accounts, &losses, &stored));
    for error in ends {
        verdict.check("clients ended", false, || error.to_string());
    }
    Ok((accounts, losses, stored, verdict))
}

/// Runs all lanes at once until everything requested has happened.
fn chaos(run: &Run, world: &World, watch: &Watch<'_>, log: &Log) -> anyhow::Result<()> {
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for lane in Lane::all(world.shape()) {
            let stop = &stop;
            threads.push(scope.spawn(move || {
                let _stop = StopOnDrop(stop);
                lanes::run(world, watch, run.seed, lane, stop, log)
            }));
        }
        for server in &world.servers {
            let stop = &stop;
            threads.push(scope.spawn(move || {
                let _stop = StopOnDrop(stop);
                watch.query(server, stop, log)
            }));
            threads.push(scope.spawn(move || {
                let _stop = StopOnDrop(stop);
                watch.roll_ups(server, run.seed, stop, log)
            }));
        }
        let enough = until_enough(run, &stop, log);
        stop.set();
        let mut outcome = enough;
        for thread in threads {
            let ended = thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")));
            outcome = outcome.and(ended);
        }
        outcome
    })
}

fn until_enough(run: &Run, stop: &Stop, log: &Log) -> anyhow::Result<()> {
    let start = Instant::now();
    let least = Duration::from_secs_f64(run.minutes * 60.0);
    let is_enough = || {
        start.elapsed() >= least
            && log.count("server: kill -9") >= run.kills
            && log.count("Postgres: kill -9") >= run.database_kills
            && log.count("network: ") >= run.network_faults
    };
    while stop.pause_ms(50) {
        if is_enough() {
            return Ok(());
        }
        anyhow::ensure!(
            start.elapsed() < least + EXTRA,
            "the requested faults did not happen within {EXTRA:?} after the requested time"
        );
    }
    // A thread ended early; its own error says why.
    Ok(())
}

/// Reads what is stored: live, then rolled up, then directly from the database.
fn read(world: &World) -> anyhow::Result<Stored> {
    let mut stored = Stored::default();
    let query = |url: &str, live| world.runtime.block_on(stored::query(url, live));
    for server in &world.servers {
        let answer = query(&server.url(), true)?;
        stored.live.push(answer.totals);
        stored.dropped_total.push(answer.dropped);
        stored.setbacks.push(answer.setbacks);
    }
    let first = world.servers[0].url();
    stored.accepted_of_client = world.runtime.block_on(stored::accepted(&first))?;
    let today = day(SystemClock.now().as_microsecond());
    let years = [stored::date_of(16_572, 1), stored::date_of(today - 40, 1)];
    for date in years.into_iter().chain([stored::date_of(today + 1, 1)]) {
        world.runtime.block_on(stored::roll_up(&first, date))?;
    }
    for server in &world.servers {
        stored.rolled_up.push(query(&server.url(), false)?.totals);
    }
    for server in &world.servers {
        stored.exits.insert(server.name.clone(), server.terminate());
    }
    stored.panics = world.panics()?;
    let tables = match world.postgres_url() {
        Some(url) => world.runtime.block_on(stored::postgres(&url))?,
        None => stored::sqlite(&world.sqlite_path())?,
    };
    stored.table = tables.totals;
    stored.unnamed = tables.unnamed;
    stored.rows_left = tables.rows_left;
    stored.accepted = tables.accepted;
    stored.dropped = tables.dropped;
    Ok(stored)
}
