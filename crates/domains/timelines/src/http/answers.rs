//! Contexts, timelines, events and charts as JSON and CSV.

use axum::response::Response;
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tally_runtime::durations;
use tally_serve::api::{self, Format, csv, tag_of};

use super::schemas;
use crate::chart::{Bar, Row};
use crate::message::{Attributes, Phase};
use crate::model::{Context, Event, Timeline};
use crate::service::Shown;
use crate::typical::Typical;

/// A moment as RFC 3339 has it.
struct Moment(Timestamp);

/// In microseconds.
struct Micros(SignedDuration);

#[derive(Serialize)]
struct EventAnswer<'a> {
    number: i64,
    name: &'a str,
    host: &'a str,
    span: &'a str,
    attempt: i64,
    state: &'static str,
    start: Option<Moment>,
    start_received_at: Option<Moment>,
    end: Option<Moment>,
    end_received_at: Option<Moment>,
    heard_at: Moment,
    overdue_at: Option<Moment>,
    abandoned_at: Option<Moment>,
    took_us: Option<Micros>,
    waited_us: Micros,
    reversed_us: Option<Micros>,
    attributes: Attributes,
}

#[derive(Serialize)]
struct BarAnswer {
    from: Moment,
    until: Moment,
    phase: &'static str,
}

#[derive(Serialize)]
struct TypicalAnswer {
    median_us: Micros,
    shortest_us: Micros,
    longest_us: Micros,
    timelines: u32,
    failed: u32,
}

#[derive(Serialize)]
struct RowAnswer<'a> {
    depth: usize,
    name: &'a str,
    event: Option<EventAnswer<'a>>,
    from: Moment,
    until: Moment,
    is_open: bool,
    bars: Vec<BarAnswer>,
    typical: Option<TypicalAnswer>,
    is_critical: bool,
}

#[derive(Serialize)]
struct ClockAnswer<'a> {
    host: &'a str,
    behind_us: Micros,
}

/// A timeline as it is drawn.
#[derive(Serialize)]
pub(super) struct ChartAnswer<'a> {
    timeline: Value,
    from: Moment,
    until: Moment,
    rows: Vec<RowAnswer<'a>>,
    waited_us: Micros,
    worked_us: Micros,
    clocks: Vec<ClockAnswer<'a>>,
}

// === impl Moment ===

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

// === impl Micros ===

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX))
    }
}

pub(super) fn context(of: &Context, newest: Option<&Timeline>) -> Value {
    let after = of.terms.abandon_after.map(SignedDuration::unsigned_abs);
    json!({
        "name": of.name,
        "created_at": of.created.to_string(),
        "timelines": of.timelines,
        "retention_days": of.terms.retention_days,
        "abandon_after": after.map(durations::shown),
        "newest": newest.map(timeline),
    })
}

pub(super) fn timeline(of: &Timeline) -> Value {
    json!({
        "id": of.id.to_string(),
        "number": of.number,
        "label": of.label,
        "begun_at": of.begun.to_string(),
        "heard_at": of.heard.to_string(),
        "expires_at": of.expires.map(Moment),
        "first": of.first.map(Moment),
        "last": of.last.map(Moment),
        "events": of.counts.events,
        "open": of.counts.open,
        "abandoned": of.counts.abandoned,
        "failed": of.counts.failed,
        "state": of.standing(),
    })
}

fn event(of: &Event, now: Timestamp) -> EventAnswer<'_> {
    let attempt = &of.attempt;
    EventAnswer {
        number: of.number,
        name: &of.key.name,
        host: &of.key.host,
        span: &of.key.span,
        attempt: of.rank,
        state: of.standing().name(),
        start: attempt.start.as_ref().map(|start| Moment(start.time)),
        start_received_at: attempt.start.as_ref().map(|start| Moment(start.received)),
        end: of.end().map(|end| Moment(end.time)),
        end_received_at: of.end().map(|end| Moment(end.received)),
        heard_at: Moment(attempt.heard()),
        overdue_at: of.overdue.map(Moment),
        abandoned_at: of.abandoned.map(Moment),
        took_us: of.took().map(Micros),
        waited_us: Micros(of.spent(now).waiting),
        reversed_us: attempt.reversed().map(Micros),
        attributes: of.attributes(),
    }
}

