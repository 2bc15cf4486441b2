//! healthchecks: the management API, version 1 to 3. A check is a debt, its uuid the ping id.
//!
//! | call, after `/api/v3` | answer |
//! |---|---|
//! | `GET /checks/?slug=&tag=` | `{"checks": […]}` |
//! | `POST /checks/` | 201, or 200 for one that is found by `unique` |
//! | `GET`, `POST`, `DELETE /checks/<uuid>` | the check; `GET` also by `unique_key` |
//! | `POST /checks/<uuid>/pause`, `/resume` | the check; 409 if it is not paused |
//! | `GET /checks/<uuid>/pings/`, `/pings/<n>/body`, `/flips/` | payments, the body of one, alarms and recoveries |
//! | `GET /channels/`, `/badges/`, `/status/` | none, the badges of tags, whether the database answers |
//!
//! The key is in `X-Api-Key`: one of the scope read for `GET`, and of the scope admin for the rest. Errors are
//! `{"error": …}`.
//!
//! | file | what it owns |
//! |---|---|
//! | `fields.rs` | a check as it is written |
//! | `named.rs` | which check is asked for, and for whom |
//! | `shown.rs` | a check, a ping and a flip as they are shown |

mod fields;
mod named;
mod shown;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use http::{StatusCode, header};
use serde_json::{Map, Value, json};
use tally_access::{Caller, Refusal};
use tally_runtime::{Kind as ErrorKind, Namespace, random};
use tally_serve::api::{self, Problem, pairs, whole};
use tally_serve::pages::Frame;
use tally_serve::{Foreign, Manner, Needs, Place};

use self::fields::Fields;
use self::named::{Whose, debt_of};
use self::shown::Shown;
use super::{Declined, slug_of, status, told};
use crate::definition::Definition;
use crate::error::Error;
use crate::model::{Debt, Named, Which};
use crate::service::Service;
use crate::state::Status;
use crate::store::Listing;

const MANNER: Manner = Manner { places: &[Place::Header("x-api-key")], refuse: Some(refuse) };
const ALL: &[(&str, Needs)] = &[("get", Needs::Read), ("post", Needs::Admin)];
const ONE: &[(&str, Needs)] =
    &[("get", Needs::Read), ("post", Needs::Admin), ("delete", Needs::Admin)];
const CHANGED: &[(&str, Needs)] = &[("post", Needs::Admin)];
const READ: &[(&str, Needs)] = &[("get", Needs::Read)];
const NOTHING: &[(&str, Needs)] = &[("get", Needs::Nothing)];
/// How large a check may be.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How many debts are read at once, and how many payments and flips are shown.
const DEBTS_READ: usize = 200;
const ITEMS_SHOWN: u32 = 1_000;

type Answer = Result<Response, Response>;

pub(super) fn routes(routes: Foreign, service: &Service) -> Foreign {
    macro_rules! of_version {
        ($routes:expr, $version:literal) => {
            [
                (concat!("/api/", $version, "/checks"), ALL, all(service)),
                (concat!("/api/", $version, "/checks/"), ALL, all(service)),
                (concat!("/api/", $version, "/checks/{check}"), ONE, one(service)),
                (concat!("/api/", $version, "/checks/{check}/pause"), CHANGED, with(service, post(pause))),
                (concat!("/api/", $version, "/checks/{check}/resume"), CHANGED, with(service, post(resume))),
                (concat!("/api/", $version, "/checks/{check}/pings"), READ, with(service, get(pings))),
                (concat!("/api/", $version, "/checks/{check}/pings/"), READ, with(service, get(pings))),
                (concat!("/api/", $version, "/checks/{check}/pings/{n}/body"), READ, with(service, get(body))),
                (concat!("/api/", $version, "/checks/{check}/flips"), READ, with(service, get(flips))),
                (concat!("/api/", $version, "/checks/{check}/flips/"), READ, with(service, get(flips))),
                (concat!("/api/", $version, "/channels/"), READ, get(async || api::json(&json!({"channels": []})))),
                (concat!("/api/", $version, "/badges/"), READ, with(service, get(badges))),
                (concat!("/api/", $version, "/status/"), NOTHING, with(service, get(state))),
            ]
            .into_iter()
            .fold($routes, |routes, (path, needs, does)| routes.route(path, &MANNER, needs, does))
        };
    }
    let routes = of_version!(routes, "v1");
    let routes = of_version!(routes, "v2");
    of_version!(routes, "v3")
}

