//! `POST /api/v1/requests`: counts entries, all of them or none, and with an `Idempotency-Key` once.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use tally_access::Caller;
use tally_ingest::Failure;
use tally_producers::KEY_BYTES_MAX;
use tally_serve::Needs;
use tally_serve::api::{self, Body, Mistakes, Operation, Parameter, Problem, Reply, Values};

use super::entries::{Form, Reading};
use crate::error::{Ended, Error};
use crate::service::Service;
use crate::submission::Submission;

/// How large a body may be.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The media types of a body: a list, and lines.
const LIST: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// draft-ietf-httpapi-idempotency-key-header-07.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

pub(super) static SUBMIT: Operation = Operation {
    method: "post",
    path: "/api/v1/requests",
    needs: Needs::Ingest,
    id: "countRequests",
    summary: "Counts requests, all of them or none",
    about: "The answer comes after the COMMIT. After any other answer than 200 nothing is counted, \
            except that of 503 and of a connection that broke it may not be known: with an \
            `Idempotency-Key`, send the same again, through any server, until there is another answer.",
    parameters: &[],
    headers: &[Parameter {
        name: "Idempotency-Key",
        about: "1 to 255 characters of your choice, for one body: a UUID, for example. What comes again \
                under it is answered as the first time and not counted again, for 24 hours by default \
                (`--requests-idempotency-hours`); something else is refused with 422. Afterwards it is \
                counted again.",
        values: Values::Text,
        is_repeated: false,
    }],
    body: Some(Body {
        about: "A list of at most 10,000 entries, or as many lines with an entry each; at most 1 MiB.",
        media_types: &[(LIST, Some("RequestEntries")), (LINES, Some("RequestEntry"))],
    }),
    replies: &[
        Reply {
            status: 200,
            about: "All of it is counted, now or before.",
            media_types: &[(LIST, Some("RequestsCounted"))],
        },
        Reply {
            status: 409,
            about: "What came first under this key is still being stored. Send it again later.",
            media_types: Reply::PROBLEM,
        },
        Reply {
            status: 422,
            about: "Something else was counted under this key.",
            media_types: Reply::PROBLEM,
        },
    ],
};

/// The answer.
#[derive(Debug, Serialize)]
struct Counted {
    entries: usize,
    requests: u64,
}

pub(super) async fn submit(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let namespace = Caller::of(request.extensions()).namespace();
    let mut mistakes = Mistakes::default();
    let key = mistakes.take("Idempotency-Key", key(request.headers())).flatten();
    let body = api::read(request, &[LIST, LINES], BODY_BYTES_MAX).await?;
    let submission = {
        let intake = &service.intake;
        let rules = intake.rules(namespace);
        let form = if body.media_type == LINES { Form::Lines } else { Form::List };
        let check = |entry: &_| intake.check(rules, entry);
        let mut reading = Reading::new(form, mistakes, &check);
        let entries = reading.read(&body.bytes).inspect_err(|_| {
            intake.measured.refused_entries(reading.count());
        })?;
        Submission::new(&entries, key.as_deref(), intake, rules)
    };
    let counted = Counted { entries: submission.entries, requests: submission.requests };
    service.submit(submission, body).await.map_err(|error| problem(error, key.is_some()))?;
    Ok(api::json(&counted))
}

/// What a failure means to a caller who wants to send it again.
fn problem(error: Error, has_key: bool) -> Problem {
    let Error::Ended(Ended::Write(failure)) = error else { return error.into() };
    let what = match (failure.stored, has_key) {
        (Some(_), _) => "nothing is counted; send it again later",
        (None, true) => {
            "it is not known whether it is counted: send it again, with the same Idempotency-Key"
        }
        (None, false) => {
            "it is not known whether it is counted; without an Idempotency-Key, sending it again may count \
             it twice"
        }
    };
    let message = format!("{what}: {}", failure.message);
    Error::Ended(Ended::Write(Failure { message, ..failure })).into()
}

/// The key of a request, if it has one: a string as RFC 9651 has it, in quotation marks, or the same
/// without them.
fn key(headers: &HeaderMap) -> Result<Option<String>, String> {
    let mut all = headers.get_all(KEY).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err("it is given twice".to_owned());
    }
    let odd = || "it may have the visible characters of ASCII only".to_owned();
    let text = value.to_str().map_err(|_| odd())?;
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest).ok_or("its quotation marks do not match")?,
        None if text.bytes().all(|byte| byte.is_ascii_graphic()) => text.to_owned(),
        None => return Err(odd()),
    };
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        let len = key.len();
        return Err(format!("it has {len} characters, and 1 to {KEY_BYTES_MAX} are allowed"));
    }
    Ok(Some(key))
}

/// What is between quotation marks, the first of which is gone.
fn unquoted(rest: &str) -> Option<String> {
    let mut key = String::new();
    let mut all = rest.chars();
    loop {
        match all.next()? {
            '"' => return all.next().is_none().then_some(key),
            '\\' => key.push(all.next().filter(|next| ['"', '\\'].contains(next))?),
            // Header values have no other control character.
            '\t' => return None,
            one => key.push(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(KEY, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        key(&headers)
    }

    #[test]
    fn a_key_is_the_same_with_and_without_quotation_marks() {
        assert_eq!(read(&[]), Ok(None));
        let longest = "x".repeat(255);
        for (value, key) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            ("\"a \\\"b\\\\\"", "a \"b\\"),
            ("a\"b", "a\"b"),
            (&longest, &longest),
        ] {
            assert_eq!(read(&[value]), Ok(Some(key.to_owned())), "{value}");
        }
        let long = "x".repeat(256);
        for value in
            ["", "\"\"", "a b", "é", "\"é\"", "\"a", "\"a\"b", "\"a\\b\"", "\"a\tb\"", &long]
        {
            assert!(read(&[value]).is_err(), "{value}");
        }
        assert!(read(&["a", "a"]).is_err());
    }
}
