//! The one check of who asks: of gRPC, HTTP and pages, before anything else of a request is read.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use tally_access::{Caller, Keys, Pass, Refusal, Refusals, Scope};
use tally_producers::stream;
use tally_runtime::Clock;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use crate::admission::{Names, is_grpc};
use crate::api::{Problem, wants_page};
use crate::clients::Whose;
use crate::foreign::Manner;
use crate::held::refused_place;
use crate::needs::{Declared, Needs};
use crate::pages::{Frame as PageFrame, login};
use crate::tls::Peer;

/// What asks for a key.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"tally\"");
/// What proxies add.
const OF_PROXIES: [&str; 9] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-forwarded-prefix",
    "x-real-ip",
];

/// Whether a server asks for keys.
#[derive(Clone)]
pub enum Access {
    /// Whoever reaches the port may do everything.
    Anyone,
    /// The same, but what comes through a proxy is refused: only this machine reaches the port, and a
    /// proxy lets others.
    ThisMachine,
    /// These keys are asked for.
    Keys(Keys),
}

/// Where a request comes from: an extension of each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address(pub(crate) SocketAddr);

/// What the check needs.
pub(crate) struct Guard {
    pub(crate) names: Names,
    pub(crate) access: Access,
    pub(crate) declared: Declared,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A request's body, until its key is not accepted any more.
struct Guarded {
    body: Body,
    pass: Pass,
    over: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    clock: Arc<dyn Clock>,
    is_over: bool,
}

/// A call that only administrators may make. When this value goes away, the log has who did what, and what
/// became of it: also if the client does not wait for that.
struct Audited {
    key: String,
    namespace: i64,
    action: String,
    peer: String,
    is_grpc: bool,
    result: Option<String>,
}

// === impl Audited ===

impl Audited {
    fn of(
        needs: Needs,
        caller: Option<&Caller>,
        manner: Option<&Manner>,
        request: &Request,
    ) -> Option<Self> {
        if needs.scope() != Some(Scope::Admin) {
            return None;
        }
        let key = caller.map_or("(none asked for)", |caller| caller.key().unwrap_or_default());
        Some(Self {
            key: key.to_owned(),
            namespace: caller.map_or(0, |caller| caller.namespace().0),
            action: action(request, manner),
            peer: peer(request).map(|peer| peer.to_string()).unwrap_or_default(),
            is_grpc: is_grpc(request.headers()),
            result: None,
        })
    }
}

impl Drop for Audited {
    fn drop(&mut self) {
        let Self { key, namespace, action, peer, result, .. } = self;
        let result = result.as_deref().unwrap_or("not known: the client went away");
        tracing::info!(target: "audit", key, namespace, action, result, peer, "administration");
    }
}

// === impl Access ===

impl Access {
    /// The keys, if they are asked for.
    #[must_use]
    pub fn keys(&self) -> Option<Keys> {
        match self {
            Self::Keys(keys) => Some(keys.clone()),
            Self::Anyone | Self::ThisMachine => None,
        }
    }
}

// === impl Guard ===

impl Guard {
    /// How a request is asked, if its route is one of another product.
    pub(crate) fn manner(&self, request: &Request) -> Option<&'static Manner> {
        self.declared.manner_of(request.extensions().get::<MatchedPath>()?.as_str())
    }

    /// What a request needs. A path that there is not needs any key: it is nobody else's business.
    pub(crate) fn needs(&self, request: &Request) -> Needs {
        match request.extensions().get::<MatchedPath>() {
            None => Needs::Key,
            Some(pattern) if pattern.as_str().ends_with("/{*rest}") => {
                self.declared.of_method(request.uri().path())
            }
            Some(pattern) => self.declared.of_route(pattern.as_str(), request.method()),
        }
    }
}

/// What a request shows of its caller.
enum Shown {
    Key(String),
    /// The secret of a session.
    Session(String),
    /// The client certificate of its connection.
    Certificate(Peer),
}

// === impl Shown ===

