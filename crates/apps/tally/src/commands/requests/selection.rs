//! Which series `tally forget` and `tally merge` are about, and what became of them.

use std::borrow::Cow;
use std::io::{self, Write};

use clap::Args;
use tally_proto::tally::requests::v1::selection::PathIs;
use tally_proto::tally::requests::v1::{ChangeResponse, MovedSeries, Selection, Series};

use crate::output::table::Align;
use crate::output::{Cell, OutputFormat, plural, say, thousands};

/// What series must have: all that is given.
#[derive(Debug, Args)]
#[group(id = "selection", required = true, multiple = true)]
pub(super) struct SelectionArgs {
    /// This path
    #[arg(long, conflicts_with_all = ["path_prefix", "path_regex"])]
    path: Option<String>,

    /// Paths with this prefix
    #[arg(long, value_name = "PREFIX", conflicts_with = "path_regex")]
    path_prefix: Option<String>,

    /// Paths in which this regex finds something; ^ and $ are the ends of a path
    #[arg(long, value_name = "REGEX")]
    path_regex: Option<String>,

    /// This service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// This customer
    #[arg(long, value_name = "NAME")]
    customer: Option<String>,
}

// === impl SelectionArgs ===

impl SelectionArgs {
    pub(super) fn to_proto(&self) -> Selection {
        let path = self.path.clone().map(PathIs::Path);
        let path = path.or_else(|| self.path_prefix.clone().map(PathIs::PathPrefix));
        let path_is = path.or_else(|| self.path_regex.clone().map(PathIs::PathRegex));
        Selection { path_is, service: self.service.clone(), customer: self.customer.clone() }
    }

    pub(super) fn has_regex(&self) -> bool {
        self.path_regex.is_some()
    }
}

/// Says what was done, or would be, in these words.
pub(super) fn say_changed(answer: &ChangeResponse, done: &str, is_dry_run: bool) {
    let (series, requests) = (thousands(answer.series), plural(answer.requests, "request"));
    let would = if is_dry_run { "would be " } else { "" };
    say(match answer.series {
        0 => "nothing matches that is not done already".to_owned(),
        _ => format!("{would}{done}: {series} series with {requests}"),
    });
    let shown = answer.moved.len() as u64;
    if is_dry_run && shown < answer.series {
        say(format_args!("shown are the {shown} with the most requests"));
    }
}

/// Prints the series that would move.
pub(super) fn print(
    out: &mut impl Write,
    format: OutputFormat,
    moved: &[MovedSeries],
) -> io::Result<()> {
    let columns = [
        ("method", Align::Left),
        ("path", Align::Shorten),
        ("service", Align::Shorten),
        ("status", Align::Right),
        ("customer", Align::Shorten),
        ("count", Align::Right),
    ];
    let empty = Series::default();
    let rows = moved.iter().map(|one| {
        let series = one.series.as_ref().unwrap_or(&empty);
        let text = |text| Cell::Text(Cow::Borrowed(text));
        [
            text(if series.method.is_empty() { "UNSPECIFIED" } else { &*series.method }),
            text(&*series.path),
            text(&*series.service),
            match series.status {
                0 => Cell::Unknown,
                status => Cell::Number(status.into()),
            },
            text(&*series.customer),
            Cell::Number(one.requests.into()),
        ]
    });
    crate::output::print(out, format, columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_is_printed() {
        let series = Series { path: "/a".into(), status: 404, ..Default::default() };
        let moved = [MovedSeries { series: Some(series), requests: 1_000 }];
        let mut out = Vec::new();
        print(&mut out, OutputFormat::Csv, &moved).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "method,path,service,status,customer,count\nUNSPECIFIED,/a,,404,,1000\n");
    }
}
