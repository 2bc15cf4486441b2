//! What is agreed of a debt, as flags and as a file.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::builder::RangedI64ValueParser;
use clap::{Args, value_parser};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::definition::Schedule;
use tally_proto::wire;
use tally_runtime::durations;

/// What is agreed, as flags.
#[derive(Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DefinitionArgs {
    /// So long after the last payment the next one is due, as in 1h30m
    #[arg(long, value_name = "TIME", group = "schedule", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<String>,

    /// A payment is due at the times of a cron expression, as in '0 3 * * *'
    #[arg(long, value_name = "EXPRESSION", group = "schedule")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,

    /// The time zone of --cron, as in Europe/Berlin [default: UTC]
    #[arg(long = "tz", value_name = "ZONE", requires = "cron")]
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,

    /// One payment is due, up to this moment, as in 2030-01-31T12:00:00Z
    #[arg(long, value_name = "MOMENT", group = "schedule")]
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,

    /// How long after it is due a payment may come
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    grace: Option<String>,

    /// How long before a time of --cron a payment meets it already
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    early_window: Option<String>,

    /// How long after it is due a run must have begun
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    start_limit: Option<String>,

    /// How long a run may take
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    run_limit: Option<String>,

    /// A success after a shorter run counts as a failure
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    run_min: Option<String>,

    /// How long a run may be silent
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat_limit: Option<String>,

    /// More payments than this in each --rate-period count as failures
    #[arg(long, value_name = "N", requires = "rate_period", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_payments: Option<u32>,

    /// See --rate-payments
    #[arg(long, value_name = "TIME", requires = "rate_payments", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_period: Option<String>,

    /// How many failures in a row raise the alarm [default: 1]
    #[arg(long, value_name = "N", value_parser = one_or_more(), allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    failures_to_alarm: Option<u32>,

    /// How many successes in a row end it [default: 1]
    #[arg(long, value_name = "N", value_parser = one_or_more(), allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    successes_to_recover: Option<u32>,

    /// A stage of a run, and how long after its start it must have come, as in upload=10m
    #[arg(long = "stage", value_name = "NAME=TIME", value_parser = read_stage)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stages: Vec<Stage>,

    /// Where alarms and recoveries go: a URL that the server's --webhooks-allow names, or mailto: and an address
    /// that its --smtp-allow names
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notify: Vec<String>,

    /// Count payments and alarms as requests of a series, as in 'POST /backup': status 200 if it was paid, 500 if
    /// it failed, 504 if it was overdue
    #[arg(long, value_name = "METHOD /PATH", default_value = "", hide_default_value = true)]
    #[serde(skip_serializing_if = "String::is_empty")]
    count_as: String,

    /// The service of --count-as
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        requires = "count_as"
    )]
    #[serde(skip_serializing_if = "String::is_empty")]
    count_service: String,

    /// What people call it [default: the slug]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,

    /// A word to find it by
    #[arg(long = "tag", value_name = "TAG")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,

    /// What it is about
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    name: String,
    time_out: String,
}

/// A line of an export.
#[derive(Debug, Serialize)]
struct Line {
    slug: String,
    #[serde(flatten)]
    rest: DefinitionArgs,
}

fn one_or_more() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..)
}

fn read_stage(text: &str) -> Result<Stage, String> {
    let (name, time_out) = text.rsplit_once('=').ok_or("write NAME=TIME, as in upload=10m")?;
    durations::parse(time_out).map_err(|error| error.to_string())?;
    Ok(Stage { name: name.to_owned(), time_out: time_out.to_owned() })
}

// === impl DefinitionArgs ===

impl DefinitionArgs {
    /// Whether no flag is given.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The definition of flags. The server says what else is wrong with it.
    pub(super) fn read(self, slug: String) -> anyhow::Result<proto::Definition> {
        self.read_as(slug, |field| format!("--{}", field.replace('_', "-")))
    }

