//! What JSON answers and bodies look like.

use serde_json::{Value, json};
use tally_serve::api::schema::{moment, object, or_null, text};

use super::describe::STATUSES;
use crate::terms::IN_A_ROW_MAX;

/// The schemas, by the names that operations refer to.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let items = |name: &str, item: Value| {
        let mut schema = object(&json!({"next_before": or_null("integer")}));
        schema["properties"][name] = json!({"type": "array", "items": item});
        schema["required"] = json!([name, "next_before"]);
        schema
    };
    let counts: Value =
        STATUSES.iter().map(|name| ((*name).to_owned(), json!({"type": "integer"}))).collect();
    let debts = json!({
        "debts": {"type": "array", "items": debt_schema()},
        "next": or_null("string"),
        "counts": object(&counts),
    });
    let paid = json!({
        "debt": debt_schema(),
        "payment": {"type": "integer"},
        "is_repeated": {"type": "boolean"},
        "is_created": {"type": "boolean"},
        "is_moot": {
            "type": "boolean",
            "description": "It changed nothing: a note, or what comes too late to matter.",
        },
        "is_over_rate": {"type": "boolean"},
        "is_too_short": {"type": "boolean"},
    });
    vec![
        ("DebtDefinition", definition_schema()),
        ("Debt", debt_schema()),
        ("Debts", object(&debts)),
        ("DebtPayment", payment_to_make()),
        ("DebtPaid", object(&paid)),
        ("DebtPayments", items("payments", payment_schema())),
        ("DebtRuns", items("runs", run_schema())),
        ("DebtFlips", items("flips", flip_schema())),
    ]
}

/// What the items of a list have.
pub(super) fn item(list: &str) -> Value {
    let mut schema = match list {
        "debts" => debt_schema(),
        "payments" => payment_schema(),
        "runs" => run_schema(),
        _ => flip_schema(),
    };
    schema["properties"].take()
}

fn definition_schema() -> Value {
    let span = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "description": "What is expected. Durations are written as in 90s, 15m, 1h30m or 7d. At most one of \
                        `every`, `cron` and `deadline`.",
        "required": ["slug"],
        "additionalProperties": false,
        "properties": {
            "slug": {"type": "string", "pattern": "^[a-z0-9_-]{1,100}$"},
            "name": text(),
            "tags": {"type": "array", "items": text()},
            "description": text(),
            "every": span("So long after the last payment."),
            "cron": span("At the times of a cron expression: five fields, or six with seconds first."),
            "time_zone": span("The IANA time zone of the cron expression. Default: UTC."),
            "deadline": {"type": "string", "format": "date-time", "description": "Once, up to this time."},
            "early_window": span("So long before a time of `cron`, a payment meets it already."),
            "start_limit": span("So long after something is due, a run must have begun."),
            "grace": span("So long after something is due, its payment may come."),
            "run_limit": span("How long a run may take."),
            "run_min": span("A success after a shorter run counts as a failure."),
            "heartbeat_limit": span("How long a run may be silent."),
            "rate_payments": {"type": "integer", "minimum": 1},
            "rate_period": span("More payments than `rate_payments` in each of these count as failures."),
            "failures_to_alarm": {"type": "integer", "minimum": 1, "maximum": IN_A_ROW_MAX},
            "successes_to_recover": {"type": "integer", "minimum": 1, "maximum": IN_A_ROW_MAX},
            "stages": {
                "type": "array",
                "items": object(&json!({"name": text(), "time_out": text()})),
            },
            "notify": {"type": "array", "items": text()},
            "count_as": span(
                "A series of requests, as in `POST /backup`: each success counts in it with status 200, each \
                 failure with 500, and each time that the debt is overdue with 504.",
            ),
            "count_service": span("The service of that series."),
        },
    })
}

fn debt_schema() -> Value {
    object(&json!({
        "id": text(),
        "number": {"type": "integer"},
        "definition": {"$ref": "#/components/schemas/DebtDefinition"},
        "ping_id": {
            "type": ["string", "null"],
            "description": "What ping URLs name it by: whoever knows it can pay. Null for keys that may only \
                            look.",
        },
        "created_at": moment(),
        "status": {"type": "string", "enum": STATUSES},
        "since": moment(),
        "payments": {"type": "integer"},
        "paid_at": moment(),
        "due_at": moment(),
        "overdue_at": moment(),
        "failures": {"type": "integer"},
        "open_runs": {"type": "integer"},
    }))
}

fn payment_to_make() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "kind": {
                "type": "string",
                "enum": ["success", "fail", "start", "stage", "heartbeat", "log"],
                "description": "Default: success, or what exit_status says.",
            },
            "run": {"type": "string", "maxLength": 100},
            "stage": text(),
            "exit_status": {"type": "integer", "minimum": 0, "maximum": 255},
            "time": moment(),
            "took": {"type": "string", "description": "How long the run took, as in 90s."},
            "body": {"type": "string", "description": "The first 10,000 bytes are kept."},
            "create": {
                "$ref": "#/components/schemas/DebtDefinition",
            },
        },
    })
}

fn payment_schema() -> Value {
    object(&json!({
        "number": {"type": "integer"},
        "kind": text(),
        "run": or_null("string"),
        "stage": text(),
        "exit_status": or_null("integer"),
        "received_at": moment(),
        "time": moment(),
        "took": {"type": ["number", "null"], "description": "In seconds."},
        "body": text(),
        "body_bytes": {"type": "integer"},
        "key": text(),
        "source": text(),
        "slot": moment(),
        "is_early": {"type": "boolean"},
        "is_over_rate": {"type": "boolean"},
        "is_too_short": {"type": "boolean"},
        "is_moot": {"type": "boolean"},
    }))
}

fn run_schema() -> Value {
    object(&json!({
        "number": {"type": "integer"},
        "run": or_null("string"),
        "started_at": moment(),
        "heard_at": moment(),
        "stages": {"type": "array", "items": text()},
        "overdue_at": moment(),
        "outcome": {
            "type": "string",
            "enum": ["open", "succeeded", "failed", "timed-out", "abandoned"],
        },
        "ended_at": moment(),
    }))
}

fn flip_schema() -> Value {
    object(&json!({
        "number": {"type": "integer"},
        "is_alarm": {"type": "boolean"},
        "at": moment(),
        "noticed_at": moment(),
        "cause": text(),
        "deliveries": {
            "type": "array",
            "description": "Who is told, of those that are to be notified now. What is done is kept for a week.",
            "items": object(&json!({
                "receiver": text(),
                "event_id": text(),
                "state": {
                    "type": "string",
                    "enum": ["waiting", "pending", "delivered", "given-up"],
                    "description": "One that is waiting comes after the alarm or recovery before it.",
                },
                "at": {
                    "type": ["string", "null"],
                    "format": "date-time",
                    "description": "Of one that is pending, when the next attempt is due.",
                },
                "attempts": {"type": "integer"},
                "answer": text(),
            })),
        },
    }))
}
