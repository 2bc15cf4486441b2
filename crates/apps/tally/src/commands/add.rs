//! `tally add`: counting by hand.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use jiff::Timestamp;
use tally_proto::count::v1::AddRequest;
use tally_runtime::Clock;

use crate::client::{ServerArgs, counted, describe};
use crate::import::time::{SECOND_US, parse_text};
use crate::output::{plural, say, visible};
use crate::{dates, methods};

/// Count requests by hand
///
/// Examples:
///   tally add GET /hello
///   tally add POST /orders -n 3
///   tally add GRPC /shop.Orders/Create --at 2015-05-17T10:05:03Z
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AddArgs {
    /// An HTTP method or GRPC, in any case, or its number
    #[arg(value_parser = methods::parse, allow_negative_numbers = true)]
    method: i32,

    /// The path, as it is to be counted
    path: String,

    /// How many requests
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// When, as RFC 3339, seconds since 1970, or a day [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    at: Option<i64>,

    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: AddArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let micros = args.at.unwrap_or_else(|| clock.now().as_microsecond());
    let nanos = i32::try_from(micros.rem_euclid(SECOND_US) * 1_000)?;
    let timestamp = prost_types::Timestamp { seconds: micros.div_euclid(SECOND_US), nanos };
    let request = AddRequest {
        method: args.method,
        path: args.path.clone(),
        request_timestamp: Some(timestamp),
    };
    let mut client = args.server.count().await?;
    let requests = (0..args.count).map(move |_| request.clone());
    match client.add(tokio_stream::iter(requests)).await {
        Ok(_) => {
            let method = methods::name(args.method);
            let path = visible(&args.path);
            say(format_args!("counted {}: {method} {path}", plural(args.count, "request")));
            Ok(ExitCode::SUCCESS)
        }
        Err(status) => {
            let why = describe(&status);
            match counted(&status) {
                Some(0) => Err(anyhow!("nothing was counted: {why}")),
                Some(some) => Err(anyhow!("only {} counted: {why}", plural(some, "request"))),
                None => Err(anyhow!("it is not known whether that was counted: {why}")),
            }
        }
    }
}

fn parse_at(text: &str) -> Result<i64, String> {
    // A year is also a number; what has the form of a day is one.
    if text.len() == 10 && text.contains('-') {
        let midnight = dates::parse_period(text)?.at(Timestamp::UNIX_EPOCH).first_day();
        let midnight = midnight.to_zoned(jiff::tz::TimeZone::UTC).map_err(|e| e.to_string())?;
        return Ok(midnight.timestamp().as_microsecond());
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
        assert!(parse_at("noon").is_err());
    }
}
