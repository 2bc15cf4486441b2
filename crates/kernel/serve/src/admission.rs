//! Who may ask: no other site's web page, and gRPC methods only by gRPC.
//!
//! Where no key is asked for, a browser on this machine is a way in. Any site's page can make it send
//! requests here, with the page's `Origin`. A site can also give its own name this machine's address
//! (DNS rebinding), so that its pages can read the answers, with the site's name as `Host`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};
use tally_access::Scope;
use tonic::Status;

use crate::Needs;
use crate::api::Problem;
use crate::guard::Guard;

/// What else a server is called, such as the name of a proxy in front of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostNames(Vec<String>);

/// Which names of this server are right.
#[derive(Debug)]
pub(crate) struct Names {
    /// On a loopback address, only names of this machine are right, whoever asks. Elsewhere programs may use
    /// any name, and browsers those that no other site can have.
    is_loopback: bool,
    /// The name in `--listen`, and those in `--host-names`.
    configured: Vec<String>,
}

// === impl HostNames ===

impl FromStr for HostNames {
    type Err = String;

    /// Names and addresses with commas between them.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |name: &&str| {
            let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            bare(name).parse::<IpAddr>().is_ok()
                || (!name.is_empty() && name.chars().all(is_of_name))
        };
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        match names.iter().find(|name| !is_name(name)) {
            Some(wrong) if !text.is_empty() => Err(format!(
                "\u{201c}{wrong}\u{201d} is not a name: write names without ports, with commas between \
                 them, as in tally.example,counts.example"
            )),
            Some(_) => Ok(Self::default()),
            None => {
                Ok(Self(names.into_iter().map(|name| bare(name).to_ascii_lowercase()).collect()))
            }
        }
    }
}

// === impl Names ===

impl Names {
    pub(crate) fn new(address: SocketAddr, listen: Option<&str>, names: HostNames) -> Self {
        let is_loopback = address.ip().to_canonical().is_loopback();
        let listen = listen.map(str::to_ascii_lowercase);
        Self { is_loopback, configured: names.0.into_iter().chain(listen).collect() }
    }

    /// The first name of this server that the request has wrong.
    fn foreign(&self, request: &Request, authorities: &[String]) -> Option<String> {
        let is_checked = self.is_loopback || is_of_browser(request.headers());
        authorities.iter().find(|name| is_checked && !self.is_own(name)).cloned()
    }

    fn is_own(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = authority.host().to_ascii_lowercase();
        if let Ok(ip) = bare(&host).parse::<IpAddr>() {
            let is_configured = |own: &String| own.parse() == Ok(ip);
            return !self.is_loopback
                || ip.to_canonical().is_loopback()
                || self.configured.iter().any(is_configured);
        }
        let name = host.trim_end_matches('.');
        name == "localhost"
            || name.ends_with(".localhost")
            || self.configured.iter().any(|own| own.trim_end_matches('.') == name)
            // No site has such a name: it is one of this network.
            || (!self.is_loopback && !name.is_empty() && !name.contains('.'))
    }
}

/// Refuses all requests from elsewhere.
pub(crate) async fn admit(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let (names, authorities) = (&guard.names, authorities(&request));
    if let Some(host) = names.foreign(&request, &authorities) {
        let way = if names.is_loopback {
            "use localhost, have the proxy in between send \"Host: localhost\", or"
        } else {
            "use its address, or"
        };
        let reason = format!(
            "{host:?} is not known as a name of this server: {way} start it with the name in \
             --host-names (TALLY_HOST_NAMES)"
        );
        if is_grpc(request.headers()) {
            return Status::permission_denied(reason).into_http();
        }
        return Problem::of_protocol(StatusCode::FORBIDDEN, reason).into_response();
    }
    for origin in request.headers().get_all(header::ORIGIN) {
        if !authorities.iter().any(|name| is_of(origin, name)) {
            let reason = format!("a page of {origin:?} may not send requests to this server");
            return Problem::of_protocol(StatusCode::FORBIDDEN, reason).into_response();
        }
    }
    if is_of_other_site(request.headers()) && is_open_to_pages(&guard, &request) {
        let reason = "a page of another site may not send this to this server";
        return Problem::of_protocol(StatusCode::FORBIDDEN, reason).into_response();
    }
    next.run(request).await
}

/// Refuses what is not gRPC, because the method would do its work, and the caller would not
/// understand the answer.
pub(crate) async fn only_grpc(request: Request, next: Next) -> Response<Body> {
    if request.method() != Method::POST {
        let reason = "a gRPC method is called by POST: use a gRPC client";
        let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, reason);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if !is_grpc(request.headers()) {
        return refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a gRPC method takes application/grpc: use a gRPC client; grpc-web and Connect are \
             not supported",
        );
    }
    if request.version() != Version::HTTP_2 {
        return refused(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "gRPC needs HTTP/2: have the client, or the proxy in between, speak it here",
        );
    }
    next.run(request).await
}

