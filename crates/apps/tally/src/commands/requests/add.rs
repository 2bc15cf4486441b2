//! `tally add`: counts requests by hand.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::civil::Date;
use tally_proto::wire::{self, AHEAD_MICROS_MAX, PATH_BYTES_MAX, STATUS_MAX};
use tally_runtime::{Clock, Signals};
use tokio::sync::{mpsc, watch};

use super::import::entries::Entries;
use super::import::feed::{Chunk, Fed};
use super::import::parse::Entry;
use super::import::parse::time::parse_text;
use super::import::send::{News, Parties, Stop, send_all};
use super::{methods, texts};
use crate::client::ServerArgs;
use crate::output::{plural, say, visible};
use crate::{dates, numbers};

const CHUNK_REQUESTS: u32 = 10_000;

/// Seconds since 1970 have at least 9 digits from 1973 on; fewer are a year or a typo.
const SECONDS_DIGITS_MIN: usize = 9;

/// Count requests by hand
///
/// Examples:
///   tally add GET /hello
///   tally add POST /orders -n 3
///   tally add GRPC /shop.Orders/Create --at 2015-05-17T10:05:03Z
///   tally add GET /orders --service shop --status 404 --customer acme
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AddArgs {
    /// An HTTP method or GRPC, in any case, or its number
    #[arg(value_parser = methods::parse, allow_negative_numbers = true)]
    method: i32,

    /// The path to count; an empty one or one over 2,048 bytes is counted as _other
    path: String,

    /// How many requests
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1,
          value_parser = numbers::within(1, u64::MAX))]
    count: u64,

    /// The service that was called; at most 128 bytes
    #[arg(long, value_name = "NAME", value_parser = texts::service)]
    service: Option<String>,

    /// The HTTP status, or the gRPC code of a GRPC call, whose OK is 200; 0 is not known
    #[arg(long, value_name = "CODE", default_value_t = 0, hide_default_value = true,
          value_parser = numbers::within(0, STATUS_MAX))]
    status: u16,

    /// On whose behalf it was called; at most 256 bytes
    #[arg(long, value_name = "NAME", value_parser = texts::customer)]
    customer: Option<String>,

    /// When: RFC 3339, seconds since 1970, or a day, which means its midnight (UTC) [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    at: Option<i64>,

    /// How many seconds to wait for a server that accepts nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = numbers::within(1, 86_400_u64))]
    patience: u64,

    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: AddArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let now = clock.now().as_microsecond();
    let micros = args.at.unwrap_or(now);
    if micros > now.saturating_add(AHEAD_MICROS_MAX) {
        return Err(anyhow!("nothing was counted: the time is more than 24 h ahead of the clock"));
    }
    let path = wire::path(&args.path, PATH_BYTES_MAX);
    let AddArgs { method, status, .. } = args;
    let entry = Entry { method, path: path.into(), status, micros, times: CHUNK_REQUESTS };
    let parties = Parties {
        service: args.service.clone().unwrap_or_default(),
        customer: args.customer.clone().unwrap_or_default(),
    };
    let (patience, begin) = (Duration::from_secs(args.patience), Instant::now());
    let producer = args.server.producer("tally add", patience).await?;
    let patience = patience.saturating_sub(begin.elapsed());
    let (sender, chunks) = mpsc::channel(1);
    let (_stop, stopped) = watch::channel(false);
    let mut silent = |_: &News| {};
    let mut signals = Signals::install().context("cannot take over Ctrl-C")?;
    let sending = async {
        // The sender ends once its chunks have no receiver.
        tokio::join!(
            send_all(producer, &parties, chunks, None, stopped, patience, &mut silent),
            feed(sender, entry, args.count),
        )
    };
    // A user who does not wait for the answer must be told that the same command may count twice.
    let (outcome, ()) = tokio::select! {
        sent = sending => sent,
        signal = signals.recv() => return Err(anyhow!(
            "it is not known whether {} counted: {signal} came before the answer",
            if args.count == 1 { "the request was" } else { "all requests were" },
        )),
    };
    let counted = outcome.counted;
    let lost = outcome.lost();
    let why = match (outcome.stop, outcome.rejected_why) {
        (Some(Stop::GaveUp { why, maybe, .. }), _) if maybe > 0 => {
            let were = if maybe == 1 { "was" } else { "were" };
            let (maybe, why) = (plural(maybe, "request"), visible(&why).into_owned());
            return Err(match counted {
                0 => anyhow!("it is not known whether {maybe} {were} counted: {why}"),
                _ => anyhow!(
                    "{} counted, and it is not known whether {maybe} more {were}: {why}",
                    plural(counted, "request")
                ),
            });
        }
        (Some(Stop::GaveUp { why, .. }), _) | (None, Some(why)) => why,
        (None, None) if outcome.in_doubt > 0 => {
            format!("it is not known whether {} more were", plural(outcome.in_doubt, "request"))
        }
        (Some(Stop::Interrupted | Stop::Stopped(_)), _) | (None, None) => String::new(),
    };
    if counted < args.count {
        let why = visible(&why);
        return Err(match counted {
            0 => anyhow!("nothing was counted: {why}"),
            _ => anyhow!("only {} counted: {why}", plural(counted, "request")),
        });
    }
    if let Some(lost) = lost {
        return Err(anyhow!(lost));
    }
    let (method, path, more) = (methods::name(method), visible(path), args.more());
    say(format_args!("counted {}: {method} {path}{more}", plural(args.count, "request")));
    Ok(ExitCode::SUCCESS)
}

