//! `tally totals`: how often endpoints were called, or what else tells series apart.
//!
//! | file | what it owns |
//! |---|---|
//! | `print.rs` | printing totals as they arrive |
//! | `trend.rs` | the sum of each group, and how it went |
//! | `watch.rs` | the same table again and again, in one place |
//! | `words.rs` | what is said of an answer |

mod print;
mod trend;
mod watch;
mod words;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::{
    Granularity, LimitOrder, Omitted, QueryTotalsRequest, Resolved,
};
use tally_requests::periods::Zone;
use tally_runtime::Clock;

use self::print::{How, Printed, Printer};
use self::trend::TrendHow;
use super::flags::describe_in_flags;
use super::series::{Filters, Part};
use super::setbacks;
use crate::client::{Caller, ServerArgs};
use crate::dates::{self, Period, PeriodArg, RangeArg};
use crate::numbers;
use crate::output::{self, OutputFormat, say, visible, wrong_usage};

/// Print how often each endpoint was called
///
/// Without --live, these are the totals of days that are rolled up: by
/// `tally roll-up`, or by a server with --requests-roll-up-at. With --live, they
/// include everything counted until now.
///
/// Examples:
///   tally totals                                        every rolled-up day
///   tally totals today --live --top 10                  today's top ten
///   tally totals today --live --top 10 --watch          the same, always anew
///   tally totals 7d --live --sum                        sums of the last 7 days
///   tally totals 30d --live --top 10 --trend            how the busiest went
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

    /// The N largest lines: short for --sort count --limit N
    #[arg(
        long,
        value_name = "N",
        value_parser = numbers::within(1, u32::MAX),
        conflicts_with_all = ["sort", "limit"]
    )]
    top: Option<u32>,

    /// One line for each group: its sum, and how it went from period to period as a small chart,
    /// where the terminal can show one (UTF-8)
    #[arg(long)]
    trend: bool,

    /// Ask again every 2 seconds, or as many as are given, and show the answer in the same place; q or
    /// Ctrl-C ends it
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = numbers::within(1, 86_400_u32)
    )]
    watch: Option<u32>,

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
    /// Each quarter-hour
    Quarter,
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
    if let Err(usage) = args.check().and_then(|()| args.range(clock)) {
        return Ok(wrong_usage(usage));
    }
    if args.watch.is_some() {
        return watch::run(&args, clock).await;
    }
    let format = args.format();
    let (from, to) = args.range(clock).map_err(anyhow::Error::msg)?;
    let mut client = args.server.requests().await?;
    let how = args.how(format);
    let reading = args.read(&mut client, args.request(from, to), how, output::stdout());
    let read = if args.quiet { reading.await } else { args.server.answer(reading).await };
    let Some((printed, about)) = read? else { return Ok(ExitCode::SUCCESS) };
    if !args.quiet {
        args.words(format, printed, &about).iter().for_each(say);
    }
    Ok(ExitCode::SUCCESS)
}

// === impl TotalsArgs ===

impl TotalsArgs {
    /// What is wrong with the flags together.
    fn check(&self) -> Result<(), String> {
        let is_table = self.format() == OutputFormat::Table;
        if self.trend && self.by == By::Whole {
            return Err("--trend shows how periods went: give it another --by than whole".into());
        }
        if self.trend && !is_table {
            return Err("--trend is for tables: leave --format away".into());
        }
        if self.watch.is_some() && !(is_table && output::stdout_is_terminal()) {
            return Err("--watch needs a terminal and a table; a script can ask again".into());
        }
        Ok(())
    }

    /// The range that is asked for, today.
    fn range(&self, clock: &dyn Clock) -> Result<(Option<Period>, Option<Period>), String> {
        let today = self.tz.as_ref().unwrap_or(&Zone::utc()).date_at(clock.now());
        let (from, to) = match self.period.map(|range| range.on(today)) {
            Some((first, last)) => (Some(first), Some(last)),
            None => {
                (self.from.map(|from| from.first_on(today)), self.to.map(|to| to.last_on(today)))
            }
        };
        match (from, to) {
            (Some(from), Some(to)) if to.last_day() < from.first_day() => Err(match self.period {
                Some(_) => format!("the range ends with {to}, before it begins with {from}"),
                None => format!("--to {to} is before --from {from}"),
            }),
            range => Ok(range),
        }
    }

    fn format(&self) -> OutputFormat {
        // A trend, or what is watched, is a table.
        let usual = (self.trend || self.watch.is_some()).then_some(OutputFormat::Table);
        OutputFormat::or_usual(self.format.or(usual))
    }

    fn sort(&self) -> Sort {
        if self.top.is_some() { Sort::Count } else { self.sort }
    }

    fn limit(&self) -> Option<u32> {
        self.top.or(self.limit)
    }

    fn how(&self, format: OutputFormat) -> How {
        let is_shown = output::stdout_is_terminal() && output::is_utf8();
        let trend = TrendHow { by: self.by, limit: self.limit(), is_shown };
        How {
            format,
            terminal_columns: output::terminal_columns(),
            columns: self.columns(),
            is_sum: self.sum,
            has_corrections: self.with_corrections,
            is_largest_first: self.sort() == Sort::Count,
            trend: self.trend.then_some(trend),
        }
    }

    /// Asks, and prints the answer as it comes. `None` if nobody reads it any more.
    async fn read(
        &self,
        client: &mut RequestServiceClient<Caller>,
        request: QueryTotalsRequest,
        how: How,
        out: impl Write,
    ) -> anyhow::Result<Option<(Printed, About)>> {
        let failed = |status| anyhow!("cannot read the totals: {}", describe_in_flags(&status));
        let mut answer = client.query_totals(request).await.map_err(failed)?.into_inner();
        let mut printer = Printer::new(out, how);
        let (mut about, mut setbacks, mut is_first) = (About::default(), Vec::new(), true);
        while let Some(mut part) = answer.message().await.map_err(failed)? {
            if std::mem::take(&mut is_first) {
                about.omitted = part.omitted;
                about.resolved = part.resolved.take().ok_or_else(|| {
                    let server = visible(&self.server.server);
                    anyhow!("the server at {server} is older than this command: update it")
                })?;
            }
            setbacks.append(&mut part.setbacks);
            let rows = printer.take(part).context("the server's answer makes no sense")?;
            if !output::written(rows)? {
                return Ok(None);
            }
        }
        about.incomplete = setbacks::summary(&setbacks);
        let mut printed = printer.printed();
        let finished = printer.finish().map(|(all, omitted)| {
            about.omitted = about.omitted.or(omitted);
            printed = all;
        });
        // Nobody may read the end of it, and the words are for somebody else.
        output::written(finished)?;
        Ok(Some((printed, about)))
    }

    fn request(&self, from: Option<Period>, to: Option<Period>) -> QueryTotalsRequest {
        let granularity = match self.by {
            By::Quarter => Granularity::Quarter,
            By::Hour => Granularity::Hour,
            By::Week => Granularity::Week,
            By::Day => Granularity::Day,
            By::Month => Granularity::Month,
            By::Year => Granularity::Year,
            By::Whole => Granularity::Whole,
        };
        let limit_order = match self.sort() {
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
            // Of a trend, groups are left out, not totals.
            limit: if self.trend { 0 } else { self.limit().unwrap_or(0) },
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
}

#[cfg(test)]
mod tests;
