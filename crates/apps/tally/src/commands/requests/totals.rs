//! `tally totals`: how often endpoints were called, or what else tells series apart.
//!
//! | file | what it owns |
//! |---|---|
//! | `print.rs` | printing totals as they arrive |
//! | `series.rs` | what totals are told apart by and filtered by |

mod print;
pub(super) mod series;

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use tally_proto::tally::requests::v1::{
    Granularity, LimitOrder, Omitted, QueryTotalsRequest, Resolved,
};
use tally_requests::periods::Zone;
use tally_runtime::Clock;

use self::print::{How, Printed, Printer};
use self::series::{Filters, Part};
use super::flags::describe_in_flags;
use super::setbacks;
use crate::client::ServerArgs;
use crate::dates::{self, Period, PeriodArg, RangeArg};
use crate::numbers;
use crate::output::{self, OutputFormat, plural, say, signed, thousands, visible, wrong_usage};

/// Print how often each endpoint was called
///
/// Without --live, these are the totals of days that are rolled up: by
/// `tally roll-up`, or by a server with --requests-roll-up-at. With --live, they
/// include everything counted until now.
///
/// Examples:
///   tally totals                                        every rolled-up day
///   tally totals today --live --sort count --limit 10   today's top ten
///   tally totals 7d --live --sum                        sums of the last 7 days
///   tally totals --from yesterday --live                from yesterday to now
///   tally totals 2015-05 --by month --format csv
///   tally totals last-month --by whole --path-prefix /api/ --method POST
///   tally totals today --live --by hour --tz Asia/Kolkata --sum
///   tally totals 7d --live --group-by service,status-class
///   tally totals this-month --live --by week --status 5xx --customer acme
///
/// Days are UTC, unless --tz says otherwise: then today is that zone's as well.
/// Hours, and days of other zones, are added up from quarter-hours, which the
/// server keeps for 400 days (--requests-quarter-retention-days).
///
/// CSV and JSON have texts exactly as they were counted; a spreadsheet takes a
/// cell that begins with = + - or @ for a formula, unless it imports the column
/// as text.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TotalsArgs {
    /// A day (2015-05-17), a month (2015-05), a year (2015), today, yesterday, this-week, last-week (also
    /// -month and -year), the last days as in 7d (today included), or a range of two with `..`
    /// [default: everything]
    #[arg(value_parser = dates::parse_range, conflicts_with_all = ["from", "to"])]
    period: Option<RangeArg>,

    /// The first day, or the period that it begins [default: the beginning]
    #[arg(long, value_name = "PERIOD", value_parser = dates::parse_period)]
    from: Option<PeriodArg>,

    /// The last day, inclusive, or the period that it ends [default: no end]
    #[arg(long, value_name = "PERIOD", value_parser = dates::parse_period)]
    to: Option<PeriodArg>,

    /// What to sum by
    ///
    /// The first and the last period have only what lies in the range.
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,

    /// The time zone of all dates, such as Europe/Berlin or +02:00 [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = Zone::named, allow_hyphen_values = true)]
    tz: Option<Zone>,

    /// What to tell apart, separated by commas; each has a column [default: method,path]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS", conflicts_with = "sum")]
    group_by: Vec<Part>,

    /// One number per period, over all that matches
    #[arg(long)]
    sum: bool,

    #[command(flatten)]
    filters: Filters,

    /// Include what is not rolled up yet: everything counted until now
    #[arg(long)]
    live: bool,

    /// Show the corrections beside the counts, which stay as they are; see `tally correct`
    #[arg(long)]
    with_corrections: bool,

    /// The order of the lines
    #[arg(long, value_enum, default_value_t = Sort::Path)]
    sort: Sort,

    /// Only the first N lines
    #[arg(long, value_name = "N", value_parser = numbers::within(1, u32::MAX))]
    limit: Option<u32>,

    /// How to print [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    /// Print only errors on stderr
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Each hour that the zone's clock shows
    Hour,
    /// Each day
    Day,
    /// Each week, from Monday on
    Week,
    /// Each month
    Month,
    /// Each year
    Year,
    /// The whole range at once
    Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// By date, path, method and so on
    Path,
    /// The largest first
    Count,
}

/// What the first part of an answer says about all of it.
#[derive(Debug, Default)]
struct About {
    omitted: Option<Omitted>,
    /// What the database may have lost.
    incomplete: Option<String>,
    resolved: Resolved,
}

