//! `tally correct`: what people add to a total, or take from it.
//!
//! | file | what it owns |
//! |---|---|
//! | `series.rs` | which series a correction is of, and which others its path has |

mod series;

use std::borrow::Cow;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use tally_proto::methods as names;
use tally_proto::tally::requests::v1::{
    CorrectRequest, CorrectResponse, Correction, ListCorrectionsRequest, Series,
};
use tally_proto::wire::{CUSTOMER_BYTES_MAX, SERVICE_BYTES_MAX, STATUS_MAX};
use tally_requests::periods::Zone;
use tally_runtime::{Clock, random};
use tonic::{Code, Status};
use uuid::Uuid;

use super::flags::describe_in_flags;
use super::selection::{SERIES_COLUMNS, series_cells};
use super::{author, methods};
use crate::client::{ServerArgs, describe, may_be_done};
use crate::dates::{self, PeriodArg, RangeArg};
use crate::numbers;
use crate::output::table::Align;
use crate::output::{self, Cell, OutputFormat, plural, say, signed, thousands, wrong_usage};

/// Correct the total of a day, and say why
///
/// A correction is kept beside the total, which never changes: `tally totals
/// --with-corrections` shows both. With all its corrections, the total of a day
/// stays at least 0. Requests without a service, a status or a customer are told
/// apart from those with one: name them as this shows them:
///
///   tally totals 2015-05-17 --live --group-by service,method,path,status,customer
///
/// Examples:
///   tally correct 2015-05-17 GET /hello --service shop --status 200 \
///       --requests -12 --reason 'a client sent them twice'
///   tally correct yesterday POST /orders --service shop --status 201 \
///       --customer acme --requests 3 --reason 'the log of 10:00 was lost'
///   tally correct --list 2015-05
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CorrectArgs {
    /// A day (UTC), today or yesterday
    #[arg(value_parser = dates::parse_day, required_unless_present = "list")]
    day: Option<PeriodArg>,

    /// An HTTP method or GRPC, in any case, or its number
    #[arg(value_parser = methods::parse, allow_negative_numbers = true,
          required_unless_present = "list")]
    method: Option<i32>,

    /// The path
    #[arg(required_unless_present = "list")]
    path: Option<String>,

    /// How many requests to add; below 0, to take. At most 10^15 either way
    #[arg(
        long,
        value_name = "COUNT",
        allow_negative_numbers = true,
        required_unless_present = "list",
        value_parser = numbers::within(i64::MIN, i64::MAX)
    )]
    requests: Option<i64>,

    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    reason: Option<String>,

    /// The service
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,

    /// The HTTP status, or the gRPC code
    #[arg(long, value_name = "CODE", default_value_t = 0, hide_default_value = true,
          value_parser = numbers::within(0, STATUS_MAX))]
    status: u16,

    /// The customer
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    customer: String,

    /// Who makes the correction [default: the user of this machine]
    #[arg(long, value_name = "NAME")]
    author: Option<String>,

    /// The correction's id, a UUID, to send the same one again: it is stored once [default: a new one]
    #[arg(long, value_name = "UUID", value_parser = parse_id)]
    id: Option<Uuid>,

    /// Say what it would come to, and store nothing
    #[arg(long)]
    dry_run: bool,

    /// List the corrections of a day, a month or a range, or of `all` days
    #[arg(long, value_name = "PERIOD", value_parser = parse_listed,
          conflicts_with_all = ["day", "requests", "reason", "id", "dry_run", "author"])]
    list: Option<Listed>,

    /// How to print a list [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum, requires = "list")]
    format: Option<OutputFormat>,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy)]
enum Listed {
    All,
    Range(RangeArg),
}

pub(crate) async fn run(args: CorrectArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let today = Zone::utc().date_at(clock.now());
    match args.list {
        Some(listed) => list(&args, listed.request(today)).await,
        None => correct(args, today, clock).await,
    }
}

