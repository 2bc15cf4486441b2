//! A check as it is written: JSON, of which fields that are not known are left aside, and none is null.

use http::StatusCode;
use serde_json::{Map, Value};
use tally_runtime::durations;

use super::super::Declined;
use super::error;
use crate::definition::Written;
use crate::model::Debt;

/// The bounds of `timeout` and `grace`, in seconds.
const SECONDS: std::ops::RangeInclusive<u64> = 60..=31_536_000;
const CHARS_MAX: usize = 100;
/// What a check may be found by.
const UNIQUE: [&str; 5] = ["name", "slug", "tags", "timeout", "grace"];

/// What is written of a check.
pub(super) struct Fields(Map<String, Value>);

/// The terms of a check of which nothing is said.
pub(super) fn usual() -> Written {
    let some = |text: &str| Some(text.to_owned());
    Written { every: some("1d"), grace: some("1h"), run_limit: some("1h"), ..Written::default() }
}

// === impl Fields ===

impl Fields {
    pub(super) fn of(fields: Map<String, Value>) -> Result<Self, Declined> {
        let known =
            ["name", "slug", "tags", "desc", "timeout", "grace", "schedule", "tz", "methods"];
        if let Some(null) = known.into_iter().find(|name| fields.get(*name) == Some(&Value::Null)) {
            return Err(wrong(&format!("{null} is null")));
        }
        Ok(Self(fields))
    }

    /// What a check is found by, if that is asked for.
    pub(super) fn unique(&self) -> Result<Option<Vec<String>>, Declined> {
        let Some(unique) = self.0.get("unique") else { return Ok(None) };
        let names = unique.as_array().map(|all| {
            all.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        });
        let names = names.ok_or_else(|| wrong("unique is not an array"))?;
        if let Some(other) = names.iter().find(|name| !UNIQUE.contains(&name.as_str())) {
            return Err(wrong(&format!(
                "unique has {other:?}, and may have {}",
                UNIQUE.join(", ")
            )));
        }
        Ok(Some(names).filter(|names| !names.is_empty()))
    }

    /// Whether a debt has what is written of these fields.
    pub(super) fn is_of(&self, debt: &Debt, unique: &[String]) -> bool {
        let written = debt.definition.written();
        let seconds = |term: &Option<String>| {
            let span = term.as_deref().and_then(|text| durations::parse(text).ok());
            span.map_or(Value::Null, |span| span.as_secs().into())
        };
        unique.iter().all(|name| {
            let own = match &**name {
                "name" => Value::from(debt.definition.name.clone()),
                "slug" => Value::from(debt.definition.slug.clone()),
                "tags" => Value::from(debt.definition.tags.join(" ")),
                "timeout" => seconds(&written.every),
                _ => seconds(&written.grace),
            };
            self.0.get(name).is_some_and(|wanted| *wanted == own)
        })
    }

    /// A definition with what is written, and everything else as before.
    pub(super) fn written(&self, before: Written, is_new: bool) -> Result<Written, Declined> {
        let mut written = before;
        if let Some(name) = self.text("name", CHARS_MAX)? {
            written.name = name;
        }
        if let Some(slug) = self.text("slug", CHARS_MAX)?.filter(|slug| is_new || !slug.is_empty())
        {
            written.slug = slug;
        }
        if let Some(tags) = self.text("tags", 500)? {
            written.tags = tags.split_whitespace().map(str::to_owned).collect();
        }
        if let Some(desc) = self.text("desc", usize::MAX)? {
            written.description = desc;
        }
        if let Some(grace) = self.seconds("grace")? {
            // healthchecks has one limit for what is late and for what runs, until somebody tells them apart.
            if written.run_limit == written.grace {
                written.run_limit = Some(grace.clone());
            }
            written.grace = Some(grace);
        }
        let (timeout, schedule) = (self.seconds("timeout")?, self.text("schedule", CHARS_MAX)?);
        if let Some(schedule) = schedule {
            if schedule.split_whitespace().count() != 5 {
                return Err(wrong(
                    "schedule is no cron expression of five fields; others are not known here",
                ));
            }
            (written.every, written.cron, written.deadline) = (None, Some(schedule), None);
        } else if let Some(timeout) = timeout {
            (written.every, written.cron, written.deadline) = (Some(timeout), None, None);
            (written.time_zone, written.early_window) = (None, None);
        }
        if let Some(tz) = self.text("tz", CHARS_MAX)?.filter(|_| written.cron.is_some()) {
            written.time_zone = Some(tz);
        }
        if self.text("methods", CHARS_MAX)?.is_some_and(|methods| !methods.is_empty()) {
            return Err(wrong("methods is not empty: all methods pay here"));
        }
        Ok(written)
    }

    fn text(&self, name: &str, chars_max: usize) -> Result<Option<String>, Declined> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| wrong(&format!("{name} is not a string")))?;
        if text.chars().count() > chars_max {
            return Err(wrong(&format!("{name} is too long")));
        }
        Ok(Some(text.to_owned()))
    }

    fn seconds(&self, name: &str) -> Result<Option<String>, Declined> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_u64().filter(|seconds| SECONDS.contains(seconds));
        let why = || {
            wrong(&format!(
                "{name} is not a number of seconds from {} to {}",
                SECONDS.start(),
                SECONDS.end()
            ))
        };
        seconds.map(|seconds| Some(format!("{seconds}s"))).ok_or_else(why)
    }
}

fn wrong(why: &str) -> Declined {
    error(StatusCode::BAD_REQUEST, &format!("json validation error: {why}")).into()
}
