//! Requests through a server, at full speed or at a steady rate: how fast, how soon acknowledged, and
//! at what cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_requests::Resolution;
use tally_runtime::{Clock as _, Day, SystemClock};

use super::copy::SERIES;
use super::figures::{Figures, Metric};
use super::load::{self, Amount, Load, Loaded};
use super::row::{Ingest, Way, record};
use super::{Measured, Run};
use crate::arguments::Backend;
use crate::mix::Mix;
use crate::place::{Host, Place};
use crate::server::{self, Server};
use crate::years;

/// More series than this are many.
const MANY_SERIES: u32 = 1_000;

/// How many seconds requests come before they are measured; and as long as many series are named, which
/// each stream does once.
const WARM_UP: u64 = 1;
const NAMES_SECONDS: u64 = 5;

/// How many streams there are at a steady rate.
const PACED_STREAMS: u32 = 8;

/// How many series a server tells apart to which many come: by default, those that come late would count
/// as others.
const SERIES_MAX: &str = "300000";

/// What the server and its database have used at a moment.
struct Used {
    at: Instant,
    server: Option<Duration>,
    database: Option<Duration>,
}

/// As fast as the server takes them.
pub(super) async fn measure(run: &Run<'_>, ingest: Ingest) -> anyhow::Result<Measured> {
    let Ingest { way, resolution, streams, backend } = ingest;
    let load = Load { way, streams, ..full(run) };
    let place = run.place(backend)?;
    through_server(run, backend, &place, resolution, load).await
}

/// One request at a time.
pub(super) async fn measure_idle(run: &Run<'_>) -> anyhow::Result<Measured> {
    let amount = match run.sizes.load {
        Amount::Requests(_) => Amount::Requests(20),
        seconds @ Amount::Seconds(_) => seconds,
    };
    let load = Load { streams: 1, amount, is_single: true, ..full(run) };
    let place = run.place(Backend::Postgres)?;
    through_server(run, Backend::Postgres, &place, Resolution::Raw, load).await
}

/// At a part of the full speed that this round has measured.
pub(super) async fn measure_paced(run: &Run<'_>, percent: u32) -> anyhow::Result<Measured> {
    let full_speed = record(Resolution::Raw, PACED_STREAMS, Backend::Postgres);
    let full_speed = run.results.last(full_speed, Metric::Rate).context("the full speed")?;
    let rate = (full_speed * f64::from(percent) / 100.0).max(1.0) as u64;
    let load = Load { rate: Some(rate), ..full(run) };
    let place = run.place(Backend::Postgres)?;
    through_server(run, Backend::Postgres, &place, Resolution::Raw, load).await
}

/// Of this many series.
pub(super) async fn measure_series(run: &Run<'_>, count: u32) -> anyhow::Result<Measured> {
    let warm_up = if count > MANY_SERIES { NAMES_SECONDS } else { WARM_UP };
    let load = Load { series: count, warm_up, ..full(run) };
    let place = run.place(Backend::Postgres)?;
    through_server(run, Backend::Postgres, &place, Resolution::Raw, load).await
}

/// Into a database that has the totals of this many days.
pub(super) async fn measure_days(run: &Run<'_>, days: u32) -> anyhow::Result<Measured> {
    let place = run.place(Backend::Postgres)?;
    Server::start(run.arguments, &place)?.stop()?;
    let mix = Arc::new(Mix::new(run.sizes.days_series, false, run.arguments.seed));
    years::fill(&place, &mix, Day::of(SystemClock.now()), days).await?;
    through_server(run, Backend::Postgres, &place, Resolution::Raw, full(run)).await
}

/// As `Record` at full speed does it.
pub(super) fn full(run: &Run<'_>) -> Load {
    Load {
        way: Way::Record,
        streams: PACED_STREAMS,
        series: SERIES as u32,
        amount: run.sizes.load,
        warm_up: WARM_UP,
        rate: None,
        is_single: false,
    }
}

