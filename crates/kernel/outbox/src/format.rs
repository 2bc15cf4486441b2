//! What an event is written as, for receivers that have a format of their own.
//!
//! | prefix of the URL | what is sent | whose format |
//! |---|---|---|
//! | none | id, type, time and data, in JSON | Standard Webhooks (standardwebhooks.com) |
//! | `slack+` | a text, and the same as a block | Slack's incoming webhooks (docs.slack.dev), which others understand too |
//! | `mailto:` | a subject and a text, for people | see `mail/letter.rs` |
//! | `alertmanager+` | an alert, in an array of one | Alertmanager's `POST /api/v2/alerts` (its `api/v2/openapi.yaml`) |

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::mail;

/// For how long Alertmanager takes it that an alarm goes on, unless it is told that it is over. Without an end it
/// would resolve an alert by itself after its `resolve_timeout`.
const ALERT_GOES_ON: SignedDuration = SignedDuration::from_hours(24 * 365);

/// How an event is written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Plain,
    Slack,
    Alertmanager,
    Mail,
}

/// What an event says to people, and to programs that know alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<'a> {
    /// In a few words, above a letter.
    pub subject: String,
    /// In one line.
    pub text: String,
    /// What else there is to know, each with its name.
    pub facts: Vec<(&'static str, String)>,
    /// What kind of thing is wrong, such as `DebtOverdue`.
    pub alert: &'a str,
    /// With what: the same ones when it is over.
    pub labels: Vec<(&'static str, String)>,
    /// Since when.
    pub starts: Option<Timestamp>,
    /// Since when it is over, or when it will be.
    pub ends: Option<Timestamp>,
}

/// What is sent in JSON to those that have no format of their own: the members that webhooks of this kind have,
/// and the id, which is in a header as well.
#[derive(Serialize)]
struct Plain<'a, T> {
    id: String,
    r#type: &'a str,
    timestamp: String,
    data: &'a T,
}

// === impl Format ===

impl Format {
    /// Those that a URL may have.
    const OF_URLS: [Self; 2] = [Self::Slack, Self::Alertmanager];

    /// What stands before the URL.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Plain | Self::Mail => "",
            Self::Slack => "slack+",
            Self::Alertmanager => "alertmanager+",
        }
    }

    /// The format that a text names, and its URL.
    pub(crate) fn read(text: &str) -> (Self, &str) {
        let named = |format: &Self| Some((*format, text.strip_prefix(format.prefix())?));
        Self::OF_URLS.iter().find_map(named).unwrap_or((Self::Plain, text))
    }

    /// The text that is sent of an event of this type.
    pub(crate) fn write<T: Serialize>(
        self,
        id: Uuid,
        r#type: &str,
        now: Timestamp,
        data: &T,
        told: &Told<'_>,
    ) -> String {
        let body = match self {
            Self::Mail => return mail::write(id, r#type, told),
            Self::Plain => {
                let body = Plain { id: id.to_string(), r#type, timestamp: now.to_string(), data };
                return serde_json::to_string(&body).expect("the data of an event can be JSON");
            }
            Self::Slack => {
                let text =
                    told.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let words = json!({"type": "mrkdwn", "text": text});
                json!({"text": text, "blocks": [{"type": "section", "text": words}]})
            }
            Self::Alertmanager => {
                let of = |(name, value): &(&str, String)| ((*name).to_owned(), json!(value));
                let mut labels: Map<_, _> = told.labels.iter().map(of).collect();
                labels.insert("alertname".to_owned(), json!(told.alert));
                let annotations = json!({"summary": told.text, "event": id.to_string()});
                let mut alert = json!({"labels": labels, "annotations": annotations});
                let ends = told.ends.unwrap_or_else(|| {
                    let starts = told.starts.unwrap_or(now).max(now);
                    starts.saturating_add(ALERT_GOES_ON).unwrap_or(Timestamp::MAX)
                });
                alert["endsAt"] = json!(ends.to_string());
                if let Some(starts) = told.starts {
                    alert["startsAt"] = json!(starts.to_string());
                }
                Value::Array(vec![alert])
            }
        };
        body.to_string()
    }
}