fn with(service: &Service, does: MethodRouter<Service>) -> MethodRouter {
    does.with_state(service.clone())
}

fn all(service: &Service) -> MethodRouter {
    with(service, get(list).post(create))
}

fn one(service: &Service) -> MethodRouter {
    with(service, get(show).post(update).delete(remove))
}

async fn list(State(service): State<Service>, frame: Frame, request: Request) -> Answer {
    let shown = Shown::of(&frame, &request, &service);
    let query: Vec<_> = pairs(request.uri().query()).collect();
    let of =
        |name: &'static str| query.iter().filter(move |(of, _)| of == name).map(|(_, value)| value);
    let tags = of("tag").cloned().collect();
    let slug = of("slug").next().cloned();
    let namespace = Whose::of(&request).namespace;
    let shown = Arc::new(shown);
    let page = move |listing: Listing| {
        let (service, shown, slug) = (service.clone(), Arc::clone(&shown), slug.clone());
        async move {
            let (debts, next) = page(&service, listing).await?;
            let mut checks = Vec::new();
            for debt in &debts {
                if slug.as_ref().is_none_or(|slug| debt.definition.slug == *slug) {
                    checks.push(shown.check(debt).await?);
                }
            }
            Ok::<_, Response>((checks, next))
        }
    };
    api::paged(("{\"checks\":[", "]}\n"), listing(namespace, tags), page).await
}

async fn create(State(service): State<Service>, frame: Frame, request: Request) -> Answer {
    let shown = Shown::of(&frame, &request, &service);
    let namespace = Caller::of(request.extensions()).namespace();
    let fields = fields_of(request).await?;
    if let Some(unique) = fields.unique()? {
        let (mut first, mut next) = (None, Some(listing(namespace, Vec::new())));
        while let Some(listing) = next {
            let (debts, after) = page(&service, listing).await?;
            let found = debts.into_iter().filter(|debt| fields.is_of(debt, &unique));
            first = first.into_iter().chain(found).min_by_key(|debt: &Debt| debt.number);
            next = after;
        }
        if let Some(debt) = first {
            let debt = updated(&service, &debt, &fields).await?;
            return Ok(api::json(&shown.check(&debt).await?));
        }
    }
    let mut written = fields.written(fields::usual(), true)?;
    if written.slug.is_empty() {
        written.slug = free_slug(&service, namespace, &written.name).await?;
    }
    let definition = service.define(written).map_err(refused)?;
    let (debt, _) = service.add(namespace, definition).await.map_err(refused)?;
    Ok((StatusCode::CREATED, api::json(&shown.check(&debt).await?)).into_response())
}

async fn show(
    State(service): State<Service>,
    frame: Frame,
    Path(check): Path<String>,
    request: Request,
) -> Answer {
    let whose = Whose::of(&request);
    let shown = Shown::of(&frame, &request, &service);
    Ok(api::json(&shown.check(&debt_of(&service, &check, whose).await?).await?))
}

async fn update(
    State(service): State<Service>,
    frame: Frame,
    Path(check): Path<String>,
    request: Request,
) -> Answer {
    let whose = Whose::of(&request);
    let shown = Shown::of(&frame, &request, &service);
    let debt = debt_of(&service, &check, whose).await?;
    let fields = fields_of(request).await?;
    let debt = updated(&service, &debt, &fields).await?;
    Ok(api::json(&shown.check(&debt).await?))
}

