//! `tally producers`: which clients count here, their last batch, and their drops.

use std::borrow::Cow;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use tally_proto::tally::producers::v1::Producer;
use tally_proto::tally::requests::v1::{ClearSetbacksRequest, ListProducersRequest};

use super::setbacks;
use crate::client::{ServerArgs, describe};
use crate::output::json::{Array, quoted};
use crate::output::table::{self, Align};
use crate::output::{self, OutputFormat, csv, plural, say, thousands, visible};

/// List the clients that use the exactly-once protocol
///
/// Each is a producer: it numbers its batches 1, 2, 3 ..., and the server keeps the last stored
/// number. The last seen come first. `dropped` are requests that a client gave up and reported: the
/// totals of their days are short by that many.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ProducersArgs {
    /// Include the servers' insert workers, which store requests sent by count.v1
    #[arg(long)]
    workers: bool,

    /// Clear the setbacks of this producer or of all, once you know why acknowledged batches are
    /// missing: the totals of their days count as complete again
    #[arg(long, value_name = "ID|all", conflicts_with_all = ["workers", "format"])]
    clear_setback: Option<String>,

    /// How to print [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: ProducersArgs) -> anyhow::Result<ExitCode> {
    if let Some(of) = &args.clear_setback {
        return clear(of, &args.server).await;
    }
    let format = OutputFormat::or_usual(args.format);
    let mut client = args.server.requests().await?;
    let failed = |status| anyhow!("cannot list the producers: {}", describe(&status));
    let request = ListProducersRequest { with_workers: args.workers };
    let answer = args.server.answer(client.list_producers(request)).await;
    let mut answer = answer.map_err(failed)?.into_inner();
    let (mut producers, mut setbacks) = (Vec::new(), Vec::new());
    while let Some(part) = answer.message().await.map_err(failed)? {
        producers.extend(part.producers);
        setbacks.extend(part.setbacks);
    }
    let columns = output::terminal_columns();
    output::written(print(&mut output::stdout(), format, columns, &producers))?;
    if producers.is_empty() && setbacks.is_empty() {
        say(
            "no producers are known; finished ones are forgotten, and clients that use count.v1 are \
             not listed",
        );
    } else if format == OutputFormat::Table && !producers.is_empty() {
        let dropped: i128 = producers.iter().map(|one| i128::from(one.dropped)).sum();
        let number = i128::try_from(producers.len()).unwrap_or(i128::MAX);
        let number = plural(number, "producer");
        say(match dropped {
            0 => format!("{number}, no known drops"),
            _ => format!("{number}, {}", plural(dropped, "known drop")),
        });
    }
    setbacks.iter().for_each(|one| say(setbacks::line(one)));
    if !setbacks.is_empty() {
        say("once you know why, `tally producers --clear-setback ID` clears one");
    }
    Ok(ExitCode::SUCCESS)
}

async fn clear(of: &str, server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let short_id = of.to_ascii_lowercase();
    let answer = server.requests().await?.clear_setbacks(ClearSetbacksRequest { short_id }).await;
    let failed = |status| anyhow!("cannot clear setbacks: {}", describe(&status));
    let cleared = answer.map_err(failed)?.into_inner().setbacks;
    if cleared.is_empty() && !of.eq_ignore_ascii_case("all") {
        bail!("producer {} has no setback: `tally producers` lists them", visible(of));
    }
    cleared.iter().for_each(|one| say(format_args!("cleared: {}", setbacks::line(one))));
    if cleared.is_empty() {
        say("nothing to clear");
    }
    Ok(ExitCode::SUCCESS)
}

fn print(
    out: &mut impl Write,
    format: OutputFormat,
    terminal: Option<usize>,
    producers: &[Producer],
) -> io::Result<()> {
    match format {
        OutputFormat::Csv => print_csv(out, producers)?,
        OutputFormat::Json => print_json(out, producers)?,
        OutputFormat::Table if producers.is_empty() => {}
        OutputFormat::Table => print_table(out, terminal, producers)?,
    }
    out.flush()
}

