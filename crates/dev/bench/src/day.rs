//! `day`: a day of requests, queries of it, and the wait that folds and roll-ups cause.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use tally_runtime::{Clock as _, Day, SystemClock, Tasks};
use tonic::transport::Channel;

use crate::arguments::{self, Arguments};
use crate::message;
use crate::mix::{Mix, mixed, within};
use crate::place::{Place, megabytes};
use crate::record::{self, BATCH_ROWS, Paced, Seen};
use crate::samples::{Samples, ms, per_second};
use crate::server::{self, Answer, Server};

/// How many clients count while the day is asked for.
const CLIENTS: u64 = 4;

/// The pause after a fold and a roll-up.
const PAUSE: Duration = Duration::from_millis(200);

/// What happens while the clients count.
#[derive(Clone, Copy)]
struct Phase {
    name: &'static str,
    is_asked: bool,
    is_folded: bool,
}

/// What was measured in a phase.
struct Figures {
    clients: Samples,
    queries: Samples,
    folds: Samples,
    roll_ups: Samples,
}

/// A run on one database.
struct Run<'a> {
    server: &'a Server,
    mix: Arc<Mix>,
    day: Day,
    /// The first time, and the last one.
    span: Range<i64>,
    acknowledged: Arc<AtomicU64>,
    is_right: bool,
}

pub(crate) async fn run(
    arguments: &Arguments,
    asked: &arguments::Day,
    place: &Place,
) -> anyhow::Result<bool> {
    let requests = arguments.size(asked.requests, 100_000_000, 100_000);
    let series = arguments.size(asked.series, 1_000, 100);
    let rate = arguments.size(asked.rate, 5_000, 500);
    let lasts = Duration::from_secs(arguments.size(asked.seconds, 20, 1));
    let now = SystemClock.now().as_microsecond();
    let day = match &asked.day {
        Some(day) => Day::from(day.parse::<jiff::civil::Date>().context("--day")?),
        None => Day::of_micros(now),
    };
    let day_end = day.micros().end;
    let span = day.start_micros()..now.min(day_end);
    anyhow::ensure!(!span.is_empty(), "{day} is to come");
    place.print_settings().await?;
    let server = Server::start(arguments, place)?;
    let mix = Arc::new(Mix::new(series, asked.uniform, arguments.seed));
    let acknowledged = Arc::default();
    let mut run = Run { server: &server, mix, day, span, acknowledged, is_right: true };
    run.fill(requests, asked.streams, place).await?;
    let phases = [
        Phase { name: "counting only", is_asked: false, is_folded: false },
        Phase { name: "and asked", is_asked: true, is_folded: false },
        Phase { name: "and folded, rolled up", is_asked: true, is_folded: true },
    ];
    println!("{CLIENTS} clients, {rate} requests/s each, for {} s a phase", lasts.as_secs());
    let mut waits = Vec::new();
    for phase in phases {
        let figures = run.phase(phase, rate, lasts).await.with_context(|| server.log())?;
        figures.print(phase);
        waits.push(figures.clients.at(990));
    }
    let more = waits[2].saturating_sub(waits[1]);
    println!("folds and roll-ups add to the wait, p99: {} ms (target: 50)", ms(more));
    run.verify().await?;
    println!("size {}", megabytes(place.bytes().await?));
    let is_right = run.is_right;
    server.stop()?;
    println!("size after the server's end {}", megabytes(place.bytes().await?));
    Ok(is_right)
}

// === impl Run ===