pub(crate) async fn run(args: TotalsArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let today = args.tz.as_ref().unwrap_or(&Zone::utc()).date_at(clock.now());
    let (from, to) = match args.period.map(|range| range.on(today)) {
        Some((first, last)) => (Some(first), Some(last)),
        None => (args.from.map(|from| from.first_on(today)), args.to.map(|to| to.last_on(today))),
    };
    if let (Some(from), Some(to)) = (from, to)
        && to.last_day() < from.first_day()
    {
        return Ok(wrong_usage(match args.period {
            Some(_) => format!("the range ends with {to}, before it begins with {from}"),
            None => format!("--to {to} is before --from {from}"),
        }));
    }
    let format = OutputFormat::or_usual(args.format);
    let mut client = args.server.requests().await?;
    let failed = |status| anyhow!("cannot read the totals: {}", describe_in_flags(&status));
    let asking = client.query_totals(args.request(from, to));
    let answer = if args.quiet { asking.await } else { args.server.answer(asking).await };
    let mut answer = answer.map_err(failed)?.into_inner();
    let how = How {
        format,
        terminal_columns: output::terminal_columns(),
        columns: args.columns(),
        is_sum: args.sum,
        has_corrections: args.with_corrections,
        is_largest_first: args.sort == Sort::Count,
    };
    let mut printer = Printer::new(output::stdout(), how);
    let (mut about, mut setbacks, mut is_first) = (About::default(), Vec::new(), true);
    while let Some(mut part) = answer.message().await.map_err(failed)? {
        if std::mem::take(&mut is_first) {
            about.omitted = part.omitted;
            about.resolved = part.resolved.take().ok_or_else(|| {
                let server = visible(&args.server.server);
                anyhow!("the server at {server} is older than this command: update it")
            })?;
        }
        setbacks.append(&mut part.setbacks);
        let rows = printer.take(part).context("the server's answer makes no sense")?;
        if !output::written(rows)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let printed = printer.printed();
    about.incomplete = setbacks::summary(&setbacks);
    output::written(printer.finish())?;
    if !args.quiet {
        args.say_what_it_is(format, printed, &about);
    }
    Ok(ExitCode::SUCCESS)
}

// === impl TotalsArgs ===

impl TotalsArgs {
    fn request(&self, from: Option<Period>, to: Option<Period>) -> QueryTotalsRequest {
        let granularity = match self.by {
            By::Hour => Granularity::Hour,
            By::Week => Granularity::Week,
            By::Day => Granularity::Day,
            By::Month => Granularity::Month,
            By::Year => Granularity::Year,
            By::Whole => Granularity::Whole,
        };
        let limit_order = match self.sort {
            Sort::Path => LimitOrder::Path,
            Sort::Count => LimitOrder::Count,
        };
        QueryTotalsRequest {
            from: from.map(Period::to_proto),
            to: to.map(Period::to_proto),
            granularity: granularity.into(),
            path_prefix: self.filters.path_prefix.clone(),
            live: self.live,
            with_corrections: self.with_corrections,
            paths: self.filters.path.clone(),
            sum: self.sum,
            limit: self.limit.unwrap_or(0),
            limit_order: limit_order.into(),
            time_zone: self.tz.as_ref().map(|zone| zone.name().to_owned()).unwrap_or_default(),
            group_by: self.columns().iter().map(|part| part.to_proto().into()).collect(),
            services: self.filters.service.clone(),
            methods: self.filters.method.clone(),
            statuses: self.filters.statuses(),
            status_classes: self.filters.status_classes(),
            customers: self.filters.customer.clone(),
        }
    }

    /// What is told apart, each once.
    fn columns(&self) -> Vec<Part> {
        let mut columns = Vec::new();
        if self.sum {
            return columns;
        }
        let given = if self.group_by.is_empty() { &Part::USUAL[..] } else { &self.group_by };
        for part in given {
            if !columns.contains(part) {
                columns.push(*part);
            }
        }
        columns
    }

    fn say_what_it_is(&self, format: OutputFormat, printed: Printed, about: &About) {
        let is_filtered = !self.filters.is_empty();
        if printed.totals == 0 {
            say(match (self.live, is_filtered) {
                (true, false) => "nothing was counted in this range",
                (true, true) => "nothing that matches was counted in this range",
                (false, false) => {
                    "no rolled-up days in this range; add --live to include requests that are not \
                     rolled up yet"
                }
                (false, true) => {
                    "nothing that matches is rolled up in this range; add --live to include \
                     requests that are not rolled up yet"
                }
            });
        } else if format == OutputFormat::Table {
            let is_complete = printed.dropped == 0 && about.incomplete.is_none();
            let more = match (self.live, is_complete) {
                (true, true) => "; complete: no drops are known",
                (true, false) => "",
                (false, _) => ", rolled up; --live adds later ones",
            };
            say(format_args!("{}{more}", self.how_much(printed, about)));
        }
        if printed.dropped > 0 {
            let of_all = if is_filtered { ", over all series" } else { "" };
            let drops = plural(printed.dropped, "known drop");
            say(format_args!(
                "short by {drops}{of_all}: `tally producers` shows whose, unless that client is done"
            ));
        }
        about.incomplete.iter().for_each(say);
    }

    fn how_much(&self, printed: Printed, about: &About) -> String {
        let requests = plural(printed.requests, "request");
        let corrections = match (self.with_corrections, &about.omitted) {
            (true, None) => format!(", corrections {}", signed(printed.corrections)),
            // The server says of what the limit leaves out only how many requests it has.
            (true, Some(_)) => {
                format!(", corrections of these lines {}", signed(printed.corrections))
            }
            (false, _) => String::new(),
        };
        let much = match &about.omitted {
            Some(Omitted { totals: more, requests: others }) => {
                let of_all = thousands(i128::from(printed.totals) + i128::from(*more));
                let of_requests = plural(printed.requests + i128::from(*others), "request");
                let (lines, some) = (thousands(printed.totals), thousands(printed.requests));
                format!("{lines} of {of_all} lines, with {some} of {of_requests}")
            }
            None if self.sum => requests,
            None if self.columns() == Part::USUAL => {
                format!("{requests} to {}", plural(printed.groups, "endpoint"))
            }
            None => format!("{requests} in {}", plural(printed.groups, "group")),
        } + &corrections;
        let Resolved { time_zone, tzdb_version, .. } = &about.resolved;
        match visible(time_zone) {
            zone if zone.is_empty() || zone == "UTC" => much,
            offset if offset.starts_with(['+', '-']) => format!("{much}, in {offset}"),
            zone => format!("{much}, in {zone} (tz database {})", visible(tzdb_version)),
        }
    }
}

#[cfg(test)]
mod tests;
