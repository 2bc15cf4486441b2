//! `memory`: the server's memory, second by second, at full speed over many streams; and the same with a
//! Postgres whose commits are slow.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_requests::Resolution;

use super::copy::SERIES;
use super::figures::{Bound, Figures};
use super::load::{self, Amount, Load};
use super::report::MEMORY;
use super::row::Way;
use super::text::{Section, grouped, number};
use super::{Measured, QUICK};
use crate::arguments::{self, Arguments};
use crate::place::Place;
use crate::server::{self, Server};

/// How many streams bring requests.
const STREAMS: u32 = 64;

/// By how much the memory of the last minute may exceed that of the first.
const GROWTH: Bound = Bound::AtMost(1.1);

/// How many samples there are in a minute.
const MINUTE: usize = 60;

/// How long a commit of the slow database takes at least: the most that Postgres allows. Without
/// siblings, every commit waits.
const SLOW: Duration = Duration::from_millis(100);
const SLOW_DATABASE: &str = "\
    DO $$ BEGIN \
        EXECUTE format('ALTER DATABASE %I SET commit_delay = 100000', current_database()); \
        EXECUTE format('ALTER DATABASE %I SET commit_siblings = 0', current_database()); \
    END $$";
const PROBE_TABLE: &str = "CREATE TABLE probe (n INT)";
const PROBE: &str = "INSERT INTO probe VALUES (1)";

const UNKNOWN: &str = "this system does not say what a process uses";

/// What a server has used while requests came, in KiB.
struct Course {
    each_second: Vec<u64>,
    peak: u64,
}

/// Runs it with the database as it is, and with a slow one; says whether every request was counted once.
pub(crate) async fn run(
    arguments: &Arguments,
    asked: &arguments::Memory,
    place: &Place,
) -> anyhow::Result<bool> {
    let minutes = asked.minutes.unwrap_or(10);
    let amount =
        if arguments.quick { Amount::Requests(20_000) } else { Amount::Seconds(minutes * 60) };
    place.print_settings().await?;
    let mut rows = Vec::new();
    let mut wrong = watch(arguments, place, amount, "full speed", &mut rows).await?;
    let mut slow = String::new();
    if let Some(took) = slow_down(place).await? {
        slow = format!(
            " A commit of the slow database takes {:.0} ms (`commit_delay`).",
            took.as_secs_f64() * 1e3
        );
        // Postgres delays no commit that it does not write to the disk.
        anyhow::ensure!(arguments.quick || took >= SLOW, "commits are not slow: is fsync off?");
        wrong.extend(watch(arguments, place, amount, "slow database", &mut rows).await?);
    }
    let lasted = match amount {
        Amount::Seconds(_) => format!("{minutes} min"),
        Amount::Requests(count) => format!("{} requests", grouped(count)),
    };
    let mut section = Section {
        title: format!("The server's memory over {lasted}"),
        note: format!(
            "In MiB, sampled each second: Record over {STREAMS} streams at full speed, raw. The most of the \
             first minute, of the last one, and their ratio; and the most of all.{slow}"
        ),
        header: vec!["what", "first", "last", "ratio", "target", "peak", "target"],
        rows,
    };
    if arguments.quick {
        println!("{QUICK}");
        section.remove("target");
    }
    println!("\n{}", section.plain());
    wrong.iter().for_each(|what| println!("WRONG: {what}"));
    println!("{}", if wrong.is_empty() { "PASS" } else { "FAIL" });
    Ok(wrong.is_empty())
}