impl Run<'_> {
    /// Sends the requests of the day as fast as the server takes them.
    async fn fill(&mut self, requests: u64, streams: u64, place: &Place) -> anyhow::Result<()> {
        let streams = streams.clamp(1, requests.max(1));
        let start = Instant::now();
        let mut sent = Vec::new();
        for stream in 0..streams {
            let share = requests / streams + u64::from(stream < requests % streams);
            let (mix, span) = (Arc::clone(&self.mix), self.span.clone());
            let channel = self.server.connect().await?;
            let fill = async move {
                let request = |n| (mix.pick(stream, n), time(&span, n, share, mixed(1, stream, n)));
                record::fast(channel, &mix, share, request).await
            };
            sent.push(async { Tasks::detach("fill", fill).await?.map_err(anyhow::Error::from) });
        }
        let refusals: u32 =
            try_join_all(sent).await.with_context(|| self.server.log())?.iter().sum();
        self.acknowledged.fetch_add(requests, Ordering::Relaxed);
        let took = start.elapsed();
        println!(
            "{requests} requests of {} by {streams} streams in batches of {BATCH_ROWS}: {:.1} s, {}; \
             streams refused: {refusals}; size {}",
            self.day,
            took.as_secs_f64(),
            per_second(requests, took),
            megabytes(place.bytes().await?)
        );
        Ok(())
    }

    /// Lets the clients count for a while.
    async fn phase(&mut self, phase: Phase, rate: u64, lasts: Duration) -> anyhow::Result<Figures> {
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let client = Paced {
                mix: Arc::clone(&self.mix),
                number: mixed(2, number, phase.name.len() as u64),
                rate,
                lasts,
                now: |last| SystemClock.now().as_microsecond().min(last),
                last_micros: self.day.micros().end - 1,
                acknowledged: Arc::clone(&self.acknowledged),
            };
            let counting = record::paced(self.server.connect().await?, client);
            clients.push(async {
                Tasks::detach("client", counting).await?.map_err(anyhow::Error::from)
            });
        }
        let is_over = AtomicBool::new(false);
        let counting = async {
            let seen = try_join_all(clients).await;
            is_over.store(true, Ordering::Relaxed);
            seen
        };
        let (asking, folding) = (self.server.connect().await?, self.server.connect().await?);
        let asking = self.keep_asking(asking, phase.is_asked, &is_over);
        let folding = self.keep_folding(folding, phase.is_folded, &is_over);
        let (seen, (queries, all_right), (folds, roll_ups)) =
            tokio::try_join!(counting, asking, folding)?;
        self.is_right &= all_right;
        let mut clients = Samples::default();
        seen.into_iter().for_each(|Seen { waits, .. }| clients.join(waits));
        Ok(Figures { clients, queries, folds, roll_ups })
    }

    /// Asks for the live day again and again. No answer lacks what was acknowledged before.
    async fn keep_asking(
        &self,
        channel: Channel,
        is_wanted: bool,
        is_over: &AtomicBool,
    ) -> anyhow::Result<(Samples, bool)> {
        let (mut queries, mut is_right) = (Samples::default(), true);
        while is_wanted && !is_over.load(Ordering::Relaxed) {
            let least = self.acknowledged.load(Ordering::Relaxed);
            let (Answer { sum, .. }, took) =
                server::ask(&channel, &message::live_day(self.day)).await?;
            queries.add(took);
            if sum.unsigned_abs() < least {
                println!("WRONG: {sum} where {least} were acknowledged before the question");
                is_right = false;
            }
        }
        Ok((queries, is_right))
    }

    /// Folds and rolls up again and again.
    async fn keep_folding(
        &self,
        channel: Channel,
        is_wanted: bool,
        is_over: &AtomicBool,
    ) -> anyhow::Result<(Samples, Samples)> {
        let (mut folds, mut roll_ups) = (Samples::default(), Samples::default());
        while is_wanted && !is_over.load(Ordering::Relaxed) {
            folds.add(server::fold(&channel).await?);
            tokio::time::sleep(PAUSE).await;
            roll_ups.add(server::roll_up(&channel, message::date(self.day)).await?);
            tokio::time::sleep(PAUSE).await;
        }
        Ok((folds, roll_ups))
    }

    /// Whether the live day is exactly what was acknowledged.
    async fn verify(&mut self) -> anyhow::Result<()> {
        let channel = self.server.connect().await?;
        let (Answer { sum, totals }, took) =
            server::ask(&channel, &message::live_day(self.day)).await?;
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        self.is_right &= sum.unsigned_abs() == acknowledged;
        let verdict = if self.is_right { "PASS" } else { "FAIL" };
        println!(
            "{acknowledged} acknowledged, {sum} in {totals} live totals ({} ms): {verdict}",
            ms(took)
        );
        Ok(())
    }
}

/// The time of the n-th request of a stream: they go through the day, each somewhere within its part.
fn time(span: &Range<i64>, n: u64, of: u64, random: u64) -> i64 {
    let length = i128::from(span.end - span.start);
    let at = |n: u64| span.start + (length * i128::from(n) / i128::from(of.max(1))) as i64;
    within(random, &(at(n)..at(n + 1)))
}

// === impl Figures ===

impl Figures {
    fn print(&self, phase: Phase) {
        println!("{}", phase.name);
        println!("  acknowledged after  {}", self.clients);
        if phase.is_asked {
            println!("  live day            {}   (target: 200)", self.queries);
        }
        if phase.is_folded {
            println!("  fold                {}", self.folds);
            println!("  roll-up of the day  {}", self.roll_ups);
        }
    }
}
