//! One endpoint's page.

use maud::{Markup, html};
use tally_serve::pages::{SHOWN_CHARS_MAX, name, plain};

use super::ask::Ask;
use super::view::View;
use super::{chart, controls, parts};

/// What the tab is called.
pub(super) fn title(ask: &Ask) -> String {
    let text = format!(
        "{} {}",
        ask.method.as_deref().unwrap_or_default(),
        ask.path.as_deref().unwrap_or_default()
    );
    plain(text.trim())
}

pub(super) fn page(view: &View) -> Markup {
    let ask = &view.ask;
    let path = ask.path.as_deref().unwrap_or_default();
    let all = ask.with(|ask| (ask.method, ask.path) = (None, None));
    html! {
        nav.trail aria-label="Trail" {
            a href=(all) { "All endpoints" }
            @for (prefix, segment) in segments(path) {
                " " span.muted aria-hidden="true" { "/" } " "
                a href=(ask.with(|ask| {
                    (ask.method, ask.path, ask.path_prefix) = (None, None, Some(prefix.to_owned()));
                })) { (name(segment, false)) }
            }
        }
        h1.endpoint {
            @if let Some(method) = &ask.method { span.method { (name(method, true)) } " " }
            span.path { (name(path, false)) }
        }
        @if path.chars().count() > SHOWN_CHARS_MAX {
            details.numbers { summary { "The whole path" } p.path { (name(path, true)) } }
        }
        (controls::controls(view))
        (parts::figures(view))
        @if view.total == 0 { (parts::nothing(view)) }
        (parts::shares(view))
        (chart::chart(view))
        div.columns.even {
            (parts::statuses(view))
            (parts::ranking(view, ("services", "Services", "service"), &view.services,
                ask.service.as_deref(), |ask, service| ask.service = service))
            (parts::ranking(view, ("customers", "Customers", "customer"), &view.customers,
                ask.customer.as_deref(), |ask, customer| ask.customer = customer))
        }
    }
}

/// The segments of a path but for the last one, each with the path up to and with it. A few are enough to
/// find one's way.
fn segments(path: &str) -> Vec<(&str, &str)> {
    let ends = path.match_indices('/').map(|(at, _)| at + 1);
    let ends: Vec<_> = ends.skip_while(|end| *end == 1).take(6).collect();
    let mut start = usize::from(path.starts_with('/'));
    let mut segments = Vec::new();
    for end in ends {
        let segment = &path[start..end - 1];
        if !segment.is_empty() && end < path.len() {
            segments.push((&path[..end], segment));
        }
        start = end;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_trail_of_prefixes() {
        assert_eq!(segments("/shop/cart/12"), [("/shop/", "shop"), ("/shop/cart/", "cart")]);
        assert_eq!(segments("/shop/"), []);
        assert_eq!(segments("/"), []);
        assert_eq!(segments("*"), []);
        assert_eq!(segments("//a//b"), [("//a/", "a")]);
        assert_eq!(segments("/ä/ö/"), [("/ä/", "ä")]);
    }
}
