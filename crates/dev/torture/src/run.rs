//! One run, from the seed to the verdict.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tally_testkit::eventually_blocking;
use tokio::runtime::Handle;

use crate::arguments::{OF_DEBTS, Run};
use crate::client::load::{LONG_AGO_DAY, day};
use crate::client::{Kind, now_micros};
use crate::debts::Debts;
use crate::door::Door;
use crate::lanes::{self, Log};
use crate::oracle::Judge;
use crate::report::Report;
use crate::scenes;
use crate::schedule::Lane;
use crate::state;
use crate::stop::{Stop, StopOnDrop};
use crate::stored::{self, Stored};
use crate::timelines::Timelines;
use crate::views::{Question, View, date_of};
use crate::watch::Watch;
use crate::world::World;
use crate::world::client::Client;
use crate::world::server::Server;

/// How long the clients may take after the last fault until everything is acknowledged.
const FINISH_LIMIT: Duration = Duration::from_secs(180);

/// How long servers may take until they refuse a key that is revoked, and show a new certificate. They look every
/// two seconds.
const ACCESS_LIMIT: Duration = Duration::from_secs(20);

/// What any key may ask for.
const ANY_KEY: &str = "GET /api/v1/openapi.json HTTP/1.1\r\n";

/// How many more processes may close the same spool.
const SPOOL_CLOSES_MAX: usize = 5;

/// How much longer than `--minutes` a run may take to reach the requested numbers of faults.
const EXTRA: Duration = Duration::from_secs(15 * 60);

/// Runs and prints the report. Returns whether the run passed.
pub(crate) fn run(run: &Run, runtime: &Handle) -> anyhow::Result<bool> {
    println!("seed {}, {:?}, {} requests/s", run.seed, run.backend, run.rate);
    let beside = std::env::current_exe()?.with_file_name("tally");
    let tally = run.tally.clone().unwrap_or(beside);
    let tally = tally.canonicalize().with_context(|| {
        format!("{} does not exist: run `cargo xtask torture` to build it", tally.display())
    })?;
    let world = World::build(run, &tally, runtime.clone())?;
    let start = Instant::now();
    let mut text = String::new();
    let passed = match torture(run, &world) {
        Ok(report) => {
            report.write(&world.log, start.elapsed(), &mut text)?;
            report.verdict.passed()
        }
        Err(error) => {
            text = format!("FAIL: the run ended early: {error:#}\n");
            state::write(&world, &mut text)?;
            false
        }
    };
    print!("{text}");
    if run.keep || !passed {
        world.keep(&text);
    }
    Ok(passed)
}

fn torture(run: &Run, world: &World) -> anyhow::Result<Report> {
    let watch = Watch::new(world)?;
    scenes::run(&watch, run).context("in a scene")?;
    for server in &world.servers[1..] {
        server.start(&Default::default())?;
    }
    let (mut debts, timelines) = (Debts::new(world, run), Timelines::new(world, run));
    debts.make().context("debts are made")?;
    for client in &world.clients {
        if !client.process.is_running() {
            client.start(false)?;
        }
    }
    for client in world.clients.iter().filter(|client| client.arguments.kind.counts()) {
        scenes::acknowledged(&watch, client, 1)?;
    }
    debts.scene().context("in the scene of debts")?;
    timelines.scene().context("in the scene of timelines")?;
    if run.minutes > 0.0 {
        chaos(run, &watch)?;
    }
    world.log.say(|| "all faults are over".to_owned());
    world.heal()?;
    timelines.settle()?;
    let processes = || world.clients.iter().map(|client| &client.process);
    processes().for_each(|process| process.signal("TERM"));
    let mut ends: Vec<_> =
        processes().filter_map(|process| process.await_end(FINISH_LIMIT).err()).collect();
    for client in world.clients.iter().filter(|client| client.arguments.kind == Kind::Spool) {
        ends.extend(empty_spool(&watch, client)?);
    }
    world.log.say(|| "all clients have ended".to_owned());
    let (of_debts, counted) = debts.finish().context("of debts")?;
    let of_timelines = timelines.finish().context("of timelines")?;
    let stored = read(&watch)?;
    let (accounts, losses, mut verdict) = watch.result()?;
    verdict.join(of_debts);
    verdict.join(of_timelines);
    if let Some(counted) = counted {
        let totals = stored.tables.totals();
        let found =
            totals.into_iter().filter(|(key, _)| key.series.namespace == OF_DEBTS).collect();
        verdict.equal("debts: counted", ("paid", &counted), ("stored", &found));
    }
    let (of, all) = (&accounts, &losses);
    Judge { accounts: of, losses: all, stored: &stored, verdict: &mut verdict }.judge();
    for error in ends {
        verdict.check("clients ended", false, || error.to_string());
    }
    Ok(Report { accounts, losses, stored, verdict })
}

