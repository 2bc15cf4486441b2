//! `tally totals`: how often each endpoint was called.

mod print;

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use tally_proto::methods::text;
use tally_proto::tally::requests::v1::{
    Granularity, LimitOrder, Omitted, QueryTotalsRequest, QueryTotalsResponse,
};
use tally_runtime::Clock;

use self::print::{How, Printed, Printer};
use super::{methods, setbacks};
use crate::client::{ServerArgs, describe};
use crate::dates::{self, Period, PeriodArg, RangeArg};
use crate::numbers;
use crate::output::{self, OutputFormat, plural, say, thousands, visible, wrong_usage};

/// Print how often each endpoint was called
///
/// Examples:
///   tally totals                                        every rolled-up day
///   tally totals today --live --sort count --limit 10   today's top ten
///   tally totals 7d --live --sum                        sums of the last 7 days
///   tally totals --from yesterday --live                from yesterday to now
///   tally totals 2015-05 --by month --format csv
///   tally totals last-month --by whole --path-prefix /api/ --method POST
///
/// All days are UTC.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TotalsArgs {
    /// A day, a month, a year, today, yesterday, this-week, last-week (also -month and -year), the
    /// last days as in 7d (today included), or a range of two with `..` [default: everything]
    #[arg(value_parser = dates::parse_range, conflicts_with_all = ["from", "to"])]
    period: Option<RangeArg>,

    /// The first day, or the period that it begins [default: the beginning]
    #[arg(long, value_name = "PERIOD", value_parser = dates::parse_period)]
    from: Option<PeriodArg>,

    /// The last day, inclusive, or the period that it ends [default: no end]
    #[arg(long, value_name = "PERIOD", value_parser = dates::parse_period)]
    to: Option<PeriodArg>,

    /// What to sum by
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,

    /// One number per period, over all matching endpoints
    #[arg(long)]
    sum: bool,

    /// Only this method: a name or a number
    #[arg(long, value_parser = methods::parse, allow_negative_numbers = true)]
    method: Option<i32>,

    /// Only this path; repeatable
    #[arg(long)]
    path: Vec<String>,

    /// Only paths with this prefix
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    path_prefix: String,

    /// Include requests that are not rolled up yet
    #[arg(long)]
    live: bool,

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
    /// Each UTC day
    Day,
    /// Each month
    Month,
    /// Each year
    Year,
    /// The whole range at once
    Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// By date, path and method
    Path,
    /// The largest first
    Count,
}

