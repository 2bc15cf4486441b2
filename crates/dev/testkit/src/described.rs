//! What an HTTP API says of its answers (OpenAPI 3.1), held against the answers themselves.

use serde_json::Value;

use crate::{Response, http};

/// What of JSON Schema is understood. A description with more of it is wrong until this reads it.
const KEYWORDS: [&str; 14] = [
    "$ref",
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "properties",
    "required",
    "type",
];

/// The description of a server's API.
#[derive(Debug)]
pub struct Described(Value);

// === impl Described ===

impl Described {
    /// What a server says of itself. `server` is `http://127.0.0.1:7777`.
    ///
    /// # Panics
    /// If it says nothing.
    #[must_use]
    pub fn of(server: &str) -> Self {
        let document = http(server, "GET /api/v1/openapi.json", &[], "").body;
        Self(serde_json::from_str(&document).expect("a document in JSON"))
    }

    /// Whether the answer to a request such as `GET /api/v1/requests/totals?by=day` is one that is described:
    /// its status, its media type, and of JSON every member. What no operation answers is right.
    ///
    /// # Errors
    /// What is not described, and where.
    pub fn check(&self, line: &str, answer: &Response) -> Result<(), String> {
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default().to_ascii_lowercase();
        let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default();
        let Some(operation) = self.0["paths"][path].get(&method) else { return Ok(()) };
        let replies = &operation["responses"];
        let status = answer.status.to_string();
        let is_error = answer.status >= 400;
        let reply = replies.get(&status).or_else(|| replies.get("default").filter(|_| is_error));
        let reply = reply.ok_or_else(|| format!("{line}: {status} is not described"))?;
        let Some(content) = reply.get("content") else {
            let is_empty = answer.body.is_empty();
            return is_empty.then_some(()).ok_or_else(|| format!("{line}: {status} has a body"));
        };
        let of_header = answer.header("content-type").unwrap_or_default();
        let media_type = of_header.split(';').next().unwrap_or_default();
        let described = content.get(media_type);
        let described =
            described.ok_or_else(|| format!("{line}: {status}: {of_header:?} is not described"))?;
        if !media_type.ends_with("json") {
            return Ok(());
        }
        let json = serde_json::from_str(&answer.body);
        let json: Value = json.map_err(|error| format!("{line}: {status}: {error}"))?;
        self.fits(&described["schema"], &json).map_err(|why| format!("{line}: {status}: {why}"))
    }

    /// Whether a value is as a schema says, and has no member besides.
    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        if let Some(name) = schema["$ref"].as_str() {
            let of = self.0.pointer(name.trim_start_matches('#'));
            return self.fits(of.ok_or_else(|| format!("there is no {name}"))?, value);
        }
        let Value::Object(words) = schema else { return Err(format!("{schema} is no schema")) };
        if let Some(word) = words.keys().find(|word| !KEYWORDS.contains(&&***word)) {
            return Err(format!("{word} is a keyword that this check does not read"));
        }
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            of => Vec::from_iter(of.as_str()),
        };
        if !types.is_empty() && !types.iter().any(|of| is_of_type(of, value)) {
            return Err(format!("{value} is not of type {}", types.join(" or ")));
        }
        if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
            return Err(format!("{value} is none of {}", schema["enum"]));
        }
        match value {
            Value::Object(members) => {
                let required = schema["required"].as_array().into_iter().flatten();
                let mut required = required.filter_map(Value::as_str);
                if let Some(missing) = required.find(|name| !members.contains_key(*name)) {
                    return Err(format!("{missing} is missing in {value}"));
                }
                let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
                for (name, member) in members {
                    let of = properties.get(name);
                    let of = of.ok_or_else(|| format!("{name} is not described"))?;
                    self.fits(of, member).map_err(|why| format!("{name}: {why}"))?;
                }
                Ok(())
            }
            Value::Array(items) => {
                within(schema, "minItems", "maxItems", items.len().try_into().ok())?;
                let all = items.iter().try_for_each(|item| self.fits(&schema["items"], item));
                if schema["items"].is_null() { Ok(()) } else { all }
            }
            Value::Number(number) => within(schema, "minimum", "maximum", number.as_i64()),
            Value::String(text) => match schema["format"].as_str() {
                None => Ok(()),
                Some("date") if is_like(text, "0000-00-00") => Ok(()),
                Some("date-time")
                    if text.len() > 19 && is_like(&text[..19], "0000-00-00T00:00:00") =>
                {
                    Ok(())
                }
                Some(format) => Err(format!("{text} is no {format}")),
            },
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }
}

