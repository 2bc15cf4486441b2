//! All streams of a run, from its start to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use indicatif::ProgressBar;
use tally_runtime::Clock;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{interval_at, sleep_until};

use super::add::Adder;
use super::args::{BenchArgs, Via};
use super::meter::Meter;
use super::mix::{Shape, Work};
use super::pace::{Alarm, Course, Pace, Turn};
use super::record::Recorder;
use super::report::{millis, shown};
use super::stream::Shared;
use crate::client::Caller;
use crate::output::thousands;

const SECOND: Duration = Duration::from_secs(1);

/// What runs have in common.
pub(super) struct Run<'a> {
    pub(super) args: &'a BenchArgs,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether the user wants it to end.
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) bar: &'a ProgressBar,
    pub(super) callers: Vec<Caller>,
    pub(super) work: Arc<Work>,
    pub(super) shape: Shape,
    pub(super) in_flight: usize,
}

/// Parts of a run, each of which ends when all is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Before a number of requests.
    WarmUp,
    /// What is measured; of a duration, with its warm-up.
    Measured,
}

// === impl Run ===

impl Run<'_> {
    /// Runs a part. Returns what was seen, and how much CPU this process took in the measured time.
    pub(super) async fn part(&self, part: Part) -> anyhow::Result<(Arc<Shared>, Option<Duration>)> {
        let course = self.course(part);
        let shared = Arc::new(Shared {
            work: Arc::clone(&self.work),
            shape: self.shape,
            meter: Meter::new(&course),
            clock: Arc::clone(&self.clock),
            seed: self.args.seed,
            days: self.args.days,
            in_flight: self.in_flight,
            patience: self.args.patience(),
        });
        let (mut streams, alarm) = self.streams(&shared, &course, part)?;
        let cpu = tokio::select! {
            cpu = all(&mut streams, &course, &shared.meter) => cpu?,
            () = self.progress(&shared.meter, &course) => unreachable!("it never ends"),
        };
        drop(alarm);
        Ok((shared, cpu))
    }

    fn course(&self, part: Part) -> Course {
        let (start, stopped) = (Instant::now(), self.stopped.clone());
        let warm_up = self.args.warm_up;
        let (measured_from, end) = match (part, self.args.requests) {
            (Part::WarmUp, _) => (start, Some(start + warm_up)),
            (Part::Measured, Some(_)) => (start, None),
            (Part::Measured, None) => {
                let measured_from = start + warm_up;
                (measured_from, Some(measured_from + self.args.duration))
            }
        };
        Course { start, measured_from, end, stopped }
    }

    /// Starts all streams, and the alarm that wakes them.
    fn streams(
        &self,
        shared: &Arc<Shared>,
        course: &Course,
        part: Part,
    ) -> anyhow::Result<(JoinSet<()>, Option<Alarm>)> {
        let (count, rows) = (self.args.all_streams(), self.shape.rows);
        let rate = self.args.rate;
        let interval =
            rate.map(|rate| Duration::from_secs_f64(rows as f64 * count as f64 / rate as f64));
        let alarms: Vec<_> = (0..count).map(|_| Arc::new(Notify::new())).collect();
        let mut streams = JoinSet::new();
        for (stream, alarm) in alarms.iter().enumerate() {
            let pace = interval.map(|interval| {
                (Pace::new(course.start, interval, stream, count), Arc::clone(alarm))
            });
            let share = |all: u64| {
                let (each, more) = (all / count as u64, all % count as u64);
                each + u64::from((stream as u64) < more)
            };
            let left = self.args.requests.filter(|_| part == Part::Measured).map(share);
            let turn = Turn::new(course.clone(), pace, rows, left);
            let caller = self.callers[stream % self.callers.len()].clone();
            let shared = Arc::clone(shared);
            match self.args.via {
                Via::Add => streams.spawn(Adder::new(shared, caller, turn, (stream, count)).run()),
                Via::Record => streams.spawn(Recorder::new(shared, caller, turn, stream).run()),
            };
        }
        let alarm = interval.map(|interval| Alarm::start(course.start, interval, alarms));
        let alarm = alarm.transpose().context("cannot start a thread")?;
        Ok((streams, alarm))
    }

    /// Shows each second what was acknowledged in it.
    async fn progress(&self, meter: &Meter, course: &Course) {
        self.bar.set_message("starting");
        let mut seconds = interval_at((course.start + SECOND).into(), SECOND);
        let mut acknowledged = 0;
        loop {
            seconds.tick().await;
            let (recent, elapsed) = (meter.recent(), course.start.elapsed());
            acknowledged += recent.acknowledged;
            let what = if course.measured_from.elapsed().is_zero() { "warm-up" } else { "" };
            self.bar.set_message(format!(
                "{:>4} s  {:>11} requests/s  p99 {:>8}  {} acknowledged  {what}",
                elapsed.as_secs(),
                thousands(recent.acknowledged),
                shown(millis(recent.p99)),
                thousands(acknowledged),
            ));
        }
    }
}

/// Waits until all streams have ended. Returns how much CPU the measured time took.
async fn all(
    streams: &mut JoinSet<()>,
    course: &Course,
    meter: &Meter,
) -> anyhow::Result<Option<Duration>> {
    tokio::select! {
        ended = ended(streams) => ended?,
        () = sleep_until(course.measured_from.into()) => {}
    }
    let from = cpu();
    let mut stopped = course.stopped.clone();
    let end = async {
        match course.end {
            Some(end) => sleep_until(end.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = ended(streams) => ended?,
        () = end => {}
        Ok(_) = stopped.wait_for(|stopped| *stopped) => {}
    }
    // Streams that gave up, or were stopped, end the measured time.
    if course.end.is_some() || *course.stopped.borrow() {
        meter.close(Instant::now());
    }
    let used = cpu().zip(from).map(|(to, from)| to.saturating_sub(from));
    ended(streams).await?;
    Ok(used)
}

/// Waits until all streams have ended; also again.
async fn ended(streams: &mut JoinSet<()>) -> anyhow::Result<()> {
    while let Some(ended) = streams.join_next().await {
        ended.map_err(|_| anyhow!("a stream panicked"))?;
    }
    Ok(())
}

/// How much CPU this process has taken.
#[cfg(unix)]
fn cpu() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    Some(Duration::new(seconds, nanos))
}

#[cfg(not(unix))]
fn cpu() -> Option<Duration> {
    None
}
