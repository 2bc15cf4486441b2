//! Fixed scenes before the random part: moments at which a broken server is certain to lose or
//! double requests, whatever the timing.

use std::time::Duration;

use anyhow::Context as _;
use tally_testkit::eventually_blocking;

use crate::arguments::{Broken, Run};
use crate::changes::BY_SERVICE;
use crate::client::load::{FIRST_LARGE, LARGE_ROWS, day};
use crate::client::{Kind, now_micros};
use crate::journal::Series;
use crate::lanes::LARGE_COMMIT;
use crate::rewind::lose_all;
use crate::stop::Stop;
use crate::stored;
use crate::views::{View, date_of};
use crate::watch::Watch;
use crate::world::client::Client;
use crate::world::server::StartOptions;

/// How long a scene waits for each step, which takes a second or two on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);

/// The pause between two folds that a server is asked for.
const FOLD_PAUSE: Duration = Duration::from_millis(50);

/// After this many requests a raw client has used most of its paths.
const ALL_PATHS: u64 = 3 * LARGE_ROWS;

/// Fault points before and after the commit of a batch.
const BEFORE_COMMIT: &str = "append.before_commit";
const COMMITTED: &str = "append.committed";

/// The same for a fold.
const FOLD_POINTS: [&str; 2] = ["fold.before_commit", "fold.committed"];

/// Kills a server before a commit and after one, and loses the answer to one, while one client
/// counts and resends everything unacknowledged.
pub(crate) fn run(watch: &Watch<'_>, run: &Run) -> anyhow::Result<()> {
    let (world, log) = (watch.world, &watch.world.log);
    let (server, client) = (&world.servers[0], &world.clients[0]);
    client.proxy.redirect(&server.address);
    if run.broken.is_some_and(Broken::is_shown_by_debts) {
        // Debts have a scene of their own.
        return server.bring_up(&StartOptions::default(), &Stop::default());
    }
    for point in [BEFORE_COMMIT, COMMITTED] {
        log.say(|| format!("scene: a server is killed at {point}"));
        let how = StartOptions { fault: Some(point.to_owned()), ..StartOptions::default() };
        server.bring_up(&how, &Stop::default())?;
        if !client.process.is_running() {
            client.start(true)?;
        }
        let stopped = format!("stopped at {point}");
        eventually_blocking(LIMIT, || server.process.has_logged(&stopped)).ok().context(
            "the server needs the feature `faults`: `cargo xtask torture` builds it that way",
        )?;
        if point == BEFORE_COMMIT && run.broken == Some(Broken::AckBeforeCommit) {
            // The premature acknowledgement must arrive before the server dies.
            acknowledged(watch, client, 1)?;
        }
        server.process.kill();
        log.done("scene: server killed in a commit");
    }
    // With a row for each request, batches are large enough for a COPY.
    let raw = StartOptions { resolution: Some("raw"), ..StartOptions::default() };
    server.bring_up(&raw, &Stop::default())?;
    // One of these parcels was sent on two streams, and another followed it on the second.
    acknowledged(watch, client, FIRST_LARGE * LARGE_ROWS)?;

    if let Some(proxy) = &server.database {
        log.say(|| "scene: the answer to a COMMIT is lost".to_owned());
        proxy.swallow_after(&LARGE_COMMIT);
        eventually_blocking(LIMIT, || proxy.swallowed() > 0)
            .map_err(|_| anyhow::anyhow!("no COMMIT was sent within {LIMIT:?}"))?;
        proxy.heal();
        log.done("scene: lost COMMIT answer");
        let before = watch.progress(client)?;
        acknowledged(watch, client, before + 1)?;
    }
    fold(watch).context("while it folds")?;
    if run.broken.is_none_or(|broken| broken == Broken::CheckpointApart) {
        take_over(watch)?;
    }
    if run.broken.is_none_or(|broken| broken == Broken::KeysForgotten) {
        post(watch)?;
    }
    if run.broken.is_none_or(|broken| broken == Broken::MovesIgnored) {
        merge(watch).context("while it merges")?;
    }
    if run.rewinds() {
        log.say(|| "scene: the database is set back".to_owned());
        rewind(watch)?;
        log.done("scene: database set back");
    }
    Ok(())
}

/// Kills a server in two folds, before the commit and after it, then rolls up, and folds rows that come
/// late. A server that adds and removes rows apart from each other loses or doubles some.
fn fold(watch: &Watch<'_>) -> anyhow::Result<()> {
    let (world, log) = (watch.world, &watch.world.log);
    let (server, client) = (&world.servers[0], &world.clients[0]);
    for point in FOLD_POINTS {
        log.say(|| format!("scene: a server is killed at {point}"));
        server.process.kill();
        let how = StartOptions { fault: Some(point.to_owned()), ..StartOptions::default() };
        server.bring_up(&how, &Stop::default())?;
        let stopped = format!("stopped at {point}");
        let reached = folding(watch, || {
            let has_stopped = server.process.has_logged(&stopped);
            if has_stopped {
                server.process.kill();
            }
            has_stopped
        });
        anyhow::ensure!(reached, "{point} was not reached within {LIMIT:?}");
        log.done("scene: server killed in a fold");
        server.bring_up(&StartOptions::default(), &Stop::default())?;
    }
    asks(watch, View::Days)?;
    let year = date_of(day(now_micros()), 1);
    let rolled_up = || world.runtime.block_on(stored::roll_up(&world.door(server, 0), year));
    eventually_blocking(LIMIT, rolled_up).map_err(anyhow::Error::msg)?;
    acknowledged(watch, client, watch.progress(client)? + 1)?;
    let folded = || world.runtime.block_on(stored::fold(&world.door(server, 0)));
    eventually_blocking(LIMIT, folded).map_err(anyhow::Error::msg)?;
    asks(watch, View::Endpoints)
}