// === impl AddArgs ===

impl AddArgs {
    /// What else they count under.
    fn more(&self) -> String {
        let status = (self.status > 0).then(|| self.status.to_string());
        let all = [("service", &self.service), ("status", &status), ("customer", &self.customer)];
        let given = all.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        given.map(|(name, value)| format!(", {name} {}", visible(value))).collect()
    }
}

/// Sends the same request many times, in chunks.
async fn feed(sender: mpsc::Sender<Fed>, mut entry: Entry<'_>, count: u64) {
    let mut left = count;
    while left > 0 {
        entry.times = u32::try_from(left).map_or(entry.times, |left| left.min(entry.times));
        left -= u64::from(entry.times);
        let mut entries = Entries::default();
        entries.push(&entry, 1, 0);
        let chunk = Chunk { entries, through: 1, ..Chunk::default() };
        if sender.send(Fed::Chunk(Box::new(chunk))).await.is_err() {
            return;
        }
    }
}

fn parse_at(text: &str) -> Result<i64, String> {
    if text.len() == 10 && text.contains('-') && text.starts_with(|c: char| c.is_ascii_digit()) {
        let midnight = dates::parse_period(text)?.first_on(Date::constant(1970, 1, 1)).first_day();
        let midnight = midnight.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| {
            "a time lies in the years 1 to 9999, and at most 24 h ahead of the clock".to_owned()
        })?;
        return Ok(midnight.timestamp().as_microsecond());
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && text.len() < SECONDS_DIGITS_MIN {
        return Err(
            "as seconds since 1970, that is before March 1973; write a day as 2015-05-17, \
                    and a time as 2015-05-17T10:05:03Z"
                .to_owned(),
        );
    }
    parse_text(text).map_err(|reason| format!("{reason}; write it as 2015-05-17T10:05:03Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let midnight = 1_431_820_800_000_000;
        assert_eq!(parse_at("2015-05-17"), Ok(midnight));
        assert_eq!(parse_at("2015-05-17T00:00:00Z"), Ok(midnight));
        assert_eq!(parse_at("2015-05-17 02:00:00+02:00"), Ok(midnight));
        assert_eq!(parse_at("1431820800.5"), Ok(midnight + 500_000));
        assert!(parse_at("2015-02-30").is_err());
        assert!(parse_at("9999-12-31").is_err_and(|why| why.contains("years 1 to 9999")));
        for no_moment in ["noon", "this-month", "last-month", "today", "7d"] {
            assert!(parse_at(no_moment).is_err(), "{no_moment}");
        }
        for number in ["2026", "20260517", "0"] {
            assert!(parse_at(number).is_err_and(|why| why.contains("2015-05-17T10:05:03Z")));
        }
        assert_eq!(parse_at("100000000"), Ok(100_000_000_000_000));
    }
}