async fn remove(
    State(service): State<Service>,
    frame: Frame,
    Path(check): Path<String>,
    request: Request,
) -> Answer {
    let whose = Whose::of(&request);
    let shown = Shown::of(&frame, &request, &service);
    let debt = debt_of(&service, &check, whose).await?;
    Ok(api::json(&shown.check(&service.forget(&by_id(&debt)).await.map_err(refused)?).await?))
}

async fn pause(
    State(service): State<Service>,
    frame: Frame,
    Path(check): Path<String>,
    request: Request,
) -> Answer {
    let whose = Whose::of(&request);
    let shown = Shown::of(&frame, &request, &service);
    let debt = debt_of(&service, &check, whose).await?;
    Ok(api::json(&shown.check(&service.pause(by_id(&debt)).await.map_err(refused)?).await?))
}

async fn resume(
    State(service): State<Service>,
    frame: Frame,
    Path(check): Path<String>,
    request: Request,
) -> Answer {
    let whose = Whose::of(&request);
    let shown = Shown::of(&frame, &request, &service);
    let debt = debt_of(&service, &check, whose).await?;
    if debt.state.status != Status::Paused {
        return Err(error(StatusCode::CONFLICT, "check is not paused"));
    }
    Ok(api::json(&shown.check(&service.resume(by_id(&debt)).await.map_err(refused)?).await?))
}

async fn pings(
    State(service): State<Service>,
    frame: Frame,
    Path(check): Path<String>,
    request: Request,
) -> Answer {
    let whose = Whose::of(&request);
    let shown = Shown::of(&frame, &request, &service);
    let debt = debt_of(&service, &check, whose).await?;
    let payments = service.payments(&debt, i64::MAX, ITEMS_SHOWN).await.map_err(refused)?;
    let pings: Vec<_> = payments.iter().map(|payment| shown.ping(&debt, payment)).collect();
    Ok(api::json(&json!({"pings": pings})))
}

