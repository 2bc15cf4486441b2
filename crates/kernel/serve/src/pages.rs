//! The pages of all domains: one frame, one look, and what they are made of.
//!
//! | file | what it owns |
//! |---|---|
//! | `about.rs` | `/about`: the server and its settings |
//! | `api.rs` | `/api`: the OpenAPI document for people |
//! | `assets.rs` | the style sheet, the script and the icon, with a hash in their names |
//! | `chart.rs` | charts as SVG, without a script |
//! | `frame.rs` | what surrounds each page, and the headers of its answer |
//! | `lengths.rs` | how long things took, as bars |
//! | `link.rs` | addresses with parameters |
//! | `login.rs` | `/login` and `/logout` |
//! | `moments.rs` | moments as people read them |
//! | `snippet.rs` | lines to copy |
//! | `text.rs` | names from strangers, numbers, shares and changes as people read them |

mod about;
pub(crate) mod api;
pub(crate) mod assets;
mod chart;
mod frame;
mod lengths;
mod link;
pub(crate) mod login;
mod moments;
mod snippet;
mod text;

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use maud::{Markup, html};
use tally_runtime::Namespace;

pub use self::about::{About, Setting};
pub use self::chart::{Bar, Chart, Tick, sparkline};
pub use self::frame::{Frame, Page};
pub use self::lengths::{Length, Lengths};
pub use self::link::Link;
pub use self::moments::{as_of, moment, moment_text, relative};
pub use self::snippet::snippet;
pub use self::text::{SHOWN_CHARS_MAX, change, compact, name, percent, plain, thousands};
use crate::Domains;
use crate::facts::Origin;

/// The pages of a domain.
#[derive(Default)]
pub struct Pages {
    pub(crate) entries: Vec<Entry>,
    pub(crate) routes: Router,
    /// Where they are.
    pub(crate) paths: Vec<&'static str>,
    /// Those of them that take forms.
    pub(crate) forms: Vec<&'static str>,
    pub(crate) overviews: Vec<Overview>,
}

/// A page that every page leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) path: &'static str,
    pub(crate) text: &'static str,
}

/// A domain's part of `/`.
pub struct Glance {
    /// What it shows.
    pub body: Markup,
    /// When its numbers are from, which alone makes no other page.
    pub as_of: Option<Markup>,
}

pub(crate) type Overview = Arc<dyn Fn(Namespace, String) -> Part + Send + Sync>;
type Part = Pin<Box<dyn Future<Output = Glance> + Send>>;

/// What all pages of a server have in common.
pub(crate) struct Site {
    pub(crate) entries: Vec<Entry>,
    pub(crate) about: About,
    /// What the server can say of itself.
    origin: Option<(Domains, Origin)>,
    overviews: Vec<Overview>,
}

// === impl Pages ===

impl Pages {
    /// No pages yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a page to the navigation.
    #[must_use]
    pub fn entry(mut self, path: &'static str, text: &'static str) -> Self {
        self.entries.push(Entry { path, text });
        self
    }

    /// Adds a page, which needs a key that may look: `get(handler).with_state(service)`. The handler
    /// takes a [`Frame`].
    #[must_use]
    pub fn page(mut self, path: &'static str, does: MethodRouter) -> Self {
        self.routes = self.routes.route(path, does);
        self.paths.push(path);
        self
    }

    /// The same for a page that takes a form by POST, which changes something: that needs a key that may do
    /// everything, and is for those whom [`Frame::may_change`] says it of.
    #[must_use]
    pub fn form(mut self, path: &'static str, does: MethodRouter) -> Self {
        self.forms.push(path);
        self.page(path, does)
    }

    /// Adds a part to `/`: a function of the namespace that it is of, and of where the browser reaches this
    /// server, such as `http://localhost:7777`.
    #[must_use]
    pub fn overview<F>(
        mut self,
        part: impl Fn(Namespace, String) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output: Into<Glance>> + Send + 'static,
    {
        let part = move |namespace, url| {
            let glance = part(namespace, url);
            Box::pin(async move { glance.await.into() }) as Part
        };
        self.overviews.push(Arc::new(part));
        self
    }

    /// The same with those of another domain.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self.overviews.extend(other.overviews);
        self.paths.extend(other.paths);
        self.forms.extend(other.forms);
        self.routes = self.routes.merge(other.routes);
        self
    }

    /// All of them, and what their frames need. `text` is what programs get at `/`.
    pub(crate) fn finish(
        self,
        about: About,
        origin: Option<(Domains, Origin)>,
        text: String,
    ) -> (Router, Arc<Site>) {
        let site = Site { entries: self.entries, about, origin, overviews: self.overviews };
        let home = async move |frame: Frame| match frame.is_wanted() {
            true => overview(&frame).await,
            false => text.clone().into_response(),
        };
        let router = self.routes.route("/", get(home)).route("/about", get(about::page));
        (router.merge(assets::router()), Arc::new(site))
    }
}

impl From<Markup> for Glance {
    fn from(body: Markup) -> Self {
        Self { body, as_of: None }
    }
}

/// `/`: what every domain has to say.
async fn overview(frame: &Frame) -> Response {
    let parts = frame.site.overviews.iter();
    let parts = parts.map(|part| part(frame.namespace(), frame.url()));
    let mut parts = futures_util::future::join_all(parts).await;
    // Those of several domains are of the same moment, or nearly.
    let as_of = parts.iter_mut().find_map(|part| part.as_of.take());
    let body = html! {
        h1.visually-hidden { "Overview" }
        @if parts.is_empty() {
            p.notice { "No domain of this server has pages. " a href="/about" { "About this server" } }
        }
        @for part in parts { (part.body) }
    };
    frame.page(Page { title: "Overview".into(), is_live: true, as_of, ..Page::new(body) })
}
