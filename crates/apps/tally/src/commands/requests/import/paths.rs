//! What paths are counted under.
//!
//! | asked for | what it does |
//! |---|---|
//! | `--path-prefix PREFIX` | leaves out other paths |
//! | `--rewrite 'REGEX=TEMPLATE'` | replaces matches, as the crate `regex-lite` does |
//! | `--collapse-ids` | numbers, UUIDs and hashes become `{id}` |
//!
//! They apply in this order. Many different series in one import cause an early warning, because a
//! server limits how many it tells apart.

use std::borrow::Cow;
use std::str::FromStr;

use regex_lite::Regex;

use super::parse::Entry;

/// The shortest hash; shorter ones may be words.
const HASH_DIGITS_MIN: usize = 16;

/// How many different series cause a warning: a tenth of a server's default limit.
pub(crate) const MANY_SERIES: u32 = 10_000;

/// How many series are told apart here, roughly; a power of two.
const SEEN_BITS: usize = 1 << 17;

const ID: &str = "{id}";

/// What paths are counted under.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Paths {
    /// Count only paths that begin with this; repeatable
    #[arg(long = "path-prefix", value_name = "PREFIX", value_parser = parse_prefix)]
    pub(crate) prefixes: Vec<String>,

    /// Replace what matches in each path, as in '^/users/[^/]+=/users/{name}'; repeatable
    #[arg(long = "rewrite", value_name = "REGEX=TEMPLATE")]
    pub(crate) rewrites: Vec<Rewrite>,

    /// Count numbers, UUIDs and hashes in paths as {id}
    #[arg(long)]
    pub(crate) collapse_ids: bool,
}

/// `REGEX=TEMPLATE`.
#[derive(Debug, Clone)]
pub(crate) struct Rewrite {
    pub(crate) given: String,
    regex: Regex,
    template: String,
}

/// Which series have been seen, roughly.
#[derive(Debug)]
pub(crate) struct Seen {
    bits: Vec<u64>,
    count: u32,
}

/// Paths in logs begin with `/` or are `*`: any other prefix would leave everything out.
fn parse_prefix(given: &str) -> Result<String, String> {
    if !given.is_empty() && !given.starts_with(['/', '*']) {
        return Err(format!("a path begins with /: write /{given}"));
    }
    Ok(given.to_owned())
}

// === impl Paths ===

impl Paths {
    #[inline]
    pub(crate) fn on<'a>(&self, entry: Entry<'a>) -> Option<Entry<'a>> {
        let path = self.apply(entry.path)?;
        Some(Entry { path, ..entry })
    }

    /// The path to count; `None` if its request is left out.
    #[inline]
    pub(crate) fn apply<'a>(&self, path: Cow<'a, str>) -> Option<Cow<'a, str>> {
        let mut path = path;
        if !self.prefixes.is_empty()
            && !self.prefixes.iter().any(|prefix| path.starts_with(&**prefix))
        {
            return None;
        }
        for Rewrite { regex, template, .. } in &self.rewrites {
            if let Cow::Owned(rewritten) = regex.replace_all(&path, template.as_str()) {
                path =
                    if rewritten.is_empty() { Cow::Borrowed("/") } else { Cow::Owned(rewritten) };
            }
        }
        if self.collapse_ids
            && let Some(collapsed) = collapsed(&path)
        {
            path = Cow::Owned(collapsed);
        }
        Some(path)
    }
}

/// A path with `{id}` for its ids, if it has any; a query stays.
fn collapsed(path: &str) -> Option<String> {
    let end = path.find('?').unwrap_or(path.len());
    let (path, query) = path.split_at(end);
    let mut collapsed = String::with_capacity(path.len() + query.len());
    let mut any = false;
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            collapsed.push('/');
        }
        for (at, part) in segment.split('.').enumerate() {
            if at > 0 {
                collapsed.push('.');
            }
            // `7.png` has an id, `jquery.3.js` does not.
            let is_id = is_uuid(part) || is_hash(part) || (at == 0 && is_number(part));
            any |= is_id;
            collapsed.push_str(if is_id { ID } else { part });
        }
    }
    collapsed.push_str(query);
    any.then_some(collapsed)
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hash(part: &str) -> bool {
    part.len() >= HASH_DIGITS_MIN
        && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        && part.bytes().any(|byte| byte.is_ascii_digit())
}

/// RFC 9562, 4.
fn is_uuid(part: &str) -> bool {
    part.len() == 36
        && part.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

impl FromStr for Rewrite {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let (regex, template) = given
            .rsplit_once('=')
            .ok_or("write REGEX=TEMPLATE, as in '^/users/[^/]+=/users/{id}'")?;
        let regex = Regex::new(regex).map_err(|error| error.to_string())?;
        Ok(Self { given: given.to_owned(), regex, template: template.to_owned() })
    }
}

