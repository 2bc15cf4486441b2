//! What a closure sees of a request.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

const GRPC: &[u8] = b"application/grpc";

/// To look at each of this many headers is cheaper than a hash.
const FEW: usize = 8;

/// A request without its body. The fields are those of [`http::request::Parts`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Head<'r> {
    /// The method of HTTP; gRPC is a POST.
    pub method: &'r http::Method,
    /// The URI; in a nested router without the prefix, which [`path`](Self::path) has.
    pub uri: &'r http::Uri,
    /// The version of HTTP.
    pub version: http::Version,
    /// The headers.
    pub headers: &'r http::HeaderMap,
    /// What the server and outer layers know of the request.
    pub extensions: &'r http::Extensions,
}

// === impl Head ===

impl<'r> Head<'r> {
    pub(crate) fn of<B>(request: &'r http::Request<B>) -> Self {
        Head {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The path without the query, as the client sent it; with the feature `axum` even within
    /// nested routers. Empty for CONNECT in HTTP/1.
    #[must_use]
    pub fn path(self) -> &'r str {
        self.original_uri().path()
    }

    pub(crate) fn original_uri(self) -> &'r http::Uri {
        #[cfg(feature = "axum")]
        if let Some(original) = self.extensions.get::<axum::extract::OriginalUri>() {
            return &original.0;
        }
        self.uri
    }

    /// The route that axum matched, with the prefixes of outer routers. `None` if none is known
    /// yet, or without the feature `axum`.
    #[must_use]
    pub fn route(self) -> Option<&'r str> {
        #[cfg(feature = "axum")]
        let route = self.extensions.get().map(axum::extract::MatchedPath::as_str);
        #[cfg(not(feature = "axum"))]
        let route = None;
        route
    }

    /// Whether this is a gRPC call, also by gRPC-Web.
    #[must_use]
    pub fn is_grpc(self) -> bool {
        self.method == http::Method::POST
            && header(self.headers, &CONTENT_TYPE)
                .is_some_and(|content_type| is_grpc(content_type.as_bytes()))
    }
}

/// The first value of a header.
#[inline]
pub(super) fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    if headers.len() > FEW {
        return headers.get(name);
    }
    headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Whether this is `application/grpc`, `-web` or `-web-text`, with any parameter or suffix.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    let Some((start, rest)) = content_type.split_at_checked(GRPC.len()) else {
        return false;
    };
    (start == GRPC || start.eq_ignore_ascii_case(GRPC))
        && match rest.first() {
            None | Some(b'+' | b';' | b' ') => true,
            Some(b'-') => rest.get(..4).is_some_and(|web| web.eq_ignore_ascii_case(b"-web")),
            Some(_) => false,
        }
}

/// Whether this is such a content type of gRPC-Web.
pub(super) fn is_grpc_web(content_type: &[u8]) -> bool {
    is_grpc(content_type) && content_type.get(GRPC.len()) == Some(&b'-')
}

#[cfg(test)]
mod tests;
