//! What a run has found, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::args::{BenchArgs, Via};
use super::meter::Seen;
use super::mix::Shape;
use super::verify::Verdict;
use crate::output::{plural, thousands, visible};

/// Above this share of what was asked for, the report says what was not sent.
const UNSENT_MAX: f64 = 0.01;

/// What a run has found. Its fields are the keys of the JSON object.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    server: String,
    via: &'static str,
    connections: usize,
    /// Of each connection.
    streams: usize,
    /// Asked for; null: as fast as it goes.
    rate: Option<u64>,
    series: usize,
    mix: &'static str,
    seed: u64,
    days: u64,
    /// Requests of a batch, or of a call.
    batch: u64,
    /// Batches or calls of a stream on their way, at most.
    in_flight: usize,
    warm_up_seconds: f64,
    /// How exactly the server keeps times, in microseconds; 0: as they are.
    server_resolution_us: u64,
    interrupted: bool,
    /// How long was measured.
    pub(super) seconds: f64,
    /// In that time.
    sent: u64,
    pub(super) acknowledged: u64,
    requests_per_second: f64,
    /// Due in that time, and not sent.
    unsent: u64,
    ack_ms: Times,
    client_cpu_seconds: Option<f64>,
    /// Of the whole run, like all that follows.
    refusals: u64,
    first_refusal: Option<String>,
    pub(super) in_doubt: u64,
    /// All that was acknowledged, with warm-up and the first request of each series.
    all_acknowledged: u64,
    /// What the totals have of that; null, like the two after it, if they could not be read.
    all_counted: Option<i64>,
    pub(super) lost: Option<u64>,
    pub(super) doubled: Option<u64>,
    /// Why a stream gave up, or the totals could not be read.
    pub(super) failure: Option<String>,
}

/// Times to acknowledgement, in milliseconds; null if nothing was measured.
#[derive(Debug, Serialize)]
struct Times {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p99_9: Option<f64>,
    max: Option<f64>,
    mean: Option<f64>,
}

/// What a report is made of, besides what streams have seen.
pub(super) struct Facts {
    pub(super) shape: Shape,
    pub(super) in_flight: usize,
    pub(super) resolution_us: u64,
    pub(super) is_interrupted: bool,
    pub(super) cpu: Option<Duration>,
    pub(super) acknowledged: u64,
    /// Or why the totals cannot be read.
    pub(super) counted: Result<i64, String>,
    pub(super) in_doubt: u64,
}

// === impl Report ===