pub(crate) async fn run(args: TotalsArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let now = clock.now();
    let (from, to) = match args.period.map(|range| range.at(now)) {
        Some((first, last)) => (Some(first), Some(last)),
        None => (args.from.map(|from| from.first_at(now)), args.to.map(|to| to.last_at(now))),
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
    let failed = |status| anyhow!("cannot read the totals: {}", describe(&status));
    let asking = client.query_totals(args.request(from, to));
    let answer = if args.quiet { asking.await } else { args.server.answer(asking).await };
    let mut answer = answer.map_err(failed)?.into_inner();
    let how = How {
        format,
        terminal_columns: output::terminal_columns(),
        is_sum: args.sum,
        is_largest_first: args.sort == Sort::Count,
    };
    let mut printer = Printer::new(output::stdout(), how);
    let (mut omitted, mut setbacks) = (None, Vec::new());
    while let Some(mut part) = answer.message().await.map_err(failed)? {
        if let Some(ignored) = args.ignored_by(&part, printer.printed().totals) {
            let server = visible(&args.server.server);
            return Err(anyhow!(
                "the server at {server} is older than this command and ignores {ignored}: update it"
            ));
        }
        omitted = omitted.or(part.omitted);
        setbacks.append(&mut part.setbacks);
        let rows = printer.take(part).context("the server's answer makes no sense")?;
        if !output::written(rows)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let printed = printer.printed();
    let incomplete = setbacks::summary(&setbacks);
    output::written(printer.finish())?;
    if !args.quiet {
        args.say_what_it_is(format, printed, omitted, incomplete.as_deref());
    }
    Ok(ExitCode::SUCCESS)
}

// === impl TotalsArgs ===

impl TotalsArgs {
    fn request(&self, from: Option<Period>, to: Option<Period>) -> QueryTotalsRequest {
        let granularity = match self.by {
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
            methods: self.method.map(|number| text(number).into_owned()).into_iter().collect(),
            path_prefix: self.path_prefix.clone(),
            live: self.live,
            paths: self.path.clone(),
            sum: self.sum,
            limit: self.limit.unwrap_or(0),
            limit_order: limit_order.into(),
            ..Default::default()
        }
    }

    /// The flag that the server ignores, judged by a part of its answer and the number of totals
    /// before it.
    fn ignored_by(&self, part: &QueryTotalsResponse, before: u64) -> Option<&'static str> {
        let is_asked_for = |path| self.path.is_empty() || self.path.contains(path);
        if !part.groups.iter().all(|group| is_asked_for(&group.path)) {
            return Some("--path");
        }
        let totals: usize = part.periods.iter().map(|period| period.count.len()).sum();
        let is_more = |limit| before + totals as u64 > u64::from(limit);
        self.limit.is_some_and(is_more).then_some("--limit")
    }

    fn say_what_it_is(
        &self,
        format: OutputFormat,
        printed: Printed,
        omitted: Option<Omitted>,
        incomplete: Option<&str>,
    ) {
        let is_filtered =
            self.method.is_some() || !self.path_prefix.is_empty() || !self.path.is_empty();
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
            let is_complete = printed.dropped == 0 && incomplete.is_none();
            let more = match (self.live, is_complete) {
                (true, true) => "; complete: no drops are known",
                (true, false) => "",
                (false, _) => ", rolled up; --live adds later ones",
            };
            say(format_args!("{}{more}", self.how_much(printed, omitted)));
        }
        if printed.dropped > 0 {
            let of_all = if is_filtered { ", over all endpoints" } else { "" };
            let drops = plural(printed.dropped, "known drop");
            say(format_args!(
                "short by {drops}{of_all}: `tally producers` shows whose, unless that client is done"
            ));
        }
        incomplete.iter().for_each(say);
    }

    fn how_much(&self, printed: Printed, omitted: Option<Omitted>) -> String {
        let requests = plural(printed.requests, "request");
        match omitted {
            Some(Omitted { totals: more, requests: others }) => {
                let of_all = thousands(i128::from(printed.totals) + i128::from(more));
                let of_requests = plural(printed.requests + i128::from(others), "request");
                let (lines, some) = (thousands(printed.totals), thousands(printed.requests));
                format!("{lines} of {of_all} lines, with {some} of {of_requests}")
            }
            None if self.sum => requests,
            None => format!("{requests} to {}", plural(printed.endpoints, "endpoint")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;
    use tally_proto::tally::requests::v1::{Group, PeriodTotals};

    use super::*;

    #[test]
    fn an_answer_to_another_question_is_of_an_older_server() {
        let ignored = |given: &[&str], paths: &[&str], before| {
            let given = ["totals"].iter().chain(given);
            let matches = TotalsArgs::augment_args(clap::Command::new("totals"))
                .try_get_matches_from(given)
                .expect("they are right");
            let args = TotalsArgs::from_arg_matches(&matches).expect("they are right");
            let group = |path: &&str| Group { path: (*path).to_owned(), ..Default::default() };
            let period = PeriodTotals { count: vec![1; paths.len()], ..Default::default() };
            let part = QueryTotalsResponse {
                groups: paths.iter().map(group).collect(),
                periods: vec![period],
                ..Default::default()
            };
            args.ignored_by(&part, before)
        };
        let path = ["--path", "/a", "--path", "/b"];
        assert_eq!(ignored(&[], &["/a", "/c"], 0), None);
        assert_eq!(ignored(&path, &["/a", "/b"], 0), None);
        assert_eq!(ignored(&path, &["/a", "/c"], 0), Some("--path"));
        let limit = ["--limit", "2"];
        assert_eq!(ignored(&limit, &["/a", "/c"], 0), None);
        assert_eq!(ignored(&limit, &["/a", "/c"], 1), Some("--limit"));
    }
}
