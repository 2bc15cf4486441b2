//! JSON lines: one object per line, as servers, clouds and most frameworks write them.
//!
//! | accepted | where |
//! |---|---|
//! | which fields are what | `fields` |
//! | which entries are requests, and lines wrapped in JSON | `entry` |
//! | JSON that nginx wrote without `escape=json` | `mend` |
//! | an object behind a prefix without quotes: syslog, CRI, compose, Caddy's console | here |

use std::borrow::Cow;

use super::fields::Found;
use super::malformed::{Missing, quote};
use super::status::status;
use super::target::{self, is_connect, path, utf8};
use super::time::{BadTime, parse_date_and_time, parse_logged};
use super::{Entry, Malformed, Parser, entry, mend};

/// How deeply lines may be wrapped: Docker's JSON in journald's.
const DEPTH_MAX: u8 = 2;

/// What surrounds an object.
#[derive(Debug, Clone, Default)]
struct Around<'p> {
    prefix: &'p [u8],
    /// The time of the entry around it.
    micros: Option<i64>,
    /// The conditions' values in the entry around it.
    values: Vec<Option<String>>,
    depth: u8,
}

/// The position of the object in a line that has no quotes before it.
pub(crate) fn object_in(line: &[u8]) -> Option<usize> {
    let quote = memchr::memchr(b'"', line)?;
    let before = line[..quote].trim_ascii_end();
    before.ends_with(b"{").then(|| before.len() - 1)
}

/// Reads an object after a prefix in its line.
pub(crate) fn parse<'a>(
    object: &'a [u8],
    prefix: &[u8],
    parser: &Parser,
) -> Result<Option<Entry<'a>>, Malformed> {
    parse_around(object, &Around { prefix, ..Around::default() }, parser)
}

fn parse_around<'a>(
    object: &'a [u8],
    around: &Around<'_>,
    parser: &Parser,
) -> Result<Option<Entry<'a>>, Malformed> {
    match utf8(object) {
        Cow::Borrowed(text) => parse_or_mend(text, around, parser),
        Cow::Owned(text) => Ok(parse_or_mend(&text, around, parser)?.map(into_owned)),
    }
}

fn parse_or_mend<'a>(
    text: &'a str,
    around: &Around<'_>,
    parser: &Parser,
) -> Result<Option<Entry<'a>>, Malformed> {
    match parse_object(text, around, parser) {
        Err(Malformed::Json(why)) => match mend::mend(text) {
            Some(mended) => match parse_object(&mended, around, parser) {
                Err(Malformed::Json(_)) => Err(Malformed::Json(why)),
                result => Ok(result?.map(into_owned)),
            },
            None if matches!(text.trim(), "{") => Err(Malformed::JsonPiece),
            None if text.trim_start().starts_with('[') => Err(Malformed::JsonArray),
            None => Err(Malformed::Json(why)),
        },
        result => result,
    }
}

fn parse_object<'a>(
    text: &'a str,
    around: &Around<'_>,
    parser: &Parser,
) -> Result<Option<Entry<'a>>, Malformed> {
    let fields = &parser.fields;
    let mut found = Found::default();
    fields.keys.find(text, &mut found).map_err(|error| not_json(&error))?;
    if let Some(name) = fields.twice(&found) {
        return Err(Malformed::Twice(name.to_owned()));
    }
    let request = request(&found, parser)?;
    if request.is_err() && around.depth < DEPTH_MAX {
        let mut rare = Found::default();
        fields.rare_keys.find(text, &mut rare).map_err(|error| not_json(&error))?;
        if let Some(line) = entry::wrapped(fields, &rare)? {
            return unwrap(&line, (&found, &rare), around, parser);
        }
    }
    if !entry::meets(fields, &found, &around.values)? {
        return Ok(None);
    }
    let time = time(&found, around, parser);
    let (method, path) = match request {
        Ok(request) => request,
        Err(mut missing) => {
            missing.time = time.is_err().then(|| fields.time.names());
            return Err(Malformed::Missing(Box::new(missing)));
        }
    };
    // Caddy's console: `TIME<TAB>LEVEL<TAB>LOGGER<TAB>MESSAGE<TAB>{…}`.
    let console_logger = around.prefix.split(|&byte| byte == b'\t').nth(2);
    if fields.conditions.is_empty()
        && !(entry::is_request(fields, &found, text).map_err(|error| not_json(&error))?
            && console_logger.is_none_or(entry::logs_requests))
    {
        return Ok(None);
    }
    let mut statuses =
        fields.status.values(&found).map(|raw| status(raw.trim_matches('"').as_bytes()));
    let status = statuses.find(|status| *status > 0).unwrap_or(0);
    Ok(Some(Entry { method, path, status, micros: time?, times: 1 }))
}

/// Reads a line that is the value of a field.
fn unwrap<'a>(
    line: &[u8],
    (found, rare): (&Found<'_>, &Found<'_>),
    around: &Around<'_>,
    parser: &Parser,
) -> Result<Option<Entry<'a>>, Malformed> {
    let fields = &parser.fields;
    let values = entry::values(fields, found, &around.values)?;
    let line = line.trim_ascii();
    let Some(at) = object_in(line) else {
        let unmet = |(at, (condition, _)): (usize, &(super::fields::Condition, _))| {
            !condition.holds(values[at].as_deref())
        };
        if fields.conditions.iter().enumerate().any(unmet) {
            return Ok(None);
        }
        let text = Parser { fields: super::JsonFields::default(), ..parser.clone() };
        return Ok(text.parse_alone(line)?.map(into_owned));
    };
    let journal = fields
        .journal_time
        .text(rare)
        .and_then(|raw| parse_logged(raw.trim_matches('"'), None).ok());
    let micros = journal.or_else(|| time(found, around, parser).ok());
    let inside = Around { prefix: &line[..at], micros, values, depth: around.depth + 1 };
    Ok(parse_around(&line[at..], &inside, parser)?.map(into_owned))
}

