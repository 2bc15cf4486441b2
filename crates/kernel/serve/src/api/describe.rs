//! What an operation takes and gives, and the OpenAPI document of all.
//!
//! Query parameters are read by what they are described by, and an operation is routed by what it is
//! described by, so neither can differ from its description.

use serde_json::{Map, Value, json};

use super::Api;
use super::parameters::{Parameter, Values};
use super::problem::Problem;
use crate::Needs;
use crate::pages::login;

/// Where the document is.
pub(crate) const DOCUMENT_PATH: &str = "/api/v1/openapi.json";

/// An operation of an API.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// `get` or `post`.
    pub method: &'static str,
    /// The path, such as `/api/v1/requests/totals`.
    pub path: &'static str,
    /// A name for programs that are generated from the document.
    pub id: &'static str,
    /// What it needs of its caller.
    pub needs: Needs,
    /// One line.
    pub summary: &'static str,
    /// The rest, in Markdown.
    pub about: &'static str,
    /// What the query may have.
    pub parameters: &'static [Parameter],
    /// Headers that matter beside HTTP's own, such as `Idempotency-Key`.
    pub headers: &'static [Parameter],
    /// The body, if it has one.
    pub body: Option<Body>,
    /// What it answers.
    pub replies: &'static [Reply],
}

/// The body of a request.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// What it is, in Markdown.
    pub about: &'static str,
    /// The media types, and the name of the schema of each; without one it is a text.
    pub media_types: &'static [(&'static str, Option<&'static str>)],
}

/// An answer.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// When it comes, and what it is, in Markdown.
    pub about: &'static str,
    /// As of [`Body`]; none if it has no body. A problem has [`Reply::PROBLEM`].
    pub media_types: &'static [(&'static str, Option<&'static str>)],
}

// === impl Reply ===

impl Reply {
    /// The media types of a problem.
    pub const PROBLEM: &'static [(&'static str, Option<&'static str>)] =
        &[(Problem::CONTENT_TYPE, Some("Problem"))];
}

/// The OpenAPI document of these APIs.
pub(crate) fn document<'a>(apis: impl IntoIterator<Item = &'a Api>) -> Value {
    let (mut paths, mut tags, mut schemas) = (Map::new(), Vec::new(), Map::new());
    schemas.insert("Problem".to_owned(), problem_schema());
    for api in apis {
        tags.push(json!({"name": api.name, "description": api.about}));
        schemas.extend(api.schemas.clone());
        for of in &api.operations {
            let path = paths.entry(of.path).or_insert_with(|| json!({}));
            path[of.method] = operation(of, api.name);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tally",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Exact counts. All mistakes of a request come in one problem.",
        },
        "tags": tags,
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": security_schemes()},
    })
}

/// How a key is sent, where keys are asked for.
fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key: `authorization: Bearer KEY`. Asked for with `--auth keys` only.",
        },
        "basic": {
            "type": "http",
            "scheme": "basic",
            "description": "Any name, with a key as the password.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": login::COOKIE,
            "description": "What a browser gets at `/login`, for `GET` only.",
        },
    })
}

/// What an operation asks for, and the same in words: what the check asks for.
fn security(of: &Operation) -> (Value, String) {
    let needs = of.needs;
    if needs == Needs::Nothing {
        return (json!([]), String::new());
    }
    let scopes: Vec<_> = needs.scope().iter().map(|scope| scope.name()).collect();
    // A session is for looking only.
    let is_for_browsers = of.method == "get";
    let schemes = ["bearer", "basic"].into_iter().chain(is_for_browsers.then_some("session"));
    let security: Value = schemes.map(|scheme| json!({ scheme: scopes })).collect();
    let scope = scopes.first().map(|scope| format!(" with the scope `{scope}`"));
    let namespace = if needs.is_of_operator() { " of the namespace `default`" } else { "" };
    (security, format!("Needs a key{}{namespace}.", scope.unwrap_or_default()))
}

fn operation(of: &Operation, tag: &str) -> Value {
    let in_path = path_parameters(of.path);
    let in_query = of.parameters.iter().map(|one| parameter(one, "query"));
    let in_header = of.headers.iter().map(|one| parameter(one, "header"));
    let replies = of.replies.iter().map(|reply| {
        let mut described = json!({"description": reply.about});
        if !reply.media_types.is_empty() {
            described["content"] = content(reply.media_types);
        }
        (reply.status.to_string(), described)
    });
    let otherwise = json!({
        "description": "What went wrong.",
        "content": content(Reply::PROBLEM),
    });
    let replies: Map<_, _> = replies.chain([("default".to_owned(), otherwise)]).collect();
    let (security, needs) = security(of);
    let about = [of.about, &needs].into_iter().filter(|text| !text.is_empty());
    let mut described = json!({
        "operationId": of.id,
        "tags": [tag],
        "summary": of.summary,
        "description": about.collect::<Vec<_>>().join("\n\n"),
        "security": security,
        "parameters": in_path.chain(in_query).chain(in_header).collect::<Vec<_>>(),
        "responses": replies,
    });
    if let Some(body) = &of.body {
        let content = content(body.media_types);
        described["requestBody"] =
            json!({"description": body.about, "required": true, "content": content});
    }
    described
}

fn content(media_types: &[(&str, Option<&str>)]) -> Value {
    let one = |(media_type, schema): &(&str, Option<&str>)| {
        let schema = match schema {
            Some(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
            None => json!({"type": "string"}),
        };
        ((*media_type).to_owned(), json!({"schema": schema}))
    };
    Value::Object(media_types.iter().map(one).collect())
}

/// What stands in braces in a path.
fn path_parameters(path: &str) -> impl Iterator<Item = Value> {
    let braced = |part: &str| Some(part.strip_prefix('{')?.strip_suffix('}')?.to_owned());
    path.split('/').filter_map(braced).map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
    )
}

fn parameter(of: &Parameter, place: &str) -> Value {
    let one = match of.values {
        Values::Text | Values::Name => json!({"type": "string"}),
        Values::Flag(default) => json!({"type": "boolean", "default": default}),
        Values::Whole(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Values::OneOf(values) | Values::SomeOf(values) => json!({"type": "string", "enum": values}),
    };
    let is_list = of.is_repeated || matches!(of.values, Values::SomeOf(_));
    let schema = if is_list { json!({"type": "array", "items": one}) } else { one };
    let mut described =
        json!({"name": of.name, "in": place, "description": of.about, "schema": schema});
    if matches!(of.values, Values::SomeOf(_)) {
        described["style"] = "form".into();
        described["explode"] = false.into();
    }
    described
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string", "description": "The words of the status."},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What was wrong, for people."},
            "reason": {
                "type": "string",
                "description": "A word for programs, the same as that of gRPC, if there is one.",
            },
            "mistakes": {
                "type": "array",
                "description": "All that is wrong with the request, by field.",
                "items": {
                    "type": "object",
                    "required": ["field", "detail"],
                    "properties": {
                        "field": {"type": "string"},
                        "detail": {"type": "string"},
                    },
                },
            },
        },
    })
}
