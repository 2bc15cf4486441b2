//! `TimelineService`: between messages and service.
//!
//! | file | what it owns |
//! |---|---|
//! | `read.rs` | what a message of a client says |
//! | `shown.rs` | contexts, timelines, events and charts as messages |

mod read;
mod shown;

use tally_access::Caller;
use tally_producers::stream;
use tally_proto::tally::timelines::v1 as proto;
use tally_proto::tally::timelines::v1::record_result::Result as RecordResult;
use tally_proto::tally::timelines::v1::timeline_service_server::{
    TimelineService, TimelineServiceServer,
};
use tally_runtime::tell;
use tally_serve::Needs;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::export::{Format, export};
use crate::ledger::Done;
use crate::message::NEWEST;
use crate::model::Terms;
use crate::service::{MESSAGES_MAX, Service};

/// What the methods need.
pub(crate) const TIMELINE_SERVICE: &[(&str, Needs)] = &[
    ("Record", Needs::Ingest),
    ("RecordAll", Needs::Ingest),
    ("ListContexts", Needs::Read),
    ("ConfigureContext", Needs::Admin),
    ("ListTimelines", Needs::Read),
    ("ListEvents", Needs::Read),
    ("ShowTimeline", Needs::Read),
    ("ExportTimeline", Needs::Read),
];

type Answer<T> = Result<Response<T>, Status>;

// === impl Service ===

impl Service {
    pub(crate) fn timeline_service(&self) -> TimelineServiceServer<Self> {
        TimelineServiceServer::new(self.clone())
    }
}

#[tonic::async_trait]
impl TimelineService for Service {
    async fn record(
        &self,
        request: Request<proto::RecordRequest>,
    ) -> Answer<proto::RecordResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let message = self.read(namespace, request.into_inner())?;
        let done = Service::record(self, vec![message]).await?.pop().ok_or(Error::Panicked)??;
        Ok(Response::new(recorded(&done)))
    }

    async fn record_all(
        &self,
        request: Request<proto::RecordAllRequest>,
    ) -> Answer<proto::RecordAllResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let messages = request.into_inner().messages;
        if messages.len() > MESSAGES_MAX {
            let why = format!("there are {}, and there may be {MESSAGES_MAX}", messages.len());
            return Err(Error::wrong("messages", why).into());
        }
        let read = messages.into_iter().map(|message| self.read(namespace, message)).collect();
        let results = Service::record_all(self, read).await?;
        let result = |result: Result<Done, Error>| match result {
            Ok(done) => RecordResult::Recorded(recorded(&done)),
            Err(error) => RecordResult::Refusal(refusal(&error)),
        };
        let results = results.into_iter().map(result);
        let results = results.map(|one| proto::RecordResult { result: Some(one) }).collect();
        Ok(Response::new(proto::RecordAllResponse { results }))
    }

    async fn list_contexts(
        &self,
        request: Request<proto::ListContextsRequest>,
    ) -> Answer<proto::ListContextsResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ListContextsRequest { after, limit } = request.into_inner();
        let (contexts, has_more) = self.contexts(namespace, &after, read::limit(limit)?).await?;
        let last = contexts.last().filter(|_| has_more);
        let next = last.map_or_else(String::new, |(context, _)| context.name.clone());
        let contexts = contexts.iter();
        let contexts = contexts.map(|(one, newest)| shown::context(one, newest.as_ref())).collect();
        Ok(Response::new(proto::ListContextsResponse { contexts, next }))
    }

    async fn configure_context(
        &self,
        request: Request<proto::ConfigureContextRequest>,
    ) -> Answer<proto::ConfigureContextResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ConfigureContextRequest { context, retention_days, abandon_after } =
            request.into_inner();
        let abandon_after = abandon_after.map(read::abandon_after).transpose()?;
        let terms = Terms { retention_days, abandon_after };
        let context = self.configure(namespace, &context, terms).await?;
        let newest = self.newest(&context).await?;
        let context = Some(shown::context(&context, newest.as_ref()));
        Ok(Response::new(proto::ConfigureContextResponse { context }))
    }

    async fn list_timelines(
        &self,
        request: Request<proto::ListTimelinesRequest>,
    ) -> Answer<proto::ListTimelinesResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ListTimelinesRequest { context, before, limit } = request.into_inner();
        let (context, limit) = (self.context(namespace, &context).await?, read::limit(limit)?);
        let before = if before > 0 { before } else { i64::MAX };
        let timelines = self.timelines(&context, before, limit).await?;
        let newest = self.newest(&context).await?;
        let next = timelines.last().filter(|_| timelines.len() == limit as usize);
        Ok(Response::new(proto::ListTimelinesResponse {
            context: Some(shown::context(&context, newest.as_ref())),
            next_before: next.map(|last| last.number).filter(|number| *number > 1).unwrap_or(0),
            timelines: timelines.iter().map(shown::timeline).collect(),
        }))
    }

    async fn list_events(
        &self,
        request: Request<proto::ListEventsRequest>,
    ) -> Answer<proto::ListEventsResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ListEventsRequest { context, timeline, after, limit } = request.into_inner();
        let (context, limit) = (self.context(namespace, &context).await?, read::limit(limit)?);
        let timeline = self.timeline(&context, or_newest(&timeline)).await?;
        let events = self.events(&timeline, after.max(0), limit).await?;
        let next = events.last().filter(|_| events.len() == limit as usize);
        let now = self.now();
        Ok(Response::new(proto::ListEventsResponse {
            timeline: Some(shown::timeline(&timeline)),
            next_after: next.map_or(0, |last| last.number),
            events: events.iter().map(|event| shown::event(event, now)).collect(),
        }))
    }

    async fn show_timeline(
        &self,
        request: Request<proto::ShowTimelineRequest>,
    ) -> Answer<proto::ShowTimelineResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ShowTimelineRequest { context, timeline } = request.into_inner();
        let context = self.context(namespace, &context).await?;
        let shown = self.show(&context, or_newest(&timeline)).await?;
        Ok(Response::new(shown::chart(&shown)))
    }

    async fn export_timeline(
        &self,
        request: Request<proto::ExportTimelineRequest>,
    ) -> Answer<proto::ExportTimelineResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ExportTimelineRequest { context, timeline, format, part } = request.into_inner();
        let format = Format::read(&format).ok_or_else(|| {
            Error::wrong("format", format!("it is none of {}", Format::NAMES.join(", ")))
        })?;
        let context = self.context(namespace, &context).await?;
        let shown = self.show(&context, or_newest(&timeline)).await?;
        let part = Some(part).filter(|part| *part > 0);
        let exported = self.apart(move || export(&context.name, &shown, format, part)).await??;
        let media_type = exported.media_type.to_owned();
        Ok(Response::new(proto::ExportTimelineResponse { media_type, text: exported.text }))
    }
}

/// The only place where an error becomes a status.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        stream::status(&error, error.kind(), error.reason())
    }
}

fn or_newest(timeline: &str) -> &str {
    if timeline.is_empty() { NEWEST } else { timeline }
}

fn refusal(error: &Error) -> proto::Refusal {
    proto::Refusal {
        code: error.kind().grpc_code(),
        message: tell(error, error.kind()),
        reason: error.reason().unwrap_or_default().to_owned(),
    }
}

fn recorded(done: &Done) -> proto::RecordResponse {
    let timeline = Some(shown::timeline(&done.timeline));
    proto::RecordResponse { timeline, is_repeated: done.is_repeated }
}
