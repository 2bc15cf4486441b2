//! What totals are told apart by and filtered by, as arguments and as columns.

use std::borrow::Cow;

use clap::{Args, ValueEnum};
use tally_proto::tally::requests::v1::{Group, GroupBy};
use tally_requests::{StatusIs, methods};

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
pub(crate) struct Filters {
    /// Only this service, or "" for none; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Vec<String>,

    /// Only this method, a name or a number; repeatable
    #[arg(long, value_parser = methods::of_series, allow_negative_numbers = true)]
    pub(crate) method: Vec<String>,

    /// Only this path; repeatable
    #[arg(long)]
    pub(crate) path: Vec<String>,

    /// Only paths with this prefix
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) path_prefix: String,

    /// Only this status or class, such as 404 or 5xx; 0 is not known; a GRPC call's OK is 200, and its
    /// other codes are in the class of the HTTP status that stands for them: UNAVAILABLE (14) in 5xx;
    /// repeatable
    #[arg(long, value_parser = str::parse::<StatusIs>)]
    pub(crate) status: Vec<StatusIs>,

    /// Only this customer, or "" for none; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) customer: Vec<String>,
}

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

    pub(crate) fn statuses(&self) -> Vec<u32> {
        let one = |status: &StatusIs| match status {
            StatusIs::One(status) => Some(u32::from(*status)),
            StatusIs::Class(_) => None,
        };
        self.status.iter().filter_map(one).collect()
    }

    pub(crate) fn status_classes(&self) -> Vec<u32> {
        let class = |status: &StatusIs| match status {
            StatusIs::Class(class) => Some(u32::from(*class)),
            StatusIs::One(_) => None,
        };
        self.status.iter().filter_map(class).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
