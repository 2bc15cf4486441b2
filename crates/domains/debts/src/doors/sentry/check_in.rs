//! A check-in as it is written, and which payment it is.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::super::asked::Asked;
use super::super::{of_environment, slug_of};
use crate::state::Kind;

/// The longest slug, in characters; more is cut off, as Sentry does.
const SLUG_CHARS_MAX: usize = 50;

/// A check-in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CheckIn {
    pub(super) check_in_id: Option<String>,
    pub(super) monitor_slug: String,
    status: String,
    environment: Option<String>,
    duration: Option<f64>,
    /// Whatever it is: a wrong one does not lose the check-in.
    pub(super) monitor_config: Option<Value>,
}

// === impl CheckIn ===

impl CheckIn {
    pub(super) fn of_query(asked: &Asked) -> Result<Self, String> {
        let text = |name| asked.one(name).map(str::to_owned);
        let duration = text("duration").map(|duration| {
            duration.parse().map_err(|_| "duration: write it in seconds".to_owned())
        });
        Ok(Self {
            check_in_id: text("check_in_id"),
            status: text("status").unwrap_or_default(),
            environment: text("environment"),
            duration: duration.transpose()?,
            ..Self::default()
        })
    }

    /// The run; none stands for the one that is open.
    pub(super) fn run(&self) -> Result<Option<String>, String> {
        let Some(id) = self.check_in_id.as_deref().filter(|id| !id.is_empty()) else {
            return Ok(None);
        };
        let id = Uuid::try_parse(id).map_err(|_| "check_in_id: it is no UUID".to_owned())?;
        Ok((!id.is_nil()).then(|| id.to_string()))
    }

    /// What it says, and how long it took. What is in progress and known is a heartbeat, and of a run that is
    /// not known its beginning.
    pub(super) fn kind(&self) -> Result<(Kind, Option<Duration>), String> {
        let kind = match &*self.status {
            "in_progress" => Kind::Heartbeat,
            "ok" => Kind::Success,
            "error" => Kind::Fail,
            "" => return Err("status: it is missing: in_progress, ok or error".to_owned()),
            _ => return Err("status: it is none of in_progress, ok and error".to_owned()),
        };
        let took = self.duration.map(|seconds| {
            let why = "duration: it is a number of seconds, from 0 on";
            Duration::try_from_secs_f64(seconds).map_err(|_| why.to_owned())
        });
        let took = took.transpose()?;
        Ok((kind, took.filter(|_| self.status != "in_progress")))
    }

    /// The slug of the debt: each environment has one, because each has a state of its own.
    pub(super) fn slug(&self) -> String {
        let environment = self.environment.as_deref().filter(|one| !one.is_empty());
        of_environment(&slug_of(&self.monitor_slug, SLUG_CHARS_MAX), environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_in(json: &str) -> CheckIn {
        serde_json::from_str(json).expect("a check-in")
    }

    #[test]
    fn an_environment_has_a_debt_of_its_own() {
        for (slug, environment, right) in [
            ("Nightly.Job", "", "nightly-job"),
            ("job", "production", "job"),
            ("job", "Staging EU", "job--staging-eu"),
            (&"x".repeat(60), "", &"x".repeat(50)),
        ] {
            let json = format!(r#"{{"monitor_slug":"{slug}","environment":"{environment}"}}"#);
            assert_eq!(check_in(&json).slug(), right);
        }
    }

    #[test]
    fn an_id_has_dashes_or_none_and_zeros_are_none() {
        let run = |id: &str| check_in(&format!(r#"{{"check_in_id":"{id}"}}"#)).run();
        let whole = Some("3fa85f64-5717-4562-b3fc-2c963f66afa6".to_owned());
        assert_eq!(run("3fa85f6457174562b3fc2c963f66afa6"), Ok(whole.clone()));
        assert_eq!(run("3fa85f64-5717-4562-b3fc-2c963f66afa6"), Ok(whole));
        assert_eq!(run("00000000000000000000000000000000"), Ok(None));
        assert_eq!((run(""), check_in("{}").run()), (Ok(None), Ok(None)));
        assert!(run("x").is_err());
    }
}
