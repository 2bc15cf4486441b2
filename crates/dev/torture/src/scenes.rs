//! Fixed scenes before the random part: moments at which a broken server is certain to lose or
//! double requests, whatever the timing.

use std::time::Duration;

use anyhow::Context as _;
use tally_testkit::eventually_blocking;

use crate::arguments::{Broken, Run};
use crate::changes::BY_SERVICE;
use crate::client::load::{FIRST_LARGE, LARGE_ROWS, day};
use crate::client::{Kind, now_micros};
use crate::lanes::LARGE_COMMIT;
use crate::rewind::lose_all;
use crate::stop::Stop;
use crate::stored;
use crate::tables::Tables;
use crate::views::{View, date_of};
use crate::watch::Watch;
use crate::world::client::Client;
use crate::world::server::StartOptions;

/// How long a scene waits for each step.
const LIMIT: Duration = Duration::from_secs(60);

/// After this many requests a raw client has used most of its paths.
const ALL_PATHS: u64 = 3 * LARGE_ROWS;

/// Fault points before and after the commit of a batch.
const BEFORE_COMMIT: &str = "append.before_commit";
const COMMITTED: &str = "append.committed";

/// The same for a fold.
const FOLD_POINTS: [&str; 2] = ["fold.before_commit", "fold.committed"];

/// Before a server moves what days and months have of series that have been merged.
const SETTLES: &str = "settle.before_commit";

/// Kills a server before a commit and after one, and loses the answer to one, while one client
/// counts and resends everything unacknowledged.
pub(crate) fn run(watch: &Watch<'_>, run: &Run) -> anyhow::Result<()> {
    let (world, log) = (watch.world, &watch.world.log);
    let (server, client) = (&world.servers[0], &world.clients[0]);
    client.proxy.redirect(&server.address);
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
    server.bring_up(&StartOptions::default(), &Stop::default())?;
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
    let more = || acknowledged(watch, client, watch.progress(client)? + 1);
    for point in FOLD_POINTS {
        log.say(|| format!("scene: a server is killed at {point}"));
        more()?;
        server.process.kill();
        let how = StartOptions { fault: Some(point.to_owned()), ..StartOptions::default() };
        server.bring_up(&how, &Stop::default())?;
        let (runtime, url) = (&world.runtime, server.url());
        // It may come to this point by itself, and does not answer then.
        let folding = runtime.spawn(async move { stored::fold(&url).await });
        let stopped = format!("stopped at {point}");
        let reached = eventually_blocking(LIMIT, || server.process.has_logged(&stopped));
        server.process.kill();
        folding.abort();
        reached.map_err(|_| anyhow::anyhow!("{point} was not reached within {LIMIT:?}"))?;
        log.done("scene: server killed in a fold");
        server.bring_up(&StartOptions::default(), &Stop::default())?;
    }
    let today = day(now_micros());
    let asks = |view| {
        let asked = || watch.live_query(server, view).is_ok_and(|answered| answered);
        eventually_blocking(LIMIT, asked).map_err(|_| anyhow::anyhow!("no totals in {LIMIT:?}"))
    };
    asks(View::Days)?;
    world.runtime.block_on(stored::roll_up(&server.url(), date_of(today, 1)))?;
    more()?;
    world.runtime.block_on(stored::fold(&server.url()))?;
    asks(View::Endpoints)
}

/// Merges series that have rows, kills the server, and lets the next one fold these, which must count them
/// under what they were merged into. That one stops before it moves anything by itself.
fn merge(watch: &Watch<'_>) -> anyhow::Result<()> {
    let (world, log) = (watch.world, &watch.world.log);
    let (server, client) = (&world.servers[0], &world.clients[0]);
    log.say(|| "scene: series are merged that have rows".to_owned());
    let calm = |point: Option<&str>| {
        server.process.kill();
        let fault = point.map(str::to_owned);
        let how = StartOptions { fault, is_calm: true, ..StartOptions::default() };
        server.bring_up(&how, &Stop::default())
    };
    let tables = |is: &dyn Fn(&Tables) -> bool| {
        let mut read = None;
        let found = || {
            read = watch.look();
            read.as_ref().is_some_and(is)
        };
        let found = eventually_blocking(LIMIT, found);
        found.map_err(|_| anyhow::anyhow!("the rows did not come or go within {LIMIT:?}"))?;
        read.context("the database is away")
    };
    calm(None)?;
    acknowledged(watch, client, watch.progress(client)? + 1)?;
    tables(&|tables| tables.has_rows_of(|series| BY_SERVICE.selects(series)))?;
    anyhow::ensure!(watch.change(server, BY_SERVICE)?, "{BY_SERVICE:?} was not made");
    calm(Some(SETTLES))?;
    let url = server.url();
    let folding = world.runtime.spawn(async move { stored::fold(&url).await });
    let folded = tables(&|tables| !tables.has_moved_rows());
    folding.abort();
    watch.check_left_behind(&folded?);
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
    let asked = || watch.live_query(server, View::Days).is_ok_and(|answered| answered);
    eventually_blocking(LIMIT, asked).map_err(|_| anyhow::anyhow!("no live totals in {LIMIT:?}"))
}

/// Waits until this many requests of a client are acknowledged.
pub(crate) fn acknowledged(watch: &Watch<'_>, client: &Client, count: u64) -> anyhow::Result<()> {
    let reached = || watch.progress(client).is_ok_and(|acknowledged| acknowledged >= count);
    eventually_blocking(LIMIT, reached).map_err(|_| {
        let name = &client.process.name;
        anyhow::anyhow!("{name} did not have {count} requests acknowledged within {LIMIT:?}")
    })
}