impl Shown {
    fn of(request: &Request, manner: Option<&Manner>) -> Result<Self, Refusal> {
        let headers = request.headers();
        if let Some(key) = presented(headers)? {
            return Ok(Self::Key(key));
        }
        if let Some(key) = manner.and_then(|manner| manner.key(request)) {
            return Ok(Self::Key(key));
        }
        // What a request says itself counts before what its connection does.
        let Some(secret) = login::secret(headers) else {
            let peer = request.extensions().get::<Peer>();
            let named = peer.filter(|peer| !peer.names().is_empty());
            return named.cloned().map(Self::Certificate).ok_or(Refusal::NoKey);
        };
        // No page of another site can send a cookie that is of this site alone, and yet: nothing that
        // changes anything is done because a browser is logged in.
        let is_looking = matches!(*request.method(), Method::GET | Method::HEAD);
        if is_looking { Ok(Self::Session(secret.to_owned())) } else { Err(Refusal::LookingOnly) }
    }

    async fn pass(self, keys: &Keys, from: Option<IpAddr>) -> Result<Pass, Refusal> {
        match self {
            Self::Key(key) => keys.check(&key, from).await,
            Self::Session(secret) => keys.check_session(&secret, from).await,
            Self::Certificate(peer) => keys.check_names(peer.names()).await,
        }
    }
}

/// Refuses what the caller may not do, and says to the handler who it is.
pub(crate) async fn check(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let (needs, manner) = (guard.needs(&request), guard.manner(&request));
    let link = manner.and_then(|manner| manner.link(&request));
    let is_link = link.is_some();
    link.into_iter().for_each(|link| drop(request.extensions_mut().insert(link)));
    let keys = match &guard.access {
        Access::Keys(keys) => keys,
        access => {
            let proxied = OF_PROXIES.into_iter().find(|name| request.headers().contains_key(*name));
            if let (Access::ThisMachine, Some(name)) = (access, proxied)
                && needs != Needs::Nothing
            {
                return refused(&guard, &request, &Refusal::Proxied(name));
            }
            let is_for_all = needs == Needs::Nothing;
            let whose = if is_for_all { Whose::Anyone } else { Whose::Caller };
            if let Some(full) = refused_place(&mut request, whose) {
                return full;
            }
            let audited = Audited::of(needs, None, manner, &request);
            request.extensions_mut().insert(Caller::open());
            let response = next.run(request).await;
            return answered(audited, response);
        }
    };
    if needs == Needs::Nothing || is_link {
        if let Some(full) = refused_place(&mut request, Whose::Anyone) {
            return full;
        }
        return next.run(request).await;
    }
    let (shown, from) = (Shown::of(&request, manner), address(request.extensions()));
    let pass = match shown {
        Ok(shown) => shown.pass(keys, from).await,
        Err(refusal) => Err(refusal),
    };
    let pass = match pass {
        Ok(pass) => pass,
        Err(refusal) => return refused(&guard, &request, &refusal),
    };
    let caller = pass.caller().clone();
    let audited = Audited::of(needs, Some(&caller), manner, &request);
    request.extensions_mut().insert(caller.clone());
    if let Err(refusal) = may(&caller, needs) {
        let response = refused(&guard, &request, &refusal);
        return answered(audited, response);
    }
    if let Some(full) = refused_place(&mut request, Whose::Caller) {
        return answered(audited, full);
    }
    let clock = Arc::clone(&guard.clock);
    let guarded = |body| Guarded { body, pass, over: None, clock, is_over: false };
    let response = next.run(request.map(|body| Body::new(guarded(body)))).await;
    answered(audited, response)
}

fn may(caller: &Caller, needs: Needs) -> Result<(), Refusal> {
    let key = || caller.key().unwrap_or_default().to_owned();
    if let Some(needed) = needs.scope()
        && !caller.may(needed)
    {
        return Err(Refusal::Scope { key: key(), has: caller.scope(), needed });
    }
    if needs.is_of_operator() && !caller.is_operator() {
        return Err(Refusal::Operator(key()));
    }
    Ok(())
}