/// Lets requests come and looks at the server's memory; adds a row, and returns what was counted wrongly.
async fn watch(
    arguments: &Arguments,
    place: &Place,
    amount: Amount,
    name: &str,
    rows: &mut Vec<Vec<String>>,
) -> anyhow::Result<Vec<String>> {
    let flags = ["--requests-resolution", &Resolution::Raw.to_string()];
    let server = Server::start_with(arguments, place, &flags)?;
    let channel = server.connect().await?;
    let stored_before = server::sum(&channel).await?;
    let load = Load {
        way: Way::Record,
        streams: STREAMS,
        series: SERIES as u32,
        amount,
        warm_up: 1,
        rate: None,
        is_single: false,
    };
    let process = load.start(arguments, &server)?;
    let mut each_second = Vec::new();
    if let Amount::Seconds(seconds) = amount {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        for _ in 0..seconds {
            ticks.tick().await;
            each_second.push(server.memory().context(UNKNOWN)?.now);
            if each_second.len().is_multiple_of(MINUTE) {
                let minute = each_second.rchunks(MINUTE).next().and_then(|all| all.iter().max());
                let mib = minute.map_or_else(String::new, |kib| mib(*kib));
                println!("{name}, minute {}: {mib} MiB", each_second.len() / MINUTE);
            }
        }
    }
    let loaded = load::finish(&process).with_context(|| server.log())?;
    let memory = server.memory().context(UNKNOWN)?;
    each_second.push(memory.now);
    // Linux counts it roughly: a sample may exceed its peak.
    let peak = each_second.iter().copied().fold(memory.peak, u64::max);
    rows.push(Course { each_second, peak }.cells(name));
    println!("{name}: {:.0} requests a second", loaded.per_second);
    let mut measured = Measured::of(Figures::default());
    measured.check(&loaded);
    server::fold(&channel).await?;
    let stored = server::sum(&channel).await?;
    measured.expect_stored(stored.saturating_sub(stored_before), &loaded);
    server.stop()?;
    Ok(measured.wrong)
}

/// Makes commits slow and says how long one takes; `None` on SQLite.
async fn slow_down(place: &Place) -> anyhow::Result<Option<Duration>> {
    let Some(client) = place.postgres().await else { return Ok(None) };
    client.batch_execute(SLOW_DATABASE).await.context("slow commits down")?;
    // Settings of a database are those of connections that begin later.
    let client = place.postgres().await.context("Postgres")?;
    client.batch_execute(PROBE_TABLE).await?;
    let start = Instant::now();
    client.batch_execute(PROBE).await?;
    Ok(Some(start.elapsed()))
}

fn mib(kib: u64) -> String {
    number(kib as f64 / 1_024.0)
}

// === impl Course ===

impl Course {
    /// The most of the first and of the last minute; of less than two minutes, of its halves.
    fn ends(&self) -> Option<(u64, u64)> {
        let all = &self.each_second;
        let length = MINUTE.min(all.len().div_ceil(2));
        let last = all.get(all.len() - length..)?;
        Some((*all.get(..length)?.iter().max()?, *last.iter().max()?))
    }

    fn cells(&self, name: &str) -> Vec<String> {
        let (first, last) = self.ends().unwrap_or_default();
        let growth = (first > 0).then(|| last as f64 / first as f64);
        let peak = self.peak as f64 / 1_024.0;
        vec![
            name.to_owned(),
            mib(first),
            mib(last),
            growth.map_or_else(String::new, number),
            GROWTH.verdict(growth),
            number(peak),
            MEMORY.verdict(Some(peak)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_is_held_against_the_first() {
        // It falls in between, and the most of each minute is not at its end.
        let mut each_second = vec![20 << 10; 200];
        (each_second[30], each_second[100], each_second[170]) = (40 << 10, 90 << 10, 50 << 10);
        let course = Course { each_second, peak: 91 << 10 };
        assert_eq!(course.ends(), Some((40 << 10, 50 << 10)));
        let cells = course.cells("it");
        assert_eq!(cells[1..4], ["40.0", "50.0", "1.25"]);
        assert_eq!(cells[4..], ["\u{2264} 1.1 missed", "91.0", "\u{2264} 64 missed"]);
    }

    #[test]
    fn a_short_run_has_halves() {
        let ends =
            |each_second: &[u64]| Course { each_second: each_second.to_vec(), peak: 0 }.ends();
        assert_eq!(ends(&[1, 2, 3, 4]), Some((2, 4)));
        assert_eq!(ends(&[7]), Some((7, 7)));
        assert_eq!(ends(&[]), None);
    }
}