fn is_of_type(of: &str, value: &Value) -> bool {
    match of {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn within(schema: &Value, least: &str, most: &str, number: Option<i64>) -> Result<(), String> {
    let number = number.unwrap_or(i64::MAX);
    let is_less = schema[least].as_i64().is_some_and(|least| number < least);
    let is_more = schema[most].as_i64().is_some_and(|most| number > most);
    if is_less || is_more { Err(format!("{number} is out of bounds")) } else { Ok(()) }
}

/// Whether a text has digits where the form has them, and otherwise is the same.
fn is_like(text: &str, form: &str) -> bool {
    let is = |(one, of): (u8, u8)| if of == b'0' { one.is_ascii_digit() } else { one == of };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(is)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_described_is_told() {
        let item = json!({
            "type": "object",
            "required": ["day", "count"],
            "properties": {
                "day": {"type": ["string", "null"], "format": "date"},
                "count": {"type": "integer", "minimum": 1},
                "kind": {"type": "string", "enum": ["a", "b"]},
                "is_new": {"type": "boolean", "default": false},
            },
        });
        let content = json!({"application/json": {"schema": {"$ref": "#/components/List"}}});
        let problem = json!({"application/problem+json": {"schema": {"type": "object"}}});
        let described = Described(json!({
            "paths": {"/a": {"get": {"responses": {
                "200": {"content": content}, "304": {}, "default": {"content": problem},
            }}}},
            "components": {"List": {"type": "array", "maxItems": 2, "items": item}},
        }));
        let check = |line: &str, status: u16, kind: &str, body: &str| {
            let headers = vec![("content-type".to_owned(), kind.to_owned())];
            let bytes = body.as_bytes().to_vec();
            let answer = Response { status, headers, body: body.to_owned(), bytes, is_whole: true };
            described.check(line, &answer)
        };
        let json = "application/json; charset=utf-8";
        for (line, status, kind, body) in [
            ("GET /a?b", 200, json, r#"[{"day": "2030-06-15", "count": 1, "kind": "b"}]"#),
            ("GET /a", 200, json, r#"[{"day": null, "count": 9, "is_new": true}]"#),
            ("GET /a", 200, json, "[]"),
            ("GET /a", 304, "", ""),
            ("GET /a", 400, "application/problem+json", r#"{"any": 1}"#),
            ("POST /a", 200, "text/html", "of another operation"),
        ] {
            assert_eq!(check(line, status, kind, body), Ok(()), "{body}");
        }
        for (status, kind, body, why) in [
            (200, "text/csv", "[]", "\"text/csv\" is not described"),
            (201, json, "[]", "201 is not described"),
            (304, json, "[]", "304 has a body"),
            (400, json, "{}", "is not described"),
            (200, json, "[", "EOF"),
            (200, json, "{}", "{} is not of type array"),
            (200, json, "[1]", "1 is not of type object"),
            (200, json, "[{}, {}, {}]", "3 is out of bounds"),
            (200, json, r#"[{"count": 1}]"#, "day is missing"),
            (200, json, r#"[{"day": "15 June", "count": 1}]"#, "day: 15 June is no date"),
            (200, json, r#"[{"day": null, "count": 0}]"#, "count: 0 is out of bounds"),
            (200, json, r#"[{"day": null, "count": "1"}]"#, "count: \"1\" is not of type integer"),
            (200, json, r#"[{"day": null, "count": 1, "kind": "c"}]"#, "kind: \"c\" is none of"),
            (200, json, r#"[{"day": null, "count": 1, "more": 1}]"#, "more is not described"),
        ] {
            let told = check("GET /a", status, kind, body).expect_err(body);
            assert!(told.contains(why), "{told}");
        }
    }
}
