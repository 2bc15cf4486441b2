//! `tally producers`: which clients count here, their last batch, and their drops.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use tally_proto::tally::producers::v1::Producer;
use tally_proto::tally::requests::v1::{
    ClearSetbacksRequest, ForgetProducerRequest, ListProducersRequest, StrikeDropsRequest,
};
use tally_requests::periods::Zone;
use tally_runtime::Clock;
use tonic::Status;

use super::{author, setbacks};
use crate::client::{ServerArgs, describe, may_be_done};
use crate::dates::{self, RangeArg};
use crate::output::table::Align;
use crate::output::{self, Cell, OutputFormat, age, known_drops, plural, say, visible};

/// How much of a checkpoint a table shows.
const CHECKPOINT_CHARS: usize = 32;

/// List the clients that use the exactly-once protocol
///
/// Each is a producer: it numbers its batches 1, 2, 3 ..., and the server keeps the last stored
/// number. The last seen come first. `dropped` are requests that a client gave up and reported: the
/// totals of their days are short by that many. A client that reads a file or a queue stores with each
/// batch how far it has come: its `checkpoint`, in hexadecimal (`0x…`) if it is not text.
#[derive(Debug, Args)]
pub(crate) struct ProducersArgs {
    /// Include the servers' insert workers, which store requests sent by count.v1
    #[arg(long)]
    workers: bool,

    /// Clear the setbacks of this producer or of all, once you know why acknowledged batches are
    /// missing: the totals of their days count as complete again
    #[arg(long, value_name = "ID|all", conflicts_with_all = ["workers", "format"])]
    clear_setback: Option<String>,

    /// Forget a client that will not come back, by the id in the list or by its whole one, so that another
    /// one has its place. What it counted stays; what it reads is counted again if it does come back
    #[arg(long, value_name = "ID", conflicts_with_all = ["workers", "format", "clear_setback"])]
    forget: Option<String>,

    /// Strike what clients reported until now as dropped on a day, a month or a range (UTC), if it is known to
    /// be wrong: totals are not short by it any more. What each client said in all stays in the list
    #[arg(long, value_name = "PERIOD", value_parser = dates::parse_range, requires = "reason",
          conflicts_with_all = ["workers", "format", "clear_setback", "forget"])]
    strike_drops: Option<RangeArg>,

    /// Why drops are struck, for the server's log
    #[arg(long, value_name = "TEXT", requires = "strike_drops")]
    reason: Option<String>,

    /// Who strikes drops [default: the user of this machine]
    #[arg(long, value_name = "NAME", requires = "strike_drops")]
    author: Option<String>,

    /// How to print [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: ProducersArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    if let Some(of) = &args.clear_setback {
        return clear(of, &args.server).await;
    }
    if let Some(id) = args.forget {
        return forget(id, &args.server).await;
    }
    if let Some(period) = args.strike_drops {
        let (from, to) = period.on(Zone::utc().date_at(clock.now()));
        let author = match author(args.author, false) {
            Ok(author) => author,
            Err(code) => return Ok(code),
        };
        let request = StrikeDropsRequest {
            from: Some(from.to_proto()),
            to: Some(to.to_proto()),
            reason: args.reason.unwrap_or_default(),
            author,
        };
        return strike(request, &args.server).await;
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
    output::written(print(&mut output::stdout(), format, &producers, clock.now()))?;
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
            _ => format!("{number}, {}", known_drops(dropped)),
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
        bail!("no producer {} with a setback; `tally producers` lists the producers", visible(of));
    }
    cleared.iter().for_each(|one| say(format_args!("cleared: {}", setbacks::line(one))));
    if cleared.is_empty() {
        say("nothing to clear");
    }
    Ok(ExitCode::SUCCESS)
}

async fn strike(request: StrikeDropsRequest, server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let answer = server.books().await?.strike_drops(request).await;
    let failed = |status: Status| match may_be_done(&status) {
        true => anyhow!(
            "it is not known whether the drops are struck: {}; the same command again strikes what is left",
            describe(&status)
        ),
        false => anyhow!("cannot strike drops: {}", describe(&status)),
    };
    match answer.map_err(failed)?.into_inner().dropped {
        0 => say("nothing to strike"),
        struck => say(format_args!("struck: {}", known_drops(struck.into()))),
    }
    Ok(ExitCode::SUCCESS)
}

async fn forget(id: String, server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let shown = visible(&id).into_owned();
    let answer = server.requests().await?.forget_producer(ForgetProducerRequest { id }).await;
    let failed = |status: Status| {
        let why = describe(&status);
        let why = why.strip_prefix("id: ").unwrap_or(&why);
        match may_be_done(&status) {
            true => anyhow!(
                "it is not known whether the producer {shown} is forgotten: {why}; `tally producers` \
                 lists those that are not"
            ),
            false => anyhow!(
                "cannot forget the producer {shown:?}: {why}; `tally producers` lists the producers"
            ),
        }
    };
    let gone = answer.map_err(failed)?.into_inner().producer.unwrap_or_default();
    say(format_args!(
        "forgotten: {} ({}), after batch {}; what it counted stays: {}",
        visible(&gone.short_id),
        visible(&gone.name),
        gone.sequence,
        plural(gone.accepted, "request")
    ));
    Ok(ExitCode::SUCCESS)
}

