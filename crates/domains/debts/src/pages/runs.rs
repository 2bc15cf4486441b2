//! The runs of a debt as bars, and how long they took.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use tally_serve::pages::{Bar, Chart, Tick, name, plain};

use super::parts::{lasted, moment, text_of};
use crate::model::KeptRun;
use crate::state::Outcome;

/// How a run ended: its words, and its class in the style sheet; in the order of the classes of the chart.
const OUTCOMES: [(Option<Outcome>, &str); 5] = [
    (None, "open"),
    (Some(Outcome::Succeeded), "succeeded"),
    (Some(Outcome::Failed), "failed"),
    (Some(Outcome::TimedOut), "timed out"),
    (Some(Outcome::Abandoned), "given up: too many were open"),
];
const CLASSES: &[&str] = &["s3", "s2", "s5", "s4", "s1"];

/// In which units an axis is, and from how many milliseconds on.
const UNITS: [(u128, &str, u128); 4] = [
    (172_800_000, "hours", 3_600_000),
    (600_000, "minutes", 60_000),
    (10_000, "seconds", 1_000),
    (0, "milliseconds", 1),
];

/// How long runs took that ended by themselves.
struct Durations {
    median: Duration,
    shortest: Duration,
    longest: Duration,
    count: usize,
}

/// The section; `runs` are the latest ones, the last first.
pub(super) fn section(runs: &[KeptRun], csv: &str, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="runs" {
            header { h2 #runs { "Runs" } @if !runs.is_empty() { a.csv href=(csv) download { "CSV" span.visually-hidden { " of runs" } } } }
            @if runs.is_empty() {
                p.notice { "No run has begun. " code { "tally debts run" } " tells of both ends of a run; a payment alone is none." }
            } @else {
                (durations(runs))
                @if runs.iter().any(|run| took(run, now).is_some()) { (chart(runs, now)) }
                (table(runs, now))
            }
        }
    }
}

fn durations(runs: &[KeptRun]) -> Markup {
    html! {
        @if let Some(durations) = Durations::of(runs) {
            p #durations {
                "Median " strong { (lasted(durations.median)) }
                ", from " (lasted(durations.shortest)) " to " (lasted(durations.longest))
                span.muted {
                    @if durations.count == 1 { ", of one run that ended by itself" }
                    @else { ", of " (durations.count) " runs that ended by themselves" }
                }
            }
        }
    }
}

// === impl Durations ===

impl Durations {
    fn of(runs: &[KeptRun]) -> Option<Self> {
        let is_own =
            |run: &&KeptRun| matches!(run.run.outcome, Some(Outcome::Succeeded | Outcome::Failed));
        let mut all: Vec<_> = runs.iter().filter(is_own).filter_map(|run| run.run.took()).collect();
        all.sort_unstable();
        let (shortest, longest) = (*all.first()?, *all.last()?);
        let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
        Some(Self { median: (low + high) / 2, shortest, longest, count: all.len() })
    }
}

/// How long a run took, or takes already.
fn took(kept: &KeptRun, now: Timestamp) -> Option<Duration> {
    match kept.run.is_open() {
        true => now.duration_since(kept.run.started?).try_into().ok(),
        false => kept.run.took(),
    }
}

fn outcome(kept: &KeptRun) -> usize {
    OUTCOMES.iter().position(|(outcome, _)| *outcome == kept.run.outcome).unwrap_or_default()
}

