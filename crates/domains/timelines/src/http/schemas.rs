//! What JSON answers and bodies look like.

use serde_json::{Value, json};
use tally_serve::api::schema::{array, moment, nullable, object, or_null, text};

/// How an event may stand.
const STATES: &[&str] = &["open", "abandoned", "ok", "failed", "skipped", "unstarted", "point"];

/// One of them, by its name.
fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The schemas, by the names that operations refer to.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let recorded =
        object(&json!({"timeline": named("Timeline"), "is_repeated": {"type": "boolean"}}));
    let refusal = json!({
        "status": {"type": "integer", "description": "The HTTP status that it would have alone."},
        "detail": text(),
        "reason": or_null("string"),
    });
    let result = object(&json!({
        "recorded": nullable(recorded.clone()),
        "refusal": nullable(object(&refusal)),
    }));
    let contexts = json!({"contexts": array(&named("TimelineContext")), "next": or_null("string")});
    let timelines = json!({
        "context": named("TimelineContext"),
        "timelines": array(&named("Timeline")),
        "next_before": or_null("integer"),
    });
    let events = json!({
        "timeline": named("Timeline"),
        "events": array(&named("TimelineEvent")),
        "next_after": or_null("integer"),
    });
    vec![
        ("TimelineMessage", message()),
        ("TimelineMessages", array(&named("TimelineMessage"))),
        ("TimelineRecorded", recorded),
        ("TimelineResults", object(&json!({"results": array(&result)}))),
        ("TimelineTerms", terms()),
        ("Timeline", timeline()),
        ("TimelineEvent", event()),
        ("TimelineContext", context()),
        ("TimelineContexts", object(&contexts)),
        ("Timelines", object(&timelines)),
        ("TimelineEvents", object(&events)),
        ("TimelineChart", chart()),
        ("TimelineExport", export()),
    ]
}

/// What the items of a list have.
pub(super) fn item(list: &str) -> Value {
    let mut schema = match list {
        "contexts" => context(),
        "timelines" => timeline(),
        _ => event(),
    };
    schema["properties"].take()
}

fn message() -> Value {
    let told = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "required": ["kind", "context"],
        "additionalProperties": false,
        "properties": {
            "kind": {
                "type": "string",
                "enum": ["new", "start", "end", "point", "phase"],
                "description": "A new timeline of the context; an event that starts, ends, happens at one \
                                moment, or waits or works from now on.",
            },
            "context": told("The kind of process, such as deploy: at most 200 bytes."),
            "timeline": told("What its senders call it: at most 100 bytes. Default: the newest one; of an end \
                              and a phase, the one where the event began."),
            "name": told("The event: at most 500 bytes, in at most 32 parts with dots between them. `a.b` is \
                          below `a`. A new timeline has none."),
            "host": told("Where it happens: at most 255 bytes."),
            "span": told("What tells overlapping attempts of one name and host apart: at most 100 bytes."),
            "time": {
                "type": "string",
                "format": "date-time",
                "description": "By the sender's clock. Default: now.",
            },
            "status": {
                "type": "string",
                "enum": ["ok", "failed", "skipped"],
                "description": "Of an end, and of a point. Default: ok.",
            },
            "phase": {
                "type": "string",
                "enum": ["waiting", "working"],
                "description": "Of a phase, and of a start. Default of a start: working.",
            },
            "attributes": {
                "type": "object",
                "additionalProperties": text(),
                "description": "At most 20, of at most 8,000 bytes in all.",
            },
            "idempotency_key": told("As the header `Idempotency-Key`."),
        },
    })
}

fn terms() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "retention_days": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": 36_500,
                "description": "For how many days a timeline is kept after it was last heard of; 0 is for ever.",
            },
            "abandon_after": {
                "type": ["string", "null"],
                "description": "How long after it was last heard of an open event is abandoned, as in 90s, 2h \
                                or 7d.",
            },
        },
    })
}

fn context() -> Value {
    object(&json!({
        "name": text(),
        "created_at": moment(),
        "timelines": {"type": "integer", "description": "The number of the newest one."},
        "retention_days": or_null("integer"),
        "abandon_after": or_null("string"),
        "newest": nullable(timeline()),
    }))
}

fn timeline() -> Value {
    object(&json!({
        "id": text(),
        "number": {"type": "integer"},
        "label": text(),
        "begun_at": moment(),
        "heard_at": moment(),
        "expires_at": moment(),
        "first": moment(),
        "last": moment(),
        "events": {"type": "integer"},
        "open": {"type": "integer"},
        "abandoned": {"type": "integer"},
        "failed": {"type": "integer"},
        "state": {"type": "string", "enum": ["empty", "open", "failed", "abandoned", "ok"]},
    }))
}

fn event() -> Value {
    object(&json!({
        "number": {"type": "integer"},
        "name": text(),
        "host": text(),
        "span": text(),
        "attempt": {"type": "integer"},
        "state": {"type": "string", "enum": STATES},
        "start": moment(),
        "start_received_at": moment(),
        "end": moment(),
        "end_received_at": moment(),
        "heard_at": moment(),
        "overdue_at": moment(),
        "abandoned_at": moment(),
        "took_us": {"type": ["integer", "null"], "description": "In microseconds, at least 0."},
        "waited_us": {"type": "integer"},
        "reversed_us": {
            "type": ["integer", "null"],
            "description": "By how much its end is before its start.",
        },
        "attributes": {"type": "object", "additionalProperties": text()},
    }))
}

fn export() -> Value {
    let about = "As its viewer has it: the Trace Event Format, OTLP, or Jaeger's own.";
    json!({"type": "object", "description": about})
}

fn chart() -> Value {
    let bar = object(&json!({
        "from": moment(),
        "until": moment(),
        "phase": {"type": "string", "enum": ["waiting", "working"]},
    }));
    let typical = object(&json!({
        "median_us": {"type": "integer"},
        "shortest_us": {"type": "integer"},
        "longest_us": {"type": "integer"},
        "timelines": {"type": "integer", "description": "In how many it ended well."},
        "failed": {"type": "integer", "description": "In how many it failed. They are left out."},
    }));
    let row = object(&json!({
        "depth": {"type": "integer"},
        "name": text(),
        "event": nullable(event()),
        "from": moment(),
        "until": moment(),
        "is_open": {"type": "boolean"},
        "bars": array(&bar),
        "typical": nullable(typical),
        "is_critical": {"type": "boolean"},
    }));
    let clock = object(&json!({
        "host": text(),
        "behind_us": {"type": "integer", "description": "Negative: it is ahead."},
    }));
    object(&json!({
        "timeline": named("Timeline"),
        "from": moment(),
        "until": moment(),
        "rows": array(&row),
        "waited_us": {"type": "integer"},
        "worked_us": {"type": "integer"},
        "clocks": array(&clock),
    }))
}