/// Asks the first server to fold, again and again, until `reached` or the limit; says whether it is. One
/// fold would not do: the server may have folded every row by itself, and the client is still on its way
/// back with more.
fn folding(watch: &Watch<'_>, reached: impl FnMut() -> bool) -> bool {
    let (runtime, door) = (&watch.world.runtime, watch.world.door(&watch.world.servers[0], 0));
    let folding = runtime.spawn(async move {
        loop {
            // A server that has stopped in a fold does not answer.
            let _ = stored::fold(&door).await;
            tokio::time::sleep(FOLD_PAUSE).await;
        }
    });
    let reached = eventually_blocking(LIMIT, reached).is_ok();
    folding.abort();
    reached
}

/// Asks the first server for live totals of each namespace, which are checked, until there are answers.
fn asks(watch: &Watch<'_>, view: View) -> anyhow::Result<()> {
    let server = &watch.world.servers[0];
    for namespace in [0, 1] {
        let asked = || watch.live_query(server, view, namespace).is_ok_and(|answered| answered);
        eventually_blocking(LIMIT, asked)
            .map_err(|_| anyhow::anyhow!("no live totals in {LIMIT:?}"))?;
    }
    Ok(())
}

/// Merges series that have rows, kills the server, and lets the next one fold these, which must count them
/// under what they were merged into. Both do no duties, so that nothing else folds or moves anything.
fn merge(watch: &Watch<'_>) -> anyhow::Result<()> {
    let (world, log) = (watch.world, &watch.world.log);
    let server = &world.servers[0];
    log.say(|| "scene: series are merged that have rows".to_owned());
    let idle = || {
        server.process.kill();
        let how = StartOptions { is_idle: true, ..StartOptions::default() };
        server.bring_up(&how, &Stop::default())
    };
    idle()?;
    let selected = |series: &Series| BY_SERVICE.selects(series);
    let found = || watch.look().is_some_and(|tables| tables.has_rows_of(selected));
    eventually_blocking(LIMIT, found)
        .map_err(|_| anyhow::anyhow!("no rows of {BY_SERVICE:?} within {LIMIT:?}"))?;
    let merged = || watch.change(server, BY_SERVICE).is_ok_and(|answered| answered);
    eventually_blocking(LIMIT, merged)
        .map_err(|_| anyhow::anyhow!("{BY_SERVICE:?} was not made within {LIMIT:?}"))?;
    idle()?;
    let tables = watch.look().context("the database is away")?;
    anyhow::ensure!(tables.has_moved_rows(), "no rows are left of the series that were merged");
    let mut folded = None;
    let is_folded = folding(watch, || {
        folded = watch.look().filter(|tables| !tables.has_moved_rows());
        folded.is_some()
    });
    anyhow::ensure!(is_folded, "the rows were not folded within {LIMIT:?}");
    watch.check_left_behind(&folded.context("the database is away")?);
    log.done("scene: series merged that have rows");
    server.process.kill();
    server.bring_up(&StartOptions::default(), &Stop::default())
}

/// Takes a producer over many times while it counts. A checkpoint that is not stored with its batch makes
/// the next holder send that batch again.
fn take_over(watch: &Watch<'_>) -> anyhow::Result<()> {
    let (world, log) = (watch.world, &watch.world.log);
    log.say(|| "scene: a producer is taken over".to_owned());
    let reader = world.clients.iter().find(|client| client.arguments.kind == Kind::Reader);
    let reader = reader.context("there is a reader")?;
    reader.proxy.redirect(&world.servers[0].address);
    reader.start(false)?;
    acknowledged(watch, reader, (FIRST_LARGE + 1) * LARGE_ROWS)?;
    log.done("scene: producer taken over");
    Ok(())
}

/// Posts bodies twice at once, and again after they were counted. One that is stored apart from its key
/// counts several times.
fn post(watch: &Watch<'_>) -> anyhow::Result<()> {
    let (world, log) = (watch.world, &watch.world.log);
    log.say(|| "scene: bodies are posted again".to_owned());
    let client = world.clients.iter().find(|client| client.arguments.kind == Kind::Post);
    let client = client.context("there is one that posts")?;
    client.proxy.redirect(&world.servers[0].address);
    client.start(false)?;
    acknowledged(watch, client, (FIRST_LARGE + 1) * LARGE_ROWS)?;
    log.done("scene: bodies posted again");
    Ok(())
}

/// Loses the names of one client, then adds another client's names, then lets the first client
/// continue. A server that trusts its cached names counts the first client's requests under the
/// other's names, or under none.
fn rewind(watch: &Watch<'_>) -> anyhow::Result<()> {
    let world = watch.world;
    let server = &world.servers[0];
    let (early, late) = (&world.clients[1], &world.clients[2]);
    for client in [early, late] {
        client.proxy.redirect(&server.address);
    }
    lose_all(watch, || {
        early.start(false)?;
        acknowledged(watch, early, ALL_PATHS)
    })?;
    late.start(false)?;
    acknowledged(watch, late, 1)?;
    let before = watch.progress(early)?;
    acknowledged(watch, early, before + ALL_PATHS)?;
    // Before a restart of the server, which would clear its cache.
    asks(watch, View::Days)
}

/// Waits until this many requests of a client are acknowledged.
pub(crate) fn acknowledged(watch: &Watch<'_>, client: &Client, count: u64) -> anyhow::Result<()> {
    let reached = || watch.progress(client).is_ok_and(|acknowledged| acknowledged >= count);
    eventually_blocking(LIMIT, reached).map_err(|_| {
        let name = &client.process.name;
        anyhow::anyhow!("{name} did not have {count} requests acknowledged within {LIMIT:?}")
    })
}
