//! Lines as a server's configuration describes them.
//!
//! | accepted for `--format` | source |
//! |---|---|
//! | `log_format NAME [escape=default\|json\|none] '…' '…';`, or the string alone | nginx, `ngx_http_log_module` |
//! | `LogFormat "…" [NAME]`, or the string alone | Apache, `mod_log_config` |
//!
//! A line is the string with values for its variables. A value goes up to the text that follows its
//! variable; in quotes it ends at the first quote without a backslash, and numbers and addresses have
//! no spaces. A line with two readings that differ in the request is refused, and so is a string with
//! adjacent variables.

mod apache;
mod nginx;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::str::FromStr;

use jiff::fmt::strtime::BrokenDownTime;

use super::clf::{entry, unescape};
use super::malformed::quote;
use super::status::status;
use super::target::{is_connect, method, path};
use super::time::{BadTime, parse_logged};
use super::{Entry, Malformed, Reading};

/// How many steps all readings of a line may take.
const STEPS_MAX: u32 = 10_000;

#[derive(Debug)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    escape: Escape,
    /// The `strptime` formats of all times, joined.
    time_format: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field { name: String, kind: Kind },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// The request line.
    Request,
    Method,
    /// A path, perhaps with a query.
    Target,
    /// A host, then a path.
    HostAndTarget,
    /// A query, perhaps with its question mark.
    Query,
    /// A question mark if there is a query.
    QuestionMark,
    /// A time in a usual form.
    Time,
    /// A time or a part of one, as a `strptime` format.
    TimeAs(String),
    Status,
    /// Without spaces.
    Word,
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// `\xHH`, and some letters.
    Bytes,
    Json,
    None,
}

/// A search for the readings of a line.
struct Walk<'t, 'a> {
    template: &'t Template,
    line: &'a [u8],
    reading: &'t Reading,
    /// The variables so far, by the index of their piece, with their values.
    values: Vec<(usize, &'a [u8])>,
    found: Option<Entry<'a>>,
    failure: Option<Malformed>,
    furthest: usize,
    steps: u32,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let text = given.trim();
        let is_nginx = match (text.starts_with("log_format"), text.starts_with("LogFormat")) {
            (true, _) => true,
            (_, true) => false,
            _ => text.contains('$'),
        };
        let (pieces, escape) = if is_nginx { nginx::pieces(text)? } else { apache::pieces(text)? };
        Self::new(merged(pieces), escape)
    }
}

// === impl Template ===

impl Template {
    fn new(pieces: Vec<Piece>, escape: Escape) -> Result<Self, String> {
        let kinds = || {
            pieces.iter().filter_map(|piece| match piece {
                Piece::Field { kind, .. } => Some(kind),
                Piece::Text(_) => None,
            })
        };
        let has = |wanted: &[Kind]| kinds().any(|kind| wanted.contains(kind));
        let formats: Vec<_> = kinds()
            .filter_map(|kind| match kind {
                Kind::TimeAs(format) => Some(format.as_str()),
                _ => None,
            })
            .collect();
        let mut missing = Vec::new();
        if !has(&[Kind::Request]) {
            if !has(&[Kind::Method]) {
                missing.push("the method ($request, $request_method; %r, %m)");
            }
            if !has(&[Kind::Target, Kind::HostAndTarget]) {
                missing.push("the path ($request, $request_uri, $uri; %r, %U)");
            }
        }
        if !has(&[Kind::Time]) && formats.is_empty() {
            missing.push("the time ($time_local, $time_iso8601, $msec; %t)");
        }
        if !missing.is_empty() {
            return Err(format!("this format does not say {}", missing.join(" and ")));
        }
        for pair in pieces.windows(2) {
            if let [Piece::Field { name: one, .. }, Piece::Field { name: two, .. }] = pair {
                return Err(format!("{one} and {two} are adjacent, and cannot be told apart"));
            }
        }
        let time_format = formats.join(" ");
        Ok(Self { pieces, escape, time_format })
    }

