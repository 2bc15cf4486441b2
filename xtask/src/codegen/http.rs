//! docs/reference/http.md: every route, parameter and schema of docs/openapi.json.

use anyhow::Context as _;
use serde_json::Value;

use super::cell;

const OPENING: &str = "\
# HTTP reference

<!-- Written by `cargo xtask codegen` from docs/openapi.json. -->

[Read and count over HTTP](../http.md) explains the API with examples. This page lists all of it, as a server
describes it at `/api/v1/openapi.json`.
";

/// The page.
pub(super) fn page(openapi: &str) -> anyhow::Result<String> {
    let api: Value = serde_json::from_str(openapi).context("docs/openapi.json is not JSON")?;
    let mut page = OPENING.to_owned();
    page += "\n| route | what it does |\n|---|---|\n";
    let (mut table, mut details) = (String::new(), String::new());
    for (path, methods) in object(&api["paths"]) {
        for (method, operation) in object(methods) {
            let name = format!("{} {path}", method.to_uppercase());
            let summary = text(&operation["summary"]);
            table += &format!("| [`{name}`](#{}) | {summary} |\n", anchor(&name));
            route(&mut details, &name, operation);
        }
    }
    page += &table;
    page += "\nBesides these, a server has `/metrics` ([metrics](../metrics.md)), `/livez`, `/readyz` and `/healthz`\n";
    page += "([health](../operate.md#health)), and [pages](../pages.md).\n";
    page += &details;
    page += "\n## Schemas\n";
    for (name, schema) in object(&api["components"]["schemas"]) {
        page += &format!("\n### {name}\n");
        paragraph(&mut page, &schema["description"]);
        if schema["properties"].is_object() {
            page += "\n| member | type | meaning |\n|---|---|---|\n";
            members(&mut page, "", schema);
        } else {
            page += &format!("\n{}\n", kind(schema));
        }
    }
    Ok(page)
}

/// One operation.
fn route(page: &mut String, name: &str, operation: &Value) {
    *page += &format!("\n## `{name}`\n\n{}.", text(&operation["summary"]));
    let description = text(&operation["description"]);
    *page += if description.is_empty() { "" } else { " " };
    *page += &format!("{description}\n");
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    if !parameters.is_empty() {
        *page += "\n| parameter | in | type | meaning |\n|---|---|---|---|\n";
    }
    for one in parameters {
        *page += &format!(
            "| `{}` | {} | {} | {} |\n",
            text(&one["name"]),
            text(&one["in"]),
            cell(&kind(&one["schema"])),
            cell(text(&one["description"])),
        );
    }
    let body = &operation["requestBody"];
    if body.is_object() {
        *page += &format!("\nBody: {} {}\n", text(&body["description"]), contents(body));
    }
    *page += "\n| answer | meaning | body |\n|---|---|---|\n";
    for (status, response) in object(&operation["responses"]) {
        let description = cell(text(&response["description"]));
        let status = if status == "default" { "any other" } else { status };
        *page += &format!("| {status} | {description} | {} |\n", contents(response));
    }
}

/// In which media types a body comes, and what it then is.
fn contents(body: &Value) -> String {
    let content = object(&body["content"]);
    let each = content.map(|(media, content)| match kind(&content["schema"]) {
        kind if kind.starts_with('[') => format!("`{media}`: {kind}"),
        _ => format!("`{media}`"),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A row for each member of an object, and for the members of members.
fn members(page: &mut String, above: &str, schema: &Value) {
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    for (name, member) in object(&schema["properties"]) {
        let full = format!("{above}{name}");
        // Of what is sent; an answer has all of its members.
        let is_needed = schema["additionalProperties"] == false
            && required.iter().any(|one| one == name.as_str());
        let needed = if is_needed { ", required" } else { "" };
        let description = cell(text(&member["description"]));
        *page += &format!("| `{full}` | {}{needed} | {description} |\n", cell(&kind(member)));
        members(page, &format!("{full}."), member);
        members(page, &format!("{full}[]."), &member["items"]);
    }
}

/// What a value may be.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().expect("a name");
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let mut kind = match &schema["type"] {
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" or "),
        one => text(one).to_owned(),
    };
    if kind == "array" {
        kind = format!("list of {}", self::kind(&schema["items"]));
    }
    if let Some(all) = schema["enum"].as_array() {
        let all: Vec<_> = all.iter().map(|one| format!("`{}`", text(one))).collect();
        kind = all.join(", ");
    }
    if let Some(format) = schema["format"].as_str() {
        kind += &format!(" ({format})");
    }
    for (word, name) in [("from", "minimum"), ("to", "maximum")] {
        if !schema[name].is_null() {
            kind += &format!(" {word} {}", schema[name]);
        }
    }
    let counts = [("at least", "minItems"), ("at most", "maxItems")];
    for (word, name) in counts.into_iter().filter(|(_, name)| !schema[name].is_null()) {
        kind += &format!(", {word} {}", schema[name]);
    }
    if !schema["default"].is_null() {
        kind += &format!(", default `{}`", schema["default"].to_string().trim_matches('"'));
    }
    kind
}

fn paragraph(page: &mut String, description: &Value) {
    if let Some(description) = description.as_str() {
        *page += &format!("\n{description}\n");
    }
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
