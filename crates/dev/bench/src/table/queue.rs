//! `queue`: the client crate's queue, as fast as threads record and have it acknowledged.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use tally_client::{Method, Queue, Refusal, Series};

use crate::arguments;
use crate::usage;

/// How many requests a thread records before it looks at the clock.
const BURST: u64 = 1_024;

/// How long the last requests may take.
const END_LIMIT: Duration = Duration::from_secs(120);

/// What the queue has done, and what this process has used, at a moment.
struct Mark {
    at: Instant,
    acknowledged: u64,
    cpu: Option<Duration>,
}

/// Records, waits until all of it is acknowledged, and prints a JSON object; says whether nothing was
/// lost.
pub(crate) async fn run(asked: &arguments::Queue) -> anyhow::Result<bool> {
    let queue = Queue::connect(asked.url.as_str()).await.context("connect")?;
    let endpoint = |n| queue.endpoint(Method::GET, &format!("/queue/{n}"));
    let series: Vec<Series> = (0..asked.series).map(endpoint).collect();
    queue.ready().await;
    let mut from = Mark::now(&queue);
    let measured_from = from.at + Duration::from_secs(asked.warm_up);
    let end = asked.seconds.map(|seconds| measured_from + Duration::from_secs(seconds));
    let threads: Vec<_> = (0..asked.threads)
        .map(|thread| {
            let (queue, series) = (queue.clone(), series.clone());
            let runtime = tokio::runtime::Handle::current();
            let count = asked.requests.map(|all| share(all, thread, asked.threads));
            std::thread::spawn(move || record(&queue, &series, &runtime, count, end))
        })
        .collect();
    let mut to = None;
    if let Some(end) = end {
        // As `tally bench` does it: what comes before and after is not measured.
        tokio::time::sleep_until(measured_from.into()).await;
        from = Mark::now(&queue);
        tokio::time::sleep_until(end.into()).await;
        to = Some(Mark::now(&queue));
    }
    let mut recorded = 0;
    for thread in threads {
        recorded += thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    }
    queue.flush_within(END_LIMIT).await.context("wait for the last requests")?;
    let to = to.unwrap_or_else(|| Mark::now(&queue));
    let (took, acknowledged) =
        ((to.at - from.at).as_secs_f64(), to.acknowledged - from.acknowledged);
    let spent = from.cpu.zip(to.cpu).map(|(from, to)| to.saturating_sub(from));
    let report = queue.close_within(END_LIMIT).await;
    let lost = recorded.abs_diff(report.acknowledged);
    let printed = json!({
        "acknowledged": acknowledged,
        "all_acknowledged": report.acknowledged,
        "in_doubt": report.in_doubt,
        "seconds": took,
        "requests_per_second": acknowledged as f64 / took,
        "lost": lost,
        "doubled": 0,
        "client_cpu_seconds": spent.unwrap_or_default().as_secs_f64(),
    });
    println!("{printed}");
    Ok(lost == 0)
}

// === impl Mark ===

impl Mark {
    fn now(queue: &Queue) -> Self {
        Self { at: Instant::now(), acknowledged: queue.stats().acknowledged, cpu: usage::own_cpu() }
    }
}

/// How many of all requests one of the threads records.
fn share(all: u64, thread: u64, threads: u64) -> u64 {
    all / threads + u64::from(thread < all % threads)
}

/// Records until `count` or `end`, and waits where a service would drop. Returns how many.
fn record(
    queue: &Queue,
    series: &[Series],
    runtime: &tokio::runtime::Handle,
    count: Option<u64>,
    end: Option<Instant>,
) -> anyhow::Result<u64> {
    let mut recorded = 0;
    let mut next = series.iter().copied().cycle();
    while end.is_none_or(|end| Instant::now() < end) {
        let burst = count.map_or(BURST, |count| BURST.min(count - recorded));
        if burst == 0 {
            break;
        }
        for one in next.by_ref().take(usize::try_from(burst)?) {
            if let Err(refused) = queue.try_record(one) {
                anyhow::ensure!(refused.reason == Refusal::Full, "refused: {refused}");
                // It sleeps until there is room: spinning would take the cores from the server.
                runtime.block_on(queue.record_at(refused.series, refused.at))?;
            }
        }
        recorded += burst;
    }
    Ok(recorded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_all_requests() {
        for all in [0, 1, 2_000, 2_001] {
            assert_eq!((0..2).map(|thread| share(all, thread, 2)).sum::<u64>(), all);
        }
    }
}
