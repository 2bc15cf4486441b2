//! Names from strangers, numbers, shares and changes as people read them.

use http::{HeaderMap, header};
use maud::{Markup, html};
use tally_runtime::text::is_hidden;

/// How much of a name is shown where many are, in characters. The links have all of it.
pub const SHOWN_CHARS_MAX: usize = 120;
/// From this factor on a change is said as one.
const FACTOR_FROM: f64 = 10.0;

/// A name that anybody may have chosen: what steers, hides or reorders text is shown as its number, and
/// the text around is not reordered.
#[must_use]
pub fn name(text: &str, is_whole: bool) -> Markup {
    let max = if is_whole { usize::MAX } else { SHOWN_CHARS_MAX };
    let end = text.char_indices().nth(max).map(|(at, _)| at);
    let mut rest = &text[..end.unwrap_or(text.len())];
    html! {
        bdi dir="ltr" {
            @if text.is_empty() { em.muted { "none" } }
            @while let Some((at, hidden)) = rest.char_indices().find(|(_, one)| is_hidden(*one)) {
                (rest[..at])
                span.hidden-character { (format!("U+{:04X}", u32::from(hidden))) }
                @let () = rest = &rest[at + hidden.len_utf8()..];
            }
            (rest)
            @if end.is_some() { span.muted { "…" } }
        }
    }
}

/// The same where no markup can be.
#[must_use]
pub fn plain(text: &str) -> String {
    let shown = |one: char| if is_hidden(one) { char::REPLACEMENT_CHARACTER } else { one };
    text.chars().take(SHOWN_CHARS_MAX).map(shown).collect()
}

/// A number with separators, such as `1,234,567`.
#[must_use]
pub fn thousands(number: i64) -> String {
    signed(&tally_runtime::text::thousands(number))
}

/// A round number for an axis, such as `1.5k`.
#[must_use]
pub fn compact(number: i64) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((unit, sign)) = units.into_iter().find(|(unit, _)| number >= *unit) else {
        return number.to_string();
    };
    let (whole, tenth) = (number / unit, number % unit * 10 / unit);
    if tenth == 0 { format!("{whole}{sign}") } else { format!("{whole}.{tenth}{sign}") }
}

/// A share, such as `0.3%`; none is empty, and one that is not all is never 100%.
#[must_use]
pub fn percent(part: i64, whole: i64) -> String {
    if part == 0 || whole <= 0 {
        return String::new();
    }
    let share = 100.0 * part as f64 / whole as f64;
    match share {
        _ if part == whole => "100%".to_owned(),
        ..0.01 => "<0.01%".to_owned(),
        ..1.0 => format!("{share:.2}%"),
        99.9.. => ">99.9%".to_owned(),
        _ => format!("{share:.1}%"),
    }
}

/// How a number has changed, such as `+12%`, and whether it has grown.
#[must_use]
pub fn change(before: i64, now: i64) -> (String, std::cmp::Ordering) {
    let direction = now.cmp(&before);
    let text = match (before, now) {
        (0, 0) => String::new(),
        (..=0, _) => "new".to_owned(),
        (_, 0) => "gone".to_owned(),
        _ => {
            let factor = now as f64 / before as f64;
            match 100.0 * (factor - 1.0) {
                _ if factor >= FACTOR_FROM => format!("\u{d7}{factor:.0}"),
                percent if percent.abs() < 0.05 && before != now => "\u{b1}0.0%".to_owned(),
                0.0 => "0%".to_owned(),
                percent if percent.abs() < 10.0 => signed(&format!("{percent:+.1}%")),
                percent => signed(&format!("{percent:+.0}%")),
            }
        }
    };
    (text, direction)
}

/// With a minus as typesetters have it.
fn signed(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

/// What the browser calls this server, to be put into commands.
pub(super) fn host(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    match host.is_empty() || host.len() > 255 || !host.bytes().all(is_plain) {
        true => "localhost:7777".to_owned(),
        false => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn names_cannot_hide_or_reorder_anything() {
        let shown = |text| name(text, false).into_string();
        assert_eq!(shown("/a"), "<bdi dir=\"ltr\">/a</bdi>");
        assert!(shown("<script>").contains("&lt;script&gt;"));
        let text = shown("/a\u{202e}b\u{7}");
        assert!(!text.contains(is_hidden), "{text}");
        assert!(text.contains("U+202E") && text.contains("U+0007"), "{text}");
        assert!(shown("").contains("none"));
        assert_eq!(plain("/a\u{202e}b\n"), "/a\u{fffd}b\u{fffd}");
        let long = shown(&"é".repeat(SHOWN_CHARS_MAX + 1));
        assert_eq!(long.matches('é').count(), SHOWN_CHARS_MAX);
    }

    #[test]
    fn numbers_are_as_people_read_them() {
        let numbers = [0, 999, 1_000, 1_234_567, -1_000];
        assert_eq!(numbers.map(thousands), ["0", "999", "1,000", "1,234,567", "\u{2212}1,000"]);
        assert_eq!([0, 900, 1_500, 2_000_000].map(compact), ["0", "900", "1.5k", "2M"]);
        let shares = [(0, 5), (1, 3), (1, 1_000_000), (999_999, 1_000_000), (5, 5)];
        let shares = shares.map(|(part, whole)| percent(part, whole));
        assert_eq!(shares, ["", "33.3%", "<0.01%", ">99.9%", "100%"]);
    }

    #[test]
    fn changes_say_how_much_and_which_way() {
        for (before, now, text, way) in [
            (0, 0, "", Ordering::Equal),
            (0, 5, "new", Ordering::Greater),
            (5, 0, "gone", Ordering::Less),
            (100, 112, "+12%", Ordering::Greater),
            (100, 97, "\u{2212}3.0%", Ordering::Less),
            (100, 100, "0%", Ordering::Equal),
            (2, 25, "\u{d7}12", Ordering::Greater),
        ] {
            assert_eq!(change(before, now), (text.to_owned(), way), "{before} {now}");
        }
    }
}
