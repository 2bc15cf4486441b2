//! The W3C extended log file format, whose `#Fields:` line names the columns.
//!
//! | accepted | by |
//! |---|---|
//! | `#Fields: date time … cs-method … cs-uri-stem … cs-uri-query … sc-status …`, with spaces between values | IIS |
//! | the same, with tabs | CloudFront |
//!
//! The format is the W3C's working draft WD-logfile-960323; times are in UTC. Other lines with `#`
//! are remarks. A later `#Fields:` changes the columns.

use std::borrow::Cow;

use super::malformed::quote;
use super::status::status;
use super::target::{is_connect, method, path};
use super::time::parse_date_and_time;
use super::{Context, Entry, Malformed, Reading};

const DIRECTIVES: &[&[u8]] = &[
    b"#Fields:",
    b"#Version:",
    b"#Software:",
    b"#Date:",
    b"#Start-Date:",
    b"#End-Date:",
    b"#Remark:",
];

/// The columns of what matters.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    count: usize,
    date: Option<usize>,
    time: Option<usize>,
    method: Option<usize>,
    stem: Option<usize>,
    query: Option<usize>,
    status: Option<usize>,
}

#[inline]
pub(crate) fn is_directive(line: &[u8]) -> bool {
    line.first() == Some(&b'#') && DIRECTIVES.iter().any(|directive| line.starts_with(directive))
}

pub(crate) fn follow(line: &[u8], context: &mut Context) {
    let Some(names) = line.strip_prefix(b"#Fields:") else { return };
    let mut columns = Columns::default();
    for name in names.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty()) {
        let place = match name.to_ascii_lowercase().as_slice() {
            b"date" => Some(&mut columns.date),
            b"time" => Some(&mut columns.time),
            b"cs-method" => Some(&mut columns.method),
            b"cs-uri-stem" | b"cs-uri" => Some(&mut columns.stem),
            b"cs-uri-query" => Some(&mut columns.query),
            b"sc-status" => Some(&mut columns.status),
            _ => None,
        };
        if let Some(place) = place {
            place.get_or_insert(columns.count);
        }
        columns.count += 1;
    }
    context.columns = Some(columns);
}

// === impl Columns ===

impl Columns {
    pub(crate) fn parse<'a>(
        &self,
        line: &'a [u8],
        reading: &Reading,
    ) -> Result<Option<Entry<'a>>, Malformed> {
        let separator = if memchr::memchr(b'\t', line).is_some() { b'\t' } else { b' ' };
        let values: Vec<_> = line.trim_ascii_end().split(|&byte| byte == separator).collect();
        let (Some(date), Some(time), Some(method_at), Some(stem)) =
            (self.date, self.time, self.method, self.stem)
        else {
            return Err(Malformed::FieldsMissing(self.missing()));
        };
        if values.len() != self.count {
            return Err(Malformed::Columns { found: values.len(), named: self.count });
        }
        let text = [values[date], b"T", values[time], b"Z"].concat();
        let micros = parse_date_and_time(&text, None)
            .map_err(|why| Malformed::time(&[values[date], values[time]].join(&b' '), why))?;
        let connect = is_connect(values[method_at]);
        let number = method(values[method_at])?;
        let (stem, query) = (values[stem], self.query.map_or(&b"-"[..], |at| values[at]));
        if matches!(stem, b"" | b"-") {
            return Err(Malformed::NoTarget(quote(line)));
        }
        let path = if reading.keep_query && !matches!(query, b"" | b"-") {
            let target = [stem, b"?", query].concat();
            Cow::Owned(path(&target, connect, true).into_owned())
        } else {
            path(stem, connect, reading.keep_query)
        };
        let status = self.status.map_or(0, |at| status(values[at]));
        Ok(Some(Entry { method: number, path, status, micros, times: 1 }))
    }

    /// Whether a line that is cut off may look whole.
    pub(crate) fn end_open(&self) -> bool {
        let last = self.count.checked_sub(1);
        [self.date, self.time, self.method, self.stem, self.query].contains(&last)
    }

    fn missing(&self) -> String {
        let all = [
            (self.date, "date"),
            (self.time, "time"),
            (self.method, "cs-method"),
            (self.stem, "cs-uri-stem"),
        ];
        let missing: Vec<_> =
            all.into_iter().filter(|(at, _)| at.is_none()).map(|(_, name)| name).collect();
        missing.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::requests::import::parse::Parser;

    /// Reads lines in order, as of one input.
    fn read(keep_query: bool, lines: &[&str]) -> Vec<Result<(i32, String, i64), Malformed>> {
        let parser = Parser { reading: Reading { keep_query, zone: None }, ..Parser::default() };
        let mut context = Context::default();
        lines
            .iter()
            .filter_map(|line| parser.parse(line.as_bytes(), &mut context, i64::MAX).transpose())
            .map(|read| read.map(|of| (of.method, of.path.into_owned(), of.micros)))
            .collect()
    }

    #[test]
    fn columns_are_where_fields_says() {
        let lines = [
            "#Software: Microsoft Internet Information Services 10.0",
            "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query sc-status",
            "2015-05-17 10:05:03 ::1 GET /a - 200",
            "2015-05-17 10:05:03 ::1 GET /a x=1 200",
            "2015-05-17 10:05:03 ::1 GET /a",
            "#Fields: date time x-edge cs-method cs(Host) cs-uri-stem",
            "2015-05-17\t10:05:03\tX 1\tPOST\td0.example\t/b",
            "2015-05-37\t10:05:03\tX\tPOST\td0.example\t/b",
            "#Fields: time cs-method cs-uri-stem",
            "10:05:03 GET /c",
        ];
        let at = 1_431_857_103_000_000;
        let [first, with_query, short, other, bad_time, no_date] = &read(false, &lines)[..] else {
            panic!("six lines")
        };
        assert_eq!(*first, Ok((3, "/a".to_owned(), at)));
        assert_eq!(*with_query, Ok((3, "/a".to_owned(), at)));
        assert_eq!(*short, Err(Malformed::Columns { found: 5, named: 7 }));
        assert_eq!(*other, Ok((6, "/b".to_owned(), at)));
        assert!(bad_time.as_ref().expect_err("no date").to_string().contains("2015-05-37"));
        assert_eq!(*no_date, Err(Malformed::FieldsMissing("date".to_owned())));
        assert_eq!(read(true, &lines)[1], Ok((3, "/a?x=1".to_owned(), at)));
        assert_eq!(read(true, &lines)[0], Ok((3, "/a".to_owned(), at)));
    }

    #[test]
    fn the_status_has_a_column() {
        let parser = Parser::default();
        let mut context = Context::default();
        let mut read = |line: &str| {
            let read = parser.parse(line.as_bytes(), &mut context, i64::MAX).expect("well-formed");
            read.map(|entry| entry.status)
        };
        assert_eq!(read("#Fields: date time cs-method cs-uri-stem sc-status sc-substatus"), None);
        assert_eq!(read("2015-05-17 10:05:03 GET /a 404 0"), Some(404));
        assert_eq!(read("2015-05-17 10:05:03 GET /a - 0"), Some(0));
        assert_eq!(read("#Fields: date time cs-method cs-uri-stem sc-substatus"), None);
        assert_eq!(read("2015-05-17 10:05:03 GET /a 200"), Some(0));
    }

    #[test]
    fn a_comment_is_no_directive() {
        assert!(is_directive(b"#Fields: date"));
        assert!(!is_directive(b"# Fields"));
    }
}
