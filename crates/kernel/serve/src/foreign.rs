//! Routes of other products: they have their key where that product has it, and are refused in its words.

use std::fmt;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use axum::routing::MethodRouter;
use http::HeaderMap;
use tally_access::Refusal;

use crate::Needs;
use crate::api::pairs;

/// The segment of a path that has the key.
const SEGMENT: &str = "{key}";
/// The lengths of the groups of a UUID as it is written in a URL.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// Where a request may have its key, besides `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path: its segment `{key}`.
    Path,
    /// The segment `{key}` of the path may also be a UUID, which is a [`Link`]: it needs no key, and opens what
    /// it names. Where no key is asked for, it is a link as well.
    Link,
    /// In this parameter of the query.
    Query(&'static str),
    /// In this header, whose name is in lower case.
    Header(&'static str),
    /// The same, among others: `NAME=VALUE`, with commas or blanks between them.
    Member(&'static str, &'static str),
}

/// How a product asks, and what it understands as a refusal.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Where the key may be. The first one counts that has something.
    pub places: &'static [Place],
    /// What a refusal is answered; none: what Tally's own API answers.
    pub refuse: Option<fn(&Refusal) -> Response>,
}

/// An extension of a request whose path has a UUID in place of a key: whoever knows it may do what the route
/// does to what it names, and nothing else. With keys asked for, there is no [`Caller`](tally_access::Caller)
/// then.
#[derive(Clone, PartialEq, Eq)]
pub struct Link(String);

/// Routes of other products. What they take of any content type, pages of other sites cannot send.
#[derive(Default)]
pub struct Foreign {
    pub(crate) router: Router,
    pub(crate) routes: Vec<Route>,
}

/// A path, its manner, and what each method needs.
type Route = (&'static str, &'static Manner, &'static [(&'static str, Needs)]);

// === impl Foreign ===

impl Foreign {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route: what each method needs (`get`, `post`; `any` stands for all others), and what does it.
    /// Panics if there is one of this path.
    #[must_use]
    pub fn route(
        mut self,
        path: &'static str,
        manner: &'static Manner,
        needs: &'static [(&'static str, Needs)],
        does: MethodRouter,
    ) -> Self {
        self.router = self.router.route(path, does);
        self.routes.push((path, manner, needs));
        self
    }
}

// === impl Manner ===

impl Manner {
    /// The link in the path, if there is one.
    pub(crate) fn link(&self, request: &Request) -> Option<Link> {
        let segment = self.places.contains(&Place::Link).then(|| segment(request)).flatten()?;
        is_uuid(segment).then(|| Link(segment.to_ascii_lowercase()))
    }

    /// The key, if there is one.
    pub(crate) fn key(&self, request: &Request) -> Option<String> {
        let key = self.places.iter().find_map(|place| match place {
            Place::Path => segment(request).map(str::to_owned),
            Place::Link => None,
            Place::Query(name) => {
                let mut all = pairs(request.uri().query());
                all.find(|(of, _)| of == name).map(|(_, value)| value)
            }
            Place::Header(name) => text(request.headers(), name).map(str::to_owned),
            Place::Member(name, member) => text(request.headers(), name)?
                .split([',', ' '])
                .filter_map(|part| part.trim().split_once('='))
                .find(|(of, _)| of == member)
                .map(|(_, value)| value.to_owned()),
        });
        key.filter(|key| !key.is_empty())
    }
}

// === impl Link ===

impl Link {
    /// The UUID, in lower case.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Link {
    /// It is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// What the path has where its pattern has the key.
fn segment(request: &Request) -> Option<&str> {
    let pattern = request.extensions().get::<MatchedPath>()?;
    let at = pattern.as_str().split('/').position(|part| part == SEGMENT)?;
    request.uri().path().split('/').nth(at)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_uuid(text: &str) -> bool {
    let is_group = |(part, len): (&str, usize)| {
        part.len() == len && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    text.split('-').count() == GROUPS.len() && text.split('-').zip(GROUPS).all(is_group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_uuid_as_urls_have_it() {
        assert!(is_uuid("f81d4fae-7dec-11d0-a765-00A0C91E6BF6"));
        for other in [
            "",
            "f81d4fae7dec11d0a76500a0c91e6bf6",
            "{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6-",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bg6",
            "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        ] {
            assert!(!is_uuid(other), "{other}");
        }
    }

    #[test]
    fn a_key_is_found_where_the_product_has_it() {
        const ALL: Manner = Manner {
            places: &[
                Place::Query("sentry_key"),
                Place::Member("x-sentry-auth", "sentry_key"),
                Place::Header("x-api-key"),
            ],
            refuse: None,
        };
        let key = |uri: &str, headers: &[(&str, &str)]| {
            let builder = Request::builder().uri(uri);
            let named = |builder: http::request::Builder, (name, value): &(&str, &str)| {
                builder.header(*name, *value)
            };
            let request = headers.iter().fold(builder, named).body(axum::body::Body::empty());
            ALL.key(&request.expect("a request"))
        };
        let auth = ("x-sentry-auth", "Sentry sentry_version=7, sentry_key=b,sentry_client=c/1");
        assert_eq!(key("/?a=b&sentry_key=%61", &[auth]).as_deref(), Some("a"));
        assert_eq!(key("/", &[auth]).as_deref(), Some("b"));
        assert_eq!(key("/", &[("x-api-key", "c")]).as_deref(), Some("c"));
        assert_eq!(key("/?sentry_key=", &[]), None);
        assert_eq!(key("/", &[("x-sentry-auth", "Sentry")]), None);
    }
}
