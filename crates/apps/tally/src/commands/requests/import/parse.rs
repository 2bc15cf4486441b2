//! Reads one line of a log as one entry, in every format.

pub(crate) mod clf;
pub(crate) mod entry;
pub(crate) mod fields;
pub(crate) mod format;
pub(crate) mod heroku;
pub(crate) mod json;
pub(crate) mod malformed;
pub(crate) mod mend;
pub(crate) mod repeated;
pub(crate) mod status;
pub(crate) mod target;
pub(crate) mod template;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod w3c;

use std::borrow::Cow;

use jiff::Timestamp;

pub(crate) use self::malformed::Malformed;

use self::fields::JsonFields;
use self::format::LogFormat;
use self::malformed::quote;
use self::time::Zone;

#[derive(Debug, Clone, Default)]
pub(crate) struct Parser {
    pub(crate) format: LogFormat,
    pub(crate) fields: JsonFields,
    pub(crate) reading: Reading,
}

/// What all formats need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    pub(crate) keep_query: bool,
    /// The zone of times without one.
    pub(crate) zone: Option<Zone>,
}

/// What earlier lines of an input say about later ones.
#[derive(Debug, Default)]
pub(crate) struct Context {
    columns: Option<w3c::Columns>,
    /// This line has no end: it may be cut off.
    pub(crate) is_torn: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The method's number in `count.v1`.
    pub(crate) method: i32,
    pub(crate) path: Cow<'a, str>,
    /// The HTTP status; 0 if the line does not say it.
    pub(crate) status: u16,
    /// Microseconds since 1970, UTC.
    pub(crate) micros: i64,
    /// How many requests the line stands for.
    pub(crate) times: u32,
}

// === impl Parser ===

impl Parser {
    /// Reads a line that is not blank; `None` if it is rightly not about a request. Refuses a time
    /// after `latest` (microseconds since 1970).
    #[inline]
    pub(crate) fn parse<'a>(
        &self,
        line: &'a [u8],
        context: &mut Context,
        latest: i64,
    ) -> Result<Option<Entry<'a>>, Malformed> {
        let Some(entry) = self.parse_line(line, context)? else { return Ok(None) };
        if entry.micros > latest {
            let time = Timestamp::from_microsecond(entry.micros);
            return Err(Malformed::Future(
                time.map_or_else(|_| String::new(), |time| time.to_string()),
            ));
        }
        Ok(Some(entry))
    }

    /// Follows a line's directives, even if the line itself is left out.
    pub(crate) fn follow(&self, line: &[u8], context: &mut Context) {
        if self.format.has_directives() && w3c::is_directive(line) {
            w3c::follow(line, context);
        }
    }

    #[inline]
    fn parse_line<'a>(
        &self,
        line: &'a [u8],
        context: &mut Context,
    ) -> Result<Option<Entry<'a>>, Malformed> {
        if let LogFormat::Template(template) = &self.format {
            if context.is_torn && template.ends_open() {
                return Err(Malformed::Torn(quote(line)));
            }
            return template.parse(line, &self.reading).map(Some);
        }
        if self.format.has_directives() {
            if w3c::is_directive(line) {
                w3c::follow(line, context);
                return Ok(None);
            }
            if let Some(columns) = &context.columns {
                if context.is_torn && columns.end_open() {
                    return Err(Malformed::Torn(quote(line)));
                }
                return columns.parse(line, &self.reading);
            }
        }
        self.parse_alone(line)
    }

    /// Reads a line without its context.
    #[inline]
    pub(super) fn parse_alone<'a>(&self, line: &'a [u8]) -> Result<Option<Entry<'a>>, Malformed> {
        if let Some((inner, times)) = repeated::unfold(line)? {
            let entry = self.parse_one(inner)?;
            return Ok(entry.map(|entry| Entry { times, ..entry }));
        }
        self.parse_one(line)
    }

    #[inline]
    fn parse_one<'a>(&self, line: &'a [u8]) -> Result<Option<Entry<'a>>, Malformed> {
        match self.format {
            LogFormat::Json => {
                let at = json::object_in(line).unwrap_or(0);
                json::parse(&line[at..], &line[..at], self)
            }
            LogFormat::Clf | LogFormat::Template(_) => self.parse_text(line),
            LogFormat::Auto if line.trim_ascii_start().starts_with(b"{") => {
                json::parse(line, &[], self)
            }
            LogFormat::Auto => match clf::parse(line, &self.reading) {
                // Almost every line; JSON never.
                Some(_) if !self.fields.conditions_hold_without_fields() => {
                    Err(Malformed::Fieldless(quote(line)))
                }
                Some(entry) => Ok(Some(entry)),
                None => match json::object_in(line) {
                    Some(at) => match json::parse(&line[at..], &line[..at], self) {
                        Err(Malformed::Json(_)) => self.parse_text(line),
                        result => result,
                    },
                    None => self.parse_text(line),
                },
            },
        }
    }

    fn parse_text<'a>(&self, line: &'a [u8]) -> Result<Option<Entry<'a>>, Malformed> {
        if !self.fields.conditions_hold_without_fields() {
            // Other text may stand between JSON lines.
            let is_request = clf::parse(line, &self.reading).is_some();
            return if is_request { Err(Malformed::Fieldless(quote(line))) } else { Ok(None) };
        }
        match clf::parse(line, &self.reading) {
            Some(entry) => Ok(Some(entry)),
            None => heroku::parse(line, &self.reading)
                .unwrap_or_else(|| text::parse(line, &self.reading))
                .map(Some),
        }
    }
}

#[cfg(test)]
mod tests;
