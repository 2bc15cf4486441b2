//! compter: `/debts`.
//!
//! | call | answer |
//! |---|---|
//! | `PUT /debts?every=1h` | 201 and the new debt. Without terms nothing is due; `slug` gives it a name |
//! | `POST /debts/<number, slug or id>` | 200 and the debt, paid once more; 404 if it is not known. With `create=1` and terms: 201 once |
//! | `GET /debts/<number, slug or id>`, `GET /debts` | the debt, all debts |
//!
//! A debt is JSON with four members: `id`, `created`, `updated`, `payments`. One that was never paid was updated
//! when it was created.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{post, put};
use http::StatusCode;
use serde::Serialize;
use tally_access::Caller;
use tally_runtime::random;
use tally_serve::api::{self, Problem, beginning};
use tally_serve::{Foreign, Manner, Needs};

use super::asked::Asked;
use super::create;
use crate::definition::Written;
use crate::model::{BODY_BYTES_MAX, Debt};
use crate::service::{Said, Service};
use crate::state::Kind;
use crate::store::Numbered;

const MANNER: Manner = Manner { places: &[], refuse: None };
/// How many debts are read at once.
const DEBTS_READ: u32 = 500;

type Answer = Result<Response, Problem>;

/// A debt as compter has it.
#[derive(Serialize)]
struct Four {
    id: i64,
    created: String,
    updated: String,
    payments: i64,
}

// === impl Four ===

impl Four {
    fn of(debt: &Debt) -> Self {
        let (number, created, payments) = (debt.number, debt.created, debt.payments);
        Numbered { number, created, paid: debt.state.last_payment, payments }.into()
    }
}

impl From<Numbered> for Four {
    fn from(Numbered { number, created, paid, payments }: Numbered) -> Self {
        let updated = paid.unwrap_or(created).to_string();
        Self { id: number, created: created.to_string(), updated, payments }
    }
}

/// Whoever gets something, and is a browser, gets a page: those are in `pages.rs`, with what both need.
pub(super) fn routes(routes: Foreign, service: &Service) -> Foreign {
    let all = put(add).with_state(service.clone());
    let one = post(pay).with_state(service.clone());
    routes.route("/debts", &MANNER, &[("put", Needs::Ingest)], all).route(
        "/debts/{debt}",
        &MANNER,
        &[("post", Needs::Ingest)],
        one,
    )
}

pub(crate) async fn list(State(service): State<Service>, request: Request) -> Answer {
    let namespace = Caller::of(request.extensions()).namespace();
    let page = move |after| {
        let service = service.clone();
        async move {
            let debts = service.numbered(namespace, after, DEBTS_READ).await?;
            let next = debts.last().filter(|_| debts.len() == DEBTS_READ as usize);
            let next = next.map(|last| last.number);
            Ok::<_, Problem>((debts.into_iter().map(Four::from).collect(), next))
        }
    };
    api::paged(("[", "]\n"), 0, page).await
}

pub(crate) async fn show(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Answer {
    let namespace = Caller::of(request.extensions()).namespace();
    let debt = service.find(&Service::named(namespace, &debt)).await?;
    Ok(api::json(&Four::of(&debt)))
}

async fn add(State(service): State<Service>, request: Request) -> Answer {
    let asked = Asked::of(&request, "compter");
    let slug = asked.one("slug").map(str::to_owned);
    let slug = slug.unwrap_or_else(|| format!("debt-{:016x}", random::number()));
    let mut written = Written { slug, ..Written::default() };
    create::read(&mut written, &asked, &["slug"])?;
    let definition = service.define(written)?;
    let (debt, is_repeated) = service.add(asked.namespace, definition).await?;
    let status = if is_repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, api::json(&Four::of(&debt))).into_response())
}

async fn pay(State(service): State<Service>, Path(debt): Path<String>, request: Request) -> Answer {
    let asked = Asked::of(&request, "compter");
    let create = create::definition(&service, &asked, &debt, &[])?;
    let to = Service::named(asked.namespace, &debt);
    let body = beginning(request, BODY_BYTES_MAX).await?.bytes;
    let said = Said { body, create, ..Said::default() };
    let done = asked.pay(&service, to, Kind::Success, said).await?;
    let status = if done.is_created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, api::json(&Four::of(&done.debt))).into_response())
}
