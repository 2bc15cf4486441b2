//! What a request of any product has: its query, its caller, and how it came.

use std::net::IpAddr;

use axum::extract::Request;
use http::{HeaderMap, header};
use tally_access::Caller;
use tally_runtime::Namespace;
use tally_serve::api::{idempotency_key, pairs};
use tally_serve::{Link, address};
use uuid::Uuid;

use crate::error::Error;
use crate::ledger::Done;
use crate::model::{Named, Which};
use crate::service::{Said, Service};
use crate::state::Kind;

/// How much of the name of a client is kept, in bytes.
const AGENT_BYTES_MAX: usize = 200;

/// What a request says beside its body.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) query: Vec<(String, String)>,
    pub(super) namespace: Namespace,
    /// What the path has after its first segment, without a last `/`, undecoded.
    path: Vec<String>,
    link: Option<Uuid>,
    key_name: String,
    source: String,
    idempotency_key: Result<Option<String>, String>,
}

// === impl Asked ===

impl Asked {
    pub(super) fn of(request: &Request, product: &str) -> Self {
        let (extensions, headers) = (request.extensions(), request.headers());
        // Who has a link has no key.
        let caller = extensions.get::<Caller>();
        let link = extensions.get::<Link>().and_then(|link| link.uuid().parse().ok());
        let path = request.uri().path();
        let path = path.strip_suffix('/').unwrap_or(path).split('/');
        let (method, from) = (request.method(), from(request).map(|ip| ip.to_string()));
        let source = format!(
            "{product} {method} {} {}",
            from.as_deref().unwrap_or("-"),
            agent(headers).unwrap_or("-")
        );
        Self {
            query: pairs(request.uri().query()).collect(),
            namespace: caller.map_or(Namespace::DEFAULT, Caller::namespace),
            path: path.skip(2).map(str::to_owned).collect(),
            link,
            key_name: caller.and_then(Caller::key).unwrap_or_default().to_owned(),
            source,
            idempotency_key: idempotency_key(headers),
        }
    }

    /// The value of a parameter of the query, if it is given and not empty.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let one = self.query.iter().find(|(of, _)| of == name);
        one.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A segment of the path, from 0 on after the first one.
    pub(super) fn segment(&self, at: usize) -> Option<&str> {
        self.path.get(at).map(String::as_str)
    }

    /// The debt that the path's link opens.
    pub(super) fn linked(&self) -> Option<Named> {
        let which = Which::Ping(self.link?);
        Some(Named { namespace: self.namespace, which })
    }

    /// The debt of a slug.
    pub(super) fn of_slug(&self, slug: &str) -> Named {
        Named { namespace: self.namespace, which: Which::Slug(slug.to_owned()) }
    }

    /// Pays once.
    pub(super) async fn pay(
        self,
        service: &Service,
        to: Named,
        kind: Kind,
        said: Said,
    ) -> Result<Done, Error> {
        let key = self.idempotency_key.map_err(|why| Error::wrong("Idempotency-Key", why))?;
        let (key_name, source) = (self.key_name, self.source);
        let said = Said { idempotency_key: key, key_name, source, ..said };
        let payment = service.payment(to, kind, said);
        service.pay(vec![payment]).await?.pop().ok_or(Error::Panicked)?
    }
}

/// The client's address; the first of `X-Forwarded-For`, where a proxy has set it. It is shown and decides
/// nothing.
fn from(request: &Request) -> Option<IpAddr> {
    let forwarded = request.headers().get("x-forwarded-for").and_then(|all| all.to_str().ok());
    let first = forwarded.and_then(|all| all.split(',').next()?.trim().parse().ok());
    first.or_else(|| address(request.extensions()))
}

fn agent(headers: &HeaderMap) -> Option<&str> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(&agent[..agent.len().min(AGENT_BYTES_MAX)]).filter(|agent| !agent.is_empty())
}