impl Report {
    pub(super) fn new(args: &BenchArgs, seen: &Seen, facts: &Facts) -> Self {
        let seconds = seen.measured().as_secs_f64();
        let counted = facts.counted.as_ref().ok().copied();
        let verdict =
            counted.map(|counted| Verdict::new(counted, facts.acknowledged, facts.in_doubt));
        let failures: Vec<&str> =
            seen.failure.iter().chain(facts.counted.as_ref().err()).map(String::as_str).collect();
        let batch = match args.via {
            Via::Add => facts.shape.call,
            Via::Record => facts.shape.rows,
        };
        Self {
            server: args.server.server.clone(),
            via: args.via.name(),
            connections: args.connections,
            streams: args.streams,
            rate: args.rate,
            series: args.series,
            mix: args.mix.name(),
            seed: args.seed,
            days: args.days,
            batch,
            in_flight: facts.in_flight,
            warm_up_seconds: args.warm_up().as_secs_f64(),
            server_resolution_us: facts.resolution_us,
            interrupted: facts.is_interrupted,
            seconds,
            sent: seen.sent,
            acknowledged: seen.acknowledged,
            requests_per_second: per(seen.acknowledged as f64, seconds),
            unsent: seen.unsent,
            ack_ms: Times::new(seen),
            client_cpu_seconds: facts.cpu.map(|cpu| cpu.as_secs_f64()),
            refusals: seen.refusals,
            first_refusal: seen.first_refusal.clone(),
            in_doubt: facts.in_doubt,
            all_acknowledged: facts.acknowledged,
            all_counted: counted,
            lost: verdict.map(|verdict| verdict.lost),
            doubled: verdict.map(|verdict| verdict.doubled),
            failure: (!failures.is_empty()).then(|| failures.join("; ")),
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.lost == Some(0) && self.doubled == Some(0) && self.failure.is_none()
    }

    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// For people, within 80 columns.
    pub(super) fn text(&self) -> String {
        let mut text = self.head();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<15}{value}");
        };
        let (acknowledged, seconds) = (plural(self.acknowledged, "request"), self.seconds);
        let how = if self.interrupted { ", interrupted" } else { "" };
        line("acknowledged", format!("{acknowledged} in {seconds:.2} s{how}"));
        let rate = thousands(self.requests_per_second.round() as i64);
        line("rate", format!("{rate} requests/s"));
        if self.unsent as f64 > UNSENT_MAX * self.rate.unwrap_or(0) as f64 * self.seconds {
            line("behind", format!("{} due and not sent", plural(self.unsent, "request")));
        }
        if let Some(cpu) = self.client_cpu_seconds.filter(|_| self.acknowledged > 0) {
            let each = nanos(per(cpu * 1e9, self.acknowledged as f64));
            let cores = per(cpu, seconds);
            line("this client", format!("{each} of CPU for each, {cores:.2} cores"));
        }
        if self.refusals > 0 {
            let why = self.first_refusal.as_deref().unwrap_or_default();
            line("refusals", format!("{}; the first: {}", thousands(self.refusals), visible(why)));
        }
        if self.in_doubt > 0 {
            line("in doubt", format!("{}: counted or not", plural(self.in_doubt, "request")));
        }
        text.push('\n');
        text.push_str(&self.ack_ms.table());
        let verdict = match (self.lost, self.doubled) {
            (Some(lost), Some(doubled)) => {
                format!("lost {}, doubled {} of", thousands(lost), thousands(doubled))
            }
            _ => "not checked:".to_owned(),
        };
        let all = plural(self.all_acknowledged, "request");
        let _ = writeln!(text, "\n{verdict} {all} acknowledged in all");
        text
    }

    /// What was run.
    fn head(&self) -> String {
        let (streams, connections) = (self.streams * self.connections, self.connections);
        let how = match self.via {
            "add" => format!("calls of {}", thousands(self.batch)),
            _ => format!("batches of {}", thousands(self.batch)),
        };
        let speed = match self.rate {
            Some(rate) => format!("at {} requests/s", thousands(rate)),
            None => "as fast as it goes".to_owned(),
        };
        let times = match self.server_resolution_us {
            0 => String::new(),
            us if us % 60_000_000 == 0 => format!(", times kept to {} m", us / 60_000_000),
            us => format!(", times kept to {} s", us / 1_000_000),
        };
        format!(
            "{} by {}: {} on {}, {how}\n{speed}, {} ({}){times}\n\n",
            visible(&self.server),
            self.via,
            plural(streams as u64, "stream"),
            plural(connections as u64, "connection"),
            plural(self.series as u64, "series").replace("seriess", "series"),
            self.mix,
        )
    }
}

// === impl Times ===

impl Times {
    fn new(seen: &Seen) -> Self {
        let measured = |micros: f64| (!seen.times.is_empty()).then_some(micros / 1_000.0);
        let quantile = |quantile| measured(seen.times.value_at_quantile(quantile) as f64);
        Self {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            max: measured(seen.times.max() as f64),
            mean: measured(seen.times.mean().round()),
        }
    }

    fn table(&self) -> String {
        let Self { p50, p90, p99, p99_9, max, .. } = *self;
        let cells = [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p99_9), ("max", max)];
        let mut text = format!("{:<15}", "acknowledged");
        cells.iter().for_each(|(name, _)| _ = write!(text, "{name:>12}"));
        let _ = write!(text, "\n{:<15}", "after");
        cells
            .iter()
            .for_each(|(_, ms)| _ = write!(text, "{:>12}", ms.map_or("-".to_owned(), shown)));
        text.push('\n');
        text
    }
}

/// A time in milliseconds, to three digits.
pub(super) fn shown(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1_000.0),
    }
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

/// Nanoseconds, to two digits.
fn nanos(ns: f64) -> String {
    let digit = 10_f64.powf(ns.max(1.0).log10().floor() - 1.0);
    match (ns / digit).round() * digit {
        ns if ns < 9.95 => format!("{ns:.1} ns"),
        ns => format!("{} ns", thousands(ns.round() as i64)),
    }
}

/// A ratio, 0 if there is nothing to divide by.
fn per(number: f64, by: f64) -> f64 {
    if by > 0.0 { number / by } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_has_two_digits() {
        for (ns, shown) in [
            (0.0, "0.0 ns"),
            (0.44, "0.4 ns"),
            (4.06, "4.1 ns"),
            (9.96, "10 ns"),
            (12.4, "12 ns"),
            (99.6, "100 ns"),
            (4_321.0, "4,300 ns"),
        ] {
            assert_eq!(nanos(ns), shown, "{ns}");
        }
    }
}