    /// The definition as it is sent, where a field has a name.
    fn read_as(
        self,
        slug: String,
        name: impl Fn(&str) -> String,
    ) -> anyhow::Result<proto::Definition> {
        let span =
            |field: &str, text: Option<String>| -> anyhow::Result<Option<prost_types::Duration>> {
                let wrong = |why| anyhow!("{}: {why}", name(field));
                let span = text.map(|text| durations::parse(&text).map_err(wrong)).transpose()?;
                Ok(span.map(lasts))
            };
        let schedule = match (self.every, self.cron, self.deadline) {
            (Some(every), None, None) => span("every", Some(every))?.map(Schedule::Every),
            (None, Some(cron), None) => Some(Schedule::Cron(cron)),
            (None, None, Some(deadline)) => {
                let at: Timestamp = deadline.parse().map_err(|_| {
                    let field = name("deadline");
                    anyhow!("{field}: write a moment as in 2030-01-31T12:00:00Z")
                })?;
                Some(Schedule::Deadline(wire::timestamp(at.as_microsecond())))
            }
            (None, None, None) => None,
            _ => {
                let [every, cron, deadline] = ["every", "cron", "deadline"].map(&name);
                bail!("give one of {every}, {cron} and {deadline}")
            }
        };
        let stage = |stage: Stage| -> anyhow::Result<proto::Stage> {
            Ok(proto::Stage { time_out: span("stage", Some(stage.time_out))?, name: stage.name })
        };
        Ok(proto::Definition {
            slug,
            name: self.name,
            tags: self.tags,
            description: self.description,
            schedule,
            time_zone: self.time_zone.unwrap_or_default(),
            early_window: span("early_window", self.early_window)?,
            start_limit: span("start_limit", self.start_limit)?,
            grace: span("grace", self.grace)?,
            run_limit: span("run_limit", self.run_limit)?,
            run_min: span("run_min", self.run_min)?,
            heartbeat_limit: span("heartbeat_limit", self.heartbeat_limit)?,
            rate_payments: self.rate_payments,
            rate_period: span("rate_period", self.rate_period)?,
            failures_to_alarm: self.failures_to_alarm,
            successes_to_recover: self.successes_to_recover,
            stages: self.stages.into_iter().map(stage).collect::<anyhow::Result<_>>()?,
            notify: self.notify,
            count_as: self.count_as,
            count_service: self.count_service,
        })
    }

    fn of(definition: proto::Definition) -> Self {
        let (mut every, mut cron, mut deadline) = (None, None, None);
        match definition.schedule {
            Some(Schedule::Every(span)) => every = written(Some(span)),
            Some(Schedule::Cron(text)) => cron = Some(text),
            Some(Schedule::Deadline(at)) => {
                let at = wire::micros(at).and_then(|at| Timestamp::from_microsecond(at).ok());
                deadline = at.map(|at| at.to_string());
            }
            None => {}
        }
        let some = |text: String| (!text.is_empty()).then_some(text);
        let unless_one = |number: Option<u32>| number.filter(|number| *number != 1);
        let stage = |stage: proto::Stage| Stage {
            time_out: written(stage.time_out).unwrap_or_default(),
            name: stage.name,
        };
        Self {
            every,
            cron,
            time_zone: some(definition.time_zone),
            deadline,
            grace: written(definition.grace),
            early_window: written(definition.early_window),
            start_limit: written(definition.start_limit),
            run_limit: written(definition.run_limit),
            run_min: written(definition.run_min),
            heartbeat_limit: written(definition.heartbeat_limit),
            rate_payments: definition.rate_payments,
            rate_period: written(definition.rate_period),
            failures_to_alarm: unless_one(definition.failures_to_alarm),
            successes_to_recover: unless_one(definition.successes_to_recover),
            stages: definition.stages.into_iter().map(stage).collect(),
            notify: definition.notify,
            count_as: definition.count_as,
            count_service: definition.count_service,
            name: definition.name,
            tags: definition.tags,
            description: definition.description,
        }
    }
}

/// Writes definitions, one on each line.
pub(super) fn write_all(
    out: &mut impl Write,
    definitions: impl Iterator<Item = proto::Definition>,
) -> io::Result<()> {
    for definition in definitions {
        let line = Line { slug: definition.slug.clone(), rest: DefinitionArgs::of(definition) };
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
    }
    out.flush()
}

/// Reads a definition as a line has it.
pub(super) fn read_line(line: &str) -> anyhow::Result<proto::Definition> {
    let mut fields: Map<String, Value> = serde_json::from_str(line).map_err(|why| {
        // The caller says which line it is.
        anyhow!("it is not a JSON object: {}", why.to_string().replace("line 1 ", ""))
    })?;
    let slug = fields.remove("slug").ok_or_else(|| anyhow!("slug: it has none"))?;
    let slug = String::deserialize(slug).map_err(|why| anyhow!("slug: {why}"))?;
    let rest = DefinitionArgs::deserialize(Value::Object(fields))?;
    rest.read_as(slug, str::to_owned)
}

fn lasts(span: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(span).unwrap_or_default()
}

/// A length of time as a flag has it.
fn written(span: Option<prost_types::Duration>) -> Option<String> {
    span.map(|span| durations::shown(Duration::try_from(span).unwrap_or_default()))
}
