//! What JSON answers and bodies look like.

use serde_json::{Value, json};
use tally_proto::wire::{ENTRY_REQUESTS_MAX, STATUS_MAX};

use crate::submission::ENTRIES_MAX;

/// The schemas, by the names that operations refer to.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let text = || json!({"type": "string"});
    let list = |name: &str, members: Value| {
        let required: Vec<_> = members.as_object().expect("members").keys().collect();
        let mut schema = json!({
            "type": "object",
            "required": [name, "next"],
            "properties": {
                "next": {
                    "type": ["string", "null"],
                    "description": "For `after`, if there are more.",
                },
            },
        });
        schema["properties"][name] = json!({
            "type": "array",
            "items": {"type": "object", "required": required, "properties": members},
        });
        schema
    };
    let mut producers = list("producers", producer());
    producers["properties"]["setbacks"] = setbacks();
    producers["required"] = json!(["producers", "next", "setbacks"]);
    vec![
        ("RequestTotals", totals()),
        ("RequestTotal", total()),
        ("RequestEndpoints", list("endpoints", json!({"method": text(), "path": text()}))),
        ("RequestServices", list("services", json!({"service": text()}))),
        ("RequestCustomers", list("customers", json!({"customer": text()}))),
        ("RequestProducers", producers),
        ("RequestEntries", entries()),
        ("RequestEntry", entry()),
        ("RequestsCounted", counted()),
        ("RollUp", roll_up()),
        ("RolledUp", rolled_up()),
        ("Fold", json!({"type": "object", "additionalProperties": false})),
        (
            "Folded",
            json!({
                "type": "object",
                "required": ["requests"],
                "properties": {"requests": {"type": "integer"}},
            }),
        ),
    ]
}

fn entries() -> Value {
    json!({
        "type": "array",
        "minItems": 1,
        "maxItems": ENTRIES_MAX,
        "items": {"$ref": "#/components/schemas/RequestEntry"},
    })
}

fn entry() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "required": ["method", "path"],
        "additionalProperties": false,
        "properties": {
            "method": text("Such as `GET`, or `GRPC`."),
            "path": text("The route, such as `/users/{id}`."),
            "time": {
                "type": "string",
                "format": "date-time",
                "description": "When it came, with an offset; by default now. At most 24 h ahead.",
            },
            "service": text("Who served it."),
            "status": {
                "type": "integer",
                "minimum": 0,
                "maximum": STATUS_MAX,
                "default": 0,
                "description": "The HTTP status; 0 if it is not known.",
            },
            "customer": text("On whose behalf."),
            "requests": {
                "type": "integer",
                "minimum": 1,
                "maximum": ENTRY_REQUESTS_MAX,
                "default": 1,
                "description": "How many requests it stands for.",
            },
        },
    })
}

fn counted() -> Value {
    let number = json!({"type": "integer", "minimum": 1});
    json!({
        "type": "object",
        "required": ["entries", "requests"],
        "properties": {"entries": number, "requests": number},
    })
}

fn totals() -> Value {
    json!({
        "type": "object",
        "required": ["query", "tzdb", "complete", "dropped", "setbacks", "requests", "omitted", "next",
                     "totals"],
        "properties": {
            "query": {
                "type": "object",
                "description": "The query as it was understood. Its members, given as parameters, ask the \
                                same. `from` and `to` are moments with their offset, or null without a \
                                bound; `to` is not included.",
            },
            "tzdb": {"type": "string", "description": "The version of the tz database."},
            "complete": {
                "type": "boolean",
                "description": "Whether nothing is known to be missing from these days: by drops and \
                                setbacks, and not by `live=false`.",
            },
            "dropped": {
                "type": "integer",
                "description": "How many requests of these days clients said to have dropped, over all \
                                series. 9223372036854775807 is at least as many.",
            },
            "setbacks": setbacks(),
            "requests": {"type": "integer", "description": "The sum of all counts here."},
            "omitted": {
                "type": ["object", "null"],
                "description": "What `limit` leaves out.",
                "required": ["totals", "requests"],
                "properties": {
                    "totals": {"type": "integer"},
                    "requests": {"type": "integer"},
                },
            },
            "next": {
                "type": ["string", "null"],
                "description": "For `after`, if `limit` leaves something out in the usual order.",
            },
            "totals": {
                "type": "array",
                "description": "In order of period and group.",
                "items": {"$ref": "#/components/schemas/RequestTotal"},
            },
        },
    })
}

fn total() -> Value {
    json!({
        "type": "object",
        "description": "It has the fields that `group_by` names.",
        "required": ["time", "count"],
        "properties": {
            "time": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "When the period begins, with the zone's offset then. Of a whole range: its \
                                beginning, or null without one.",
            },
            "service": {"type": "string"},
            "method": {"type": "string"},
            "path": {"type": "string"},
            "status": {"type": ["integer", "null"]},
            "status_class": {"type": "string", "description": "Such as `5xx`; empty if there is none."},
            "customer": {"type": "string"},
            "count": {"type": "integer"},
        },
    })
}

fn setbacks() -> Value {
    json!({
        "type": "array",
        "description": "Batches that were acknowledged and that the database has no more, since it went \
                        back to an earlier state.",
        "items": {
            "type": "object",
            "required": ["producer", "name", "since", "noticed_at", "batches", "producers"],
            "properties": {
                "producer": {"type": "string"},
                "name": {"type": "string"},
                "since": {"type": "string", "format": "date-time"},
                "noticed_at": {"type": "string", "format": "date-time"},
                "batches": {"type": "integer", "description": "At least."},
                "producers": {"type": "integer"},
            },
        },
    })
}

fn producer() -> Value {
    json!({
        "id": {"type": "string", "description": "The last 8 hex digits."},
        "name": {"type": "string"},
        "sequence": {"type": "integer", "description": "The last batch that is committed."},
        "last_seen": {"type": "string", "format": "date-time"},
        "accepted": {"type": "integer", "description": "How many requests were accepted from it."},
        "dropped": {"type": "integer", "description": "How many it said to have dropped."},
        "is_worker": {"type": "boolean", "description": "Whether it is an insert worker of a server."},
    })
}

fn roll_up() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "period": {
                "type": "string",
                "default": "yesterday",
                "description": "Days of UTC: `2015-05-17`, `2015-05`, `2015`, `today`, `yesterday`, \
                                `last-month`, `7d` and so on, or a range of two with `..` between them.",
            },
        },
    })
}

fn rolled_up() -> Value {
    json!({
        "type": "object",
        "required": ["from", "to", "days"],
        "properties": {
            "from": {"type": "string", "format": "date"},
            "to": {"type": "string", "format": "date", "description": "Included."},
            "days": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["day", "requests"],
                    "properties": {
                        "day": {"type": "string", "format": "date"},
                        "requests": {"type": "integer"},
                    },
                },
            },
        },
    })
}
