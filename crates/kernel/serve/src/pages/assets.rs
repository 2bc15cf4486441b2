//! The style sheet, the script and the icon, with a hash of their content in their names, so that a
//! browser may keep each for ever.

use std::sync::LazyLock;

use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::get;
use http::{HeaderValue, header};

use crate::api::tag_of;

/// A file that is built in.
pub(super) struct Asset {
    /// Where it is.
    pub(super) path: String,
    content_type: &'static str,
    content: &'static str,
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("tally", "css", "text/css", include_str!("tally.css")));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("tally", "js", "text/javascript", include_str!("tally.js")));
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("tally", "svg", "image/svg+xml", include_str!("tally.svg")));

/// Where they are.
pub(crate) fn paths() -> [&'static str; 3] {
    [&STYLE.path, &SCRIPT.path, &ICON.path]
}

/// Serves them.
pub(super) fn router() -> Router {
    [&STYLE, &SCRIPT, &ICON].into_iter().fold(Router::new(), |router, asset| {
        router.route(&asset.path, get(async || asset.response()))
    })
}

// === impl Asset ===

impl Asset {
    fn new(name: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let path = format!("/static/{name}-{:016x}.{extension}", tag_of(&content));
        Self { path, content_type, content }
    }

    fn response(&self) -> axum::response::Response {
        let mut response = self.content.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let for_ever = "public, max-age=31536000, immutable";
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(for_ever));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}