fn print(
    out: &mut impl Write,
    format: OutputFormat,
    producers: &[Producer],
    now: Timestamp,
) -> io::Result<()> {
    let is_table = format == OutputFormat::Table;
    let has_workers = producers.iter().any(|one| one.is_worker);
    let columns = [
        ("id", Align::Left),
        ("name", Align::Shorten),
        ("kind", Align::Left),
        ("sequence", Align::Right),
        (if is_table { "last seen" } else { "last_seen" }, Align::Left),
        ("accepted", Align::Right),
        ("dropped", Align::Right),
        ("checkpoint", Align::Left),
        ("checkpoint_at", Align::Left),
    ];
    let rows = producers.iter().map(|one| {
        [
            Cell::Text(Cow::Borrowed(&one.short_id)),
            Cell::Text(Cow::Borrowed(&one.name)),
            Cell::Text(Cow::Borrowed(match one.is_worker {
                true => "worker",
                // A table has no column that says the same everywhere.
                false if is_table && !has_workers => "",
                false => "client",
            })),
            Cell::Number(one.sequence.into()),
            time(one.last_seen),
            Cell::Number(one.accepted.into()),
            Cell::Number(one.dropped.into()),
            Cell::Text(Cow::Owned(checkpoint(&one.checkpoint, false))),
            time(one.checkpoint_at),
        ]
    });
    if !is_table {
        return output::print(out, format, columns, rows);
    }
    // Names, which may be long, are last; what only some have is on a line below.
    let [id, name, numbers @ .., _, _] = columns;
    let [kind, sequence, seen, accepted, dropped] = numbers;
    let columns = [id, kind, sequence, seen, accepted, dropped, name];
    let rows = rows.map(|[id, name, kind, sequence, seen, accepted, dropped, _, _]| {
        [id, kind, sequence, seen, accepted, dropped, name]
    });
    output::print_noted(out, columns, rows, producers.iter().map(|one| note(one, now)))
}

/// What a table says of a checkpoint.
fn note(producer: &Producer, now: Timestamp) -> String {
    let Some(at) = producer.checkpoint_at else { return String::new() };
    let ago = age(now.as_second() - at.seconds);
    format!("checkpoint, stored {ago} ago: {}", checkpoint(&producer.checkpoint, true))
}

/// In UTC, to the second.
fn time<'a>(time: Option<prost_types::Timestamp>) -> Cell<'a> {
    let time = time.and_then(|time| Timestamp::from_second(time.seconds).ok());
    time.map_or(Cell::Unknown, |time| Cell::Text(Cow::Owned(time.to_string())))
}

/// As text if that is what it is, and in hexadecimal otherwise. In a table, its beginning.
fn checkpoint(checkpoint: &[u8], is_short: bool) -> String {
    let text = std::str::from_utf8(checkpoint).ok();
    let mut shown = match text.filter(|text| *visible(text) == **text && !text.starts_with("0x")) {
        Some(text) => text.to_owned(),
        None => checkpoint.iter().fold("0x".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
    };
    if is_short && let Some((end, _)) = shown.char_indices().nth(CHECKPOINT_CHARS) {
        shown.truncate(end);
        shown.push('\u{2026}');
    }
    shown
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
                checkpoint: b"access.log 4711".to_vec(),
                checkpoint_at: Some(Timestamp { seconds: 1_431_821_070, nanos: 5 }),
            },
            Producer { short_id: "ffffffff".to_owned(), is_worker: true, ..Producer::default() },
        ]
    }

    fn printed(format: OutputFormat, producers: &[Producer]) -> String {
        let mut out = Vec::new();
        let now = jiff::Timestamp::from_second(1_431_821_190).expect("a time");
        print(&mut out, format, producers, now).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn csv() {
        let text = printed(OutputFormat::Csv, &producers());
        let lines = [
            "id,name,kind,sequence,last_seen,accepted,dropped,checkpoint,checkpoint_at",
            "0d0e0f10,\"shop, \"\"eu\"\"\x1b\",client,1234,\
             2015-05-17T00:04:35Z,1000000,12,access.log 4711,2015-05-17T00:04:30Z",
            "ffffffff,,worker,0,,0,0,,",
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
    fn a_checkpoint_that_is_no_text_is_hexadecimal() {
        for (bytes, shown) in [
            (&b""[..], ""),
            (b"4711", "4711"),
            ("\u{e9}".as_bytes(), "\u{e9}"),
            (b"\0\xff", "0x00ff"),
            (b"a\x1b", "0x611b"),
            (b"0x12", "0x30783132"),
        ] {
            assert_eq!(checkpoint(bytes, true), shown);
        }
        let long = [0xff; 256];
        assert_eq!(checkpoint(&long, true), format!("0x{}\u{2026}", "f".repeat(30)));
        assert_eq!(checkpoint(&long, false).len(), 514);
    }

    #[test]
    fn an_age_has_one_unit() {
        for (seconds, text) in [
            (-5, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn a_table_steers_no_terminal() {
        let text = printed(OutputFormat::Table, &producers());
        assert!(text.contains("1,234") && text.contains("\\u{1b}"), "{text}");
        assert!(text.contains("\n    checkpoint, stored 2 min ago: access.log 4711\n"), "{text}");
        assert!(!text.contains('\x1b'));
        assert_eq!(printed(OutputFormat::Table, &[]), "");
    }
}
