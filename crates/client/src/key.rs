//! What requests are counted under: methods, and the keys of series.

use std::fmt;

use tally_proto::methods;
use tally_proto::wire::{self, CUSTOMER_BYTES_MAX, PATH_BYTES_MAX, SERVICE_BYTES_MAX, STATUS_MAX};

/// The method of a request: HTTP or gRPC. Any number of `count.v1.Method` is stored as it is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(pub i32);

/// What a request counts under: an endpoint, and if they are known who served it, with what result,
/// and for whom.
///
/// ```
/// use tally_client::{Method, Queue, SeriesKey};
///
/// let queue = Queue::in_memory();
/// let missing = queue.series(SeriesKey {
///     service: "shop",
///     method: Method::GET,
///     path: "/orders/{id}",
///     status: 404,
///     ..SeriesKey::default()
/// });
/// queue.record_or_drop(missing);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesKey<'a> {
    /// Who served it. One longer than 128 bytes or with a NUL is `_other`. Empty: not known.
    pub service: &'a str,
    /// The method.
    pub method: Method,
    /// The path without a query. One that is empty, longer than 2,048 bytes or contains a NUL is
    /// `_other`.
    pub path: &'a str,
    /// The HTTP status. If the method is [`Method::GRPC`]: the gRPC code from 1 to 16, or 200 for
    /// OK. 0, and any above 999: not known.
    pub status: u16,
    /// On whose behalf, such as the owner of an API key. One longer than 256 bytes or with a NUL is
    /// `_other`. Empty: not known.
    pub customer: &'a str,
}

// === impl Method ===

impl Method {
    /// Not said, or not known.
    pub const UNSPECIFIED: Self = Self(0);
    /// HTTP CONNECT.
    pub const CONNECT: Self = Self(1);
    /// HTTP DELETE.
    pub const DELETE: Self = Self(2);
    /// HTTP GET.
    pub const GET: Self = Self(3);
    /// HTTP HEAD.
    pub const HEAD: Self = Self(4);
    /// HTTP OPTIONS.
    pub const OPTIONS: Self = Self(5);
    /// HTTP POST.
    pub const POST: Self = Self(6);
    /// HTTP PUT.
    pub const PUT: Self = Self(7);
    /// HTTP TRACE.
    pub const TRACE: Self = Self(8);
    /// HTTP PATCH.
    pub const PATCH: Self = Self(9);
    /// A gRPC call.
    pub const GRPC: Self = Self(100);
}

impl fmt::Display for Method {
    /// The name, such as `GET`; of a number that has none, the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match methods::name(self.0) {
            _ if *self == Self::UNSPECIFIED => f.pad("UNSPECIFIED"),
            Some(name) => f.pad(name),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<&http::Method> for Method {
    /// Ignores case. Further methods, such as `PROPFIND`, have their own numbers. An unknown
    /// method, or the text `GRPC`, which no gRPC call sends, is [`Method::UNSPECIFIED`].
    fn from(method: &http::Method) -> Self {
        match Self(methods::number_of_token(method.as_str().as_bytes())) {
            Self::GRPC => Self::UNSPECIFIED,
            method => method,
        }
    }
}

// === impl SeriesKey ===

impl<'a> SeriesKey<'a> {
    /// The key of an endpoint alone.
    #[inline]
    pub(crate) fn endpoint(method: Method, path: &'a str) -> Self {
        Self { method, path, ..Self::default() }
    }

    /// With texts and a status that every server takes.
    pub(crate) fn storable(self) -> Self {
        Self {
            service: wire::text(self.service, SERVICE_BYTES_MAX),
            path: wire::path(self.path, PATH_BYTES_MAX),
            status: if self.status > STATUS_MAX { 0 } else { self.status },
            customer: wire::text(self.customer, CUSTOMER_BYTES_MAX),
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
