//! A timeline in the formats of viewers.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use tally_access::Caller;
use tally_serve::api::{self, Parameters, Problem, tag_of};

use super::describe::{EXPORT, EXPORT_FORMAT, PART};
use crate::export::{self, Format};
use crate::service::Service;

pub(super) async fn export(
    State(service): State<Service>,
    Path((context, timeline)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let namespace = Caller::of(request.extensions()).namespace();
    let mut given = Parameters::of(request.uri().query(), EXPORT.parameters);
    let format = given.one_of(&EXPORT_FORMAT).and_then(Format::read);
    if format.is_none() && given.one(&EXPORT_FORMAT).is_none() {
        let why = format!("it is one of {}", Format::NAMES.join(", "));
        given.mistakes.note(EXPORT_FORMAT.name, why);
    }
    let part = given.whole(&PART);
    given.check()?;
    let context = service.context(namespace, &context).await?;
    let shown = service.show(&context, &timeline).await?;
    let format = format.unwrap_or(Format::Svg);
    let export = move || export::export(&context.name, &shown, format, part);
    let exported = service.apart(export).await??;
    let tag = tag_of(&exported.text);
    Ok(api::text(request.headers(), tag, exported.media_type, exported.text))
}
