//! The runs of a debt as bars, and how long they took.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use tally_serve::pages::{Length, Lengths, moment, moment_text, name, plain};

use super::parts::lasted;
use crate::model::KeptRun;
use crate::state::Outcome;

/// How a run ended: its class in the style sheet, and its words.
const OUTCOMES: [(Option<Outcome>, &str, &str); 5] = [
    (None, "s3", "open"),
    (Some(Outcome::Succeeded), "s2", "succeeded"),
    (Some(Outcome::Failed), "s5", "failed"),
    (Some(Outcome::TimedOut), "s4", "timed out"),
    (Some(Outcome::Abandoned), "s1", "given up: too many were open"),
];
const KINDS: &[(&str, &str)] = &[
    (OUTCOMES[0].1, OUTCOMES[0].2),
    (OUTCOMES[1].1, OUTCOMES[1].2),
    (OUTCOMES[2].1, OUTCOMES[2].2),
    (OUTCOMES[3].1, OUTCOMES[3].2),
    (OUTCOMES[4].1, OUTCOMES[4].2),
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
                (chart(runs, now))
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
    OUTCOMES.iter().position(|(outcome, ..)| *outcome == kept.run.outcome).unwrap_or_default()
}

fn chart(runs: &[KeptRun], now: Timestamp) -> Markup {
    let length = |kept: &KeptRun| {
        let took = took(kept, now);
        let began = kept.run.started.unwrap_or(kept.run.heard);
        Length {
            took,
            kind: outcome(kept),
            label: label(kept, took),
            tick: began.strftime("%-d %b %H:%M").to_string(),
            link: None,
            is_open: kept.run.is_open(),
        }
    };
    Lengths { kinds: KINDS, all: runs.iter().rev().map(length).collect() }.draw()
}

fn label(kept: &KeptRun, took: Option<Duration>) -> String {
    let run = &kept.run;
    let began =
        run.started.map(|at| format!(", begun {}", moment_text(at, None))).unwrap_or_default();
    let took = took.map(|took| format!(" after {}", lasted(took))).unwrap_or_default();
    let id = run.id.as_deref().map(|id| format!(" {}", plain(id))).unwrap_or_default();
    format!("Run {}{id}: {}{took}{began}", kept.number, OUTCOMES[outcome(kept)].2)
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
                        td { (OUTCOMES[outcome(kept)].2) }
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
