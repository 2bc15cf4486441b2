//! What is counted: a method and a path.

use std::fmt;

use tally_proto::methods;

/// The method of a request: HTTP or gRPC. Any number of `count.v1.Method` is stored as it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(pub i32);

/// A method and a path, known to the [`Queue`](crate::Queue) that made it and to its clones only.
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
    /// Ignores case. Further methods, such as `PROPFIND`, have their own numbers. An unknown
    /// method, or the text `GRPC`, which no gRPC call sends, is [`Method::UNSPECIFIED`].
    fn from(method: &http::Method) -> Self {
        match Self(methods::number_of_token(method.as_str().as_bytes())) {
            Self::GRPC => Self::UNSPECIFIED,
            method => method,
        }
    }
}

#[cfg(test)]
mod tests;
