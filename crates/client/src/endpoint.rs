//! What is counted: a method and a path.

use std::fmt;

/// The method of a request: an HTTP method, or gRPC. A number of `count.v1.Method`; any
/// number is stored as what it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(pub i32);

/// An endpoint that a [`Queue`](crate::Queue) knows: a method and a path. It costs nothing to
/// copy, and is meaningful only to the queue that made it and the clones of that queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint(pub(crate) u32);

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
        let name = match *self {
            Self::UNSPECIFIED => "UNSPECIFIED",
            Self::CONNECT => "CONNECT",
            Self::DELETE => "DELETE",
            Self::GET => "GET",
            Self::HEAD => "HEAD",
            Self::OPTIONS => "OPTIONS",
            Self::POST => "POST",
            Self::PUT => "PUT",
            Self::TRACE => "TRACE",
            Self::PATCH => "PATCH",
            Self::GRPC => "GRPC",
            Self(number) => return number.fmt(f),
        };
        f.pad(name)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<&http::Method> for Method {
    /// A method that `count.v1` has no number for is [`Method::UNSPECIFIED`].
    fn from(method: &http::Method) -> Self {
        match *method {
            http::Method::CONNECT => Self::CONNECT,
            http::Method::DELETE => Self::DELETE,
            http::Method::GET => Self::GET,
            http::Method::HEAD => Self::HEAD,
            http::Method::OPTIONS => Self::OPTIONS,
            http::Method::PATCH => Self::PATCH,
            http::Method::POST => Self::POST,
            http::Method::PUT => Self::PUT,
            http::Method::TRACE => Self::TRACE,
            _ => Self::UNSPECIFIED,
        }
    }
}
