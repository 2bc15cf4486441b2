//! JSON schemas that answers and bodies of all domains are made of.

use serde_json::{Value, json};

/// A text.
#[must_use]
pub fn text() -> Value {
    json!({"type": "string"})
}

/// A value of this type, or null.
#[must_use]
pub fn or_null(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

/// A moment as RFC 3339 has it, or null.
#[must_use]
pub fn moment() -> Value {
    json!({"type": ["string", "null"], "format": "date-time"})
}

/// An object that has all of these members.
#[must_use]
pub fn object(properties: &Value) -> Value {
    let members = properties.as_object();
    let required: Vec<_> = members.map(|members| members.keys().collect()).unwrap_or_default();
    json!({"type": "object", "required": required, "properties": properties})
}

/// The same thing, or null.
#[must_use]
pub fn nullable(mut thing: Value) -> Value {
    thing["type"] = json!([thing["type"], "null"]);
    thing
}

/// An array of these.
#[must_use]
pub fn array(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}