/// Starts a server, lets the load come, and counts what is stored.
async fn through_server(
    run: &Run<'_>,
    backend: Backend,
    place: &Place,
    resolution: Resolution,
    load: Load,
) -> anyhow::Result<Measured> {
    let resolution = resolution.to_string();
    let mut flags = vec!["--requests-resolution", &resolution];
    if load.series > MANY_SERIES {
        flags.extend(["--requests-series-max", SERIES_MAX]);
    }
    let server = Server::start_with(run.arguments, place, &flags)?;
    let host = run.host(backend)?;
    let channel = server.connect().await?;
    let stored_before = server::sum(&channel).await?;
    let memory_before = server.memory();
    let process = load.start(run.arguments, &server)?;
    let mut used = [Used::now(host, &server), Used::now(host, &server)];
    if let Amount::Seconds(seconds) = load.amount {
        // Within the time that is measured: what comes before and after it takes CPU time too.
        tokio::time::sleep(Duration::from_secs(load.warm_up) + Duration::from_millis(250)).await;
        used[0] = Used::now(host, &server);
        tokio::time::sleep(Duration::from_secs(seconds) - Duration::from_millis(500)).await;
        used[1] = Used::now(host, &server);
    }
    let loaded = load::finish(&process).with_context(|| server.log())?;
    if matches!(load.amount, Amount::Requests(_)) {
        used[1] = Used::now(host, &server);
    }
    let memory = server.memory();
    let mut figures = figures(&loaded, &used, load.amount);
    let mib = |kib: u64| kib as f64 / 1_024.0;
    figures.set_some(Metric::MemoryBefore, memory_before.map(|memory| mib(memory.now)));
    figures.set_some(Metric::MemoryPeak, memory.map(|memory| mib(memory.peak)));
    let mut measured = Measured::of(figures);
    measured.check(&loaded);
    server::fold(&channel).await?;
    let stored = server::sum(&channel).await?;
    measured.expect_stored(stored.saturating_sub(stored_before), &loaded);
    server.stop()?;
    Ok(measured)
}

fn figures(loaded: &Loaded, used: &[Used; 2], amount: Amount) -> Figures {
    let mut figures = Figures::default();
    figures.set(Metric::Rate, loaded.per_second);
    if let Some([p50, p99, p999]) = loaded.acknowledged_after {
        figures.set(Metric::P50, p50);
        figures.set(Metric::P99, p99);
        figures.set(Metric::P999, p999);
    }
    let all = loaded.acknowledged.max(1) as f64;
    let [before, after] = used;
    let requests = match amount {
        Amount::Seconds(_) => (after.at - before.at).as_secs_f64() * loaded.per_second,
        Amount::Requests(_) => all,
    };
    let each = |before: Option<Duration>, after: Option<Duration>| {
        let spent = after?.saturating_sub(before?);
        Some(spent.as_secs_f64() * 1e6 / requests.max(1.0))
    };
    figures.set(Metric::ClientCpu, loaded.client_cpu * 1e6 / all);
    figures.set_some(Metric::ServerCpu, each(before.server, after.server));
    figures.set_some(Metric::DatabaseCpu, each(before.database, after.database));
    figures
}

// === impl Used ===

impl Used {
    fn now(host: &Host, server: &Server) -> Self {
        Self { at: Instant::now(), server: server.cpu(), database: host.cpu() }
    }
}

// === impl Measured ===

impl Measured {
    /// What the load itself has found.
    pub(super) fn check(&mut self, loaded: &Loaded) {
        self.expect("requests lost", loaded.lost, 0);
        self.expect("requests counted twice", loaded.doubled, 0);
    }

    /// What the server has stored.
    pub(super) fn expect_stored(&mut self, stored: u64, loaded: &Loaded) {
        // Requests in doubt may be among them.
        let most = loaded.all_acknowledged + loaded.in_doubt;
        self.expect("requests stored", stored, stored.clamp(loaded.all_acknowledged, most));
    }
}
