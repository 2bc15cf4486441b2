//! `tally.requests.v1.BookService`: corrections, drops that are struck, merges and forgets.

use tally_access::Caller;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::book_service_server::BookService;
use tally_proto::tally::requests::v1::selection::PathIs as PathIsProto;
use tally_proto::wire::{self, STATUS_MAX};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::date;
use super::messages::{self, Messages};
use crate::changes::{Change, ChangeKind, Changed};
use crate::corrections::{Balance, Corrected, Correction};
use crate::dates;
use crate::error::Error;
use crate::intake::Rules;
use crate::model::{Namespace, Series};
use crate::periods::Granularity;
use crate::selection::{NewNames, PathIs, Selection};
use crate::service::Service;

/// At most this many corrections in a message: some 500 KiB with the longest texts.
const MESSAGE_CORRECTIONS_MAX: usize = 100;
/// At most this many series in the answer to a dry run.
const MOVED_MAX: usize = 1_000;

#[async_trait]
impl BookService for Service {
    type ListCorrectionsStream = Messages<proto::ListCorrectionsResponse>;

    async fn correct(
        &self,
        request: Request<proto::CorrectRequest>,
    ) -> Result<Response<proto::CorrectResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let request = request.into_inner();
        let is_dry_run = request.dry_run;
        let correction = correction(request, self.intake.rules(namespace))?;
        let balance = self.correct(correction, is_dry_run).await?;
        Ok(Response::new(balance.into()))
    }

    async fn list_corrections(
        &self,
        request: Request<proto::ListCorrectionsRequest>,
    ) -> Result<Response<Self::ListCorrectionsStream>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let request = request.into_inner();
        let from = dates::optional_period("from", request.from.as_ref())?;
        let to = dates::optional_period("to", request.to.as_ref())?;
        let days = dates::range(("from", from), ("to", to))?;
        let found = self.corrections(namespace, days).await?;
        let bytes = |one: &Corrected| {
            let Correction { series, reason, author, .. } = &one.correction;
            crate::model::SeriesRef::from(series).text_bytes() + reason.len() + author.len()
        };
        messages::listed(found, bytes, MESSAGE_CORRECTIONS_MAX, |some: &[Corrected]| {
            let corrections = some.iter().cloned().map(Into::into).collect();
            proto::ListCorrectionsResponse { corrections }
        })
    }

    async fn strike_drops(
        &self,
        request: Request<proto::StrikeDropsRequest>,
    ) -> Result<Response<proto::StrikeDropsResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::StrikeDropsRequest { from, to, reason, author } = request.into_inner();
        let from = dates::optional_period("from", from.as_ref())?;
        let to = dates::optional_period("to", to.as_ref())?;
        let days = dates::range(("from", from), ("to", to))?;
        let dropped = self.strike_drops(namespace, days, reason, author).await?;
        Ok(Response::new(proto::StrikeDropsResponse { dropped }))
    }

    async fn forget(
        &self,
        request: Request<proto::ForgetRequest>,
    ) -> Result<Response<proto::ChangeResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let change = forget(namespace, request.into_inner());
        let is_dry_run = change.is_dry_run;
        Ok(Response::new(changed(self.change(change).await?, is_dry_run)))
    }

    async fn merge(
        &self,
        request: Request<proto::MergeRequest>,
    ) -> Result<Response<proto::ChangeResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let change = merge(namespace, request.into_inner());
        let is_dry_run = change.is_dry_run;
        Ok(Response::new(changed(self.change(change).await?, is_dry_run)))
    }
}

/// Reads a correction.
fn correction(request: proto::CorrectRequest, rules: Rules) -> Result<Correction, Error> {
    let proto::CorrectRequest { id, day, series, requests, reason, author, .. } = request;
    let id = Uuid::from_slice(&id).map_err(|_| Error::invalid("id: is not a UUID of 16 bytes"))?;
    let day = dates::period("day", day.as_ref())?
        .as_day()
        .ok_or_else(|| Error::invalid("day: is a month or a year; a correction is of a day"))?;
    let series = series.ok_or_else(|| Error::invalid("series: is missing"))?;
    let status = series.status;
    let series = rules.series(&series).ok_or_else(|| {
        Error::invalid(format!("series: status is {status}, and may be at most {STATUS_MAX}"))
    })?;
    Ok(Correction { id, day: day.into(), series, requests, reason, author })
}

/// Reads a forget.
fn forget(namespace: Namespace, request: proto::ForgetRequest) -> Change {
    let proto::ForgetRequest { selection, everything, dry_run, author } = request;
    Change {
        namespace,
        kind: ChangeKind::Forget,
        selection: selected(selection),
        into: NewNames::default(),
        author,
        is_everything: everything,
        is_dry_run: dry_run,
    }
}

/// Reads a merge.
fn merge(namespace: Namespace, request: proto::MergeRequest) -> Change {
    let [service, path, customer] =
        [request.into_service, request.into_path, request.into_customer].map(boxed);
    Change {
        namespace,
        kind: ChangeKind::Merge,
        selection: selected(request.selection),
        into: NewNames { service, path, customer },
        author: request.author,
        is_everything: request.everything,
        is_dry_run: request.dry_run,
    }
}

fn selected(selection: Option<proto::Selection>) -> Selection {
    let proto::Selection { path_is, service, customer } = selection.unwrap_or_default();
    let path = path_is.map(|path| match path {
        PathIsProto::Path(path) => PathIs::Exactly(path.into()),
        PathIsProto::PathPrefix(prefix) => PathIs::BeginsWith(prefix.into()),
        PathIsProto::PathRegex(regex) => PathIs::Matches(regex.into()),
    });
    Selection { path, service: boxed(service), customer: boxed(customer) }
}

fn boxed(text: Option<String>) -> Option<Box<str>> {
    text.map(Into::into)
}

/// What a change has done.
fn changed(changed: Changed, is_dry_run: bool) -> proto::ChangeResponse {
    let requests = changed.requests();
    let Changed { series, is_kept } = changed;
    let moved = |(one, requests): &(Series, i64)| proto::MovedSeries {
        series: Some(one.clone().into()),
        requests: *requests,
    };
    let shown = if is_dry_run { MOVED_MAX } else { 0 };
    proto::ChangeResponse {
        series: series.len() as u64,
        requests,
        moved: series.iter().take(shown).map(moved).collect(),
        is_kept,
    }
}

impl From<Balance> for proto::CorrectResponse {
    fn from(balance: Balance) -> Self {
        let Balance { total, corrections, is_repeated } = balance;
        Self { total, corrections, is_repeated }
    }
}

impl From<Corrected> for proto::Correction {
    fn from(corrected: Corrected) -> Self {
        let Correction { id, day, series, requests, reason, author } = corrected.correction;
        Self {
            id: id.as_bytes().to_vec(),
            day: date(day.date(), Granularity::Day),
            series: Some(series.into()),
            requests,
            reason,
            author,
            corrected_at: Some(wire::timestamp(corrected.micros)),
        }
    }
}

impl From<Series> for proto::Series {
    fn from(series: Series) -> Self {
        let Series { service, method, path, status, customer, .. } = series;
        Self {
            service: service.into(),
            method: method.into(),
            path: path.into(),
            status: status.into(),
            customer: customer.into(),
        }
    }
}
