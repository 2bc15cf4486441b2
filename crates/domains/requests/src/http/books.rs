//! `POST /api/v1/requests/roll-up` and `/fold`.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use tally_access::Caller;
use tally_serve::Needs;
use tally_serve::api::{Body, Operation, Problem, Reply, json, json_of};

use crate::dates::parse_range;
use crate::model::{Day, DayRange};
use crate::periods::Zone;
use crate::service::Service;

/// A period in words is short.
const BODY_BYTES_MAX: usize = 4 << 10;

pub(super) static ROLL_UP: Operation = Operation {
    method: "post",
    path: "/api/v1/requests/roll-up",
    needs: Needs::Operator,
    id: "rollUpRequests",
    summary: "Rolls days up",
    about: "It adds the totals of these days, which are of UTC, to their months: from then on they are in \
            totals with `live=false` too. It folds first, and can be repeated. It goes on if the client goes \
            away.",
    parameters: &[],
    headers: &[],
    body: Some(Body {
        about: "Which days. Without a period: yesterday.",
        media_types: &[("application/json", Some("RollUp"))],
    }),
    replies: &[Reply {
        status: 200,
        about: "It is committed: how many requests each of the days has, of those that have any.",
        media_types: &[("application/json", Some("RolledUp"))],
    }],
};

pub(super) static FOLD: Operation = Operation {
    method: "post",
    path: "/api/v1/requests/fold",
    needs: Needs::Operator,
    id: "foldRequests",
    summary: "Folds everything that is stored now",
    about: "Servers do it by themselves. No total changes by it, except with `live=false`.",
    parameters: &[],
    headers: &[],
    body: Some(Body {
        about: "An empty object.",
        media_types: &[("application/json", Some("Fold"))],
    }),
    replies: &[Reply {
        status: 200,
        about: "It is committed: how many requests were folded.",
        media_types: &[("application/json", Some("Folded"))],
    }],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollUp {
    #[serde(default)]
    period: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fold {}

pub(super) async fn roll_up(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let namespace = Caller::of(request.extensions()).namespace();
    let RollUp { period } = json_of(request, BODY_BYTES_MAX).await?;
    let wrong = |detail: String| Problem::of_field("period", detail);
    let range = parse_range(period.as_deref().unwrap_or("yesterday")).map_err(wrong)?;
    let today = service.today(&Zone::utc());
    let (first, last) = range.on(today);
    let (first, last) = (Day::from(first.first_day()), Day::from(last.last_day()));
    if last < first {
        return Err(wrong(format!("the range ends on {last}, before it begins on {first}")));
    }
    // No request is later.
    let tomorrow = Day::from(today).plus(1);
    if tomorrow < first {
        return Err(wrong(format!("{first} is in the future, and no request can be")));
    }
    let last = last.min(tomorrow);
    let sums = service.roll_up_to_sums(namespace, DayRange { first, last }).await?;
    let day = |(day, requests): (Day, i64)| json!({"day": day.to_string(), "requests": requests});
    Ok(json(&json!({
        "from": first.to_string(),
        "to": last.to_string(),
        "days": sums.into_iter().map(day).collect::<Vec<_>>(),
    })))
}

pub(super) async fn fold(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let Fold {} = json_of(request, BODY_BYTES_MAX).await?;
    let requests = service.fold().await?;
    Ok(json(&json!({"requests": requests})))
}
