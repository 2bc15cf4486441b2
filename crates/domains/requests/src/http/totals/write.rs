//! An answer as JSON or CSV, in parts as the client takes them.

use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tally_serve::api::{Format, GivenUp, PART_BYTES, csv};

use super::super::answers::Answer;
use super::Asked;
use crate::periods::{Granularity, Label, QuarterRange, TZDB_VERSION};
use crate::totals::{Compact, GroupBy, GroupRef, Omitted, Place, Query};

/// What an answer says besides its totals.
pub(super) struct Head {
    pub(super) dropped: i64,
    pub(super) omitted: Option<Omitted>,
    pub(super) requests: i64,
    pub(super) next: Option<String>,
    pub(super) setbacks: Vec<Value>,
}

/// Writes the totals of an answer.
pub(super) struct Writer {
    answer: Arc<Answer>,
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
    /// Whether nothing is known to be missing.
    pub(super) fn is_complete(&self) -> bool {
        self.dropped == 0 && self.setbacks.is_empty()
    }

    /// Everything but the totals, as members of the answer's object.
    pub(super) fn json(&self, asked: &Asked) -> String {
        let omitted =
            self.omitted.map(|one| json!({"totals": one.totals, "requests": one.requests}));
        let members = [
            ("query", asked.as_json()),
            ("tzdb", TZDB_VERSION.into()),
            ("complete", self.is_complete().into()),
            ("dropped", self.dropped.into()),
            ("setbacks", self.setbacks.clone().into()),
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
    pub(super) fn new(answer: Arc<Answer>, query: &Query, format: Format, head: String) -> Self {
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
            GroupBy::Status => put(part, format_args!("{}", group.status)),
            GroupBy::StatusClass if group.status_class == 0 => {}
            GroupBy::StatusClass => put(part, format_args!("{}xx", group.status_class)),
            column => csv::text(part, text(*column, group)),
        }
    }
    put(part, format_args!(",{count}"));
    csv::end(part);
}

fn json_object(
    part: &mut Vec<u8>,
    time: &str,
    columns: &[GroupBy],
    group: Option<GroupRef<'_>>,
    count: i64,
) {
    put(part, format_args!("{{\"time\":{time}"));
    for column in columns {
        let Some(group) = group else { continue };
        put(part, format_args!(",\"{}\":", column.name()));
        match column {
            GroupBy::Status if group.status == 0 => put(part, format_args!("{NONE}")),
            GroupBy::Status => put(part, format_args!("{}", group.status)),
            GroupBy::StatusClass if group.status_class == 0 => put(part, format_args!("\"\"")),
            GroupBy::StatusClass => put(part, format_args!("\"{}xx\"", group.status_class)),
            column => {
                serde_json::to_writer(&mut *part, text(*column, group)).expect("texts are JSON");
            }
        }
    }
    put(part, format_args!(",\"count\":{count}}}"));
}

fn put(part: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    part.write_fmt(text).expect("memory is written");
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
