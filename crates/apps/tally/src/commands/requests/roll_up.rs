//! `tally roll-up`, which a timer calls once a day.

use std::borrow::Cow;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::ToSpan as _;
use jiff::civil::Date as Day;
use tally_proto::count::v1::{CountDailyTotalsRequest, MethodCount};
use tally_proto::wire;
use tally_requests::periods::Zone;
use tally_runtime::Clock;
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::client::{ServerArgs, describe};
use crate::dates::{self, RangeArg};
use crate::output::table::Align;
use crate::output::{self, Cell, OutputFormat, plural, say, wrong_usage};

/// How often a call is made, at most, that the server refuses because it has folds, roll-ups or changes enough: for a
/// minute.
const CALLS_MAX: u32 = 60;
/// Between two such calls.
const PAUSE: Duration = Duration::from_secs(1);

/// Roll days up: `tally totals` then shows them without --live
///
/// It folds first. Repeating it counts nothing twice. The server adds requests
/// that come late to their rolled-up day by itself, so a day that has not ended
/// can be rolled up too. Days after tomorrow are left out. If the server is
/// busy with other roll-ups, it is asked again for a minute.
/// `tally serve --requests-roll-up-at` does it every day.
///
/// Examples:
///   tally roll-up                         yesterday (UTC)
///   tally roll-up 2015-05-17              a day
///   tally roll-up 2015-05                 every day of a month
///   tally roll-up 2015-05-17..yesterday   every day of a range, both ends included
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RollUpArgs {
    /// A day, a month, a year, today, yesterday, this-week, last-week (also -month and -year), the
    /// last days as in 7d, or a range of two with `..`; all in UTC
    #[arg(default_value = "yesterday", value_parser = dates::parse_range)]
    period: RangeArg,

    /// How to print the rolled-up days [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    /// Say nothing unless the roll-up fails
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DaySum {
    day: Day,
    requests: i128,
    endpoints: i64,
}

pub(crate) async fn run(args: RollUpArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let today = Zone::utc().date_at(clock.now());
    let (first, last) = args.period.on(today);
    let (first, last) = (first.first_day(), last.last_day());
    if last < first {
        return Ok(wrong_usage(format_args!(
            "the range ends on {last}, before it begins on {first}"
        )));
    }
    // No request is later than tomorrow, and the server refuses later days.
    let tomorrow = today.saturating_add(1.day());
    let last = if first <= tomorrow { last.min(tomorrow) } else { last };
    let client = args.server.count().await?;
    let format = OutputFormat::or_usual(args.format);
    let (mut days, mut is_listed) = (Vec::new(), true);
    for period in dates::cut(first, last) {
        let request = CountDailyTotalsRequest { date: Some(period.to_proto()) };
        let asking = while_busy(PAUSE, async || client.clone().count_daily_totals(request).await);
        let answer = if args.quiet { asking.await } else { args.server.answer(asking).await };
        match answer {
            Ok(answer) => add_days(&mut days, &answer.into_inner().method_counts)?,
            Err(status) if is_too_large(&status) => {
                is_listed = false;
                if args.quiet {
                    continue;
                }
                say(format_args!(
                    "rolled up {period}, but it has too many totals to list here: use tally totals"
                ));
            }
            Err(status) => {
                let before = if days.is_empty() {
                    ""
                } else {
                    output::written(print(&mut output::stdout(), &days, format))?;
                    "; the days before it are rolled up"
                };
                let why = describe(&status);
                // The name of the call's field says nothing here.
                let why = why.strip_prefix("date: ").unwrap_or(&why);
                return Err(anyhow!("cannot roll up {period}: {why}{before}"));
            }
        }
    }
    if args.quiet {
        return Ok(ExitCode::SUCCESS);
    }
    output::written(print(&mut output::stdout(), &days, format))?;
    let requests = days.iter().map(|day| day.requests).sum::<i128>();
    if days.is_empty() && !is_listed {
        return Ok(ExitCode::SUCCESS);
    }
    if days.is_empty() {
        let when = if first == last { "on".to_owned() } else { format!("from {first} to") };
        say(format_args!("rolled up nothing: no requests {when} {last} (UTC)"));
    } else {
        let (days, requests) = (plural(days.len() as u64, "day"), plural(requests, "request"));
        // The answer has whole totals; how much of them is new is unknown.
        say(format_args!("{days} rolled up, with {requests} in all"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the roll-up is done and only its answer is too large.
fn is_too_large(status: &Status) -> bool {
    wire::trailer(status, wire::REASON_TRAILER) == Some(wire::reason::ANSWER_TOO_LARGE)
}

/// Calls until the server has a place for it, at most [`CALLS_MAX`] times.
async fn while_busy<T>(
    pause: Duration,
    call: impl AsyncFn() -> Result<T, Status>,
) -> Result<T, Status> {
    for _ in 1..CALLS_MAX {
        match call().await {
            Err(status) if status.code() == Code::ResourceExhausted && !is_too_large(&status) => {
                sleep(pause).await;
            }
            answer => return answer,
        }
    }
    call().await
}

/// Sums an answer, which is ordered by day.
fn add_days(days: &mut Vec<DaySum>, counts: &[MethodCount]) -> anyhow::Result<()> {
    for count in counts {
        let day = count
            .date
            .and_then(dates::day)
            .context("the server's answer has a total without a day")?;
        match days.last_mut() {
            Some(last) if last.day == day => {
                last.requests += i128::from(count.count);
                last.endpoints += 1;
            }
            _ => days.push(DaySum { day, requests: count.count.into(), endpoints: 1 }),
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, days: &[DaySum], format: OutputFormat) -> io::Result<()> {
    let columns = [("day", Align::Left), ("requests", Align::Right), ("endpoints", Align::Right)];
    let rows = days.iter().map(|sum| {
        [
            Cell::Text(Cow::Owned(sum.day.to_string())),
            Cell::Number(sum.requests),
            Cell::Number(sum.endpoints.into()),
        ]
    });
    output::print(out, format, columns, rows)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell as Counter;

    use jiff::civil::date;
    use tally_proto::google::r#type::Date;

    use super::*;

    fn count(day: i32, path: &str, count: i64) -> MethodCount {
        let date = Some(Date { year: 2015, month: 5, day });
        MethodCount { method: 3, path: path.to_owned(), count, date }
    }

    fn printed(format: OutputFormat) -> String {
        let mut days = Vec::new();
        add_days(&mut days, &[count(17, "/a", 1_000), count(17, "/b", 632)]).expect("days");
        add_days(&mut days, &[count(18, "/a", 5)]).expect("days");
        let first = DaySum { day: date(2015, 5, 17), requests: 1_632, endpoints: 2 };
        assert_eq!((days.len(), days[0]), (2, first));
        let mut out = Vec::new();
        print(&mut out, &days, format).expect("printed");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn every_format_says_the_same() {
        let table = "day         requests  endpoints\n\
                     2015-05-17     1,632          2\n\
                     2015-05-18         5          1\n";
        assert_eq!(printed(OutputFormat::Table), table);
        let csv = "day,requests,endpoints\n2015-05-17,1632,2\n2015-05-18,5,1\n";
        assert_eq!(printed(OutputFormat::Csv), csv);
        let json: serde_json::Value =
            serde_json::from_str(&printed(OutputFormat::Json)).expect("JSON");
        let first = serde_json::json!({"day": "2015-05-17", "requests": 1_632, "endpoints": 2});
        assert_eq!((json.as_array().map(Vec::len), &json[0]), (Some(2), &first));
    }

    #[test]
    fn the_sum_of_a_day_has_no_bound() {
        let mut days = Vec::new();
        add_days(&mut days, &[count(17, "/a", i64::MAX), count(17, "/b", 1)]).expect("days");
        assert_eq!(days[0].requests, i128::from(i64::MAX) + 1);
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again_for_a_minute() {
        let calls = Counter::new(0);
        let busy = || Status::resource_exhausted("3 are waiting");
        let refusing = async |until: u32, refusal: Status| {
            calls.set(calls.get() + 1);
            if calls.get() < until { Err(refusal) } else { Ok(()) }
        };
        let called = async |until, refusal: Status| {
            while_busy(Duration::ZERO, async || refusing(until, refusal.clone()).await).await
        };
        assert_eq!((called(4, busy()).await.is_ok(), calls.replace(0)), (true, 4));
        let refused = called(u32::MAX, busy()).await.map_err(|status| status.code());
        assert_eq!((refused, calls.replace(0)), (Err(Code::ResourceExhausted), CALLS_MAX));

        let mut too_large = busy();
        let reason = wire::reason::ANSWER_TOO_LARGE.parse().expect("a value of a header");
        too_large.metadata_mut().insert(wire::REASON_TRAILER, reason);
        for done in [too_large, Status::unavailable("away")] {
            let answer = called(u32::MAX, done.clone()).await;
            assert_eq!((answer.is_err(), calls.replace(0)), (true, 1), "{done}");
        }
    }

    #[test]
    fn a_total_without_a_day_is_no_answer() {
        let mut total = count(17, "/a", 1);
        total.date = None;
        assert!(add_days(&mut Vec::new(), &[total]).is_err());
    }
}