/// The method and the path, or what is missing. What the client asked for takes precedence over all
/// fields except those that the user named.
fn request<'a>(
    found: &Found<'a>,
    parser: &Parser,
) -> Result<Result<(i32, Cow<'a, str>), Missing>, Malformed> {
    let fields = &parser.fields;
    let method = fields.method.values(found).next().map(string).transpose()?;
    let target = fields.path.text(found).map(string).transpose()?;
    let line = fields.request.text(found).map(string).transpose()?;
    let (asked, asked_path) = match line {
        // In some logs, `request` is a path.
        Some(line) if line.starts_with('/') || is_url(&line) => (None, Some(line)),
        line => (line.map(|line| request_line(line, parser)), None),
    };
    let (asked, not_asked) = match asked.transpose() {
        Ok(asked) => (asked, None),
        Err(why) => (None, Some(why)),
    };
    let connect = method.as_ref().is_some_and(|method| is_connect(method.as_bytes()));
    let method = match (&asked, method) {
        (_, Some(method)) if asked.is_none() || fields.method.is_named => {
            Some(target::method(method.as_bytes())?)
        }
        (Some((method, _)), _) => Some(*method),
        (None, _) => None,
    };
    let path = match (asked, asked_path, target) {
        (asked, asked_path, Some(target))
            if fields.path.is_named || (asked.is_none() && asked_path.is_none()) =>
        {
            Some(path_alone(target, connect, parser))
        }
        (Some((_, path)), ..) if !fields.path.is_named => Some(path),
        (_, Some(path), _) if !fields.path.is_named => Some(path_alone(path, connect, parser)),
        _ => None,
    };
    match (method, path, not_asked) {
        (Some(method), Some(path), _) => Ok(Ok((method, path))),
        (_, _, Some(why)) => Err(why),
        (method, path, None) => Ok(Err(Missing {
            method: method.is_none().then(|| fields.method.names()),
            path: path.is_none().then(|| fields.path.names()),
            time: None,
        })),
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http") && text.contains("://") && !text.contains(' ')
}

fn path_alone<'a>(target: Cow<'a, str>, connect: bool, parser: &Parser) -> Cow<'a, str> {
    let keep_query = parser.reading.keep_query;
    match target {
        Cow::Borrowed(target) => path(target.as_bytes(), connect, keep_query),
        Cow::Owned(target) => Cow::Owned(path(target.as_bytes(), connect, keep_query).into_owned()),
    }
}

fn request_line<'a>(line: Cow<'a, str>, parser: &Parser) -> Result<(i32, Cow<'a, str>), Malformed> {
    let keep_query = parser.reading.keep_query;
    match line {
        Cow::Borrowed(line) => target::request_line(line.as_bytes(), keep_query),
        Cow::Owned(line) => {
            let (method, path) = target::request_line(line.as_bytes(), keep_query)?;
            Ok((method, Cow::Owned(path.into_owned())))
        }
    }
}

/// The time of the first field that has one, of the entry around it, or of the prefix.
fn time(found: &Found<'_>, around: &Around<'_>, parser: &Parser) -> Result<i64, Malformed> {
    let zone = parser.reading.zone.as_ref();
    let mut failure = None;
    for raw in parser.fields.time.values(found) {
        let text = string(raw)?;
        match parse_logged(&text, zone) {
            Ok(micros) => return Ok(micros),
            // In many logs, `time` is a duration.
            Err(why @ (BadTime::Form | BadTime::Implausible)) => {
                failure.get_or_insert_with(|| Malformed::time(text.as_bytes(), why));
            }
            Err(why) => return Err(Malformed::time(text.as_bytes(), why)),
        }
    }
    if let Some(micros) = around.micros {
        return Ok(micros);
    }
    // A prefix may begin with it: `2026-03-02T10:00:00Z stdout F`, `2026/03/02 10:00:00<TAB>INFO`.
    let words = around.prefix.split(|&byte| byte == b'\t').next().unwrap_or_default();
    let first = words.split(|&byte| byte == b' ').next().unwrap_or_default();
    for text in [first, words] {
        match parse_date_and_time(text, zone) {
            Ok(micros) => return Ok(micros),
            Err(BadTime::Form) => {}
            Err(why) => return Err(Malformed::time(text, why)),
        }
    }
    let names = Some(parser.fields.time.names());
    Err(failure.unwrap_or_else(|| {
        Malformed::Missing(Box::new(Missing { time: names, ..Missing::default() }))
    }))
}

/// A raw value as text: a string's content, or anything else as is.
pub(crate) fn string(raw: &str) -> Result<Cow<'_, str>, Malformed> {
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw)
            .map(Cow::Owned)
            .map_err(|error| Malformed::Json(format!("{error} in {}", quote(raw.as_bytes())))),
        None => Ok(Cow::Borrowed(raw)),
    }
}

fn not_json(error: &serde_json::Error) -> Malformed {
    Malformed::Json(error.to_string())
}

fn into_owned<'a>(entry: Entry<'_>) -> Entry<'a> {
    Entry { path: Cow::Owned(entry.path.into_owned()), ..entry }
}

#[cfg(test)]
mod tests;
