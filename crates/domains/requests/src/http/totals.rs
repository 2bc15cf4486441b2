//! `GET /api/v1/requests/totals`.
//!
//! | file | what it owns |
//! |---|---|
//! | `asked.rs` | from parameters to a query |
//! | `write.rs` | an answer as JSON or CSV |

mod asked;
mod write;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};
use tally_access::Caller;
use tally_producers::Setback;
use tally_serve::Needs;
use tally_serve::api::{
    Format, Operation, Parameters, Problem, Reply, keep, streamed, tag_of, tagged,
};

use self::asked::Asked;
#[cfg(test)]
pub(super) use self::asked::{SORT, SORTED_MAX};
use self::write::{Head, Writer};
use crate::missing::Missing;
use crate::periods::TZDB_VERSION;
use crate::service::Service;
use crate::totals::Compact;

pub(super) static TOTALS: Operation = Operation {
    method: "get",
    path: "/api/v1/requests/totals",
    needs: Needs::Read,
    id: "queryRequestTotals",
    summary: "How many requests there were, by period and by what else tells them apart",
    about: "The whole answer is one snapshot: a request is in it exactly once. Periods and groups \
            without requests are left out. The answer repeats the query as it was understood, with both \
            ends of the range, and says whether something is known to be missing.",
    parameters: asked::PARAMETERS,
    headers: &[],
    body: None,
    replies: &[
        Reply {
            status: 200,
            about: "The totals, in order of period and group: by path, method, service, status and \
                    customer. CSV has one line for each, and in headers what JSON says besides: \
                    `Tally-Query`, `Tally-Tzdb`, `Tally-Complete`, `Tally-Dropped`, `Tally-Next`.",
            media_types: &[("application/json", Some("RequestTotals")), ("text/csv", None)],
        },
        Reply { status: 304, about: "The client has this answer.", media_types: &[] },
        Reply { status: 406, about: "`Accept` allows neither.", media_types: Reply::PROBLEM },
    ],
};

pub(super) async fn totals(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let mut given = Parameters::of(request.uri().query(), TOTALS.parameters);
    let format = Format::of(&mut given, request.headers())?;
    let namespace = Caller::of(request.extensions()).namespace();
    let asked = Asked::read(given, &service, namespace)?;
    let mut totals = service.totals_after(&asked.query, asked.after.as_ref()).await?;
    if asked.is_largest_first() {
        totals.put_largest_first();
    }
    let mut head = Head {
        missing: Missing { dropped: totals.dropped, setbacks: Vec::new() },
        omitted: totals.omitted,
        requests: totals.sum(),
        next: asked.next(&totals),
    };
    // Before anything else is waited for, because it takes a sixth of the memory, and that is bounded.
    let totals = Compact::new(totals);
    let (tag, bytes) = (tag_of(&totals), totals.bytes());
    let totals = keep(tag, totals, bytes)?;
    head.missing.setbacks = service.setbacks(namespace, asked.query.days()).await?;
    let written = head.json(&asked);
    let tag = tag_of(&(tag, written.as_str(), format.content_type()));
    let is_csv = format == Format::Csv;
    let headers = if is_csv { csv_headers(&head, &asked) } else { Vec::new() };
    let mut response = tagged(request.headers(), tag, format.content_type(), || {
        let mut writer = Writer::new(totals, &asked.query, format, &written);
        streamed(move |part| writer.write(part))
    });
    response.headers_mut().extend(headers);
    Ok(response)
}

/// What the head of a JSON answer says, in headers.
fn csv_headers(head: &Head, asked: &Asked) -> Vec<(HeaderName, HeaderValue)> {
    let mut texts = vec![
        (header::CONTENT_DISPOSITION, "attachment; filename=\"totals.csv\"".to_owned()),
        (HeaderName::from_static("tally-query"), asked.as_query()),
        (HeaderName::from_static("tally-tzdb"), TZDB_VERSION.to_owned()),
        (HeaderName::from_static("tally-complete"), head.missing.is_complete().to_string()),
        (HeaderName::from_static("tally-dropped"), head.missing.dropped.to_string()),
    ];
    let next = head.next.clone().map(|next| (HeaderName::from_static("tally-next"), next));
    texts.extend(next);
    let header = |(name, text): (_, String)| Some((name, HeaderValue::from_str(&text).ok()?));
    texts.into_iter().filter_map(header).collect()
}

/// A setback as JSON has it.
pub(super) fn about(setback: &Setback) -> serde_json::Value {
    serde_json::json!({
        "producer": tally_producers::short_id(setback.producer),
        "name": setback.name,
        "since": super::lists::time(setback.since_micros),
        "noticed_at": super::lists::time(setback.noticed_micros),
        "batches": setback.batches,
        "producers": setback.producers,
    })
}
