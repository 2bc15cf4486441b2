//! Which series `tally forget` and `tally merge` are about, and what became of them.

use std::borrow::Cow;
use std::io::{self, Write};

use anyhow::anyhow;
use clap::Args;
use tally_proto::tally::requests::v1::selection::PathIs;
use tally_proto::tally::requests::v1::{ChangeResponse, MovedSeries, Selection, Series};
use tally_proto::wire::{REGEXES_MAX, RENAMINGS_MAX};
use tonic::{Response, Status};

use super::flags::describe_in_flags;
use crate::client::{ServerArgs, may_be_done};
use crate::output::table::Align;
use crate::output::{self, Cell, OutputFormat, plural, say, thousands};

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

/// What a forget and a merge take besides what they are about.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Show which series would move, with how many requests, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Allow a selection that matches every path
    #[arg(long)]
    pub(super) everything: bool,

    /// Who asks for it, for the table of changes [default: the user of this machine]
    #[arg(long, value_name = "NAME")]
    pub(super) author: Option<String>,

    /// How to print a dry run [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum, requires = "dry_run")]
    format: Option<OutputFormat>,

    #[command(flatten)]
    pub(super) server: ServerArgs,
}

/// The columns of [`series_cells`].
pub(super) const SERIES_COLUMNS: [(&str, Align); 5] = [
    ("method", Align::Left),
    ("path", Align::Shorten),
    ("service", Align::Shorten),
    ("status", Align::Right),
    ("customer", Align::Shorten),
];

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

// === impl ChangeArgs ===

impl ChangeArgs {
    /// Prints and says what was done, or would be, in these words: such as "merge" and "merged", and what it
    /// means that no series matches.
    pub(super) fn finish(
        &self,
        answer: Result<Response<ChangeResponse>, Status>,
        what: &str,
        done: &str,
        none: &str,
    ) -> anyhow::Result<ChangeResponse> {
        let failed = |status: Status| {
            let why = describe_in_flags(&status);
            match may_be_done(&status) && !self.dry_run {
                true => anyhow!(
                    "it is not known whether anything is {done}: {why}; run the same command again, \
                     which does what is left"
                ),
                false => anyhow!("cannot {what}: {why}"),
            }
        };
        let answer = answer.map_err(failed)?.into_inner();
        if self.dry_run {
            let format = OutputFormat::or_usual(self.format);
            output::written(print(&mut output::stdout(), format, &answer.moved))?;
        }
        let (series, requests) = (thousands(answer.series), plural(answer.requests, "request"));
        let would = if self.dry_run { "would be " } else { "" };
        say(match answer.series {
            0 => none.to_owned(),
            _ => format!("{would}{done}: {series} series with {requests}"),
        });
        let shown = answer.moved.len() as u64;
        if self.dry_run && shown < answer.series {
            say(format_args!("shown are the {} with the most requests", thousands(shown)));
        }
        Ok(answer)
    }
}

/// What it means that a database follows no more changes, and what to do.
pub(super) fn beyond_the_most(done: &str) -> String {
    format!(
        "series that come later will not be {done}, because a database follows at most {} merges and \
         forgets, {REGEXES_MAX} of them by a regex: run this again when some have come",
        thousands(RENAMINGS_MAX as u64)
    )
}

/// Prints the series that would move.
fn print(out: &mut impl Write, format: OutputFormat, moved: &[MovedSeries]) -> io::Result<()> {
    let [method, path, service, status, customer] = SERIES_COLUMNS;
    let columns = [method, path, service, status, customer, ("count", Align::Right)];
    let rows = moved.iter().map(|one| {
        let [method, path, service, status, customer] = series_cells(one.series.as_ref());
        [method, path, service, status, customer, Cell::Number(one.requests.into())]
    });
    output::print(out, format, columns, rows)
}

/// What tells a series apart from others, in the columns of [`SERIES_COLUMNS`].
pub(super) fn series_cells(series: Option<&Series>) -> [Cell<'_>; 5] {
    let text = |text| Cell::Text(Cow::Borrowed(text));
    let method = series.map_or("", |series| &*series.method);
    [
        text(if method.is_empty() { "UNSPECIFIED" } else { method }),
        text(series.map_or("", |series| &*series.path)),
        text(series.map_or("", |series| &*series.service)),
        match series.map_or(0, |series| series.status) {
            0 => Cell::Unknown,
            status => Cell::Number(status.into()),
        },
        text(series.map_or("", |series| &*series.customer)),
    ]
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