async fn correct(
    args: CorrectArgs,
    today: jiff::civil::Date,
    clock: &dyn Clock,
) -> anyhow::Result<ExitCode> {
    let (Some(day), Some(method), Some(path), Some(requests), Some(reason)) =
        (args.day, args.method, args.path, args.requests, args.reason)
    else {
        return Err(anyhow!("a correction needs a day, a method, a path, --requests and --reason"));
    };
    let day = day.first_on(today).to_proto();
    for (flag, text, max) in [
        ("--service", &args.service, SERVICE_BYTES_MAX),
        ("--customer", &args.customer, CUSTOMER_BYTES_MAX),
    ] {
        if text.len() > max {
            return Ok(wrong_usage(format_args!("{flag} has more than {max} bytes")));
        }
    }
    let author = match author(args.author, args.dry_run) {
        Ok(author) => author,
        Err(code) => return Ok(code),
    };
    let id = args.id.unwrap_or_else(|| random::id(clock.now()));
    let series = Series {
        service: args.service,
        method: names::text(method).into_owned(),
        path,
        status: args.status.into(),
        customer: args.customer,
    };
    let request = CorrectRequest {
        id: id.as_bytes().to_vec(),
        day: Some(day),
        series: Some(series.clone()),
        requests,
        reason,
        author,
        dry_run: args.dry_run,
    };
    let mut client = args.server.books().await?;
    let answer = args.server.answer_or_signal(client.correct(request)).await?;
    let what = format!("{} on {}", series::named(&series), dates::iso(day));
    let answer = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let mut why = failed(&status, &what, (!args.dry_run).then_some(id));
            // Most often it is another series of this path that is meant.
            if matches!(status.code(), Code::NotFound | Code::FailedPrecondition)
                && let Some(others) = series::of_path(&args.server, day, &series.path).await
            {
                why = format!("{why}\n{others}");
            }
            return Err(anyhow!(why));
        }
    };
    say_corrected(&what, &answer, args.dry_run);
    Ok(ExitCode::SUCCESS)
}

fn say_corrected(what: &str, answer: &CorrectResponse, is_dry: bool) {
    let left = i128::from(answer.total) + i128::from(answer.corrections);
    let done = match (is_dry, answer.is_repeated) {
        (_, true) => "was corrected before",
        (true, false) => "would be corrected",
        (false, false) => "corrected",
    };
    say(format_args!(
        "{done}: {what}: {} counted, corrections {}, together {}",
        thousands(answer.total),
        signed(answer.corrections),
        thousands(left),
    ));
}

// === impl Listed ===

impl Listed {
    fn request(self, today: jiff::civil::Date) -> ListCorrectionsRequest {
        let range = match self {
            Self::All => None,
            Self::Range(range) => Some(range.on(today)),
        };
        ListCorrectionsRequest {
            from: range.map(|range| range.0.to_proto()),
            to: range.map(|range| range.1.to_proto()),
        }
    }
}

/// Whether a correction with an id is stored may be unknown. One of a dry run has none.
fn failed(status: &Status, what: &str, id: Option<Uuid>) -> String {
    let why = describe_in_flags(status);
    match id {
        _ if status.code() == Code::NotFound => {
            format!("{what} is not corrected: nothing was ever counted under it")
        }
        Some(id) if may_be_done(status) => format!(
            "it is not known whether {what} is corrected: {why}; the same command with --id {id} \
             stores it at most once"
        ),
        _ => format!("{what} is not corrected: {why}"),
    }
}

fn parse_id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "it is not a UUID, such as the one that a lost answer names")
}

fn parse_listed(text: &str) -> Result<Listed, String> {
    match text {
        "all" => Ok(Listed::All),
        _ => dates::parse_range(text).map(Listed::Range),
    }
}

