//! What is agreed of a debt, as people and programs write it: in JSON, which the database has too.
//!
//! | file | what it owns |
//! |---|---|
//! | `checking.rs` | what is wrong with it |

mod checking;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tally_outbox::Receiver;
use tally_runtime::durations;

use self::checking::Checking;
use crate::counted::Series;
use crate::schedule::{Invalid, Schedule};
use crate::terms::{Stage, Terms};

/// The longest slug, name, tag, stage and description, in bytes, and how many there may be of each.
pub(crate) const SLUG_BYTES_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 100;
const DESCRIPTION_BYTES_MAX: usize = 10_000;
const NOTIFY_MAX: usize = 10;
const URL_BYTES_MAX: usize = 2_000;

/// A debt that is agreed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    pub(crate) slug: String,
    /// Empty: the slug.
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) description: String,
    pub(crate) terms: Terms,
    /// Where alarms and recoveries go.
    pub(crate) notify: Vec<String>,
    /// What its payments and alarms are counted under.
    pub(crate) count_as: Option<Series>,
}

/// The same as it is written: lengths of time as in `1h30m`, and moments as in `2030-01-31T12:00:00Z`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) slug: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) every: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) early_window: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_min: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) heartbeat_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_payments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_period: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failures_to_alarm: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) successes_to_recover: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stages: Vec<WrittenStage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notify: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count_as: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count_service: Option<String>,
}

/// A stage as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenStage {
    pub(crate) name: String,
    pub(crate) time_out: String,
}

/// What is wrong with a definition: each field, and why.
pub(crate) type Wrong = Vec<(String, String)>;

// === impl Definition ===

impl Definition {
    /// As it is written.
    pub(crate) fn written(&self) -> Written {
        let Self { slug, name, tags, description, terms, notify, count_as } = self.clone();
        let some = |span: Option<Duration>| span.map(durations::shown);
        let unless_none = |span: Duration| (!span.is_zero()).then(|| durations::shown(span));
        let unless_one = |number: u16| (number > 1).then_some(number);
        let mut written = Written {
            slug,
            name,
            tags,
            description,
            early_window: unless_none(terms.early_window),
            start_limit: some(terms.start_limit),
            grace: unless_none(terms.grace),
            run_limit: some(terms.run_limit),
            run_min: some(terms.run_min),
            heartbeat_limit: some(terms.heartbeat_limit),
            rate_payments: terms.rate_max.map(|rate| rate.payments),
            rate_period: some(terms.rate_max.map(|rate| rate.period)),
            failures_to_alarm: unless_one(terms.failures_to_alarm),
            successes_to_recover: unless_one(terms.successes_to_recover),
            stages: terms.stages.iter().map(WrittenStage::of).collect(),
            notify,
            count_service: count_as.as_ref().and_then(Series::written_service),
            count_as: count_as.as_ref().map(Series::written),
            ..Written::default()
        };
        match terms.schedule {
            Schedule::Interval(every) => written.every = Some(durations::shown(every)),
            Schedule::Cron(cron) => {
                written.cron = Some(cron.text().to_owned());
                written.time_zone = Some(cron.zone().to_owned());
            }
            Schedule::Deadline(at) => written.deadline = Some(at.to_string()),
            Schedule::None => {}
        }
        written
    }

    /// Where alarms go, without what may be a secret.
    pub(crate) fn shown_notify(&self) -> Vec<String> {
        let shown = |url: &String| url.parse::<Receiver>().map(|to| to.shown()).unwrap_or_default();
        self.notify.iter().map(shown).collect()
    }

    /// Whoever sets a deadline sets one to come. What is repeated of a debt whose deadline has passed is no
    /// mistake: payments that would make it, and changes of something else.
    pub(crate) fn check_deadline(&self, now: Timestamp) -> Result<(), Wrong> {
        let checked = self.terms.schedule.check(now);
        checked.map_err(|why| vec![("deadline".to_owned(), why.to_string())])
    }

    /// Gives back what [`Self::shown_notify`] has left out. Of several that are shown alike, each is given back once,
    /// in their order.
    pub(crate) fn restore(&self, notify: &mut [String]) {
        let mut left: Vec<_> = self.shown_notify().into_iter().zip(&self.notify).collect();
        for url in notify {
            if let Some(at) = left.iter().position(|(shown, _)| shown == url) {
                url.clone_from(left.remove(at).1);
            }
        }
    }

    /// How much memory its texts take, about.
    pub(crate) fn bytes(&self) -> usize {
        let lists = self.tags.iter().chain(&self.notify).map(String::len);
        let stages = self.terms.stages.iter().map(|stage| stage.name.len());
        let all: usize = lists.chain(stages).map(|text| size_of::<String>() + text).sum();
        all + self.name.len() + self.description.len()
    }

    /// What people call it.
    pub(crate) fn title(&self) -> &str {
        if self.name.is_empty() { &self.slug } else { &self.name }
    }
}

// === impl Written ===

impl Written {
    /// The definition, or everything that is wrong with it. With `now`, it is a new one, whose cron expression
    /// must have a time to come. A deadline may have passed: see [`Definition::check_deadline`].
    pub(crate) fn check(self, now: Option<Timestamp>) -> Result<Definition, Wrong> {
        let mut wrong = Checking::default();
        wrong.slug(&self.slug);
        wrong.text("name", &self.name, NAME_BYTES_MAX);
        wrong.text("description", &self.description, DESCRIPTION_BYTES_MAX);
        wrong.tags(&self.tags);
        wrong.count("notify", self.notify.len(), NOTIFY_MAX);
        self.notify.iter().for_each(|url| wrong.text("notify", url, URL_BYTES_MAX));
        let schedule = wrong.schedule(&self);
        if let Some(Err(why @ Invalid::NoTime { .. })) = now.map(|now| schedule.check(now)) {
            wrong.note("cron", why.to_string());
        }
        let terms = Terms {
            early_window: wrong
                .span("early_window", self.early_window.as_ref())
                .unwrap_or_default(),
            start_limit: wrong.limit("start_limit", self.start_limit.as_ref()),
            grace: wrong.span("grace", self.grace.as_ref()).unwrap_or_default(),
            run_limit: wrong.limit("run_limit", self.run_limit.as_ref()),
            run_min: wrong.limit("run_min", self.run_min.as_ref()),
            heartbeat_limit: wrong.limit("heartbeat_limit", self.heartbeat_limit.as_ref()),
            rate_max: wrong.rate(self.rate_payments, self.rate_period.as_ref()),
            failures_to_alarm: wrong.times("failures_to_alarm", self.failures_to_alarm),
            successes_to_recover: wrong.times("successes_to_recover", self.successes_to_recover),
            stages: wrong.stages(&self.stages),
            schedule,
        };
        wrong.fit(&terms);
        let count_as = Series::read(self.count_as.as_deref(), self.count_service.as_deref());
        let count_as = count_as.map_err(|(field, why)| wrong.note(field, why)).ok().flatten();
        let Self { slug, name, mut tags, description, notify, .. } = self;
        tags.dedup();
        let definition = Definition { slug, name, tags, description, terms, notify, count_as };
        if wrong.0.is_empty() { Ok(definition) } else { Err(wrong.0) }
    }
}

// === impl WrittenStage ===

impl WrittenStage {
    fn of(stage: &Stage) -> Self {
        Self { name: stage.name.clone(), time_out: durations::shown(stage.time_out) }
    }
}