    pub(crate) fn parse<'a>(
        &self,
        line: &'a [u8],
        reading: &Reading,
    ) -> Result<Entry<'a>, Malformed> {
        let mut walk = Walk {
            template: self,
            line,
            reading,
            values: Vec::with_capacity(self.pieces.len()),
            found: None,
            failure: None,
            furthest: 0,
            steps: 0,
        };
        walk.step(0, 0)?;
        if let Some(entry) = walk.found {
            return Ok(entry);
        }
        let place = Malformed::NotAsFormat(quote(&line[walk.furthest.min(line.len())..]));
        Err(walk.failure.unwrap_or(place))
    }

    /// Whether a line that is cut off may look whole.
    pub(crate) fn ends_open(&self) -> bool {
        match self.pieces.last() {
            Some(Piece::Field { kind, .. }) => {
                !matches!(kind, Kind::Word | Kind::Status | Kind::Any)
            }
            _ => false,
        }
    }

    fn entry<'a>(
        &self,
        values: &[(usize, &'a [u8])],
        reading: &Reading,
    ) -> Result<Entry<'a>, Malformed> {
        let (mut request, mut verb, mut target, mut query) = (None, None, None, None);
        let (mut time, mut parts, mut code) = (None, Vec::new(), None);
        for &(at, value) in values {
            let Piece::Field { kind, .. } = &self.pieces[at] else { continue };
            match kind {
                Kind::Request => request = Some(value),
                Kind::Method => verb = Some(value),
                Kind::Target => target = target.or(Some(value)),
                Kind::HostAndTarget => {
                    let begin = value.iter().position(|byte| matches!(byte, b'/' | b'?'));
                    target = target.or(Some(&value[begin.unwrap_or(value.len())..]));
                }
                Kind::Query => query = Some(value),
                Kind::Time => time = time.or(Some(value)),
                Kind::TimeAs(_) => parts.push(value),
                Kind::Status => code = code.or(Some(status(value))),
                Kind::QuestionMark | Kind::Word | Kind::Any => {}
            }
        }
        let micros = match time {
            Some(value) => {
                let text = String::from_utf8_lossy(value);
                parse_logged(&text, reading.zone.as_ref())
                    .map_err(|why| Malformed::time(value, why))
            }
            None => self.time(&parts.join(&b' '), reading),
        }?;
        let status = code.unwrap_or(0);
        if let Some(request) = request.filter(|_| self.escape == Escape::Bytes) {
            return entry(request, status, micros, reading);
        }
        if let Some(request) = request {
            let request = self.plain(request)?;
            let (method, path) = super::target::request_line(&request, reading.keep_query)?;
            let path = Cow::Owned(path.into_owned());
            return Ok(Entry { method, path, status, micros, times: 1 });
        }
        let verb = verb.unwrap_or_default();
        let number = method(verb)?;
        let mut target = match target {
            Some(b"" | b"-") | None => return Err(Malformed::NoTarget(quote(verb))),
            Some(target) => self.plain(target)?,
        };
        if let Some(query) = query
            && !matches!(query, b"" | b"-")
            && !target.contains(&b'?')
        {
            let query = self.plain(query.strip_prefix(b"?").unwrap_or(query))?;
            target = Cow::Owned([&*target, b"?", &*query].concat());
        }
        let path = path(&target, is_connect(verb), reading.keep_query).into_owned();
        Ok(Entry { method: number, path: Cow::Owned(path), status, micros, times: 1 })
    }

    fn time(&self, text: &[u8], reading: &Reading) -> Result<i64, Malformed> {
        let failed = |why| Malformed::time(text, why);
        let time =
            BrokenDownTime::parse(&self.time_format, text).map_err(|_| failed(BadTime::Form))?;
        if let Ok(time) = time.to_timestamp() {
            return Ok(time.as_microsecond());
        }
        let local = time.to_datetime().map_err(|_| failed(BadTime::Form))?;
        let local = local.strftime("%Y-%m-%dT%H:%M:%S%.f").to_string();
        parse_logged(&local, reading.zone.as_ref()).map_err(failed)
    }

    fn plain<'a>(&self, value: &'a [u8]) -> Result<Cow<'a, [u8]>, Malformed> {
        if self.escape == Escape::None || memchr::memchr(b'\\', value).is_none() {
            return Ok(Cow::Borrowed(value));
        }
        if self.escape == Escape::Bytes {
            return Ok(Cow::Owned(unescape(value)));
        }
        let text: String = serde_json::from_slice(&[b"\"", value, b"\""].concat())
            .map_err(|error| Malformed::Json(format!("{error} in {}", quote(value))))?;
        Ok(Cow::Owned(text.into_bytes()))
    }
}

