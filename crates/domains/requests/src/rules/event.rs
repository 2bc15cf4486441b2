//! What a webhook is told.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tally_outbox::{About, Event, Receiver, Told};
use uuid::Uuid;

use super::verdict::Sum;
use super::{KeptRule, Limit, Rule, percent, plural};
use crate::NAME;

/// Whose test events are: not the rule's, so that no event waits for one of them, or has its number.
pub(crate) const TESTS: &str = "requests.tests";

/// For how long a test is an alert where alerts have an end.
const TEST_GOES_ON: SignedDuration = SignedDuration::from_mins(5);

/// What has happened to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Firing,
    Resolved,
    /// A person wants to see an event.
    Test,
}

/// The data of an event. Members are added, and never change.
#[derive(Serialize)]
struct Data<'a> {
    rule: Named<'a>,
    /// The number of the event among those of the rule. A receiver that knows a higher one has seen what
    /// came later. A test has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    /// Whether it says again that the rule still fires.
    is_repeated: bool,
    /// Since when the rule fires, or fired.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Window>,
    /// For people.
    text: String,
}

#[derive(Serialize)]
struct Named<'a> {
    id: String,
    #[serde(flatten)]
    rule: &'a Rule,
}

#[derive(Serialize)]
struct Window {
    from: String,
    to: String,
    requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    of_requests: Option<u64>,
}

/// What was counted from when to when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) sum: Sum,
}

// === impl Kind ===

impl Kind {
    fn r#type(self) -> &'static str {
        match self {
            Self::Firing => "requests.rule.firing",
            Self::Resolved => "requests.rule.resolved",
            Self::Test => "requests.rule.test",
        }
    }

    /// What stands before the name of the rule, above a letter.
    fn word(self) -> &'static str {
        match self {
            Self::Firing => "Firing",
            Self::Resolved => "Fine again",
            Self::Test => "Test",
        }
    }
}

// === impl Window ===

impl Window {
    fn counted(&self) -> String {
        let of = self.of_requests.map(|of| format!(" of {of}")).unwrap_or_default();
        let requests = self.requests;
        format!("{requests}{of} requests from {} to {}", self.from, self.to)
    }
}

// === impl KeptRule ===

impl KeptRule {
    /// Its next event.
    pub(super) fn event(
        &self,
        receiver: Receiver,
        kind: Kind,
        since: Option<Timestamp>,
        seen: Seen,
        now: Timestamp,
    ) -> Event {
        let of_requests = self.rule.limit.is_share().then_some(seen.sum.of_requests);
        let window = Window {
            from: seen.from.to_string(),
            to: seen.to.to_string(),
            requests: seen.sum.requests,
            of_requests,
        };
        let is_repeated = kind == Kind::Firing && self.firing_since.is_some();
        let number = self.events + 1;
        let data = Data {
            rule: Named { id: id(self.id), rule: &self.rule },
            number: Some(number),
            is_repeated,
            since: since.map(|since| since.to_string()),
            window: Some(window),
            text: text(&self.rule, kind, seen),
        };
        let about = About { domain: NAME, subject: self.id, number };
        let told = self.told(kind, &data, since, (kind == Kind::Resolved).then_some(now));
        Event::new(about, receiver, kind.r#type(), now, &data, &told)
    }

    /// An event that says nothing, the how many-th of its kind.
    pub(crate) fn test_event(&self, receiver: Receiver, number: i64, now: Timestamp) -> Event {
        let data = Data {
            rule: Named { id: id(self.id), rule: &self.rule },
            number: None,
            is_repeated: false,
            since: None,
            window: None,
            text: format!("{}: this is a test", self.rule.name),
        };
        let about = About { domain: TESTS, subject: self.id, number };
        let ends = now.saturating_add(TEST_GOES_ON).unwrap_or(now);
        let told = self.told(Kind::Test, &data, Some(now), Some(ends));
        Event::new(about, receiver, Kind::Test.r#type(), now, &data, &told)
    }

    /// The same, for receivers that have a format of their own.
    fn told(
        &self,
        kind: Kind,
        data: &Data<'_>,
        starts: Option<Timestamp>,
        ends: Option<Timestamp>,
    ) -> Told<'static> {
        let labels = vec![("rule", self.rule.name.clone()), ("id", id(self.id))];
        let facts = [
            ("Rule", self.rule.name.clone()),
            ("Fires at", self.rule.condition()),
            ("Counted", data.window.as_ref().map(Window::counted).unwrap_or_default()),
            ("Since", data.since.clone().unwrap_or_default()),
            ("Notice number", data.number.map(|number| number.to_string()).unwrap_or_default()),
        ];
        Told {
            subject: format!("{}: {}", kind.word(), self.rule.name),
            text: data.text.clone(),
            facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            alert: "TallyRule",
            labels,
            starts,
            ends,
        }
    }
}

fn id(id: Uuid) -> String {
    id.to_string()
}

/// As in `shop is silent: 0 requests from 2030-06-15T12:00:00Z to 2030-06-15T12:15:00Z; it fires at fewer
/// than 1 request in 15 minutes`.
fn text(rule: &Rule, kind: Kind, seen: Seen) -> String {
    let Sum { requests, of_requests } = seen.sum;
    let fine = if kind == Kind::Resolved { " is fine again" } else { "" };
    let counted = match rule.limit {
        Limit::Below(_) | Limit::Above(_) => plural(requests, "request"),
        _ => {
            let share = u128::from(requests) * 1_000_000 / u128::from(of_requests.max(1));
            let share = percent(u32::try_from(share).unwrap_or(u32::MAX));
            format!("{requests} of {of_requests} requests ({share})")
        }
    };
    format!(
        "{}{fine}: {counted} from {} to {}; it fires at {}",
        rule.name,
        seen.from,
        seen.to,
        rule.condition()
    )
}
