//! `debts`: payments by each door and sweeps, with few and with many debts, against what Postgres itself can
//! do.
//!
//! | file | what it owns |
//! |---|---|
//! | `fill.rs` | making debts, and what the tables have of them |
//! | `limit.rs` | what Postgres can do without a server |
//! | `pages.rs` | how long pages and lists take |
//! | `pay.rs` | those who pay |
//! | `sweep.rs` | sweeps of none, a few and all debts |

mod fill;
mod limit;
mod pages;
mod pay;
mod sweep;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::arguments::{self, Arguments, Backend};
use crate::place::{Host, megabytes};
use crate::samples::per_second;
use crate::server::Server;
use crate::usage;

/// How many payments a second Postgres should take, however many debts there are.
const TARGET: f64 = 5_000.0;

/// Who is told of alarms. Nothing is sent, because no server runs after the sweeps.
const HOOK: &str = "http://127.0.0.1:9/";
const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// As many as there may be in a namespace, and who may be told.
const FLAGS: [&str; 6] =
    ["--debts-max", "10000000", "--webhooks-allow", HOOK, "--webhooks-secret", SECRET];

/// Of what a form of payment is measured.
#[derive(Clone, Copy)]
struct Sizes {
    debts: u64,
    lasts: Duration,
    connections: u64,
    seed: u64,
}

pub(crate) async fn run(arguments: &Arguments, asked: &arguments::Debts) -> anyhow::Result<bool> {
    let quick = if arguments.quick { vec![300] } else { vec![100, 10_000, 1_000_000] };
    let all = if asked.debts.is_empty() { quick } else { asked.debts.clone() };
    let given = asked.seconds.map(Duration::from_secs);
    let lasts = arguments.size(given, Duration::from_secs(10), Duration::from_millis(200));
    let connections = arguments.size(asked.connections, 64, 4);
    let mut is_right = true;
    for backend in arguments.backends() {
        let host = Host::start(backend, arguments).await?;
        for &debts in &all {
            println!("\n== {backend}, {debts} debts");
            let sizes = Sizes { debts, lasts, connections, seed: arguments.seed };
            is_right &= one(arguments, &host, backend, sizes)
                .await
                .with_context(|| format!("on {backend}, with {debts} debts"))?;
        }
    }
    Ok(is_right)
}

/// Measures with so many debts.
async fn one(
    arguments: &Arguments,
    host: &Host,
    backend: Backend,
    sizes: Sizes,
) -> anyhow::Result<bool> {
    let place = host.place()?;
    place.print_settings().await?;
    let server = Server::start_with(arguments, &place, &FLAGS)?;
    fill::template(&server).await?;
    server.stop()?;
    let start = Instant::now();
    fill::fill(&place, sizes.debts).await.context("make debts")?;
    println!(
        "filled in {:.1} s, size {}",
        start.elapsed().as_secs_f64(),
        megabytes(place.bytes().await?)
    );
    println!(
        "{:<36} {:>9} {:>9} {:>9} {:>24} {:>8} {:>6}",
        "payments", "a second", "p50 ms", "p99 ms", "CPU s: Tally/DB/clients", "a commit", "log B"
    );
    let (mut is_right, mut stored) = (true, fill::payments(&place).await?);
    let mut rates = Vec::new();
    let server = Server::start_with(arguments, &place, &FLAGS)?;
    for form in pay::Form::ALL {
        let written = fill::written(&place).await?;
        let before = [server.cpu(), host.cpu(), usage::own_cpu()];
        let paid = pay::measure(&server, form, sizes).await.with_context(|| server.log())?;
        let after = [server.cpu(), host.cpu(), usage::own_cpu()];
        let [commits, bytes] = fill::written(&place).await?;
        let [commits, bytes] = [commits - written[0], bytes - written[1]];
        let rate = paid.payments as f64 / paid.took.as_secs_f64();
        rates.push((form.name(sizes), rate));
        let is_missed = backend == Backend::Postgres && !arguments.quick && rate < TARGET;
        let used: Vec<String> = before.into_iter().zip(after).map(used).collect();
        println!(
            "{:<36} {:>9} {:>9} {:>9} {:>24} {:>8} {:>6}{}",
            form.name(sizes),
            per_second(paid.payments, paid.took),
            crate::samples::ms(paid.waits.median()),
            crate::samples::ms(paid.waits.at(990)),
            used.join("/"),
            paid.payments.checked_div(commits).unwrap_or_default(),
            bytes.checked_div(paid.payments).unwrap_or_default(),
            if is_missed { "  MISSED" } else { "" }
        );
        let now = fill::payments(&place).await?;
        if now != stored + paid.payments {
            println!("{} acknowledged, {} stored: FAIL", paid.payments, now - stored);
            is_right = false;
        }
        stored = now;
    }
    pages::measure(&server).with_context(|| server.log())?;
    server.stop()?;
    if let Some(limit) = limit::measure(&place, sizes).await.context("what the database can do")? {
        for (name, rate) in rates {
            println!("{name:<36} {:>9.2} of what bare SQL does", rate / limit);
        }
    }
    is_right &= sweep::measure(&place, sizes.debts).await.context("sweep")?;
    println!("all payments were stored: {}", if is_right { "PASS" } else { "FAIL" });
    Ok(is_right)
}

/// The CPU time between two looks.
fn used((before, after): (Option<Duration>, Option<Duration>)) -> String {
    let used = after.zip(before).map(|(after, before)| after.saturating_sub(before));
    used.map_or_else(|| "-".to_owned(), |used| format!("{:.1}", used.as_secs_f64()))
}
