//! The HTTP API: between requests and service.
//!
//! | file | what it owns |
//! |---|---|
//! | `answers.rs` | contexts, timelines, events and charts as JSON and CSV |
//! | `describe.rs` | the operations as the OpenAPI document has them |
//! | `export.rs` | a timeline in the formats of viewers |
//! | `record.rs` | messages from JSON |
//! | `schemas.rs` | what JSON answers and bodies look like |

pub(crate) mod answers;
mod describe;
mod export;
pub(crate) mod record;
mod schemas;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use jiff::SignedDuration;
use serde::Deserialize;
use tally_access::Caller;
use tally_runtime::{durations, tell};
use tally_serve::api::{self, Api, Format, Mistakes, Operation, Parameters, Problem};

use self::describe::{
    AFTER, AFTER_NUMBER, BEFORE, CONFIGURE, CONTEXTS, EVENTS, EXPORT, LIMIT, RECORD, RECORD_ALL,
    SHOW, TIMELINES,
};
use crate::domain::NAME;
use crate::error::Error;
use crate::model::Terms;
use crate::service::Service;

/// How large the body of a context's terms may be.
const TERMS_BYTES_MAX: usize = 4 << 10;
/// How many items a list has, unless it is told otherwise.
const ITEMS_USUAL: u32 = 100;

type Answer = Result<Response, Problem>;

/// A context's terms as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenTerms {
    retention_days: Option<u32>,
    abandon_after: Option<String>,
}

// === impl Service ===

impl Service {
    /// The HTTP API.
    pub(crate) fn api(&self) -> Api {
        let about = "Timelines: runs of a process, made of events that start and end.";
        let context = get(timelines).put(configure).with_state(self.clone());
        let api = Api::new(NAME, about)
            .route(&RECORD, post(record::record).with_state(self.clone()))
            .route(&RECORD_ALL, post(record::record_all).with_state(self.clone()))
            .route(&CONTEXTS, get(contexts).with_state(self.clone()))
            .routes(&[&TIMELINES, &CONFIGURE], context)
            .route(&SHOW, get(show).with_state(self.clone()))
            .route(&EVENTS, get(events).with_state(self.clone()))
            .route(&EXPORT, get(export::export).with_state(self.clone()));
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

/// What every list is asked for, beside where it goes on.
fn asked(request: &Request, of: &'static Operation) -> Result<(Parameters, Format, u32), Problem> {
    let mut given = Parameters::of(request.uri().query(), of.parameters);
    let format = Format::of(&mut given, request.headers())?;
    let limit = given.whole(&LIMIT).unwrap_or(ITEMS_USUAL);
    Ok((given, format, limit))
}

async fn contexts(State(service): State<Service>, request: Request) -> Answer {
    let namespace = Caller::of(request.extensions()).namespace();
    let (given, format, limit) = asked(&request, &CONTEXTS)?;
    let after = given.one(&AFTER).unwrap_or_default().to_owned();
    given.check()?;
    let (contexts, has_more) = service.contexts(namespace, &after, limit).await?;
    let next = contexts.last().filter(|_| has_more).map(|(context, _)| &*context.name);
    Ok(answers::contexts(request.headers(), format, &contexts, next))
}

async fn configure(
    State(service): State<Service>,
    Path(context): Path<String>,
    request: Request,
) -> Answer {
    let namespace = Caller::of(request.extensions()).namespace();
    let written: WrittenTerms = api::json_of(request, TERMS_BYTES_MAX).await?;
    let mut mistakes = Mistakes::default();
    let abandon_after = written.abandon_after.and_then(|after| {
        let read = durations::parse(&after).map_err(|why| why.to_string());
        let seconds = mistakes.take("abandon_after", read)?.as_secs();
        Some(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
    });
    mistakes.check()?;
    let terms = Terms { retention_days: written.retention_days, abandon_after };
    let context = service.configure(namespace, &context, terms).await?;
    let newest = service.newest(&context).await?;
    Ok(api::json(&answers::context(&context, newest.as_ref())))
}

async fn timelines(
    State(service): State<Service>,
    Path(context): Path<String>,
    request: Request,
) -> Answer {
    let namespace = Caller::of(request.extensions()).namespace();
    let (mut given, format, limit) = asked(&request, &TIMELINES)?;
    let before = given.whole(&BEFORE).unwrap_or(i64::MAX);
    given.check()?;
    let context = service.context(namespace, &context).await?;
    let timelines = service.timelines(&context, before, limit).await?;
    let newest = service.newest(&context).await?;
    let next = timelines.last().filter(|_| timelines.len() == limit as usize);
    let next = next.map(|last| last.number).filter(|number| *number > 1);
    let context = answers::context(&context, newest.as_ref());
    Ok(answers::timelines(request.headers(), format, &context, &timelines, next))
}

async fn show(
    State(service): State<Service>,
    Path((context, timeline)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let namespace = Caller::of(request.extensions()).namespace();
    Parameters::of(request.uri().query(), SHOW.parameters).check()?;
    let context = service.context(namespace, &context).await?;
    let shown = service.show(&context, &timeline).await?;
    Ok(api::one(request.headers(), &answers::chart(&shown)))
}

async fn events(
    State(service): State<Service>,
    Path((context, timeline)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let namespace = Caller::of(request.extensions()).namespace();
    let (mut given, format, limit) = asked(&request, &EVENTS)?;
    let after = given.whole(&AFTER_NUMBER).unwrap_or(0);
    given.check()?;
    let context = service.context(namespace, &context).await?;
    let timeline = service.timeline(&context, &timeline).await?;
    let events = service.events(&timeline, after, limit).await?;
    let next = events.last().filter(|_| events.len() == limit as usize);
    let next = next.map(|last| last.number);
    let now = service.now();
    Ok(answers::events(request.headers(), format, &timeline, &events, next, now))
}
