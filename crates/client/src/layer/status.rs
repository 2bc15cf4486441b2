//! The status that a request counts with.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};

use super::head::{header, is_grpc, is_grpc_web};

/// Not known.
pub(super) const NOT_KNOWN: u16 = 0;

/// The client went away before there was a status.
pub(super) const CLIENT_GONE: u16 = 499;

/// The service panicked or failed before there was a status.
pub(super) const FAILED: u16 = 500;

/// gRPC's OK, whose code is 0, which means not known here.
const OK: u16 = 200;

/// gRPC's UNKNOWN: what a client takes an answer for that has no code.
pub(super) const UNKNOWN: u16 = 2;

const CODE_MAX: u16 = 16;

/// Made once: a name as text is parsed for each look.
static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The codes that an answer can have before anybody looks at the path: PERMISSION_DENIED,
/// RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAUTHENTICATED.
const OF_ANY_PATH: [u16; 4] = [7, 8, 12, 16];

/// The status of a gRPC answer, if its head has one. Without it, the trailers have.
pub(super) fn of_grpc_head<B>(head: &http::Response<B>) -> Option<u16> {
    match head.status() {
        StatusCode::OK => of_trailers(head.headers()).or_else(|| {
            // gRPC-Web has its trailers within the body.
            is_grpc_web(content_type(head)?).then_some(NOT_KNOWN)
        }),
        status => Some(status.as_u16()),
    }
}

/// Whether only a method that there is answers so.
pub(super) fn confirms_path<B>(head: &http::Response<B>) -> bool {
    let code = of_trailers(head.headers());
    head.status() == StatusCode::OK
        && content_type(head).is_some_and(is_grpc)
        && code.is_none_or(|code| !OF_ANY_PATH.contains(&code))
}

fn content_type<B>(head: &http::Response<B>) -> Option<&[u8]> {
    Some(header(head.headers(), &CONTENT_TYPE)?.as_bytes())
}

/// The status that gRPC's trailers say.
pub(super) fn of_trailers(trailers: &HeaderMap) -> Option<u16> {
    Some(of_code(header(trailers, &GRPC_STATUS)?.as_bytes()))
}

fn of_code(code: &[u8]) -> u16 {
    if code == b"0" {
        return OK;
    }
    let number = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok());
    match number {
        Some(0) => OK,
        Some(code @ 1..=CODE_MAX) => code,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests;
