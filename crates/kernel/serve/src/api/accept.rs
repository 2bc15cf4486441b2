//! What a client wants to read: the weights of `Accept` (RFC 9110, section 12.5.1).

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::parameters::{Parameter, Parameters, Values};
use super::problem::Problem;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, unless something else is asked for.
    Json,
    /// Comma-separated values, with a header.
    Csv,
}

/// The parameter that says the same as `Accept`, and more: links have no headers.
pub const FORMAT: Parameter = Parameter {
    name: "format",
    about: "How the answer is written: instead of the header `Accept`, for links.",
    values: Values::OneOf(&["json", "csv"]),
    is_repeated: false,
};

// === impl Format ===

impl Format {
    /// What the parameter [`FORMAT`] says, or else the header `Accept`.
    ///
    /// # Errors
    /// 406, if nothing is acceptable.
    pub fn of(parameters: &mut Parameters, headers: &HeaderMap) -> Result<Self, Problem> {
        match parameters.one_of(&FORMAT) {
            Some("csv") => return Ok(Self::Csv),
            Some(_) => return Ok(Self::Json),
            None => {}
        }
        let offers = [Self::Json, Self::Csv];
        let at = preferred(headers, &["application/json", "text/csv"]);
        at.map(|at| offers[at]).ok_or_else(|| {
            let detail = "Accept: the answer is there as application/json and as text/csv";
            Problem::of_protocol(StatusCode::NOT_ACCEPTABLE, detail)
        })
    }

    /// The content type. That of CSV says that the first line is a header (RFC 4180).
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// Which of the media types is acceptable and has the highest weight; of equal ones, the first.
/// Without the header, the first.
#[must_use]
pub fn preferred(headers: &HeaderMap, offers: &[&str]) -> Option<usize> {
    let ranges: Vec<_> = headers.get_all(header::ACCEPT).iter().flat_map(ranges).collect();
    if ranges.is_empty() {
        return Some(0);
    }
    let weights = offers.iter().map(|offer| weight(&ranges, offer)).enumerate();
    let mut best = None;
    for (at, weight) in weights.filter(|(_, weight)| *weight > 0) {
        if best.is_none_or(|(_, highest)| weight > highest) {
            best = Some((at, weight));
        }
    }
    best.map(|(at, _)| at)
}

/// Whether a page is preferred to JSON, as browsers do.
#[must_use]
pub fn wants_page(headers: &HeaderMap) -> bool {
    preferred(headers, &["application/json", "application/problem+json", "text/html"]) == Some(2)
}

/// A media range, such as `text/*`, and its weight in thousandths.
type Range<'a> = (&'a str, u16);

fn ranges(value: &HeaderValue) -> impl Iterator<Item = Range<'_>> {
    let range = |text: &'_ str| -> Option<(usize, u16)> {
        let mut parts = text.split(';').map(str::trim);
        let range = parts.next().filter(|range| !range.is_empty())?;
        let is_q = |part: &&str| part.len() > 1 && part[..2].eq_ignore_ascii_case("q=");
        let weight = parts.find(is_q).map_or(1_000, |part| thousandths(&part[2..]));
        Some((range.len(), weight))
    };
    // The value of no parameter of a media range that is asked for here has a comma.
    let texts = value.to_str().unwrap_or_default().split(',').map(str::trim);
    texts.filter_map(move |text| range(text).map(|(len, weight)| (&text[..len], weight)))
}

/// `0.8` is 800. What is no weight is 0.
fn thousandths(text: &str) -> u16 {
    let weight = text.trim().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000")]
    weight.map_or(0, |weight| (weight * 1_000.0).round() as u16)
}

/// The weight of a media type, which is that of the most specific range it is in.
fn weight(ranges: &[Range<'_>], offer: &str) -> u16 {
    let kind = offer.split('/').next().unwrap_or_default();
    let specificity = |range: &str| match range.split_once('/') {
        Some(("*", "*")) => Some(0),
        Some((of, "*")) if of.eq_ignore_ascii_case(kind) => Some(1),
        _ if range.eq_ignore_ascii_case(offer) => Some(2),
        _ => None,
    };
    let matching = ranges.iter().filter_map(|(range, weight)| Some((specificity(range)?, *weight)));
    matching.max().map_or(0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(accept: &[&str]) -> Option<&'static str> {
        const OFFERS: [&str; 2] = ["application/json", "text/csv"];
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, value.parse().expect("a header"));
        }
        preferred(&headers, &OFFERS).map(|at| OFFERS[at])
    }

    #[test]
    fn the_highest_weight_wins_and_the_specific_range_counts() {
        let (json, csv) = (Some("application/json"), Some("text/csv"));
        for (accept, expected) in [
            (&[][..], json),
            (&["*/*"], json),
            (&["text/csv"], csv),
            (&["TEXT/CSV;header=present"], csv),
            (&["application/json;q=0.9, text/csv"], csv),
            (&["application/json;q=0.9"], json),
            (&["text/csv;q=0.5, */*;q=0.6"], json),
            (&["*/*, application/json;q=0.1"], csv),
            (&["text/*, application/json; Q=0.999"], csv),
            (&["text/csv;q=0, */*;q=0.1"], json),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], json),
            (&["image/png", "text/csv"], csv),
            (&["image/png"], None),
            (&["text/csv;q=0"], None),
            (&["application/json;q=2"], None),
            (&["application/json;q=NaN"], None),
            (&[""], json),
            (&[","], json),
        ] {
            assert_eq!(choice(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn browsers_want_pages_and_programs_do_not() {
        let is = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            wants_page(&headers)
        };
        assert!(is("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!is("*/*") && !is("application/json") && !wants_page(&HeaderMap::new()));
    }
}
