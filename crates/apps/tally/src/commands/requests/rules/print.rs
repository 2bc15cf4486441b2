//! Rules and their events in words.

use std::borrow::Cow;
use std::io::{self, Write};

use tally_proto::tally::requests::v1::rule::Limit;
use tally_proto::tally::requests::v1::{Event, KeptRule, Rule, ShowRuleResponse, Window};

use crate::output::table::Align;
use crate::output::times::{minute, time};
use crate::output::{self, Cell, OutputFormat, plural, shell_word, visible};

/// Writes a list of rules.
pub(super) fn list(
    out: &mut impl Write,
    format: OutputFormat,
    rules: &[KeptRule],
) -> io::Result<()> {
    let is_table = format == OutputFormat::Table;
    let columns = [
        ("name", Align::Left),
        ("state", Align::Left),
        (if is_table { "since" } else { "firing_since" }, Align::Left),
        ("condition", Align::Left),
        ("filters", Align::Shorten),
        ("webhook", Align::Shorten),
        ("id", Align::Left),
    ];
    let text = |text: String| Cell::Text(Cow::Owned(text));
    let rows = rules.iter().map(|kept| {
        let rule = kept.rule.as_ref();
        [
            text(rule.map(|rule| rule.name.clone()).unwrap_or_default()),
            text(if kept.firing_since.is_some() { "firing" } else { "ok" }.to_owned()),
            kept.firing_since.map_or(Cell::Unknown, |since| {
                text(if is_table { minute(Some(since)) } else { time(Some(since)) })
            }),
            text(match rule {
                Some(rule) if is_table => brief(rule),
                _ => kept.condition.clone(),
            }),
            text(rule.map(filters).unwrap_or_default()),
            text(rule.map(|rule| rule.webhook.clone()).unwrap_or_default()),
            // It takes half of a line, and `tally rules show` has it.
            if is_table { Cell::Unknown } else { text(kept.id.clone()) },
        ]
    });
    output::print(out, format, columns, rows)
}

/// Writes a rule, what it counts, and its events.
pub(super) fn show(out: &mut impl Write, shown: &ShowRuleResponse) -> io::Result<()> {
    let kept = shown.rule.clone().unwrap_or_default();
    let rule = kept.rule.clone().unwrap_or_default();
    let state = match kept.firing_since {
        Some(since) => format!("firing since {}", time(Some(since))),
        None => "ok".to_owned(),
    };
    let is_share =
        matches!(rule.limit, Some(Limit::ShareBelowMillionths(_) | Limit::ShareAboveMillionths(_)));
    let count = |window: &Option<Window>| counted(window.as_ref(), is_share);
    let webhook = if rule.webhook.is_empty() { "none" } else { &rule.webhook };
    let all = filters(&rule);
    let lines = [
        ("name", visible(&rule.name).into_owned()),
        ("id", kept.id.clone()),
        ("condition", visible(&kept.condition).into_owned()),
        ("filters", if all.is_empty() { "none: every request".to_owned() } else { all }),
        ("state", state),
        ("complete", count(&shown.complete)),
        ("running", count(&shown.running)),
        (
            "watched",
            shown
                .watched_since
                .map_or("not yet".to_owned(), |at| format!("since {}", time(Some(at)))),
        ),
        ("added", time(kept.created_at)),
        ("webhook", visible(webhook).into_owned()),
    ];
    for (name, text) in lines {
        writeln!(out, "{name:<9} {text}")?;
    }
    if shown.events.is_empty() {
        return out.flush();
    }
    writeln!(out)?;
    let columns = [
        ("event", Align::Left),
        ("at", Align::Left),
        ("state", Align::Left),
        ("attempts", Align::Right),
        ("answer", Align::Shorten),
    ];
    let text = |text: String| Cell::Text(Cow::Owned(text));
    let rows = shown.events.iter().map(|event| {
        [
            text(kind(event)),
            text(minute(event.created_at)),
            text(became(event)),
            Cell::Number(event.attempts.into()),
            text(event.answer.clone()),
        ]
    });
    let ids = shown.events.iter().map(|event| event.id.clone());
    output::print_noted(out, columns, rows, ids)
}

/// When it fires in short, nearly as it is typed: `below 1 in 15m`.
fn brief(rule: &Rule) -> String {
    let limit = match rule.limit {
        Some(Limit::Below(number)) => format!("below {number}"),
        Some(Limit::Above(number)) => format!("above {number}"),
        Some(Limit::ShareBelowMillionths(share)) => format!("below {}", percent(share)),
        Some(Limit::ShareAboveMillionths(share)) => format!("above {}", percent(share)),
        None => "?".to_owned(),
    };
    let window = match rule.window_minutes {
        minutes if minutes.is_multiple_of(24 * 60) => format!("{}d", minutes / (24 * 60)),
        minutes if minutes.is_multiple_of(60) => format!("{}h", minutes / 60),
        minutes => format!("{minutes}m"),
    };
    format!("{limit} in {window}")
}

/// The filters, as flags.
fn filters(rule: &Rule) -> String {
    let texts = [
        ("service", &rule.services),
        ("method", &rule.methods),
        ("path", &rule.paths),
        ("customer", &rule.customers),
    ];
    let one = |name: &str, text: &str| format!("--{name} {}", shell_word(text));
    let mut all: Vec<_> = texts
        .into_iter()
        .flat_map(|(name, texts)| texts.iter().map(move |text| one(name, text)))
        .collect();
    if !rule.path_prefix.is_empty() {
        all.push(one("path-prefix", &rule.path_prefix));
    }
    all.extend(rule.statuses.iter().map(|status| format!("--status {status}")));
    all.extend(rule.status_classes.iter().map(|class| format!("--status {class}xx")));
    visible(&all.join(" ")).into_owned()
}

fn counted(window: Option<&Window>, is_share: bool) -> String {
    let Some(Window { from, to, requests, of_requests }) = window else { return String::new() };
    let counted = match is_share {
        true => format!("{requests} of {}", plural(*of_requests, "request")),
        false => plural(*requests, "request"),
    };
    format!("{counted} from {} to {}", time(*from), time(*to))
}

/// The last word of its type.
fn kind(event: &Event) -> String {
    let body: serde_json::Value = serde_json::from_str(&event.body).unwrap_or_default();
    let kind = body["type"].as_str().and_then(|kind| kind.rsplit('.').next());
    kind.unwrap_or_default().to_owned()
}

fn became(event: &Event) -> String {
    match (event.delivered_at, event.dead_at) {
        (Some(at), _) => format!("delivered {}", time(Some(at))),
        (_, Some(at)) => format!("given up {}", time(Some(at))),
        _ if event.is_waiting => "waits for the one before".to_owned(),
        _ => format!("due {}", time(event.due_at)),
    }
}

fn percent(millionths: u32) -> String {
    let text = format!("{}.{:04}", millionths / 10_000, millionths % 10_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_said_nearly_as_it_is_typed() {
        let rule = Rule {
            services: vec!["shop".to_owned(), String::new()],
            path_prefix: "/a b".to_owned(),
            status_classes: vec![5],
            limit: Some(Limit::ShareAboveMillionths(25_000)),
            window_minutes: 90,
            ..Rule::default()
        };
        assert_eq!(brief(&rule), "above 2.5% in 90m");
        assert_eq!(filters(&rule), "--service shop --service '' --path-prefix '/a b' --status 5xx");
        let rule = Rule { limit: Some(Limit::Below(1)), window_minutes: 1_440, ..Rule::default() };
        assert_eq!(brief(&rule), "below 1 in 1d");
    }
}
