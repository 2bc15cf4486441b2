//! `years`: three years of books, and each form of query.
//!
//! | file | what it owns |
//! |---|---|
//! | `books.rs` | the made-up totals |
//! | `fill.rs` | writing them into the tables |
//! | `forms.rs` | the forms of query that the command line offers |
//! | `readers.rs` | what a browser and a script ask over HTTP |

mod books;
mod fill;
mod forms;
mod readers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_proto::tally::requests::v1::{Granularity, QueryTotalsRequest};
use tally_runtime::{Clock as _, Day, SystemClock};
use tonic::transport::Channel;

use crate::arguments::{self, Arguments};
use crate::mix::Mix;
use crate::place::{Place, megabytes};
use crate::record;
use crate::samples::{Samples, ms};
use crate::server::{self, Answer, Server};
use books::Books;
use forms::Form;

/// How long an answer may take.
const TARGET: Duration = Duration::from_millis(200);

/// A form that takes longer, not only at first, is asked no more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a form takes longer than [`TARGET`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speed {
    Fast,
    SlowAtFirst,
    Slow,
    Failed,
}

/// How many requests of this moment are not folded, at first.
const ROWS: u64 = 50_000;

pub(crate) async fn run(
    arguments: &Arguments,
    asked: &arguments::Years,
    place: &Place,
) -> anyhow::Result<bool> {
    let days = arguments.size(asked.days, 1_096, 70).max(2);
    let quarter_days = arguments.size(asked.quarter_days, 400, 40).clamp(2, days);
    let series = arguments.size(asked.series, 5_000, 50);
    let rounds = arguments.size(asked.rounds, 5, 1).max(1);
    place.print_settings().await?;
    // The server makes the tables.
    Server::start(arguments, place)?.stop()?;
    let today = Day::of(SystemClock.now());
    let mix = Arc::new(Mix::new(series, false, arguments.seed));
    let books = Books::new(&mix, today, days, quarter_days);
    let start = Instant::now();
    let filled = fill::fill(place, &books).await.context("fill the tables")?;
    println!(
        "{days} days, the last {quarter_days} with quarters, of {series} series: filled in {:.1} s, size {}",
        start.elapsed().as_secs_f64(),
        megabytes(place.bytes().await?)
    );
    for fill::Filled { table, rows, bytes } in filled {
        println!("{table}: {rows} rows of {:.0} bytes", bytes as f64 / rows.max(1) as f64);
    }
    let server = Server::start(arguments, place)?;
    let channel = server.connect().await?;
    let request = |n| (mix.pick(0, n), SystemClock.now().as_microsecond());
    let rows = if arguments.quick { 500 } else { ROWS };
    record::fast(channel.clone(), &mix, rows, request).await.context("count some requests")?;
    let is_right = verify(&channel, &books, rows).await?;
    let (mut slow, mut slow_at_first, mut failed) = (0, 0, 0);
    let forms = forms::all(today, days, quarter_days);
    let chosen = |form: &&Form| asked.only.as_ref().is_none_or(|text| form.name.contains(text));
    let forms: Vec<&Form> = forms.iter().filter(chosen).collect();
    println!(
        "Each form is asked once, and then {rounds} times. The first question that cuts a day in these \
         places since the server has started reads its quarters; the next ones find it in memory."
    );
    println!("{:<64} {:>8} {:>9} {:>9} {:>9}", "form", "totals", "first ms", "median ms", "p95 ms");
    for form in &forms {
        match measure(&channel, form, rounds).await {
            Speed::Fast => {}
            Speed::SlowAtFirst => slow_at_first += 1,
            Speed::Slow => slow += 1,
            Speed::Failed => failed += 1,
        }
    }
    println!(
        "{slow} of {} forms take more than {} ms, and {slow_at_first} more the first time; {failed} fail",
        forms.len(),
        TARGET.as_millis()
    );
    readers::measure(&server, today, days, rounds).await?;
    server.stop()?;
    Ok(is_right && failed == 0)
}

/// Writes the totals of this many days up to today into tables that nothing uses.
pub(crate) async fn fill(place: &Place, mix: &Mix, today: Day, days: u32) -> anyhow::Result<()> {
    let books = Books::new(mix, today, days, days);
    fill::fill(place, &books).await.context("fill the tables").map(drop)
}

/// Asks several times and prints a line.
async fn measure(channel: &Channel, form: &Form, rounds: usize) -> Speed {
    let (mut first, mut next) = (None, Samples::default());
    let mut totals = 0;
    for _ in 0..=rounds {
        match server::ask(channel, &form.query).await {
            Ok((answer, took)) => {
                totals = answer.totals;
                if first.is_none() {
                    first = Some(took);
                } else {
                    next.add(took);
                    if took > PATIENCE {
                        break;
                    }
                }
            }
            Err(status) => {
                println!("{:<64} {:?}: {}", form.name, status.code(), status.message());
                return Speed::Failed;
            }
        }
    }
    let (first, p95) = (first.unwrap_or_default(), next.at(950));
    let (speed, mark) = match (first > TARGET, p95 > TARGET) {
        (_, true) => (Speed::Slow, "  SLOW"),
        (true, false) => (Speed::SlowAtFirst, "  slow at first"),
        (false, false) => (Speed::Fast, ""),
    };
    let (first, median, name) = (ms(first), ms(next.median()), &form.name);
    println!("{name:<64} {totals:>8} {first:>9} {median:>9} {:>9}{mark}", ms(p95));
    speed
}

/// Whether the totals of all days are those that were written.
async fn verify(channel: &Channel, books: &Books, rows: u64) -> anyhow::Result<bool> {
    let mut is_right = true;
    for live in [false, true] {
        let query = QueryTotalsRequest {
            granularity: Granularity::Whole.into(),
            sum: true,
            live,
            ..QueryTotalsRequest::default()
        };
        let (Answer { sum, .. }, _) = server::ask(channel, &query).await?;
        let expected = books.sum(live) + if live { rows.cast_signed() } else { 0 };
        is_right &= sum == expected;
        let verdict = if sum == expected { "PASS" } else { "FAIL" };
        println!("whole, live {live}: {sum} of {expected}: {verdict}");
    }
    Ok(is_right)
}
