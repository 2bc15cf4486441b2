//! `wild`: requests of all years, against as many of today.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1::{Granularity, QueryTotalsRequest};
use tally_runtime::{Clock as _, Day, SystemClock, Tasks};

use crate::arguments::{self, Arguments};
use crate::mix::{Mix, mixed, within};
use crate::place::{Place, megabytes};
use crate::record;
use crate::samples::{Samples, ms, per_second};
use crate::server::{self, Server};

/// How many series they have.
const SERIES: usize = 100;

/// How many streams bring them.
const STREAMS: u64 = 2;

pub(crate) async fn run(
    arguments: &Arguments,
    asked: &arguments::Wild,
    place: &Place,
) -> anyhow::Result<bool> {
    let requests = arguments.size(asked.requests, 2_000_000, 4_000);
    place.print_settings().await?;
    let server = Server::start(arguments, place)?;
    let today = Day::of(SystemClock.now());
    let now = SystemClock.now().as_microsecond();
    let last_year = today.date().year();
    let first_year = if arguments.quick { last_year - 20 } else { 1 };
    // No server takes a time that is to come.
    let first = Day::from(jiff::civil::Date::constant(first_year, 1, 1));
    let spans = [("today", today.start_micros()..now), ("wild", first.start_micros()..now)];
    let mut rates = Vec::new();
    let channel = server.connect().await?;
    for (name, span) in spans {
        println!("{name}: size {}", megabytes(place.bytes().await?));
        let took =
            fill(&server, arguments.seed, requests, span).await.with_context(|| server.log())?;
        rates.push(took.as_secs_f64());
        println!(
            "  {requests} requests {} ({:.1} s)",
            per_second(requests, took),
            took.as_secs_f64()
        );
        println!("  size {}", megabytes(place.bytes().await?));
        let folded = server::fold(&channel).await.with_context(|| server.log())?;
        println!("  fold {} ms", ms(folded));
        // As the command line does it: one call for each year.
        let first_year = if name == "today" { last_year } else { first_year };
        let (start, mut years) = (Instant::now(), Samples::default());
        for year in first_year..=last_year {
            let date = Date { year: i32::from(year), month: 0, day: 0 };
            years.add(server::roll_up(&channel, date).await.with_context(|| server.log())?);
        }
        println!("  roll-up {:.1} s; by year {years}", start.elapsed().as_secs_f64());
        println!("  size {}", megabytes(place.bytes().await?));
    }
    println!("wild rows cost {:.2} times as much to insert as today's", rates[1] / rates[0]);
    let mut is_right = true;
    for live in [false, true] {
        let query = QueryTotalsRequest {
            granularity: Granularity::Whole.into(),
            sum: true,
            live,
            ..QueryTotalsRequest::default()
        };
        let (answer, took) = server::ask(&channel, &query).await?;
        is_right &= answer.sum.unsigned_abs() == 2 * requests;
        println!("live {live}: {} of {} ({} ms)", answer.sum, 2 * requests, ms(took));
    }
    server.stop()?;
    println!("size after the server's end {}", megabytes(place.bytes().await?));
    println!("{}", if is_right { "PASS" } else { "FAIL" });
    Ok(is_right)
}

/// Sends requests at random times within the span.
async fn fill(
    server: &Server,
    seed: u64,
    requests: u64,
    span: Range<i64>,
) -> anyhow::Result<Duration> {
    let mix = Arc::new(Mix::new(SERIES, true, seed));
    let start = Instant::now();
    let mut sent = Vec::new();
    for stream in 0..STREAMS {
        let (mix, span, channel) = (Arc::clone(&mix), span.clone(), server.connect().await?);
        let share = requests / STREAMS + u64::from(stream < requests % STREAMS);
        sent.push(Tasks::detach("fill", async move {
            let request = |n| (mix.pick(stream, n), within(mixed(seed, stream, n), &span));
            record::fast(channel, &mix, share, request).await
        }));
    }
    for stream in sent {
        stream.await??;
    }
    Ok(start.elapsed())
}
