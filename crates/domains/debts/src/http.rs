//! The HTTP API: between requests and service.
//!
//! | file | what it owns |
//! |---|---|
//! | `answers.rs` | debts, payments, runs and flips as JSON and CSV |
//! | `describe.rs` | the operations as the OpenAPI document has them |
//! | `pay.rs` | a payment from JSON |
//! | `schemas.rs` | what JSON answers and bodies look like |

mod answers;
mod describe;
mod pay;
mod schemas;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::StatusCode;
use serde_json::{Value, json};
use tally_access::Caller;
use tally_runtime::tell;
use tally_serve::api::{self, Api, Format, Mistakes, Parameters, Problem};

pub(crate) use self::answers::kind;
use self::describe::{
    ADD, AFTER, BEFORE, FLIPS, FORGET, LIMIT, LIMIT_ITEMS, LIST, ORDER, PAUSE, PAY, PAYMENTS,
    RENEW_BADGES, RESUME, RUNS, SEARCH, SHOW, STATUS, STATUSES, TAG, UPDATE,
};
use crate::definition::Written;
use crate::domain::NAME;
use crate::error::Error;
use crate::model::Named;
use crate::service::{Service, Shown, next_before};
use crate::store::{Listing, cursor, read_cursor};

/// How large the body of a definition may be.
const DEFINITION_BYTES_MAX: usize = 64 << 10;
/// How many items a list has, unless it is told otherwise.
const DEBTS_USUAL: usize = 1_000;
const ITEMS_USUAL: u32 = 100;

type Answer = Result<Response, Problem>;

// === impl Service ===

impl Service {
    /// The HTTP API.
    pub(crate) fn api(&self) -> Api {
        let about = "Debts: expected events that must happen in time, and their payments.";
        let all = get(list).post(add).with_state(self.clone());
        let one = get(show).put(update).delete(forget).with_state(self.clone());
        let paid = get(payments).post(pay::pay).with_state(self.clone());
        let api = Api::new(NAME, about)
            .routes(&[&LIST, &ADD], all)
            .routes(&[&SHOW, &UPDATE, &FORGET], one)
            .route(&PAUSE, post(pause).with_state(self.clone()))
            .route(&RESUME, post(resume).with_state(self.clone()))
            .routes(&[&PAYMENTS, &PAY], paid)
            .route(&RUNS, get(runs).with_state(self.clone()))
            .route(&FLIPS, get(flips).with_state(self.clone()))
            .route(&RENEW_BADGES, post(renew_badges).with_state(self.clone()));
        schemas::all().into_iter().fold(api, |api, (name, schema)| api.schema(name, schema))
    }
}

/// The only place where an error becomes an HTTP status.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        if let Error::Wrong(wrong) = &error {
            let mut mistakes = Mistakes::default();
            wrong.iter().for_each(|(field, why)| mistakes.note(field, why));
            if let Err(problem) = mistakes.check() {
                return problem;
            }
        }
        Self::new(error.kind(), tell(&error, error.kind())).because(error.reason())
    }
}

fn named(request: &Request, debt: &str) -> Named {
    Service::named(Caller::of(request.extensions()).namespace(), debt)
}

async fn list(State(service): State<Service>, request: Request) -> Answer {
    let caller = Caller::of(request.extensions()).clone();
    let mut given = Parameters::of(request.uri().query(), LIST.parameters);
    let format = Format::of(&mut given, request.headers())?;
    let statuses = given.some_of(&STATUS).unwrap_or_default();
    let after = given.read(&AFTER, read_cursor);
    let listing = Listing {
        namespace: caller.namespace(),
        standings: statuses.into_iter().filter_map(answers::standing_of).collect(),
        tags: given.all(&TAG).map(str::to_owned).collect(),
        search: given.one(&SEARCH).unwrap_or_default().to_lowercase(),
        by_slug: given.one(&ORDER).is_some(),
        after,
        limit: given.whole(&LIMIT).unwrap_or(DEBTS_USUAL),
    };
    given.check()?;
    let (debts, last) = service.list(&listing).await?;
    let next = last.as_ref().map(cursor);
    let counts = service.counts(caller.namespace()).await?;
    let now = service.now();
    let items = debts.iter().map(|debt| answers::debt(debt, &caller, now)).collect();
    let count = |name: &&str| {
        let count = answers::standing_of(name).map(|standing| counts.of(standing));
        ((*name).to_owned(), Value::from(count))
    };
    let counts: Value = STATUSES.iter().map(count).collect();
    let answer = json!({"debts": Value::Array(items), "next": next, "counts": counts});
    Ok(answers::list(request.headers(), format, "debts", &answer))
}