fn chart(runs: &[KeptRun], now: Timestamp) -> Markup {
    let longest = runs.iter().filter_map(|run| took(run, now)).max().unwrap_or_default();
    let unit = UNITS.iter().find(|(from, ..)| longest.as_millis() >= *from);
    let (_, unit, millis) = unit.copied().unwrap_or(UNITS[3]);
    let bar = |kept: &KeptRun| {
        let took = took(kept, now);
        let height = took.map_or(0, |took| (took.as_millis() / millis).max(1));
        let mut parts = vec![0; CLASSES.len()];
        parts[outcome(kept)] = i64::try_from(height).unwrap_or(i64::MAX);
        Bar { parts, label: label(kept, took), link: None, is_open: kept.run.is_open() }
    };
    // The last one is on the right.
    let bars: Vec<_> = runs.iter().rev().map(bar).collect();
    let tick = |at: usize, is_minor| {
        let run = &runs[runs.len() - 1 - at].run;
        let began = run.started.unwrap_or(run.heard);
        Tick { at, text: began.strftime("%-d %b %H:%M").to_string(), is_minor }
    };
    let mut ticks = vec![tick(0, false)];
    if runs.len() > 2 {
        ticks.push(tick(runs.len() / 2, true));
    }
    if runs.len() > 8 {
        ticks.push(tick(runs.len() - 1, false));
    }
    let seen: Vec<_> =
        (0..CLASSES.len()).filter(|of| runs.iter().any(|kept| outcome(kept) == *of)).collect();
    html! {
        figure.chart-frame {
            figcaption {
                h3 { "How long they took, in " (unit) }
                p #readout.readout {}
            }
            (Chart { classes: CLASSES, bars, ticks }.draw())
            ul.legend {
                @for of in seen {
                    li {
                        svg.key width="10" height="10" aria-hidden="true" { rect.(CLASSES[of]) width="10" height="10" rx="2" {} }
                        (OUTCOMES[of].1)
                    }
                }
            }
        }
    }
}

fn label(kept: &KeptRun, took: Option<Duration>) -> String {
    let run = &kept.run;
    let began = run.started.map(|at| format!(", begun {}", text_of(at, None))).unwrap_or_default();
    let took = took.map(|took| format!(" after {}", lasted(took))).unwrap_or_default();
    let id = run.id.as_deref().map(|id| format!(" {}", plain(id))).unwrap_or_default();
    format!("Run {}{id}: {}{took}{began}", kept.number, OUTCOMES[outcome(kept)].1)
}

fn table(runs: &[KeptRun], now: Timestamp) -> Markup {
    html! {
        details.numbers {
            summary { "The same as a table" }
            div.table-frame tabindex="0" role="group" aria-label="Runs" { table {
                thead { tr {
                    th.number scope="col" { "Run" } th scope="col" { "Began" } th scope="col" { "Outcome" }
                    th.number scope="col" { "Took" } th scope="col" { "Id and stages" }
                } }
                tbody { @for kept in runs {
                    tr {
                        th.number scope="row" { (kept.number) }
                        td { @match kept.run.started { Some(at) => (moment(at, None)), None => span.muted { "not known" } } }
                        td { (OUTCOMES[outcome(kept)].1) }
                        td.number { (took(kept, now).map(lasted).unwrap_or_default()) }
                        td {
                            @if let Some(id) = &kept.run.id { (name(id, false)) }
                            @for stage in &kept.run.stages { " " span.tag { (name(stage, false)) } }
                        }
                    }
                } }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Run;
    use uuid::Uuid;

    fn run(seconds: i64, outcome: Option<Outcome>) -> KeptRun {
        let started = Timestamp::UNIX_EPOCH;
        let ended = Timestamp::from_second(seconds).expect("a time");
        let run = Run {
            id: None,
            started: Some(started),
            heard: started,
            stages: Vec::new(),
            deadline: None,
            outcome,
            ended: outcome.map(|_| ended),
        };
        KeptRun { debt: Uuid::nil(), number: seconds, run }
    }

    #[test]
    fn durations_are_those_of_runs_that_ended_by_themselves() {
        let ended = [3, 9, 5, 7].map(|seconds| run(seconds, Some(Outcome::Succeeded)));
        let others = [run(100, Some(Outcome::TimedOut)), run(1_000, None)];
        let all: Vec<_> = ended.into_iter().chain(others).collect();
        let text = durations(&all).into_string();
        assert!(text.contains("<strong>6.00 s</strong>, from 3.00 s to 9.00 s"), "{text}");
        assert!(durations(&all[4..]).into_string().is_empty());
    }
}
