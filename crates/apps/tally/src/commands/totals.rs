//! `tally totals`: how often each endpoint was called.

mod print;

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use tally_proto::tally::requests::v1::{Granularity, QueryTotalsRequest};
use tally_runtime::Clock;

use self::print::Printer;
use super::setbacks;
use crate::client::{ServerArgs, describe};
use crate::dates::{self, PeriodArg};
use crate::methods;
use crate::output::{self, OutputFormat, plural, say, wrong_usage};

/// Print how often each endpoint was called
///
/// Examples:
///   tally totals                                  every rolled-up day
///   tally totals --from yesterday --live          since yesterday, up to this moment
///   tally totals --from 2015-05 --to 2015-05 --by month --format csv
///   tally totals --by whole --path-prefix /api/ --method POST
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TotalsArgs {
    /// The first day; of a month or a year, its first day [default: the beginning]
    #[arg(long, value_name = "DATE", value_parser = dates::parse_period)]
    from: Option<PeriodArg>,

    /// The last day, which is included; of a month or a year, its last day [default: no end]
    #[arg(long, value_name = "DATE", value_parser = dates::parse_period)]
    to: Option<PeriodArg>,

    /// What to sum by
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,

    /// Only this method: a name or a number
    #[arg(long, value_parser = methods::parse, allow_negative_numbers = true)]
    method: Option<i32>,

    /// Only paths that begin with this
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    path_prefix: String,

    /// Include requests that are not rolled up yet
    #[arg(long)]
    live: bool,

    /// How to print [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    #[command(flatten)]
    server: ServerArgs,
}

/// What totals are summed by.
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

pub(crate) async fn run(args: TotalsArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let now = clock.now();
    let (from, to) = (args.from.map(|from| from.at(now)), args.to.map(|to| to.at(now)));
    if let (Some(from), Some(to)) = (from, to)
        && to.last_day() < from.first_day()
    {
        return Ok(wrong_usage(format_args!("--to {to} is before --from {from}")));
    }
    let request = QueryTotalsRequest {
        from: from.map(dates::Period::to_proto),
        to: to.map(dates::Period::to_proto),
        granularity: granularity(args.by) as i32,
        method: args.method,
        path_prefix: args.path_prefix.clone(),
        live: args.live,
    };
    let terminal = output::stdout_is_terminal();
    let usual = if terminal { OutputFormat::Table } else { OutputFormat::Csv };
    let format = args.format.unwrap_or(usual);

    let mut client = args.server.requests().await?;
    let failed = |status| anyhow!("cannot read the totals: {}", describe(&status));
    let mut answer = client.query_totals(request).await.map_err(failed)?.into_inner();
    let mut printer = Printer::new(output::stdout(), format);
    while let Some(part) = answer.message().await.map_err(failed)? {
        let rows = printer.take(part).context("the server's answer makes no sense")?;
        if !output::written(rows)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let sum = printer.sum();
    let incomplete = setbacks::summary(printer.setbacks());
    output::written(printer.finish())?;
    let is_filtered = args.method.is_some() || !args.path_prefix.is_empty();
    if sum.totals == 0 {
        say(if args.live {
            "nothing was counted in this range"
        } else {
            "no rolled-up days in this range; add --live to include requests that are not \
             rolled up yet"
        });
    } else if format == OutputFormat::Table {
        let endpoints = plural(sum.endpoints, "endpoint");
        let is_complete = sum.dropped == 0 && incomplete.is_none();
        let complete = if is_complete { "; complete: no drops are known" } else { "" };
        say(format_args!("{} to {endpoints}{complete}", plural(sum.requests, "request")));
    }
    if sum.dropped > 0 {
        let of_all = if is_filtered { ", over all endpoints" } else { "" };
        let drops = plural(sum.dropped, "known drop");
        say(format_args!(
            "short by {drops}{of_all}: `tally producers` shows whose, unless that client is done"
        ));
    }
    incomplete.iter().for_each(say);
    Ok(ExitCode::SUCCESS)
}

fn granularity(by: By) -> Granularity {
    match by {
        By::Day => Granularity::Day,
        By::Month => Granularity::Month,
        By::Year => Granularity::Year,
        By::Whole => Granularity::Whole,
    }
}