/// `application/grpc`, with protobuf messages.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii_end();
    kind.eq_ignore_ascii_case(b"application/grpc")
        || kind.eq_ignore_ascii_case(b"application/grpc+proto")
}

/// Whether a browser may have sent it. Browsers send `Accept-Language` with everything, and no page can take it
/// away; `Origin` not with each GET, and `Sec-Fetch-*` only where a connection is secure.
fn is_of_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ACCEPT_LANGUAGE)
        || headers.contains_key(header::ORIGIN)
        || headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
}

/// Whether a page of any site could send this request, and it would do something.
fn is_open_to_pages(guard: &Guard, request: &Request) -> bool {
    let needs = guard.needs(request);
    guard.manner(request).is_some() && needs != Needs::Nothing && needs.scope() != Some(Scope::Read)
}

/// Whether a browser says that a page of another site makes it send this: also what has no `Origin`, such as
/// an image's address.
fn is_of_other_site(headers: &HeaderMap) -> bool {
    let sites = headers.get_all("sec-fetch-site").iter();
    sites.into_iter().any(|site| !["same-origin", "none"].iter().any(|own| site == own))
}

/// An address of IPv6 without the brackets that it has in a URL.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// What the request calls this server, in its target and in its `Host`.
fn authorities(request: &Request) -> Vec<String> {
    let of_target = request.uri().authority().map(ToString::to_string);
    let of_header = request.headers().get_all(header::HOST).iter();
    let of_header = of_header.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    of_target.into_iter().chain(of_header).collect()
}

/// Whether an origin, `http://HOST:PORT` or `https://HOST:PORT`, is this server's.
fn is_of(origin: &HeaderValue, authority: &str) -> bool {
    let text = origin.to_str().unwrap_or_default();
    text.split_once("://").is_some_and(|(_, host)| host.eq_ignore_ascii_case(authority))
}

fn refused(status: StatusCode, reason: &str) -> Response<Body> {
    (status, format!("{reason}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_loopback_only_names_of_this_machine_are_right() {
        // An address as well: a proxy may pass on by which one it was reached.
        let more = "Tally.example, b.example, 10.0.0.2, [FD00::1]".parse().expect("names");
        let names = Names::new(([127, 0, 0, 1], 7777).into(), Some("Tally.internal"), more);
        let own = ["localhost", "LOCALHOST:1", "a.localhost:80", "localhost.", "127.0.0.1:7777"];
        let also = ["127.8.8.8", "[::1]:7777", "[::ffff:127.0.0.1]", "tally.internal:7777"];
        let more = ["TALLY.example:1", "b.example.", "10.0.0.2:80", "[fd00:0::1]:7777"];
        for name in own.into_iter().chain(also).chain(more) {
            assert!(names.is_own(name), "{name}");
        }
        let foreign = ["evil.example", "localhost.evil.example", "notlocalhost", "10.0.0.1"];
        for name in foreign.into_iter().chain(["0.0.0.0:7777", "[::2]", "", "a b"]) {
            assert!(!names.is_own(name), "{name}");
        }
    }

    #[test]
    fn elsewhere_names_that_no_site_can_have_are_right_too() {
        let more = "tally.example".parse().expect("names");
        let names = Names::new(([0, 0, 0, 0], 7777).into(), Some("0.0.0.0"), more);
        for name in ["tally.example:80", "localhost", "nas:7777", "10.0.0.1:7777", "[::2]:7777"] {
            assert!(names.is_own(name), "{name}");
        }
        for name in ["evil.example:7777", "evil.tally.example", "10.0.0.1.evil.example", "."] {
            assert!(!names.is_own(name), "{name}");
        }
    }

    #[test]
    fn names_are_read() {
        let read = |text: &str| text.parse::<HostNames>().map(|names| names.0);
        assert_eq!(read("a.example, B.example"), Ok(vec!["a.example".into(), "b.example".into()]));
        assert_eq!(read("::1,[fd00::1]"), Ok(vec!["::1".into(), "fd00::1".into()]));
        assert_eq!(read(""), Ok(vec![]));
        for wrong in ["https://a.example", "a.example:80", "a,,b", "*.example"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn grpc_is_told_from_what_only_looks_like_it() {
        let is = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().expect("a header"));
            is_grpc(&headers)
        };
        for kind in ["application/grpc", "Application/gRPC+proto", "application/grpc ;charset=x"] {
            assert!(is(kind), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpc-web+proto", "application/grpcx"] {
            assert!(!is(kind), "{kind}");
        }
        assert!(!is("application/grpc+json") && !is("text/plain") && !is_grpc(&HeaderMap::new()));
    }
}
