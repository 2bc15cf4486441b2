//! What is wrong with a definition, field by field.

use std::time::Duration;

use tally_runtime::durations;
use uuid::Uuid;

use super::{SLUG_BYTES_MAX, Written, WrittenStage, Wrong};
use crate::schedule::{Cron, Invalid, Schedule, storable};
use crate::terms::{IN_A_ROW_MAX, Rate, Stage, Terms};

const TAG_BYTES_MAX: usize = 50;
const TAGS_MAX: usize = 20;
const STAGE_BYTES_MAX: usize = 50;
const STAGES_MAX: usize = 50;

/// What is wrong so far.
#[derive(Default)]
pub(super) struct Checking(pub(super) Wrong);

// === impl Checking ===

impl Checking {
    pub(super) fn note(&mut self, field: &str, why: impl Into<String>) {
        self.0.push((field.to_owned(), why.into()));
    }

    pub(super) fn slug(&mut self, slug: &str) {
        let is_of_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let why = if slug.is_empty() {
            "it is missing: choose 1 to 100 of a-z, 0-9, - and _".to_owned()
        } else if let Some(odd) = slug.chars().find(|c| !is_of_slug(*c)) {
            let odd = odd.escape_debug();
            format!("it has \u{201c}{odd}\u{201d} in it, and may have a-z, 0-9, - and _ only")
        } else if slug.len() > SLUG_BYTES_MAX {
            format!("it has {} characters, and may have {SLUG_BYTES_MAX}", slug.len())
        } else if slug.bytes().all(|byte| byte.is_ascii_digit()) {
            "it is a number, which stands for the debt of that number: add a letter".to_owned()
        } else if Uuid::try_parse(slug).is_ok() {
            "it is a UUID, which stands for the debt of that id: choose a name".to_owned()
        } else {
            return;
        };
        self.note("slug", why);
    }

    pub(super) fn text(&mut self, field: &str, text: &str, bytes_max: usize) {
        if text.len() > bytes_max {
            self.note(field, format!("it has {} bytes, and may have {bytes_max}", text.len()));
        }
        if text.contains('\0') {
            self.note(field, "it has a NUL in it, which no database takes");
        }
    }

    pub(super) fn count(&mut self, field: &str, count: usize, max: usize) {
        if count > max {
            self.note(field, format!("there are {count}, and there may be {max}"));
        }
    }

    pub(super) fn tags(&mut self, tags: &[String]) {
        self.count("tags", tags.len(), TAGS_MAX);
        for tag in tags.iter().take(TAGS_MAX) {
            self.text("tags", tag, TAG_BYTES_MAX);
            if tag.is_empty() || tag.contains(|c: char| c.is_whitespace() || c == ',') {
                self.note("tags", "a tag is not empty and has no blank and no comma");
            }
        }
    }

    /// A length of time, from nothing at all on.
    pub(super) fn span(&mut self, field: &str, text: Option<&String>) -> Option<Duration> {
        durations::parse(text?).map_err(|why| self.note(field, why.to_string())).ok()
    }

    /// A length of time of at least a second.
    pub(super) fn limit(&mut self, field: &str, text: Option<&String>) -> Option<Duration> {
        let span = self.span(field, text)?;
        if span.is_zero() {
            self.note(field, "it is 0, and at least 1s is needed: leave it out for none");
        }
        (!span.is_zero()).then_some(span)
    }

    pub(super) fn times(&mut self, field: &str, times: Option<u16>) -> u16 {
        let times = times.unwrap_or(1);
        if !(1..=IN_A_ROW_MAX).contains(&times) {
            self.note(field, format!("it is {times}, and may be 1 to {IN_A_ROW_MAX}"));
        }
        times
    }

    pub(super) fn rate(&mut self, payments: Option<u32>, period: Option<&String>) -> Option<Rate> {
        let period = self.limit("rate_period", period);
        match (payments, period) {
            (Some(payments @ 1..), Some(period)) => return Some(Rate { payments, period }),
            (Some(0), _) => self.note("rate_payments", "it is 0: leave it out for no maximum"),
            (Some(_), None) if self.0.is_empty() => {
                self.note("rate_period", "it is missing: rate_payments are those of a period");
            }
            (None, Some(_)) => {
                self.note(
                    "rate_payments",
                    "it is missing: how many payments are right in a period?",
                );
            }
            _ => {}
        }
        None
    }

