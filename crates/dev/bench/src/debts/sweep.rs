//! Sweeps of none, a few and all debts, by a service in this process that does nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tally_debts::{Service, Settings};
use tally_outbox::{Outbox, Webhooks};
use tally_runtime::{Drain, SystemClock, Tasks};
use tally_serve::Parts;
use tally_store::{Database, DatabaseUrl};

use super::{HOOK, SECRET, fill};
use crate::place::Place;
use crate::samples::{Samples, ms};

const FLIPS: &str = "SELECT count(*) FROM tally_debt_flips";

/// How often nothing is swept.
const ROUNDS: usize = 20;

/// Prints lines. Says whether each overdue debt has raised one alarm.
pub(super) async fn measure(place: &Place, debts: u64) -> anyhow::Result<bool> {
    let service = service(place).await?;
    let mut times = Samples::default();
    for _ in 0..=ROUNDS {
        times.add(sweep(&service).await?);
    }
    println!("{:<36} {:>9} ms", "sweep, nothing overdue", ms(times.median()));
    let (mut is_right, mut flips) = (true, fill::number(place, FLIPS).await?);
    for (name, one_in) in [("sweep, 1 in 100 overdue", 100), ("sweep, all overdue", 1)] {
        let overdue = fill::age(place, one_in).await?;
        let took = sweep(&service).await?;
        let each = took.as_secs_f64() * 1e6 / overdue.max(1) as f64;
        println!("{name:<36} {:>9} ms: {overdue} of {debts}, {each:.0} µs each", ms(took));
        let now = fill::number(place, FLIPS).await?;
        if now != flips + overdue {
            println!("{overdue} overdue, {} alarms: FAIL", now - flips);
            is_right = false;
        }
        flips = now;
    }
    Ok(is_right)
}

/// How long a sweep takes.
async fn sweep(service: &Service) -> anyhow::Result<Duration> {
    let start = Instant::now();
    service.sweep().await?;
    Ok(start.elapsed())
}

async fn service(place: &Place) -> anyhow::Result<Service> {
    let url: DatabaseUrl = place.url.parse()?;
    let database = Database::open(&url, tally_store::postgres::Settings::default()).await?;
    let drain = Drain::new();
    // Its duties end at once: nothing sweeps but this.
    drain.begin();
    let (allowed, secret) = (HOOK.parse(), SECRET.parse());
    let (allowed, secret) =
        (allowed.map_err(anyhow::Error::msg), secret.map_err(anyhow::Error::msg));
    let webhooks = Webhooks::new(allowed?, secret?);
    let parts = Parts {
        outbox: Outbox::new(database.clone(), webhooks),
        database,
        clock: Arc::new(SystemClock),
        drain,
        tasks: Tasks::new(),
    };
    Ok(Service::start(parts, Settings::default()))
}
