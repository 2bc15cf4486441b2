//! What receivers are told of alarms and recoveries.

use jiff::Timestamp;
use serde::Serialize;
use tally_outbox::{About, Event, Told, Webhooks};

use crate::domain::NAME;
use crate::model::{Debt, KeptFlip, second, words};
use crate::state::Cause;
use crate::store::subject;

const OVERDUE: &str = "debts.debt.overdue";
const RECOVERED: &str = "debts.debt.recovered";

/// Causes that a payment brings, so that nothing is overdue.
const FAILURES: [Cause; 3] = [Cause::Failed, Cause::TooShort, Cause::TooOften];

/// What an event says.
#[derive(Serialize)]
struct Data<'a> {
    debt: Names<'a>,
    /// 1, 2, 3 …: alarms are odd.
    flip: i64,
    status: &'static str,
    /// When it came to pass.
    at: String,
    cause: &'a str,
    /// What is due next.
    due_at: Option<String>,
}

#[derive(Serialize)]
struct Names<'a> {
    id: String,
    number: i64,
    slug: &'a str,
    name: &'a str,
    tags: &'a [String],
}

/// The events of a flip, one for each receiver that is still allowed.
pub(crate) fn of(debt: &Debt, flip: &KeptFlip, webhooks: &Webhooks) -> Vec<Event> {
    let definition = &debt.definition;
    let (kind, status) = if flip.is_alarm() { (OVERDUE, "down") } else { (RECOVERED, "up") };
    let data = Data {
        debt: Names {
            id: debt.id.to_string(),
            number: debt.number,
            slug: &definition.slug,
            name: definition.title(),
            tags: &definition.tags,
        },
        flip: flip.number,
        status,
        at: flip.at.to_string(),
        cause: &flip.cause,
        due_at: debt.state.due.map(|due| due.to_string()),
    };
    let told = told(debt, flip);
    let mut events = Vec::new();
    for url in &definition.notify {
        match webhooks.receiver(url) {
            Ok(receiver) => {
                let about = About {
                    domain: NAME,
                    subject: subject(debt.id, &receiver),
                    number: flip.number,
                };
                events.push(Event::new(about, receiver, kind, flip.noticed, &data, &told));
            }
            // The operator has changed what is allowed since.
            Err(why) => {
                tracing::warn!(debt = %definition.slug, "an address to notify {why}: it is not told");
            }
        }
    }
    events
}

/// The same, for receivers that have a format of their own.
fn told(debt: &Debt, flip: &KeptFlip) -> Told<'static> {
    let definition = &debt.definition;
    let (title, at, cause) = (definition.title(), flip.at, &flip.cause);
    // A failure was paid for, so nothing is overdue, and the last payment is the failure itself.
    let has_failed = FAILURES.iter().any(|failure| words(failure) == *cause);
    let (since, happened) = match (flip.is_alarm(), has_failed) {
        (true, false) => ("Overdue since", "is overdue since"),
        (true, true) => ("Failed at", "failed at"),
        (false, _) => ("Recovered at", "has recovered at"),
    };
    let text = format!("{title} {happened} {}: {cause}", second(at));
    let paid = || debt.state.last_payment.map_or_else(|| "never".to_owned(), people);
    let labels = vec![("debt", definition.slug.clone()), ("id", debt.id.to_string())];
    let (starts, ends) = if flip.is_alarm() { (Some(at), None) } else { (None, Some(at)) };
    let subject = format!("{}: {title}", if flip.is_alarm() { "Down" } else { "Up" });
    let next = debt.state.due.filter(|due| *due > at);
    let command = |verb: &str| format!("tally debts {verb} {}", definition.slug);
    let facts = [
        ("Debt", format!("{}, number {}", definition.slug, debt.number)),
        (since, people(at)),
        ("About", definition.description.clone()),
        ("Tags", definition.tags.join(", ")),
        ("Last payment", if has_failed { String::new() } else { paid() }),
        ("Next due", next.map(people).unwrap_or_default()),
        ("Notice number", flip.number.to_string()),
        ("To look at it", command("show")),
        ("To silence it", if flip.is_alarm() { command("pause") } else { String::new() }),
    ];
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    Told { subject, text, facts, alert: "TallyDebtOverdue", labels, starts, ends }
}

/// A time as people read it.
fn people(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