fn print_csv(out: &mut impl Write, producers: &[Producer]) -> io::Result<()> {
    out.write_all(b"id,name,kind,sequence,last_seen,accepted,dropped\n")?;
    producers.iter().try_for_each(|one| {
        let (id, name) = (csv::quoted(&one.short_id), csv::quoted(&one.name));
        let Producer { sequence, accepted, dropped, .. } = one;
        writeln!(out, "{id},{name},{},{sequence},{},{accepted},{dropped}", kind(one), seen(one))
    })
}

fn print_json(out: &mut impl Write, producers: &[Producer]) -> io::Result<()> {
    let mut array = Array::new();
    for one in producers {
        array.next(out)?;
        let (id, name, kind) = (quoted(&one.short_id), quoted(&one.name), kind(one));
        let seen = one.last_seen.map_or_else(|| "null".to_owned(), |_| quoted(&seen(one)));
        let Producer { sequence, accepted, dropped, .. } = one;
        write!(
            out,
            "{{\"id\":{id},\"name\":{name},\"kind\":\"{kind}\",\"sequence\":{sequence},\
             \"last_seen\":{seen},\"accepted\":{accepted},\"dropped\":{dropped}}}"
        )?;
    }
    array.end(out)
}

fn print_table(
    out: &mut impl Write,
    terminal: Option<usize>,
    producers: &[Producer],
) -> io::Result<()> {
    let columns = [
        ("id", Align::Left),
        ("kind", Align::Left),
        ("sequence", Align::Right),
        ("last seen", Align::Left),
        ("accepted", Align::Right),
        ("dropped", Align::Right),
        ("name", Align::Shorten),
    ];
    let rows = producers.iter().map(|one| {
        [
            visible(&one.short_id),
            Cow::Borrowed(kind(one)),
            Cow::Owned(thousands(one.sequence)),
            Cow::Owned(seen(one)),
            Cow::Owned(thousands(one.accepted)),
            Cow::Owned(thousands(one.dropped)),
            visible(&one.name),
        ]
    });
    table::write(out, terminal, columns, rows)
}

fn kind(producer: &Producer) -> &'static str {
    if producer.is_worker { "worker" } else { "client" }
}

/// In UTC, to the second; empty if the server does not say.
fn seen(producer: &Producer) -> String {
    let seconds = producer.last_seen.map(|at| at.seconds);
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    fn producers() -> [Producer; 2] {
        [
            Producer {
                short_id: "0d0e0f10".to_owned(),
                name: "shop, \"eu\"\x1b".to_owned(),
                sequence: 1_234,
                last_seen: Some(Timestamp { seconds: 1_431_821_075, nanos: 5 }),
                accepted: 1_000_000,
                dropped: 12,
                is_worker: false,
            },
            Producer { short_id: "ffffffff".to_owned(), is_worker: true, ..Producer::default() },
        ]
    }

    fn printed(format: OutputFormat, producers: &[Producer]) -> String {
        let mut out = Vec::new();
        print(&mut out, format, None, producers).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn csv() {
        let text = printed(OutputFormat::Csv, &producers());
        let lines = [
            "id,name,kind,sequence,last_seen,accepted,dropped",
            "0d0e0f10,\"shop, \"\"eu\"\"\x1b\",client,1234,\
             2015-05-17T00:04:35Z,1000000,12",
            "ffffffff,,worker,0,,0,0",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn json() {
        let text = printed(OutputFormat::Json, &producers());
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value[0]["id"], "0d0e0f10");
        assert_eq!(value[0]["name"], "shop, \"eu\"\x1b");
        assert_eq!(value[0]["last_seen"], "2015-05-17T00:04:35Z");
        assert_eq!(value[0]["dropped"], 12);
        assert_eq!(value[1]["kind"], "worker");
        assert_eq!(value[1]["last_seen"], serde_json::Value::Null);
        assert_eq!(printed(OutputFormat::Json, &[]), "[]\n");
    }

    #[test]
    fn a_table_steers_no_terminal() {
        let text = printed(OutputFormat::Table, &producers());
        assert!(text.contains("1,234") && text.contains("\\u{1b}"), "{text}");
        assert!(!text.contains('\x1b'));
        assert_eq!(printed(OutputFormat::Table, &[]), "");
    }
}
