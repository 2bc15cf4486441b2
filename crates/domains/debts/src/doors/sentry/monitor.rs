//! `monitor_config` as terms.
//!
//! | field | term |
//! |---|---|
//! | `schedule` `crontab`, `timezone` | `cron`, `time_zone` |
//! | `schedule` `interval` | `every`; a month is 31 days and a year 366, so that none is too short |
//! | `checkin_margin`, minutes, 1 | `start_limit` |
//! | `max_runtime`, minutes, 30 | `heartbeat_limit`: each check-in in progress moves it on, for 28 days at most, which is the `run_limit` |
//! | `failure_issue_threshold`, `recovery_threshold` | `failures_to_alarm`, `successes_to_recover` |

use serde::Deserialize;
use serde_json::Value;

use crate::definition::Written;

/// The limit of a run in progress: 28 days.
const RUNTIME_MINUTES_MAX: u64 = 40_320;
const MARGIN_MINUTES: u64 = 1;
const RUNTIME_MINUTES: u64 = 30;

/// What a monitor is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    schedule: Schedule,
    checkin_margin: Option<u64>,
    max_runtime: Option<u64>,
    timezone: Option<String>,
    failure_issue_threshold: Option<u16>,
    recovery_threshold: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Schedule {
    r#type: String,
    value: Value,
    unit: Option<String>,
}

/// The path of what is wrong, and why.
type Wrong = (String, String);

/// The field of a config that is wrong, and why.
type WrongField = (&'static str, String);

/// The definition of a debt with these terms, and everything else as before.
pub(super) fn written(config: &Value, before: Written, slug: &str) -> Result<Written, Wrong> {
    let wrong = |(field, why)| (format!("monitor_config.{field}"), why);
    let config = Config::deserialize(config)
        .map_err(|error| ("monitor_config".to_owned(), error.to_string()))?;
    terms(&config, before, slug).map_err(wrong)
}

fn terms(config: &Config, before: Written, slug: &str) -> Result<Written, WrongField> {
    let minutes = |minutes: u64| Some(format!("{minutes}m"));
    let max_runtime = config.max_runtime.unwrap_or(RUNTIME_MINUTES).max(1);
    if max_runtime > RUNTIME_MINUTES_MAX {
        let why = format!("it is {max_runtime}, and may be {RUNTIME_MINUTES_MAX} minutes");
        return Err(("max_runtime", why));
    }
    let (every, cron) = config.schedule.read()?;
    let time_zone = config.timezone.clone().filter(|_| cron.is_some());
    Ok(Written {
        slug: slug.to_owned(),
        every,
        cron,
        time_zone,
        deadline: None,
        early_window: None,
        start_limit: minutes(config.checkin_margin.unwrap_or(MARGIN_MINUTES).max(1)),
        grace: None,
        run_limit: minutes(RUNTIME_MINUTES_MAX),
        heartbeat_limit: minutes(max_runtime),
        failures_to_alarm: config.failure_issue_threshold,
        successes_to_recover: config.recovery_threshold,
        ..before
    })
}

// === impl Schedule ===

impl Schedule {
    /// An interval, or a cron expression.
    fn read(&self) -> Result<(Option<String>, Option<String>), WrongField> {
        // An example of the documentation has a number as a text.
        let value = match &self.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match &*self.r#type {
            "crontab" => Ok((None, Some(value))),
            "interval" => {
                let number: u64 = value
                    .parse()
                    .map_err(|_| ("schedule.value", "it is no whole number".to_owned()))?;
                let minutes = match self.unit.as_deref() {
                    Some("minute") => 1,
                    Some("hour") => 60,
                    Some("day") => 1_440,
                    Some("week") => 10_080,
                    Some("month") => 44_640,
                    Some("year") => 527_040,
                    _ => {
                        let why = "it is none of minute, hour, day, week, month and year";
                        return Err(("schedule.unit", why.to_owned()));
                    }
                };
                Ok((Some(format!("{}m", number.saturating_mul(minutes))), None))
            }
            _ => Err(("schedule.type", "it is neither crontab nor interval".to_owned())),
        }
    }
}