/// The key of a request: of `Authorization: Bearer`, or the password of `Basic`.
fn presented(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Refusal::Header);
    }
    let text = value.to_str().map_err(|_| Refusal::Header)?;
    let (scheme, rest) = text.trim().split_once(' ').ok_or(Refusal::Header)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::Header);
    }
    let decoded = login::of_base64(rest).ok_or(Refusal::Header)?;
    let decoded = String::from_utf8(decoded).map_err(|_| Refusal::Header)?;
    decoded.split_once(':').map(|(_, key)| Some(key.to_owned())).ok_or(Refusal::Header)
}

fn refused(guard: &Guard, request: &Request, refusal: &Refusal) -> Response<Body> {
    guard.refusals.note(refusal);
    let (kind, reason, manner) = (refusal.kind(), refusal.reason(), guard.manner(request));
    tracing::debug!(reason, action = action(request, manner), peer = ?peer(request), "refused");
    if is_grpc(request.headers()) {
        return stream::status(refusal, kind, Some(reason)).into_http();
    }
    let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::FORBIDDEN);
    let is_page = *request.method() == Method::GET && wants_page(request.headers());
    if let Some(refuse) = manner.and_then(|manner| manner.refuse) {
        return refuse(refusal);
    }
    if is_page && status == StatusCode::UNAUTHORIZED {
        let to = request.uri().path_and_query().map_or("/", |to| to.as_str());
        return Redirect::to(&login::address(to)).into_response();
    }
    let mut response = if is_page {
        let frame = PageFrame::of(request.uri(), request.headers(), request.extensions());
        frame.refused(status, &refusal.to_string())
    } else {
        Problem::new(kind, refusal.to_string()).because(Some(reason)).into_response()
    };
    match refusal {
        Refusal::TooMany => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        _ if status == StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        _ => {}
    }
    response
}

/// Says what became of what only administrators may do.
fn answered(audited: Option<Audited>, response: Response<Body>) -> Response<Body> {
    if let Some(mut audited) = audited {
        let status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok());
        let result = match (response.status(), audited.is_grpc) {
            // No answer of an administrator's method is a stream, so a head without a status is of a success.
            (StatusCode::OK, true) => format!("gRPC status {}", status.unwrap_or("0")),
            (status, _) => status.as_u16().to_string(),
        };
        audited.result = Some(result);
    }
    response
}

/// What was asked for, without what may be private: a method and a path, or a method of gRPC. The path of
/// another product may have a key in it, so that its pattern stands for it, and nothing for one that there is
/// not.
fn action(request: &Request, manner: Option<&Manner>) -> String {
    let path = match (manner, request.extensions().get::<MatchedPath>()) {
        (Some(_), Some(pattern)) => pattern.as_str(),
        (None, Some(_)) => request.uri().path(),
        (_, None) => "(no such path)",
    };
    if is_grpc(request.headers()) {
        path.to_owned()
    } else {
        format!("{} {path}", request.method())
    }
}

fn peer(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<Address>().map(|address| address.0)
}

/// Where a request comes from, by its extensions.
pub fn address(extensions: &http::Extensions) -> Option<IpAddr> {
    extensions.get::<Address>().map(|address| address.0.ip())
}

// === impl Guarded ===

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        let is_over = this.pass.is_over()
            || frame.is_pending() && {
                let over = this.over.get_or_insert_with(|| Box::pin(this.pass.over()));
                over.as_mut().poll(cx).is_ready()
            };
        if !is_over || matches!(frame, Poll::Ready(None)) {
            return frame;
        }
        this.is_over = true;
        let refusal = this.pass.refusal(this.clock.now());
        let (kind, reason) = (refusal.kind(), refusal.reason());
        let status: Status = stream::status(&refusal, kind, Some(reason));
        Poll::Ready(Some(Err(axum::Error::new(status))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
