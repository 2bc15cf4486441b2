//! `/api`: the HTTP API as people read it, from the document that describes it.

use axum::response::Response;
use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::{Frame, Page};
use crate::api::DOCUMENT_PATH;

pub(super) const PATH: &str = "/api";

/// The page, once and for all.
pub(super) fn body(document: &Value) -> Markup {
    let paths = document["paths"].as_object();
    let operations = paths.into_iter().flatten().flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, of)| operation(path, method, of))
    });
    html! {
        h1 { "HTTP API" }
        p.lead {
            "JSON by default, CSV where it is listed: by " code { "Accept: text/csv" } " or "
            code { "format=csv" } ". For programs, the same as " a href=(DOCUMENT_PATH) { "OpenAPI" } "."
        }
        @for operation in operations { (operation) }
    }
}

pub(super) fn page(frame: &Frame, body: &Markup) -> Response {
    frame.page(Page { title: "API".into(), ..Page::new(body.clone()) })
}

fn operation(path: &str, method: &str, of: &Value) -> Markup {
    let id = text(&of["operationId"]);
    html! {
        section.operation aria-labelledby=(id) {
            h2 id=(id) { span.method { (method.to_ascii_uppercase()) } " " span.path { (path) } }
            p { strong { (said(&of["summary"])) } }
            p.muted { (said(&of["description"])) }
            @if let Some(body) = of.get("requestBody") {
                p { "Takes " (media_types(body)) ". " span.muted { (said(&body["description"])) } }
            }
            @if let Some(parameters) = of["parameters"].as_array().filter(|all| !all.is_empty()) {
                dl.facts {
                    @for one in parameters {
                        div {
                            dt { code { (text(&one["name"])) } @if one["in"] == "header" { " (header)" } }
                            dd { (said(&one["description"])) (values(&one["schema"])) }
                        }
                    }
                }
            }
            details.numbers {
                summary { "Answers" }
                dl.facts {
                    @for (status, reply) in of["responses"].as_object().into_iter().flatten() {
                        div {
                            dt { code { (status) } }
                            dd { (said(&reply["description"])) " " span.muted { (media_types(reply)) } }
                        }
                    }
                }
            }
        }
    }
}

/// What a parameter may be, if that is a choice.
fn values(schema: &Value) -> Markup {
    let choices = schema["enum"].as_array().or_else(|| schema["items"]["enum"].as_array());
    html! {
        @if let Some(choices) = choices {
            span.help { @for one in choices { code { (text(one)) } " " } }
        }
    }
}

fn media_types(of: &Value) -> Markup {
    let types = of["content"].as_object().into_iter().flatten().map(|(one, _)| one.as_str());
    html! { (types.collect::<Vec<_>>().join(", ")) }
}

fn text(of: &Value) -> &str {
    of.as_str().unwrap_or_default()
}

/// Markdown, of which descriptions use backquotes alone.
fn said(of: &Value) -> Markup {
    let parts = text(of).split('`').enumerate().map(|(at, part)| match at % 2 {
        1 => html! { code { (part) } },
        _ => html! { (part) },
    });
    PreEscaped(parts.map(PreEscaped::into_string).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn descriptions_are_escaped_and_have_code() {
        let shown = said(&json!("as `a<b` & c")).into_string();
        assert_eq!(shown, "as <code>a&lt;b</code> &amp; c");
    }
}
