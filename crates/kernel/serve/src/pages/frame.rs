//! What surrounds each page, and the headers of its answer.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri, header};
use maud::{DOCTYPE, Markup, html};
use tally_access::{Caller, Scope};
use tally_runtime::Namespace;

use super::assets::{ICON, SCRIPT, STYLE};
use super::{Site, api, login, name, text};
use crate::Peer;
use crate::api::{self as answers, tag_of, untagged, wants_page};

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HTML: &str = "text/html; charset=utf-8";

/// The frame of one answer. Handlers of pages take it as an argument.
pub struct Frame {
    pub(super) site: Arc<Site>,
    path: String,
    headers: HeaderMap,
    /// The name of the key that the browser is logged in with.
    key: Option<String>,
    caller: Option<Caller>,
    has_tls: bool,
}

/// What a page has in its frame.
pub struct Page {
    /// What the tab is called.
    pub title: String,
    /// What it shows.
    pub body: Markup,
    /// Whether the numbers may change by themselves, so that the script asks again.
    pub is_live: bool,
    /// When the numbers are from, which alone makes no other page.
    pub as_of: Option<Markup>,
    /// The status of the answer.
    pub status: StatusCode,
}

// === impl Page ===

impl Page {
    /// A page whose other fields are to be chosen.
    #[must_use]
    pub fn new(body: Markup) -> Self {
        Self { title: String::new(), body, is_live: false, as_of: None, status: StatusCode::OK }
    }
}

// === impl Frame ===

impl Frame {
    /// Whether the client prefers a page.
    pub(super) fn is_wanted(&self) -> bool {
        wants_page(&self.headers)
    }

    /// Where the browser reaches this server, such as `http://localhost:7777`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}", text::host(&self.headers))
    }

    /// Whose numbers the page shows. Panics on a page that needs no caller.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        self.caller().namespace()
    }

    /// Who looks. Panics on a page that needs no caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.caller.as_ref().expect("the server has put the caller into every request")
    }

    /// Whether who looks may send forms: a browser that is logged in only looks.
    #[must_use]
    pub fn may_change(&self) -> bool {
        self.key.is_none() && self.caller().may(Scope::Admin)
    }

    /// The answer, which may be that the browser has this page.
    #[must_use]
    pub fn page(&self, mut page: Page) -> Response {
        let status = page.status;
        let mut response = if status == StatusCode::OK {
            let as_of = page.as_of.take();
            let tag = tag_of(&self.around(&page).0);
            page.as_of = as_of;
            answers::text(&self.headers, tag, HTML, self.around(&page).0)
        } else {
            let mut response = untagged(HTML, self.around(&page).into_string().into());
            *response.status_mut() = status;
            response
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }

    /// There is no such page.
    pub(crate) fn unknown(&self) -> Response {
        let body = html! {
            h1 { "There is no such page" }
            p { code { (name(&self.path, false)) } }
            p { a.button href="/" { "Overview" } }
        };
        let status = StatusCode::NOT_FOUND;
        self.page(Page { title: "Not found".into(), status, ..Page::new(body) })
    }

    /// The page is there, and is not for this browser, or not now.
    pub(crate) fn refused(&self, status: StatusCode, why: &str) -> Response {
        let body = html! {
            h1 { "This page is not shown" }
            p.notice role="alert" { "Refused: " (why) "." }
            p { a.button href="/" { "Overview" } }
        };
        self.page(Page { title: "Refused".into(), status, ..Page::new(body) })
    }

    /// The frame of the answer to a request.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let site = extensions.get::<Arc<Site>>().cloned();
        let site = site.expect("the server has put the site into every request");
        let (path, headers) = (uri.path().to_owned(), headers.clone());
        let caller = extensions.get::<Caller>().cloned();
        let has_tls = extensions.get::<Peer>().is_some_and(Peer::has_tls);
        let logged_in = caller.as_ref().filter(|_| login::secret(&headers).is_some());
        let key = logged_in.and_then(Caller::key).map(str::to_owned);
        Self { site, path, headers, key, caller, has_tls }
    }

    fn around(&self, page: &Page) -> Markup {
        let is_in = |path: &str| {
            self.path
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let entries = self.site.entries.iter().map(|entry| entry.path);
        let all = entries.chain([api::PATH, "/about"]).filter(|path| is_in(path));
        // An entry may be within another.
        let nearest = all.max_by_key(|path| path.len());
        let here = |path: &str| (nearest == Some(path)).then_some("page");
        let about = &self.site.about;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (page.title) " · Tally" }
                    link rel="icon" type="image/svg+xml" href=(ICON.path);
                    link rel="stylesheet" href=(STYLE.path);
                    script src=(SCRIPT.path) defer {}
                }
                body {
                    a.skip href="#main" { "Skip to content" }
                    header.site {
                        a.brand href="/" aria-label="Tally, overview" { (mark()) span { "Tally" } }
                        nav aria-label="Pages" {
                            @for entry in &self.site.entries {
                                a href=(entry.path) aria-current=[here(entry.path)] { (entry.text) }
                            }
                            a href=(api::PATH) aria-current=[here(api::PATH)] { "API" }
                            a href="/about" aria-current=[here("/about")] { "About" }
                        }
                        div.state {
                            @if let Some(as_of) = &page.as_of { p #as-of { (as_of) } }
                            @if let Some(key) = &self.key {
                                form.plain method="post" action=(login::LOGOUT) {
                                    button type="submit" title={ "Logged in with the key " (key) } { "Log out" }
                                }
                            }
                        }
                    }
                    main #main tabindex="-1" data-live[page.is_live] { (page.body) }
                    footer.site { p { "Tally " (about.version) } }
                }
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Frame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.uri, &parts.headers, &parts.extensions))
    }
}

/// Five strokes, as people tally.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" {
            path d="M5 4v16M9.5 4v16M14 4v16M18.5 4v16M2.5 17 21.5 7" {}
        }
    }
}
