//! Rules about counts: what is asked for, and what is wrong with it.
//!
//! | file | what it owns |
//! |---|---|
//! | `event.rs` | what a webhook is told |
//! | `judge.rs` | judging all rules, as a duty |
//! | `verdict.rs` | whether a rule fires, by what was counted in its windows |

mod event;
mod judge;
mod verdict;

use std::collections::BTreeSet;
use std::fmt;

use hashbrown::HashSet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tally_outbox::{Receiver, Webhooks};
use tally_proto::wire::STATUS_MAX;
use uuid::Uuid;

pub(crate) use self::event::TESTS;
pub use self::judge::Judge;
pub(crate) use self::judge::{Counted, LEASE};
pub(crate) use self::verdict::Sum;
use crate::methods;
use crate::model::{Namespace, Quarter};
use crate::periods::{Granularity, QuarterRange, Zone};
use crate::totals::{Filter, GroupBy, Query};

/// How many rules a namespace may have: each of them asks for totals up to four times a minute.
pub(crate) const RULES_MAX: u32 = 100;
/// How long a name may be, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// How many entries the filters may have in all, and how long each may be, in bytes.
const ENTRIES_MAX: usize = 100;
const ENTRY_BYTES_MAX: usize = 2_048;
/// The longest window, and the longest time until a rule that fires is told again: a week.
const MINUTES_MAX: u32 = 7 * 24 * 60;
/// The shortest ones; a window is a multiple of it, because counts are kept by quarter-hour.
const MINUTES_MIN: u32 = 15;
/// Of how many requests a share says something, unless the rule says it.
const AT_LEAST: u32 = 100;
/// All of something, in millionths.
pub(crate) const WHOLE_MILLIONTHS: u32 = 1_000_000;

/// When a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    /// At fewer requests.
    Below(u64),
    /// At more.
    Above(u64),
    /// At a smaller share, in millionths.
    ShareBelowMillionths(u32),
    /// At a larger one.
    ShareAboveMillionths(u32),
}

/// A rule, as it is asked for. In JSON, it is what the database has and what a webhook is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) services: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) paths: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) path_prefix: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) statuses: Vec<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) status_classes: Vec<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) customers: Vec<String>,
    pub(crate) limit: Limit,
    pub(crate) window_minutes: u32,
    /// Of a share only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_least: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repeat_minutes: Option<u32>,
}

/// A rule that is kept, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptRule {
    pub(crate) id: Uuid,
    /// What it is about is counted there.
    pub(crate) namespace: Namespace,
    pub(crate) rule: Rule,
    /// The whole URL; empty for none.
    pub(crate) webhook: String,
    pub(crate) created: Timestamp,
    /// None unless it fires.
    pub(crate) firing_since: Option<Timestamp>,
    /// When it was last told that it fires.
    pub(crate) told: Option<Timestamp>,
    /// How many events it has had. Whatever changes its state moves this by one.
    pub(crate) events: i64,
}

// === impl Limit ===

impl Limit {
    pub(crate) fn is_share(self) -> bool {
        matches!(self, Self::ShareBelowMillionths(_) | Self::ShareAboveMillionths(_))
    }

    fn problem(self) -> Option<String> {
        match self {
            Self::Below(0) => Some("below: is 0, and no count is less".to_owned()),
            Self::ShareBelowMillionths(share) if !(1..=WHOLE_MILLIONTHS).contains(&share) => {
                let is = percent(share);
                Some(format!(
                    "share_below_millionths: is {is} ({share} millionths), and can be 0.0001% to 100%"
                ))
            }
            Self::ShareAboveMillionths(share @ WHOLE_MILLIONTHS..) => {
                let is = percent(share);
                Some(format!(
                    "share_above_millionths: is {is} ({share} millionths), and can be 0% to 99.9999%"
                ))
            }
            _ => None,
        }
    }
}

/// As in `fewer than 1 request` and `more than 5%`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Below(number) => write!(f, "fewer than {}", plural(number, "request")),
            Self::Above(number) => write!(f, "more than {}", plural(number, "request")),
            Self::ShareBelowMillionths(share) => write!(f, "less than {}", percent(share)),
            Self::ShareAboveMillionths(share) => write!(f, "more than {}", percent(share)),
        }
    }
}