async fn add(State(service): State<Service>, request: Request) -> Answer {
    let caller = Caller::of(request.extensions()).clone();
    let written: Written = api::json_of(request, DEFINITION_BYTES_MAX).await?;
    let definition = service.define_new(caller.namespace(), written).await?;
    let (debt, is_repeated) = service.add(caller.namespace(), definition).await?;
    let status = if is_repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, api::json(&answers::debt(&debt, &caller, service.now()))).into_response())
}

async fn show(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Answer {
    let caller = Caller::of(request.extensions()).clone();
    Parameters::of(request.uri().query(), SHOW.parameters).check()?;
    let Shown { debt, runs, next, badge } = service.show(&named(&request, &debt)).await?;
    let mut answer = answers::debt(&debt, &caller, service.now());
    answer["runs"] = runs.iter().map(answers::run).collect();
    answer["next"] = next.iter().map(ToString::to_string).collect();
    answer["badge"] = badge.into();
    Ok(api::one(request.headers(), &answer))
}

async fn update(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Answer {
    let (caller, named) = (Caller::of(request.extensions()).clone(), named(&request, &debt));
    let written: Written = api::json_of(request, DEFINITION_BYTES_MAX).await?;
    let debt = service.redefine(named, written).await?.debt;
    Ok(api::json(&answers::debt(&debt, &caller, service.now())))
}

async fn forget(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Answer {
    let caller = Caller::of(request.extensions()).clone();
    let debt = service.forget(&named(&request, &debt)).await?;
    Ok(api::json(&answers::debt(&debt, &caller, service.now())))
}

async fn pause(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Answer {
    let caller = Caller::of(request.extensions()).clone();
    let debt = service.pause(named(&request, &debt)).await?;
    Ok(api::json(&answers::debt(&debt, &caller, service.now())))
}

async fn resume(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Answer {
    let caller = Caller::of(request.extensions()).clone();
    let debt = service.resume(named(&request, &debt)).await?;
    Ok(api::json(&answers::debt(&debt, &caller, service.now())))
}

async fn renew_badges(State(service): State<Service>, request: Request) -> Answer {
    service.renew_badges(Caller::of(request.extensions()).namespace()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What a list of a debt's items is asked for.
struct Items {
    format: Format,
    before: i64,
    limit: u32,
}

// === impl Items ===

impl Items {
    fn read(request: &Request, of: &api::Operation) -> Result<Self, Problem> {
        let mut given = Parameters::of(request.uri().query(), of.parameters);
        let format = Format::of(&mut given, request.headers())?;
        let before = given.whole(&BEFORE).unwrap_or(i64::MAX as u64);
        let limit = given.whole(&LIMIT_ITEMS).unwrap_or(ITEMS_USUAL);
        given.check()?;
        Ok(Self { format, before: i64::try_from(before).unwrap_or(i64::MAX), limit })
    }
}

async fn payments(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Answer {
    let Items { format, before, limit } = Items::read(&request, &PAYMENTS)?;
    let debt = service.find(&named(&request, &debt)).await?;
    let payments = service.payments(&debt, before, limit).await?;
    let next = next_before(&payments, limit, |payment| payment.number);
    let items: Vec<_> = payments.iter().map(answers::payment).collect();
    let answer = json!({"payments": items, "next_before": next});
    Ok(answers::list(request.headers(), format, "payments", &answer))
}

async fn runs(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Answer {
    let Items { format, before, limit } = Items::read(&request, &RUNS)?;
    let debt = service.find(&named(&request, &debt)).await?;
    let runs = service.runs(&debt, before, false, limit).await?;
    let next = next_before(&runs, limit, |run| run.number);
    let items: Vec<_> = runs.iter().map(answers::run).collect();
    let answer = json!({"runs": items, "next_before": next});
    Ok(answers::list(request.headers(), format, "runs", &answer))
}

async fn flips(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Answer {
    let Items { format, before, limit } = Items::read(&request, &FLIPS)?;
    let debt = service.find(&named(&request, &debt)).await?;
    let flips = service.told_flips(&debt, before, limit).await?;
    let next = next_before(&flips, limit, |told| told.flip.number);
    let items: Vec<_> = flips.iter().map(answers::flip).collect();
    let answer = json!({"flips": items, "next_before": next});
    Ok(answers::list(request.headers(), format, "flips", &answer))
}