// === impl Seen ===

impl Default for Seen {
    fn default() -> Self {
        Self { bits: vec![0; SEEN_BITS / 64], count: 0 }
    }
}

impl Seen {
    /// True once: for the entry whose series reaches [`MANY_SERIES`].
    #[inline]
    pub(crate) fn makes_many(&mut self, entry: &Entry<'_>) -> bool {
        if self.count >= MANY_SERIES {
            return false;
        }
        let at = usize::try_from(hash(entry) % SEEN_BITS as u64).unwrap_or_default();
        let (word, bit) = (&mut self.bits[at / 64], 1 << (at % 64));
        if *word & bit == 0 {
            *word |= bit;
            self.count += 1;
        }
        self.count >= MANY_SERIES
    }
}

/// A quick hash, without any defence against collisions.
#[inline]
fn hash(entry: &Entry<'_>) -> u64 {
    // The fraction of the golden ratio.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: [u8; 8]| {
        (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR).rotate_left(31)
    };
    let path = &*entry.path;
    let bytes = path.as_bytes();
    let (words, rest) = bytes.as_chunks::<8>();
    // The last 8 bytes, which may overlap; a short path is padded.
    let last = bytes.last_chunk().copied().unwrap_or_else(|| {
        let mut short = [0; 8];
        short[..rest.len()].copy_from_slice(rest);
        short
    });
    let first = u64::from(entry.method.unsigned_abs()) << 16 | u64::from(entry.status);
    let hash = words.iter().fold(first, |hash, word| mix(hash, *word));
    mix(mix(hash, last), (path.len() as u64).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(paths: &Paths, path: &str) -> Option<String> {
        paths.apply(Cow::Borrowed(path)).map(Cow::into_owned)
    }

    #[test]
    fn ids_are_collapsed() {
        let paths = Paths { collapse_ids: true, ..Paths::default() };
        for (path, expected) in [
            ("/users/7", "/users/{id}"),
            ("/users/7/posts/00012?x=7", "/users/{id}/posts/{id}?x=7"),
            ("/o/123e4567-e89b-12d3-a456-426614174000", "/o/{id}"),
            ("/o/123E4567-E89B-12D3-A456-426614174000.json", "/o/{id}.json"),
            ("/blob/da39a3ee5e6b4b0d3255bfef95601890afd80709/x", "/blob/{id}/x"),
            ("/app.0123456789abcdef.js", "/app.{id}.js"),
            ("/img/7.png", "/img/{id}.png"),
            ("/2026/03/", "/{id}/{id}/"),
            ("*", "*"),
            ("/", "/"),
            ("/v1/jquery-3.6.0.js", "/v1/jquery-3.6.0.js"),
            ("/abcdefabcdefabcdef", "/abcdefabcdefabcdef"),
            ("/deadbee7", "/deadbee7"),
            ("/-1/1a", "/-1/1a"),
        ] {
            assert_eq!(apply(&paths, path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn paths_are_rewritten_in_order() {
        let rewrite = |given: &str| given.parse::<Rewrite>().expect(given);
        let paths = Paths {
            prefixes: vec!["/a/".to_owned(), "/u".to_owned()],
            rewrites: vec![
                rewrite("^/u/([^/]+)/(?<rest>.*)$=/users/{name}/$rest"),
                rewrite("/x==/y"),
                rewrite("^/a/.*="),
                rewrite("^/users/=/members/"),
            ],
            collapse_ids: true,
        };
        for (path, expected) in [
            ("/u/anna/posts/7", Some("/members/{name}/posts/{id}")),
            ("/a/b", Some("/")),
            ("/u/x=1", Some("/u/y1")),
            ("/b", None),
        ] {
            assert_eq!(apply(&paths, path).as_deref(), expected, "{path}");
        }
        assert!("/a".parse::<Rewrite>().is_err());
        assert!("(=/".parse::<Rewrite>().is_err());
    }

    #[test]
    fn many_series_are_said_once() {
        for (before, after) in
            [("/", ""), ("/x/", ""), ("/users/", "/posts"), ("/a/long/path/", ".php")]
        {
            let mut seen = Seen::default();
            let mut said = Vec::new();
            for number in 0..30_000_u32 {
                let path = Cow::Owned(format!("{before}{}{after}", number / 2));
                let status = if number % 2 == 0 { 200 } else { 404 };
                let entry = Entry { method: 3, path, status, micros: 0, times: 1 };
                for _ in 0..2 {
                    if seen.makes_many(&entry) {
                        said.push(number);
                    }
                }
            }
            assert_eq!(said.len(), 1, "{before}");
            let about = MANY_SERIES - 1..MANY_SERIES * 11 / 10;
            assert!(about.contains(&said[0]), "{before}: {said:?}");
        }
    }
}