/// Millionths, as in `0.5%`.
pub(crate) fn percent(millionths: u32) -> String {
    let text = format!("{}.{:04}", millionths / 10_000, millionths % 10_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// As in `1 request` and `2 requests`.
fn plural(number: u64, unit: &str) -> String {
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// In the largest unit that fits, as in `2 hours`.
fn minutes(number: u32) -> String {
    let (number, unit) = match number {
        number if number.is_multiple_of(24 * 60) => (number / (24 * 60), "day"),
        number if number.is_multiple_of(60) => (number / 60, "hour"),
        number => (number, "minute"),
    };
    plural(number.into(), unit)
}

// === impl Rule ===

impl Rule {
    /// When it fires, as in `fewer than 1 request in 15 minutes`.
    pub(crate) fn condition(&self) -> String {
        let least = || plural(self.at_least().into(), "request");
        let at_least = self.limit.is_share().then(|| format!(" of at least {}", least()));
        let repeat =
            self.repeat_minutes.map(|repeat| format!(", told again after {}", minutes(repeat)));
        let (at_least, repeat) = (at_least.unwrap_or_default(), repeat.unwrap_or_default());
        format!("{}{at_least} in {}{repeat}", self.limit, minutes(self.window_minutes))
    }

    /// Everything that is wrong with it, and with the URL that its events go to; and the receiver that
    /// this is.
    pub(crate) fn check(
        &self,
        webhook: &str,
        webhooks: &Webhooks,
        quarter_retention_days: u32,
    ) -> Result<Option<Receiver>, Vec<String>> {
        let mut problems = Vec::new();
        match self.name.len() {
            _ if self.name.trim().is_empty() => problems.push("name: is empty".to_owned()),
            bytes @ NAME_BYTES_MAX.. if bytes > NAME_BYTES_MAX => {
                problems.push(format!("name: has {bytes} bytes, more than {NAME_BYTES_MAX}"));
            }
            _ if Uuid::parse_str(&self.name).is_ok() => {
                problems.push("name: is a UUID, as ids of rules are".to_owned());
            }
            _ if self.name.contains(char::is_control) => {
                problems.push("name: has control characters".to_owned());
            }
            _ => {}
        }
        self.check_filters(&mut problems);
        problems.extend(self.limit.problem());
        let minutes = self.window_minutes;
        if !(MINUTES_MIN..=MINUTES_MAX).contains(&minutes) || !minutes.is_multiple_of(MINUTES_MIN) {
            problems.push(format!(
                "window_minutes: is {minutes} minutes, and can be a multiple of 15, from 15 to \
                 {MINUTES_MAX}: counts are kept by quarter-hour"
            ));
        }
        // The window, the day that it begins in, and one until days are pruned.
        let days = minutes.div_ceil(24 * 60) + 2;
        if quarter_retention_days > 0 && days > quarter_retention_days {
            problems.push(format!(
                "window_minutes: is {minutes} minutes, and the server keeps quarter-hours for \
                 {quarter_retention_days} days only (--requests-quarter-retention-days)"
            ));
        }
        if self.at_least.is_some() && !self.limit.is_share() {
            problems.push("at_least: is for shares only".to_owned());
        }
        if let Some(repeat) = self.repeat_minutes
            && !(MINUTES_MIN..=MINUTES_MAX).contains(&repeat)
        {
            problems.push(format!(
                "repeat_minutes: is {repeat} minutes, and can be {MINUTES_MIN} to {MINUTES_MAX}"
            ));
        }
        let receiver = (!webhook.is_empty()).then(|| webhooks.receiver(webhook)).transpose();
        let receiver = receiver.map_err(|why| problems.push(format!("webhook: {why}")));
        if problems.is_empty() { Ok(receiver.unwrap_or_default()) } else { Err(problems) }
    }

    /// With its methods as series have them: one in another form would match nothing, and silence would be
    /// told for ever.
    pub(crate) fn with_methods_of_series(mut self) -> Result<Self, String> {
        let of_series = |method: &String| match method.as_str() {
            "" => Ok(String::new()),
            method => methods::of_series(method)
                .map_err(|why| format!("methods: {}: {why}", method.escape_debug())),
        };
        let methods: Result<BTreeSet<_>, _> = self.methods.iter().map(of_series).collect();
        self.methods = methods?.into_iter().collect();
        Ok(self)
    }

    fn check_filters(&self, problems: &mut Vec<String>) {
        let prefix = std::slice::from_ref(&self.path_prefix);
        let prefix = if self.path_prefix.is_empty() { &[] } else { prefix };
        let texts = [
            ("services", &*self.services),
            ("methods", &*self.methods),
            ("paths", &*self.paths),
            ("path_prefix", prefix),
            ("customers", &*self.customers),
        ];
        for (field, texts) in texts {
            if texts.iter().any(|text| text.contains('\0')) {
                problems.push(format!("{field}: contains a NUL byte, and no name does"));
            }
            if let Some(long) = texts.iter().find(|text| text.len() > ENTRY_BYTES_MAX) {
                let bytes = long.len();
                problems.push(format!("{field}: has {bytes} bytes, more than {ENTRY_BYTES_MAX}"));
            }
        }
        if let Some(status) = self.statuses.iter().find(|status| **status > STATUS_MAX) {
            problems.push(format!("statuses: {status} is not between 0 and {STATUS_MAX}"));
        }
        if let Some(class) = self.status_classes.iter().find(|class| !(1..=5).contains(*class)) {
            problems.push(format!("status_classes: {class} is not between 1 and 5"));
        }
        let statuses = self.statuses.len() + self.status_classes.len();
        if self.limit.is_share() && statuses == 0 {
            problems.push("statuses: is missing: say of which ones the share is".to_owned());
        }
        let entries = texts.iter().map(|(_, texts)| texts.len()).sum::<usize>() + statuses;
        if entries > ENTRIES_MAX {
            problems.push(format!("the filters have {entries} entries, more than {ENTRIES_MAX}"));
        }
    }

    /// Of how many requests its share says something.
    pub(crate) fn at_least(&self) -> u32 {
        self.at_least.unwrap_or(AT_LEAST)
    }

    /// How many quarters its window has.
    pub(crate) fn quarters(&self) -> i32 {
        i32::try_from(self.window_minutes / MINUTES_MIN).unwrap_or(1)
    }

    /// Asks for what it counts: of a share by status, otherwise the sum.
    pub(crate) fn query(&self, namespace: Namespace, range: QuarterRange) -> Query {
        let set = |texts: &[String]| texts.iter().cloned().collect::<HashSet<_>>();
        let is_share = self.limit.is_share();
        let statuses =
            if is_share { HashSet::new() } else { self.statuses.iter().copied().collect() };
        let classes =
            if is_share { HashSet::new() } else { self.status_classes.iter().copied().collect() };
        Query {
            range,
            granularity: Granularity::Whole,
            zone: Zone::utc(),
            filter: Filter {
                namespace,
                services: set(&self.services),
                methods: set(&self.methods),
                path_prefix: self.path_prefix.clone(),
                paths: set(&self.paths),
                statuses,
                status_classes: classes,
                customers: set(&self.customers),
            },
            group_by: vec![GroupBy::Status, GroupBy::StatusClass],
            live: true,
            with_corrections: false,
            sum: !is_share,
            totals_max: usize::MAX,
            limit: None,
        }
    }

    /// Whether a status is one that its share is of.
    fn is_of_share(&self, status: u16, class: u8) -> bool {
        self.statuses.contains(&status) || self.status_classes.contains(&class)
    }
}

// === impl KeptRule ===

impl KeptRule {
    /// Where its events go, if the server still allows that.
    pub(crate) fn receiver(&self, webhooks: &Webhooks) -> Result<Option<Receiver>, String> {
        (!self.webhook.is_empty()).then(|| webhooks.receiver(&self.webhook)).transpose()
    }

    /// Its URL as people see it: without what may be a secret.
    pub(crate) fn shown_webhook(&self) -> String {
        let receiver = self.webhook.parse::<Receiver>();
        receiver.map(|receiver| receiver.shown()).unwrap_or_default()
    }

    /// When it can say first that there are too few requests: a window that begins earlier was not
    /// watched from its beginning.
    fn watched_from(&self, watched_since: Timestamp) -> Timestamp {
        self.created.max(watched_since)
    }
}

/// When a quarter begins.
pub(crate) fn start_of(quarter: Quarter) -> Timestamp {
    Timestamp::from_microsecond(quarter.start_micros()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
