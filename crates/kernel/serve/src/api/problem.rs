//! What went wrong with a request, as `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use tally_runtime::Kind;

/// How many mistakes are named; how many more there are is said as a number.
const MISTAKES_MAX: usize = 50;
/// When a client may try again what is unavailable.
const RETRY_AFTER_SECONDS: &str = "1";
/// How much of a text from outside a problem repeats, in characters.
const QUOTED_CHARS_MAX: usize = 100;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    reason: Option<&'static str>,
    mistakes: Vec<Mistake>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Mistake {
    field: String,
    detail: String,
}

/// The mistakes of one request, which are told all at once.
#[derive(Debug, Default)]
pub struct Mistakes {
    named: Vec<Mistake>,
    more: usize,
}

/// The members of the JSON object.
#[derive(Serialize)]
struct Members<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "<[Mistake]>::is_empty")]
    mistakes: &'a [Mistake],
}

// === impl Problem ===

impl Problem {
    /// The content type.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// A failure of this kind, in words for people.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(kind.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match (Self::of_protocol(status, detail), kind) {
            (problem, Kind::Unavailable) => {
                problem.with(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS))
            }
            (problem, _) => problem,
        }
    }

    /// A failure that HTTP has a status for, and domains do not know: of a method, a media type, a
    /// header.
    pub fn of_protocol(status: StatusCode, detail: impl Into<String>) -> Self {
        let (mistakes, headers) = (Vec::new(), Vec::new());
        Self { status, detail: detail.into(), reason: None, mistakes, headers }
    }

    /// One field is wrong.
    pub fn of_field(field: &str, detail: impl Into<String>) -> Self {
        let mut mistakes = Mistakes::default();
        mistakes.note(field, detail);
        mistakes.into_problem()
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What it says, for answers in the words of another product.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// With the word that gRPC has for it, which programs can tell apart.
    #[must_use]
    pub fn because(self, reason: Option<&'static str>) -> Self {
        Self { reason, ..self }
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let members = Members {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            reason: self.reason,
            mistakes: &self.mistakes,
        };
        let mut body = serde_json::to_vec(&members).expect("texts and numbers are JSON");
        body.push(b'\n');
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static(Self::CONTENT_TYPE);
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}

// === impl Mistakes ===

impl Mistakes {
    /// Notes one.
    pub fn note(&mut self, field: &str, detail: impl Into<String>) {
        if self.named.len() < MISTAKES_MAX {
            self.named.push(Mistake { field: quoted(field), detail: detail.into() });
        } else {
            self.more += 1;
        }
    }

    /// Notes one, of which nothing is made if it is not named.
    pub fn note_with<T: Into<String>>(&mut self, told: impl FnOnce() -> (String, T)) {
        if self.named.len() < MISTAKES_MAX {
            let (field, detail) = told();
            self.note(&field, detail);
        } else {
            self.more += 1;
        }
    }

    /// What was read, or notes the mistake.
    pub fn take<T>(&mut self, field: &str, read: Result<T, impl Into<String>>) -> Option<T> {
        read.map_err(|detail| self.note(field, detail)).ok()
    }

    /// The fields and what is wrong with each, for a page.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|one| (&*one.field, &*one.detail))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// A problem, if there are any.
    ///
    /// # Errors
    /// With all mistakes.
    pub fn check(self) -> Result<(), Problem> {
        if self.is_empty() { Ok(()) } else { Err(self.into_problem()) }
    }

    fn into_problem(self) -> Problem {
        let detail = match (&*self.named, self.more) {
            ([one], 0) => format!("{}: {}", one.field, one.detail),
            (all, 0) => format!("{} mistakes", all.len()),
            (all, more) => format!("{} mistakes, of which {more} are not named", all.len() + more),
        };
        Problem { mistakes: self.named, ..Problem::new(Kind::InvalidArgument, detail) }
    }
}

/// As much of a text from outside as a message should have.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    async fn told(problem: Problem) -> (u16, Value) {
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], Problem::CONTENT_TYPE);
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn a_problem_has_the_members_of_the_standard_and_its_reason() {
        let problem = Problem::new(Kind::FailedPrecondition, "no").because(Some("LIMIT"));
        let expected = json!({
            "type": "about:blank", "title": "Conflict", "status": 409, "detail": "no",
            "reason": "LIMIT",
        });
        assert_eq!(told(problem).await, (409, expected));
    }

    #[tokio::test]
    async fn all_mistakes_are_told_as_far_as_they_have_room() {
        let mut mistakes = Mistakes::default();
        mistakes.note("from", "it is no date");
        let one = told(mistakes.check().expect_err("one")).await;
        assert_eq!((one.0, &one.1["detail"]), (400, &json!("from: it is no date")));
        let mut mistakes = Mistakes::default();
        let long = "ä".repeat(1_000);
        (0..MISTAKES_MAX + 3).for_each(|_| mistakes.note(&long, "is unknown"));
        let (_, many) = told(mistakes.check().expect_err("many")).await;
        assert_eq!(many["detail"], "53 mistakes, of which 3 are not named");
        let named = many["mistakes"].as_array().expect("a list");
        assert_eq!(named.len(), MISTAKES_MAX);
        assert_eq!(named[0]["field"].as_str().expect("a text").chars().count(), 101);
        assert!(Mistakes::default().check().is_ok());
    }
}