async fn body(
    State(service): State<Service>,
    Path((check, number)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let whose = Whose::of(&request);
    let debt = debt_of(&service, &check, whose).await?;
    let number = number.parse::<i64>().ok().filter(|number| (1..i64::MAX).contains(number));
    let number = number.ok_or_else(not_found)?;
    let payments = service.payments(&debt, number + 1, 1).await.map_err(refused)?;
    let payment = payments.into_iter().find(|payment| payment.number == number);
    let body = payment.map(|payment| payment.body).filter(|body| !body.is_empty());
    let body = body.ok_or_else(not_found)?;
    let headers =
        [(header::CONTENT_TYPE, "text/plain"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, body).into_response())
}

async fn flips(
    State(service): State<Service>,
    Path(check): Path<String>,
    request: Request,
) -> Answer {
    let whose = Whose::of(&request);
    let debt = debt_of(&service, &check, whose).await?;
    let query: Vec<_> = pairs(request.uri().query()).collect();
    let number = |name: &str| {
        let value = query.iter().find(|(of, _)| of == name).map(|(_, value)| value.parse::<i64>());
        let why = || error(StatusCode::BAD_REQUEST, &format!("{name} is not a whole number"));
        value.transpose().map_err(|_| Declined::from(why()))
    };
    let since = number("seconds")?.map(|seconds| service.now().as_second().saturating_sub(seconds));
    let start = number("start")?.max(since).unwrap_or(i64::MIN);
    let end = number("end")?.unwrap_or(i64::MAX);
    let flips = service.flips(&debt, i64::MAX, ITEMS_SHOWN).await.map_err(refused)?;
    let flips = flips.iter().filter(|flip| (start..=end).contains(&flip.at.as_second()));
    let flips: Vec<_> = flips.map(shown::flip).collect();
    Ok(api::json(&json!({"flips": flips})))
}

async fn badges(State(service): State<Service>, frame: Frame, request: Request) -> Answer {
    let namespace = Whose::of(&request).namespace;
    let (mut tags, mut next) = (BTreeSet::new(), Some(listing(namespace, Vec::new())));
    while let Some(listing) = next {
        let (debts, after) = page(&service, listing).await?;
        tags.extend(debts.into_iter().flat_map(|debt| debt.definition.tags));
        next = after;
    }
    let badges = Shown::of(&frame, &request, &service).badges(namespace, tags).await?;
    Ok(api::json(&json!({"badges": badges})))
}

async fn state(State(service): State<Service>) -> Answer {
    service.ping().await.map_err(refused)?;
    Ok("OK".into_response())
}

/// The first page of the debts of a namespace that have these tags.
fn listing(namespace: Namespace, tags: Vec<String>) -> Listing {
    Listing { namespace, tags, by_slug: true, limit: DEBTS_READ, ..Listing::default() }
}

/// A page, and the next one. Nothing has all debts at once: there may be very many.
async fn page(
    service: &Service,
    listing: Listing,
) -> Result<(Vec<Debt>, Option<Listing>), Response> {
    let (debts, last) = service.list(&listing).await.map_err(refused)?;
    Ok((debts, last.map(|last| Listing { after: Some(last), ..listing })))
}

fn by_id(debt: &Debt) -> Named {
    Named { namespace: debt.namespace, which: Which::Id(debt.id) }
}

async fn fields_of(request: Request) -> Result<Fields, Response> {
    let body = whole(request, BODY_BYTES_MAX).await.map_err(Problem::into_response)?;
    let bytes = match body.bytes.trim_ascii() {
        b"" => b"{}",
        bytes => bytes,
    };
    let why = |_| error(StatusCode::BAD_REQUEST, "could not parse request body");
    let fields: Map<String, Value> = serde_json::from_slice(bytes).map_err(why)?;
    Ok(Fields::of(fields)?)
}

/// Gives a debt the terms that are named, and leaves the others.
async fn updated(service: &Service, debt: &Debt, fields: &Fields) -> Result<Debt, Response> {
    let written = fields.written(debt.definition.written(), false)?;
    let definition: Definition = service.define(written).map_err(refused)?;
    let done = service.update(by_id(debt), definition).await;
    done.map(|done| done.debt).map_err(refused)
}

/// A slug like the name, with something added if another debt has it.
async fn free_slug(
    service: &Service,
    namespace: Namespace,
    name: &str,
) -> Result<String, Response> {
    let slug = match slug_of(name, 64) {
        slug if slug.is_empty() => "check".to_owned(),
        slug if slug.bytes().all(|byte| byte.is_ascii_digit()) => format!("check-{slug}"),
        slug => slug,
    };
    let which = Which::Slug(slug.clone());
    match service.find(&Named { namespace, which }).await {
        Err(Error::Unknown(_)) if slug != "check" => Ok(slug),
        Ok(_) | Err(Error::Unknown(_)) => Ok(format!("{slug}-{:08x}", random::number() >> 32)),
        Err(error) => Err(refused(error)),
    }
}

fn refused(of: Error) -> Response {
    let (status, text) = match of {
        Error::Unknown(_) => return not_found(),
        // A slug that is taken, too many debts: what is asked for cannot be done.
        Error::Refused(ErrorKind::AlreadyExists | ErrorKind::ResourceExhausted, text) => {
            (StatusCode::BAD_REQUEST, text)
        }
        of => told(&of),
    };
    error(status, &text)
}

fn refuse(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::NoKey => error(StatusCode::UNAUTHORIZED, "missing api key"),
        _ if refusal.kind() == ErrorKind::Unauthenticated => {
            error(StatusCode::UNAUTHORIZED, "wrong api key")
        }
        _ => error(status(refusal.kind()), &refusal.to_string()),
    }
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "not found")
}

fn error(status: StatusCode, text: &str) -> Response {
    (status, api::json(&json!({"error": text}))).into_response()
}
