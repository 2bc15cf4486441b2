//! Lines to copy.

use maud::{Markup, html};

/// Lines to copy, with a few words on what they are for. Of all in a page one is open at a time.
#[must_use]
pub fn snippet(title: &str, is_open: bool, words: &str, code: &str) -> Markup {
    html! {
        details.snippet name="snippet" open[is_open] {
            summary { (title) }
            p { (words) }
            pre tabindex="0" { code { (code) } }
        }
    }
}