/// Lets other processes send what is left: a close leaves it in the spool as soon as a server does not
/// answer. Returns why they did not end well.
fn empty_spool(watch: &Watch<'_>, client: &Client) -> anyhow::Result<Vec<anyhow::Error>> {
    let mut errors = Vec::new();
    for _ in 0..SPOOL_CLOSES_MAX {
        if watch.has_finished(&client.arguments.name)? {
            break;
        }
        client.start(false)?;
        client.process.signal("TERM");
        errors.extend(client.process.await_end(FINISH_LIMIT).err());
    }
    Ok(errors)
}

/// Runs all lanes at once until everything requested has happened.
fn chaos(run: &Run, watch: &Watch<'_>) -> anyhow::Result<()> {
    let (world, stop) = (watch.world, &Stop::default());
    world.hurry(true);
    let mut works: Vec<Box<dyn FnOnce() -> anyhow::Result<()> + Send + '_>> = Vec::new();
    for lane in Lane::all(world.shape) {
        works.push(Box::new(move || lanes::run(watch, run.seed, lane, stop)));
    }
    works.push(Box::new(move || watch.books(stop)));
    for server in &world.servers {
        works.push(Box::new(move || watch.query(server, run.seed, stop)));
        works.push(Box::new(move || watch.roll_ups(server, run.seed, stop)));
    }
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for work in works {
            threads.push(scope.spawn(move || {
                let _stop = StopOnDrop(stop);
                work()
            }));
        }
        let mut outcome = until_enough(run, stop, &world.log);
        stop.set();
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
    while stop.pause(50) {
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

/// What is wrong with the keys and the certificates of the servers, when these have had time to read them.
fn settled_access(world: &World) -> anyhow::Result<Vec<String>> {
    let check = || -> anyhow::Result<Vec<String>> {
        let mut wrong = Vec::new();
        for server in &world.servers {
            let (name, door) = (&server.process.name, world.door(server, 0));
            if world.runtime.block_on(door.shown())? != world.access.certificate() {
                wrong.push(format!("{name} shows another certificate"));
            }
            for key in world.access.revoked() {
                let door = Door { key, ..door.clone() };
                let (answer, _) = world.runtime.block_on(door.ask(ANY_KEY, ""))?;
                if !answer.starts_with(b"HTTP/1.1 401 ") {
                    let answer = String::from_utf8_lossy(&answer).lines().next().map(str::to_owned);
                    wrong.push(format!("{name} answers a revoked key with {answer:?}"));
                }
            }
        }
        Ok(wrong)
    };
    let is_right = || check().is_ok_and(|wrong| wrong.is_empty());
    match eventually_blocking(ACCESS_LIMIT, is_right) {
        Ok(()) => Ok(Vec::new()),
        Err(_) => check(),
    }
}

/// Reads what is stored: live and as it lies in the database, then the same rolled up.
fn read(watch: &Watch<'_>) -> anyhow::Result<Stored> {
    let world = watch.world;
    let mut stored = Stored::default();
    let query = |server: &Server, question: Question| {
        let door = world.door(server, question.namespace);
        world.runtime.block_on(stored::query(&door, question))
    };
    let look = || watch.look().context("the database is away");
    let today = day(now_micros());
    watch.finish_changes(&world.servers[0])?;
    for server in &world.servers {
        for (view, namespace) in View::ASKED.into_iter().flat_map(|view| [(view, 0), (view, 1)]) {
            let question = Question::live(view, namespace, today);
            let answer = query(server, question)?;
            watch.check_names(server, &answer.totals);
            stored.live.push((question, answer));
        }
    }
    stored.before = look()?;
    let first = &world.servers[0];
    for namespace in [0, 1] {
        let door = world.door(first, namespace);
        stored.accepted_of_client.extend(world.runtime.block_on(stored::accepted(&door))?);
    }
    for day in [LONG_AGO_DAY, today - 40, today + 1] {
        let door = world.door(first, 0);
        world.runtime.block_on(stored::roll_up(&door, date_of(day, 1)))?;
    }
    for server in &world.servers {
        for namespace in [0, 1] {
            let question = Question { view: View::Days, namespace, from: None, live: false };
            let totals = query(server, question)?.totals;
            watch.check_names(server, &totals);
            stored.rolled_up.push((namespace, totals));
        }
    }
    stored.access = settled_access(world)?;
    let ended = |server: &Server| server.terminate().map_err(|error| error.to_string());
    stored.exits = world.servers.iter().map(ended).collect();
    stored.panics = world.panics()?;
    stored.tables = look()?;
    Ok(stored)
}
