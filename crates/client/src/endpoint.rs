//! What is counted: a method and a path.

use std::fmt;

use tally_proto::methods;

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
    /// `PROPFIND`, `PURGE` and further methods have numbers of their own; lower case counts as upper
    /// case. A method that has no number is [`Method::UNSPECIFIED`], and so is a request that says
    /// `GRPC`: no gRPC call does.
    fn from(method: &http::Method) -> Self {
        match Self(methods::number_of_token(method.as_str().as_bytes())) {
            Self::GRPC => Self::UNSPECIFIED,
            method => method,
        }
    }
}

#[cfg(test)]
mod tests;