    pub(super) fn schedule(&mut self, written: &Written) -> Schedule {
        let Written { every, cron, time_zone, deadline, .. } = written;
        let given = [every.is_some(), cron.is_some(), deadline.is_some()];
        if given.into_iter().filter(|is_given| *is_given).count() > 1 {
            self.note("schedule", "give one of every, cron and deadline");
            return Schedule::None;
        }
        if cron.is_none() && time_zone.as_ref().is_some_and(|zone| !zone.is_empty()) {
            self.note("time_zone", "only a cron expression has one");
        }
        if every.is_some() {
            return self.limit("every", every.as_ref()).map_or(Schedule::None, Schedule::Interval);
        }
        if let Some(cron) = cron {
            let zone = time_zone.as_deref().filter(|zone| !zone.is_empty()).unwrap_or("UTC");
            match Cron::parse(cron, zone) {
                Ok(cron) => return Schedule::Cron(cron),
                Err(error @ Invalid::Zone { .. }) => self.note("time_zone", error.to_string()),
                Err(error) => self.note("cron", error.to_string()),
            }
        }
        if let Some(deadline) = deadline {
            match deadline.parse().ok().and_then(storable) {
                Some(at) => return Schedule::Deadline(at),
                None => self.note(
                    "deadline",
                    format!(
                        "\u{201c}{deadline}\u{201d} is no moment: write it as in 2030-01-31T12:00:00Z"
                    ),
                ),
            }
        }
        Schedule::None
    }

    pub(super) fn stages(&mut self, stages: &[WrittenStage]) -> Vec<Stage> {
        self.count("stages", stages.len(), STAGES_MAX);
        let mut read: Vec<Stage> = Vec::new();
        for stage in stages.iter().take(STAGES_MAX) {
            self.text("stages", &stage.name, STAGE_BYTES_MAX);
            if stage.name.is_empty() || read.iter().any(|other| other.name == stage.name) {
                self.note("stages", "each has a name, and no two have the same");
            }
            if let Some(time_out) = self.limit("stages", Some(&stage.time_out)) {
                read.push(Stage { name: stage.name.clone(), time_out });
            }
        }
        read
    }

    /// What does not fit together.
    pub(super) fn fit(&mut self, terms: &Terms) {
        let has_cron = matches!(terms.schedule, Schedule::Cron(_));
        if !terms.early_window.is_zero() && !has_cron && self.0.is_empty() {
            self.note("early_window", "only a cron expression has a time to be early for");
        }
        let is_none = terms.schedule == Schedule::None;
        if is_none && self.0.is_empty() && (terms.start_limit.is_some() || !terms.grace.is_zero()) {
            let field = if terms.start_limit.is_some() { "start_limit" } else { "grace" };
            self.note(
                field,
                "nothing is due without a schedule: give one of every, cron and deadline",
            );
        }
        if let (Some(min), Some(max)) = (terms.run_min, terms.run_limit)
            && min > max
        {
            self.note("run_min", "it is longer than run_limit: every run would fail");
        }
        if let Some(limit) = terms.run_limit
            && let Some(stage) = terms.stages.iter().find(|stage| stage.time_out > limit)
        {
            let (name, time_out) = (&stage.name, durations::shown(stage.time_out));
            let why = format!(
                "{name} may come {time_out} after the start, and run_limit is {}: a run would be overdue before",
                durations::shown(limit)
            );
            self.note("stages", why);
        }
        if terms.start_limit.is_some() && terms.run_limit.or(terms.heartbeat_limit).is_none() {
            let why = "it needs a run_limit or a heartbeat_limit: without one, a run that began is never overdue";
            self.note("start_limit", why);
        }
        if matches!(terms.schedule, Schedule::Deadline(_)) && terms.failures_to_alarm > 1 {
            let why = "a deadline comes once, so one failure must raise its alarm: leave it out";
            self.note("failures_to_alarm", why);
        }
    }
}