// === impl Walk ===

impl<'a> Walk<'_, 'a> {
    /// Reads from this piece on, at this position of the line. An error ends the search.
    fn step(&mut self, piece: usize, at: usize) -> Result<(), Malformed> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Malformed::NotAsFormat(quote(self.line)));
        }
        self.furthest = self.furthest.max(at);
        let pieces = &self.template.pieces;
        match pieces.get(piece) {
            None if at == self.line.len() => self.arrive(),
            None => Ok(()),
            Some(Piece::Text(text)) => {
                if self.line[at..].starts_with(text) {
                    self.step(piece + 1, at + text.len())
                } else {
                    Ok(())
                }
            }
            Some(Piece::Field { kind, .. }) => {
                let before = piece.checked_sub(1).map(|before| &pieces[before]);
                let in_quotes = matches!(before, Some(Piece::Text(text)) if text.ends_with(b"\""));
                match pieces.get(piece + 1) {
                    Some(Piece::Text(text)) => self.up_to(text, (piece, kind), at, in_quotes),
                    _ => self.take(piece, kind, at, self.line.len()),
                }
            }
        }
    }

    /// Tries each possible end of a variable's value.
    fn up_to(
        &mut self,
        text: &[u8],
        (piece, kind): (usize, &Kind),
        at: usize,
        in_quotes: bool,
    ) -> Result<(), Malformed> {
        let line = self.line;
        let ends_at_quote =
            in_quotes && text.starts_with(b"\"") && self.template.escape != Escape::None;
        for end in memchr::memmem::find_iter(&line[at..], text).map(|end| at + end) {
            if ends_at_quote {
                let escapes = line[at..end].iter().rev().take_while(|&&byte| byte == b'\\').count();
                if escapes % 2 == 1 {
                    continue;
                }
                return self.take(piece, kind, at, end);
            }
            if matches!(kind, Kind::Word | Kind::Method | Kind::Status)
                && line[at..end].contains(&b' ')
            {
                return Ok(());
            }
            self.take(piece, kind, at, end)?;
        }
        Ok(())
    }

    fn take(&mut self, piece: usize, kind: &Kind, at: usize, end: usize) -> Result<(), Malformed> {
        let value = &self.line[at..end];
        if *kind == Kind::Time
            && parse_logged(&String::from_utf8_lossy(value), self.reading.zone.as_ref())
                == Err(BadTime::Form)
        {
            return Ok(());
        }
        self.values.push((piece, value));
        let result = self.step(piece + 1, end);
        self.values.pop();
        result
    }

    /// Notes a complete reading.
    fn arrive(&mut self) -> Result<(), Malformed> {
        match self.template.entry(&self.values, self.reading) {
            Ok(entry) => match &mut self.found {
                Some(before) => {
                    let is_same = Entry { status: before.status, ..entry.clone() } == *before;
                    if !is_same {
                        return Err(Malformed::TwoReadings(Malformed::two(
                            before.path.as_bytes(),
                            entry.path.as_bytes(),
                        )));
                    }
                    if before.status != entry.status {
                        before.status = 0;
                    }
                    Ok(())
                }
                None => {
                    self.found = Some(entry);
                    Ok(())
                }
            },
            Err(why) => {
                self.failure.get_or_insert(why);
                Ok(())
            }
        }
    }
}

/// Merges pieces that mean one thing, such as `%U%q` and `$host$request_uri`.
fn merged(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut merged: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (merged.last_mut(), &piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.extend_from_slice(text),
            (
                Some(Piece::Field { kind: Kind::Target | Kind::HostAndTarget, .. }),
                Piece::Field { kind: Kind::Query | Kind::QuestionMark, .. },
            ) => {}
            (
                Some(Piece::Field { name, kind: before @ (Kind::Any | Kind::Word) }),
                Piece::Field { kind: Kind::Target, .. },
            ) if name.contains("host") || name.contains("server_name") => {
                *before = Kind::HostAndTarget;
            }
            _ => merged.push(piece),
        }
    }
    merged
}
