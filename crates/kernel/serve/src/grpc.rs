//! `tally.server.v1.ServerService`: what the server says of itself.

use jiff::Timestamp;
use tally_proto::tally::server::v1 as proto;
use tally_proto::tally::server::v1::server_service_server::ServerService;
use tonic::{Request, Response, Status, async_trait};

use crate::facts::{DatabaseFacts, DomainFacts, Fact, Facts, Value};
use crate::{Domains, Origin};

/// The package of the service.
pub(crate) const PACKAGE: &str = "tally.server.v1";

/// Answers for a server.
pub(crate) struct Answering {
    pub(crate) domains: Domains,
    pub(crate) origin: Origin,
}

// === impl Answering ===

#[async_trait]
impl ServerService for Answering {
    async fn get_status(
        &self,
        _request: Request<proto::GetStatusRequest>,
    ) -> Result<Response<proto::GetStatusResponse>, Status> {
        Ok(Response::new(self.domains.facts(&self.origin).await.into()))
    }
}

impl From<Facts> for proto::GetStatusResponse {
    fn from(facts: Facts) -> Self {
        Self {
            version: facts.version.to_owned(),
            process: facts.process,
            started_at: Some(timestamp(facts.started_at)),
            now: Some(timestamp(facts.now)),
            trouble: facts.trouble.unwrap_or_default(),
            database: Some(facts.database.into()),
            facts: facts.facts.into_iter().map(Into::into).collect(),
            domains: facts.domains.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<DatabaseFacts> for proto::Database {
    fn from(facts: DatabaseFacts) -> Self {
        let DatabaseFacts { kind, address, schemas, bytes, free_bytes } = facts;
        let schema = |(set, version): (&str, i64)| proto::Schema { set: set.to_owned(), version };
        let schemas = schemas.into_iter().map(schema).collect();
        Self { kind: kind.to_owned(), address, schemas, bytes, free_bytes }
    }
}

impl From<DomainFacts> for proto::Domain {
    fn from(DomainFacts { name, facts, missing }: DomainFacts) -> Self {
        let facts = facts.into_iter().map(Into::into).collect();
        Self { name: name.to_owned(), facts, missing: missing.unwrap_or_default() }
    }
}

impl From<Fact> for proto::Fact {
    fn from(Fact { name, value, max, note }: Fact) -> Self {
        let value = value.map(|value| match value {
            Value::Count(count) => proto::fact::Value::Count(count),
            Value::Bytes(bytes) => proto::fact::Value::Bytes(bytes),
            Value::Time(time) => proto::fact::Value::Time(timestamp(time)),
            Value::Text(text) => proto::fact::Value::Text(text.into_owned()),
        });
        let note = note.unwrap_or_default().into_owned();
        Self { name: name.into_owned(), value, max, note }
    }
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}
