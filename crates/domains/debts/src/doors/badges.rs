//! Badges: small images of how a debt, or the worst debt of a tag, stands, for pages elsewhere.
//!
//! | path | answer |
//! |---|---|
//! | `GET /badges/debts.svg?debt=<number>&secret=<…>` | the image; 404 without the right secret |
//! | `GET /badges/debts.svg?tag=<tag>&secret=<…>` | the same of all debts of a tag |
//!
//! `namespace=<number>` names another namespace than `default`. Who has a link needs no key, and sees nothing else by
//! it: [`Service::badge_link`] says who gets one.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::html;
use tally_runtime::Namespace;
use tally_runtime::text::is_hidden;
use tally_serve::api::{self, pairs};
use tally_serve::{Foreign, Manner, Needs};

use super::told;
use crate::error::Error;
use crate::service::{BADGE_PATH, Badge, Service};
use crate::state::Standing;

const MANNER: Manner = Manner { places: &[], refuse: None };
const NEEDS: &[(&str, Needs)] = &[("get", Needs::Nothing)];

/// How many characters of a name a badge has.
const LABEL_CHARS_MAX: usize = 60;
/// The height of a badge, and what is left and right of a text, in pixels.
const HEIGHT: u32 = 20;
const BESIDE: u32 = 6;

pub(super) fn routes(routes: Foreign, service: &Service) -> Foreign {
    routes.route(BADGE_PATH, &MANNER, NEEDS, get(badge).with_state(service.clone()))
}

async fn badge(State(service): State<Service>, request: Request) -> Response {
    match shown(&service, request.uri().query()).await {
        Ok((label, standing)) => image(request.headers(), &svg(&label, standing)),
        Err(Error::Unknown(_)) => (StatusCode::NOT_FOUND, "not found\n").into_response(),
        Err(error) => told(&error).into_response(),
    }
}

async fn shown(service: &Service, query: Option<&str>) -> Result<(String, Standing), Error> {
    let query: Vec<_> = pairs(query).collect();
    let one = |name: &str| query.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
    let unknown = || Error::Unknown("this badge".to_owned());
    let namespace = match one("namespace") {
        None => Namespace::DEFAULT,
        Some(number) => Namespace(number.parse().map_err(|_| unknown())?),
    };
    let badge = match (one("debt"), one("tag")) {
        (Some(number), None) => Badge::Debt(number.parse().map_err(|_| unknown())?),
        (None, Some(tag)) => Badge::Tag(tag.to_owned()),
        _ => return Err(unknown()),
    };
    service.badge(namespace, badge, one("secret").unwrap_or_default()).await
}

/// The image, which does nothing where it is opened. Whoever keeps it asks again before showing it.
fn image(asked: &HeaderMap, svg: &str) -> Response {
    let mut response = api::text(asked, api::tag_of(&svg), "image/svg+xml; charset=utf-8", svg);
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

fn svg(label: &str, standing: Standing) -> String {
    // White on each of them has a contrast of 4.5 and more (WCAG 2.2, 1.4.3).
    let (word, colour) = match standing {
        Standing::Up => ("up", "#2e7d32"),
        Standing::Late => ("late", "#9a5b00"),
        Standing::Down => ("down", "#c62828"),
        Standing::New => ("new", "#616161"),
        Standing::Paused => ("paused", "#616161"),
    };
    let label = plain(label);
    let (left, right) = (width(&label), width(word));
    let (left_box, right_box) = (left + 2 * BESIDE, right + 2 * BESIDE);
    let all = left_box + right_box;
    let said = format!("{label}: {word}");
    let text = |x: u32, length: u32, text: &str| {
        html! { text x=(x) y="14" textLength=(length) { (text) } }
    };
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(all) height=(HEIGHT) role="img" aria-label=(said) {
            title { (said) }
            clipPath id="round" { rect width=(all) height=(HEIGHT) rx="3" {} }
            g clip-path="url(#round)" {
                rect width=(left_box) height=(HEIGHT) fill="#424242" {}
                rect x=(left_box) width=(right_box) height=(HEIGHT) fill=(colour) {}
            }
            g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" {
                (text(BESIDE, left, &label))
                (text(left_box + BESIDE, right, word))
            }
        }
    }
    .into_string()
}

/// The text without what XML does not have, or what would put its characters elsewhere; and not too long.
fn plain(text: &str) -> String {
    let is_shown = |char: &char| !is_hidden(*char) && !matches!(char, '\u{fffe}' | '\u{ffff}');
    let mut chars = text.chars().filter(is_shown);
    let mut plain: String = chars.by_ref().take(LABEL_CHARS_MAX).collect();
    if chars.next().is_some() {
        plain.pop();
        plain.push('\u{2026}');
    }
    plain
}

/// How wide a text is in about this font. The image says it, so that no other font makes it wider.
fn width(text: &str) -> u32 {
    let tenths = |char: char| match char {
        'i' | 'j' | 'l' | 'f' | 't' | 'r' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!'
        | '-' | ' ' => 43,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '\u{2026}' => 105,
        'A'..='Z' => 78,
        char if char < '\u{1100}' => 67,
        _ => 115,
    };
    text.chars().map(tenths).sum::<u32>().div_ceil(10).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_is_a_small_image() {
        let svg = svg("backup", Standing::Down);
        for part in [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"96\" height=\"20\" role=\"img\"",
            "aria-label=\"backup: down\"><title>backup: down</title>",
            "fill=\"#c62828\"></rect>",
            ">backup</text>",
            ">down</text>",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    /// A tag comes from whoever may add a debt, and a badge is opened in pages of others.
    #[test]
    fn no_text_ends_its_place() {
        let evil = "</text><script>alert(1)</script>\"' onload=\"x\u{0}\u{7}\u{ffff}\u{202e}&amp;";
        let svg = svg(evil, Standing::Up);
        assert!(!svg.contains("<script") && !svg.contains("onload=\"x"), "{svg}");
        assert!(svg.contains("&lt;script&gt;") && svg.contains("&amp;amp;"), "{svg}");
        assert!(!svg.contains(['\u{0}', '\u{7}', '\u{ffff}', '\u{202e}']), "{svg}");
        let long = plain(&"x".repeat(1_000));
        assert!(long.chars().count() == LABEL_CHARS_MAX && long.ends_with('\u{2026}'), "{long}");
    }
}
