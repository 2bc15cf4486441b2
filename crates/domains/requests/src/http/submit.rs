//! `POST /api/v1/requests`: counts entries, all of them or none, and with an `Idempotency-Key` once.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use tally_access::Caller;
use tally_ingest::Failure;
use tally_serve::Needs;
use tally_serve::api::{
    self, Body, Mistakes, Operation, Parameter, Problem, Reply, Values, idempotency_key,
};

use super::entries::{Form, Reading};
use crate::error::{Ended, Error};
use crate::service::Service;
use crate::submission::Submission;

/// How large a body may be.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The media types of a body: a list, and lines.
const LIST: &str = "application/json";
const LINES: &str = "application/x-ndjson";

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
    let key = mistakes.take("Idempotency-Key", idempotency_key(request.headers())).flatten();
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
