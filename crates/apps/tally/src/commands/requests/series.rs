//! What totals are told apart by and filtered by, as arguments and as columns.

use std::borrow::Cow;

use clap::{Args, ValueEnum};
use tally_proto::tally::requests::v1::{Group, GroupBy};

use super::methods;
use crate::output::OutputFormat;
use crate::output::table::Align;

/// A part of a series, which has a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    Service,
    Method,
    Path,
    Status,
    StatusClass,
    Customer,
}

/// Only series that match.
#[derive(Debug, Args)]
pub(super) struct Filters {
    /// Only this service, or "" for those without one; repeatable
    #[arg(long, value_name = "NAME")]
    pub(super) service: Vec<String>,

    /// Only this method, a name or a number; repeatable
    #[arg(long, value_parser = parse_method, allow_negative_numbers = true)]
    pub(super) method: Vec<String>,

    /// Only this path; repeatable
    #[arg(long)]
    pub(super) path: Vec<String>,

    /// Only paths with this prefix
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub(super) path_prefix: String,

    /// Only this status or class, such as 404 or 5xx; 0 is not known; a GRPC call's OK is 200, and its
    /// other codes are in the class of the HTTP status that stands for them: UNAVAILABLE (14) in 5xx;
    /// repeatable
    #[arg(long, value_parser = parse_status)]
    pub(super) status: Vec<Status>,

    /// Only this customer, or "" for those without one; repeatable
    #[arg(long, value_name = "NAME")]
    pub(super) customer: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// 0 if it is not known.
    One(u32),
    /// From 1 to 5.
    Class(u32),
}

/// A status is 0 to 999.
const STATUS_MAX: u32 = 999;

// === impl Part ===

impl Part {
    /// What totals are told apart by unless something else is asked for.
    pub(super) const USUAL: [Self; 2] = [Self::Method, Self::Path];

    /// The name of its column.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Method => "method",
            Self::Path => "path",
            Self::Status => "status",
            Self::StatusClass => "status_class",
            Self::Customer => "customer",
        }
    }

    pub(super) fn align(self) -> Align {
        match self {
            Self::Service | Self::Path | Self::Customer => Align::Shorten,
            Self::Method | Self::StatusClass => Align::Left,
            Self::Status => Align::Right,
        }
    }

    pub(super) fn to_proto(self) -> GroupBy {
        match self {
            Self::Service => GroupBy::Service,
            Self::Method => GroupBy::Method,
            Self::Path => GroupBy::Path,
            Self::Status => GroupBy::Status,
            Self::StatusClass => GroupBy::StatusClass,
            Self::Customer => GroupBy::Customer,
        }
    }

    /// A group's cell, as the format writes it. What is not known is empty, and in JSON null if it
    /// would be a number.
    pub(super) fn cell(self, group: &Group, format: OutputFormat, is_terminal: bool) -> String {
        let text = match self {
            Self::Service => Cow::Borrowed(&*group.service),
            Self::Method if group.method.is_empty() => Cow::Borrowed("UNSPECIFIED"),
            Self::Method => Cow::Borrowed(&*group.method),
            Self::Path => Cow::Borrowed(&*group.path),
            Self::Status if format.is_json() && group.status == 0 => {
                return "null".to_owned();
            }
            Self::Status if group.status == 0 => return String::new(),
            Self::Status => return group.status.to_string(),
            Self::StatusClass if group.status_class == 0 => Cow::Borrowed(""),
            Self::StatusClass => Cow::Owned(format!("{}xx", group.status_class)),
            Self::Customer => Cow::Borrowed(&*group.customer),
        };
        format.text(&text, is_terminal)
    }
}

// === impl Filters ===

impl Filters {
    /// Whether all series match.
    pub(super) fn is_empty(&self) -> bool {
        let Self { service, method, path, path_prefix, status, customer } = self;
        [service, method, path, customer].iter().all(|texts| texts.is_empty())
            && path_prefix.is_empty()
            && status.is_empty()
    }

    pub(super) fn statuses(&self) -> Vec<u32> {
        let one = |status: &Status| match status {
            Status::One(status) => Some(*status),
            Status::Class(_) => None,
        };
        self.status.iter().filter_map(one).collect()
    }

    pub(super) fn status_classes(&self) -> Vec<u32> {
        let class = |status: &Status| match status {
            Status::Class(class) => Some(*class),
            Status::One(_) => None,
        };
        self.status.iter().filter_map(class).collect()
    }
}

/// A method as series have it: known names in any case, others as they are, numbers without a name
/// as digits; empty for `UNSPECIFIED`.
fn parse_method(text: &str) -> Result<String, String> {
    match methods::parse(text) {
        Ok(0) => Ok(String::new()),
        Ok(number) => Ok(methods::name(number).into_owned()),
        Err(_) if methods::is_token(text.as_bytes()) => Ok(text.to_owned()),
        Err(error) => Err(error),
    }
}

fn parse_status(text: &str) -> Result<Status, String> {
    match (text.as_bytes(), text.parse()) {
        ([class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'], _) => {
            Ok(Status::Class(u32::from(class - b'0')))
        }
        (_, Ok(status @ 0..=STATUS_MAX)) => Ok(Status::One(status)),
        _ => Err(format!("write a status as 404, of 0 to {STATUS_MAX}, or a class as 5xx")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_number_or_a_class() {
        for (text, status) in [
            ("404", Status::One(404)),
            ("0", Status::One(0)),
            ("999", Status::One(999)),
            ("5xx", Status::Class(5)),
            ("1XX", Status::Class(1)),
        ] {
            assert_eq!(parse_status(text), Ok(status));
        }
        for text in ["", "1000", "-1", "6xx", "0xx", "xx", "5x", "5xxx", "\u{20ac}", "ok"] {
            let error = parse_status(text).expect_err(text);
            assert!(error.contains("404") && error.contains("5xx"), "{error}");
        }
    }

    #[test]
    fn a_method_is_written_as_series_have_it() {
        for (text, method) in [
            ("get", "GET"),
            ("PROPFIND", "PROPFIND"),
            ("UNSPECIFIED", ""),
            ("0", ""),
            ("3", "GET"),
            ("4200", "4200"),
            ("-1", "-1"),
            ("Frobnicate", "Frobnicate"),
        ] {
            assert_eq!(parse_method(text).as_deref(), Ok(method));
        }
        assert!(parse_method("a b").expect_err("no token").contains("PATCH"));
    }

    #[test]
    fn what_is_not_known_is_empty() {
        let (none, formats) = (Group::default(), [OutputFormat::Csv, OutputFormat::Json]);
        for (part, cells) in [
            (Part::Service, ["", "\"\""]),
            (Part::Method, ["UNSPECIFIED", "\"UNSPECIFIED\""]),
            (Part::Status, ["", "null"]),
            (Part::StatusClass, ["", "\"\""]),
            (Part::Customer, ["", "\"\""]),
        ] {
            assert_eq!(formats.map(|format| part.cell(&none, format, false)), cells);
        }
    }
}
