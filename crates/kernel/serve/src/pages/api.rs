//! `/api`: the OpenAPI document for people.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::{Frame, Page};
use crate::api::DOCUMENT_PATH;

/// Where it is.
pub(crate) const PATH: &str = "/api";

pub(crate) async fn page(State(document): State<Arc<Value>>, frame: Frame) -> Response {
    let body = html! {
        h1 { "HTTP API" }
        p.lead {
            "Everything that programs can ask over HTTP. Errors are "
            code { "application/problem+json" } ". For tools: "
            a href=(DOCUMENT_PATH) { "the same as OpenAPI" } "."
        }
        @for tag in list(&document["tags"]) { (part(&document, tag, &frame.url())) }
        (schemas(&document))
    };
    frame.page(Page { title: "API".into(), ..Page::new(body) })
}

/// The operations of a domain.
fn part(document: &Value, tag: &Value, url: &str) -> Markup {
    let paths = members(&document["paths"]);
    let all = paths.flat_map(|(path, methods)| members(methods).map(move |one| (path, one)));
    let mut of_tag: Vec<_> = all.filter(|(_, (_, of))| of["tags"][0] == tag["name"]).collect();
    // What is read comes first, and of that what can be asked in the most ways.
    of_tag.sort_by_key(|(_, (method, of))| {
        (*method != "get", Reverse(list(&of["parameters"]).len()))
    });
    html! {
        p { (marked(text(&tag["description"]))) }
        ul {
            @for (path, (method, operation)) in &of_tag {
                li { a href={ "#" (text(&operation["operationId"])) } { code { (method.to_uppercase()) " " (path) } } }
            }
        }
        @for (path, (method, operation)) in of_tag { (described(path, method, operation, url)) }
    }
}

fn described(path: &str, method: &str, operation: &Value, url: &str) -> Markup {
    let id = text(&operation["operationId"]);
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { code { (method.to_uppercase()) " " (path) } }
            p { (text(&operation["summary"])) ". " (marked(text(&operation["description"]))) }
            @if method == "get" { pre tabindex="0" { code { "curl " (url) (path) } } }
            @if let [_, ..] = list(&operation["parameters"]) { (parameters(path, operation)) }
            @if let Some(body) = operation.get("requestBody") {
                p { "Body: " (marked(text(&body["description"]))) " " (content(body)) }
            }
            dl.facts {
                @for (status, reply) in members(&operation["responses"]) {
                    div {
                        dt { code { (status) } }
                        dd { (marked(text(&reply["description"]))) " " (content(reply)) }
                    }
                }
            }
        }
    }
}

fn parameters(path: &str, operation: &Value) -> Markup {
    html! {
        div.table-frame tabindex="0" role="group" aria-label=(format!("Parameters of {path}")) {
            table.parameters {
                caption.visually-hidden { "Parameters of " (path) }
                thead { tr { th scope="col" { "Parameter" } th scope="col" { "Meaning" } } }
                tbody {
                    @for one in list(&operation["parameters"]) {
                        tr {
                            th scope="row" {
                                code { (text(&one["name"])) }
                                @if one["in"] == "header" { " (header)" }
                            }
                            td { (marked(text(&one["description"]))) (values(&one["schema"])) }
                        }
                    }
                }
            }
        }
    }
}

/// What a parameter may be.
fn values(schema: &Value) -> Markup {
    let one = if schema["type"] == "array" { &schema["items"] } else { schema };
    let values: Vec<_> = list(&one["enum"]).iter().map(text).collect();
    html! {
        @if !values.is_empty() { " One of: " (values.join(", ")) "." }
        @if schema["type"] == "array" { " Repeatable." }
    }
}

/// The media types, with their schemas.
fn content(of: &Value) -> Markup {
    let types: Vec<_> = members(&of["content"]).collect();
    html! {
        @for (media_type, described) in types {
            code { (media_type) }
            @if let Some(name) = described["schema"]["$ref"].as_str().and_then(last) {
                " " a href={ "#schema-" (name) } { (name) }
            }
            " "
        }
    }
}

fn schemas(document: &Value) -> Markup {
    html! {
        @for (name, schema) in members(&document["components"]["schemas"]) {
            section.card aria-labelledby={ "schema-" (name) } {
                h2 id={ "schema-" (name) } { (name) }
                details {
                    summary { "Its members, as a JSON schema" }
                    pre tabindex="0" { (format!("{schema:#}")) }
                }
            }
        }
    }
}

/// A text with what stands between backticks as code.
fn marked(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn last(reference: &str) -> Option<&str> {
    reference.rsplit('/').next()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().map(Map::iter).into_iter().flatten();
    members.map(|(name, member)| (name.as_str(), member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_marked_and_nothing_is_taken_for_html() {
        let shown = marked("a `<b>` c").into_string();
        assert_eq!(shown, "a <code>&lt;b&gt;</code> c");
    }
}