async fn list(args: &CorrectArgs, request: ListCorrectionsRequest) -> anyhow::Result<ExitCode> {
    let mut client = args.server.books().await?;
    let failed = |status| anyhow!("cannot list the corrections: {}", describe(&status));
    let answer = args.server.answer(client.list_corrections(request)).await;
    let mut answer = answer.map_err(failed)?.into_inner();
    let mut corrections = Vec::new();
    while let Some(part) = answer.message().await.map_err(failed)? {
        corrections.extend(part.corrections);
    }
    let format = OutputFormat::or_usual(args.format);
    output::written(print(&mut output::stdout(), format, &corrections))?;
    if corrections.is_empty() {
        say("no corrections in this range");
    } else if format == OutputFormat::Table {
        say(plural(corrections.len() as u64, "correction"));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, format: OutputFormat, all: &[Correction]) -> io::Result<()> {
    let [method, path, service, status, customer] = SERIES_COLUMNS;
    let columns = [
        ("date", Align::Left),
        method,
        path,
        service,
        status,
        customer,
        ("correction", Align::Right),
        ("reason", Align::Shorten),
        ("author", Align::Shorten),
        ("corrected_at", Align::Left),
    ];
    let rows = all.iter().map(|one| {
        let [method, path, service, status, customer] = series_cells(one.series.as_ref());
        let text = |text| Cell::Text(Cow::Borrowed(text));
        [
            Cell::Text(one.day.map(dates::iso).unwrap_or_default().into()),
            method,
            path,
            service,
            status,
            customer,
            Cell::Number(one.requests.into()),
            text(&*one.reason),
            text(&*one.author),
            at(one).map_or(Cell::Unknown, |at| Cell::Text(at.to_string().into())),
        ]
    });
    if format != OutputFormat::Table {
        return output::print(out, format, columns, rows);
    }
    // A reason has a line of its own, because the series alone takes most of one.
    let [columns @ .., _, _, _] = columns;
    let rows = rows.map(|[cells @ .., _, _, _]| cells);
    output::print_noted(out, columns, rows, all.iter().map(note))
}

/// Who has corrected it, when and why.
fn note(correction: &Correction) -> String {
    let at = at(correction).map(|at| at.to_string()).unwrap_or_default();
    match &*correction.author {
        "" => format!("{at}: {}", correction.reason),
        author => format!("{at}, {author}: {}", correction.reason),
    }
}

fn at(correction: &Correction) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(correction.corrected_at?.seconds).ok()
}

#[cfg(test)]
mod tests {
    use tally_proto::google::r#type::Date;

    use super::*;

    #[test]
    fn only_what_may_be_stored_is_unknown() {
        let away = Status::unavailable("the database cannot be reached");
        let said = failed(&away, "GET /a", Some(Uuid::from_u128(1)));
        assert!(said.starts_with("it is not known whether GET /a is corrected: "), "{said}");
        assert!(said.contains("--id 00000000-0000-0000-0000-000000000001"), "{said}");
        let said = failed(&away, "GET /a", None);
        assert_eq!(said, "GET /a is not corrected: the database cannot be reached");
        let refused = Status::invalid_argument("requests: is 0");
        let said = failed(&refused, "GET /a", Some(Uuid::from_u128(1)));
        assert_eq!(said, "GET /a is not corrected: --requests is 0");
    }

    #[test]
    fn every_format_lists_them() {
        let correction = Correction {
            id: vec![1; 16],
            day: Some(Date { year: 2015, month: 5, day: 17 }),
            series: Some(Series {
                method: "GET".into(),
                path: "/hello".into(),
                ..Default::default()
            }),
            requests: -1_200,
            reason: "sent, twice".into(),
            author: "ann".into(),
            corrected_at: Some(prost_types::Timestamp { seconds: 1_431_821_075, nanos: 5 }),
        };
        let printed = |format| {
            let mut out = Vec::new();
            print(&mut out, format, std::slice::from_ref(&correction)).expect("written");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(
            printed(OutputFormat::Csv),
            "date,method,path,service,status,customer,correction,reason,author,corrected_at\n\
             2015-05-17,GET,/hello,,,,-1200,\"sent, twice\",ann,2015-05-17T00:04:35Z\n"
        );
        assert_eq!(
            printed(OutputFormat::Table),
            "date        method  path    correction\n\
             2015-05-17  GET     /hello      -1,200\n    \
             2015-05-17T00:04:35Z, ann: sent, twice\n"
        );
        let json: serde_json::Value =
            serde_json::from_str(&printed(OutputFormat::Json)).expect("JSON");
        assert_eq!(json[0]["correction"], -1_200);
        assert_eq!(json[0]["status"], serde_json::Value::Null);
    }
}
