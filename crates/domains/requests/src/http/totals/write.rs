//! An answer as JSON or CSV, in parts as the client takes them.

use std::sync::Arc;

use serde_json::json;
use tally_serve::api::{Format, GivenUp, Kept, PART_BYTES, csv};

use super::{Asked, about};
use crate::missing::Missing;
use crate::periods::{Granularity, Label, QuarterRange, TZDB_VERSION};
use crate::totals::{Compact, GroupBy, GroupRef, Omitted, Place, Query};

/// What an answer says besides its totals.
pub(super) struct Head {
    pub(super) missing: Missing,
    pub(super) omitted: Option<Omitted>,
    pub(super) requests: i64,
    pub(super) next: Option<String>,
}

/// Writes the totals of an answer.
pub(super) struct Writer {
    answer: Arc<Kept<Compact>>,
    place: Place,
    /// What comes first: in JSON up to the list of totals, in CSV the header.
    head: Option<Vec<u8>>,
    is_csv: bool,
    granularity: Granularity,
    columns: Vec<GroupBy>,
    /// When a whole range begins, in JSON.
    whole: String,
    /// The period of the total before, and what it is called.
    period: Option<(Label, String)>,
    is_first: bool,
}

/// What an end of a range is in JSON if there is none.
const NONE: &str = "null";

// === impl Head ===

impl Head {
    /// Everything but the totals, as members of the answer's object.
    pub(super) fn json(&self, asked: &Asked) -> String {
        let omitted =
            self.omitted.map(|one| json!({"totals": one.totals, "requests": one.requests}));
        let setbacks: Vec<_> = self.missing.setbacks.iter().map(about).collect();
        let members = [
            ("query", asked.as_json()),
            ("tzdb", TZDB_VERSION.into()),
            ("complete", self.missing.is_complete().into()),
            ("dropped", self.missing.dropped.into()),
            ("setbacks", setbacks.into()),
            ("requests", self.requests.into()),
            ("omitted", omitted.unwrap_or_default()),
            ("next", self.next.clone().into()),
        ];
        let members = members.map(|(name, value)| format!("\"{name}\":{value}"));
        members.join(",\n")
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        answer: Arc<Kept<Compact>>,
        query: &Query,
        format: Format,
        head: &str,
    ) -> Self {
        let columns = if query.sum { Vec::new() } else { query.group_by.clone() };
        let is_csv = format == Format::Csv;
        let head = if is_csv {
            let names = columns.iter().map(|column| column.name());
            let names: Vec<_> = ["date"].into_iter().chain(names).chain(["count"]).collect();
            names.join(",") + "\r\n"
        } else {
            format!("{{{head},\n\"totals\":[")
        };
        let start = query.range.start;
        let is_bounded = start != QuarterRange::ALL.start;
        let whole = is_bounded.then(|| format!("\"{}\"", query.zone.time(start)));
        Self {
            answer,
            place: Place::default(),
            head: Some(head.into_bytes()),
            is_csv,
            granularity: query.granularity,
            columns,
            whole: whole.unwrap_or_else(|| NONE.to_owned()),
            period: None,
            is_first: true,
        }
    }

    /// Writes the next part. Returns whether there are more.
    pub(super) fn write(&mut self, part: &mut Vec<u8>) -> Result<bool, GivenUp> {
        if let Some(head) = self.head.take() {
            part.extend_from_slice(&head);
        }
        let answer = Arc::clone(&self.answer);
        answer.read(|totals| {
            let is_more = self.write_some(totals, part);
            if !is_more && !self.is_csv {
                part.extend_from_slice(if self.is_first { b"]}\n" } else { b"\n]}\n" });
            }
            is_more
        })
    }

    fn write_some(&mut self, totals: &Compact, part: &mut Vec<u8>) -> bool {
        while part.len() < PART_BYTES {
            let Some((label, group, count)) = totals.next(&mut self.place) else { return false };
            if self.period.as_ref().is_none_or(|(of, _)| of != label) {
                self.period = Some((*label, self.called(label)));
            }
            let period = self.period.as_ref().map_or("", |(_, called)| called);
            match self.is_csv {
                true => csv_line(part, period, &self.columns, group, count),
                false => {
                    part.extend_from_slice(if self.is_first { b"\n" } else { b",\n" });
                    json_object(part, period, &self.columns, group, count);
                }
            }
            self.is_first = false;
        }
        true
    }