pub(super) fn chart(shown: &Shown) -> ChartAnswer<'_> {
    let Shown { timeline: of, events, chart, now } = shown;
    let clock = |(host, behind)| ClockAnswer { host, behind_us: Micros(behind) };
    let clocks = chart.clocks.iter().map(|(host, behind)| (&**host, *behind));
    ChartAnswer {
        timeline: timeline(of),
        from: Moment(chart.from),
        until: Moment(chart.until),
        rows: chart.rows.iter().map(|one| row(one, events, *now)).collect(),
        waited_us: Micros(chart.spent.waiting),
        worked_us: Micros(chart.spent.working),
        clocks: clocks.map(clock).collect(),
    }
}

fn row<'a>(of: &'a Row, events: &'a [Event], now: Timestamp) -> RowAnswer<'a> {
    let bar = |bar: &Bar| BarAnswer {
        from: Moment(bar.from),
        until: Moment(bar.until),
        phase: match bar.phase {
            Phase::Waiting => "waiting",
            Phase::Working => "working",
        },
    };
    RowAnswer {
        depth: of.depth,
        name: &of.name,
        event: of.event.and_then(|at| events.get(at)).map(|one| event(one, now)),
        from: Moment(of.from),
        until: Moment(of.until),
        is_open: of.is_open,
        bars: of.bars.iter().map(bar).collect(),
        typical: of.typical.map(typical),
        is_critical: of.is_critical,
    }
}

fn typical(of: Typical) -> TypicalAnswer {
    TypicalAnswer {
        median_us: Micros(of.median),
        shortest_us: Micros(of.shortest),
        longest_us: Micros(of.longest),
        timelines: of.timelines,
        failed: of.failed,
    }
}

pub(super) fn contexts(
    asked: &HeaderMap,
    format: Format,
    contexts: &[(Context, Option<Timeline>)],
    next: Option<&str>,
) -> Response {
    let items = contexts.iter().map(|(one, newest)| context(one, newest.as_ref())).collect();
    list(asked, format, "contexts", items, json!({"next": next}))
}

pub(super) fn timelines(
    asked: &HeaderMap,
    format: Format,
    context: &Value,
    timelines: &[Timeline],
    next: Option<i64>,
) -> Response {
    let items = timelines.iter().map(timeline).collect();
    list(asked, format, "timelines", items, json!({"context": context, "next_before": next}))
}

pub(super) fn events(
    asked: &HeaderMap,
    format: Format,
    of: &Timeline,
    events: &[Event],
    next: Option<i64>,
    now: Timestamp,
) -> Response {
    let items = event_rows(events, now);
    list(asked, format, "events", items, json!({"timeline": timeline(of), "next_after": next}))
}

/// Events, as the items of a list.
pub(crate) fn event_rows(events: &[Event], now: Timestamp) -> Vec<Value> {
    events.iter().map(|one| json!(event(one, now))).collect()
}

/// A list, as JSON with the rest, or its items as CSV.
fn list(
    asked: &HeaderMap,
    format: Format,
    name: &str,
    items: Vec<Value>,
    mut rest: Value,
) -> Response {
    match format {
        Format::Json => {
            rest[name] = items.into();
            api::one(asked, &rest)
        }
        Format::Csv => {
            let text = csv::table(&columns(name), &items);
            api::text(asked, tag_of(&text), format.content_type(), text)
        }
    }
}

/// What the items of a list have, as the OpenAPI document says it; of a context's newest timeline its number and
/// state.
pub(crate) fn columns(list: &str) -> Vec<(String, String)> {
    let properties = schemas::item(list);
    let mut columns = Vec::new();
    for (name, _) in properties.as_object().into_iter().flatten() {
        match name.as_str() {
            "newest" => columns.extend(
                ["number", "state"].map(|name| (name.to_owned(), format!("/newest/{name}"))),
            ),
            _ => columns.push((name.clone(), format!("/{name}"))),
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nothing_has_its_columns() {
        for list in ["contexts", "timelines", "events"] {
            let text = String::from_utf8(csv::table(&columns(list), &[])).expect("UTF-8");
            assert!(text.contains("number") && text.lines().count() == 1, "{list}: {text}");
        }
    }
}