    /// What a period is called: in JSON with its quotes.
    fn called(&self, label: &Label) -> String {
        match (self.is_csv, self.granularity) {
            (true, granularity) => label.written(granularity),
            (false, Granularity::Whole) => self.whole.clone(),
            (false, _) => format!("\"{}\"", label.time()),
        }
    }
}

fn csv_line(
    part: &mut Vec<u8>,
    date: &str,
    columns: &[GroupBy],
    group: Option<GroupRef<'_>>,
    count: i64,
) {
    part.extend_from_slice(date.as_bytes());
    for column in columns {
        part.push(b',');
        let Some(group) = group else { continue };
        match column {
            GroupBy::Status if group.status == 0 => {}
            GroupBy::Status => put_number(part, group.status.into()),
            GroupBy::StatusClass => part.extend_from_slice(class(group).as_bytes()),
            column => csv::text(part, text(*column, group)),
        }
    }
    part.push(b',');
    put_number(part, count);
    csv::end(part);
}

/// Without `write!`, which takes several times as long, because a large answer has a million of them.
fn json_object(
    part: &mut Vec<u8>,
    time: &str,
    columns: &[GroupBy],
    group: Option<GroupRef<'_>>,
    count: i64,
) {
    part.extend_from_slice(b"{\"time\":");
    part.extend_from_slice(time.as_bytes());
    for column in columns {
        let Some(group) = group else { continue };
        part.extend_from_slice(b",\"");
        part.extend_from_slice(column.name().as_bytes());
        part.extend_from_slice(b"\":");
        match column {
            GroupBy::Status if group.status == 0 => part.extend_from_slice(NONE.as_bytes()),
            GroupBy::Status => put_number(part, group.status.into()),
            GroupBy::StatusClass => put_text(part, class(group)),
            column => put_text(part, text(*column, group)),
        }
    }
    part.extend_from_slice(b",\"count\":");
    put_number(part, count);
    part.push(b'}');
}

/// Appends a JSON string. Few names have something to escape.
fn put_text(part: &mut Vec<u8>, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        return serde_json::to_writer(part, text).expect("texts are JSON");
    }
    part.push(b'"');
    part.extend_from_slice(text.as_bytes());
    part.push(b'"');
}

fn put_number(part: &mut Vec<u8>, number: i64) {
    /// The digits of 2^63, and a sign.
    const DIGITS_MAX: usize = 20;
    let (mut digits, mut at, mut left) = ([b'-'; DIGITS_MAX], DIGITS_MAX, number.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).expect("a digit");
        left /= 10;
        if left == 0 {
            break;
        }
    }
    at -= usize::from(number < 0);
    part.extend_from_slice(&digits[at..]);
}

/// `5xx`; empty if there is none.
fn class(group: GroupRef<'_>) -> &'static str {
    match group.status_class {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "",
    }
}

/// The text of a column that has one.
fn text<'a>(column: GroupBy, group: GroupRef<'a>) -> &'a str {
    match column {
        GroupBy::Service => group.service,
        GroupBy::Method if group.method.is_empty() => "UNSPECIFIED",
        GroupBy::Method => group.method,
        GroupBy::Path => group.path,
        GroupBy::Customer => group.customer,
        GroupBy::Status | GroupBy::StatusClass => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_those_of_serde() {
        for number in [0, 7, 10, -1, 1_234_567_890_123, i64::MAX, i64::MIN] {
            let mut part = Vec::new();
            put_number(&mut part, number);
            assert_eq!(part, number.to_string().into_bytes());
        }
        for text in ["", "/a", "ä\u{2028}", "\"", "a\\b", "\n\t\u{1}", "\u{7f}"] {
            let mut part = Vec::new();
            put_text(&mut part, text);
            assert_eq!(part, serde_json::to_vec(text).expect("a text"), "{text:?}");
        }
    }
}
