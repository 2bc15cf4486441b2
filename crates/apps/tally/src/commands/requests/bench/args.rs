//! The flags of `tally bench`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use tally_proto::wire::PATH_BYTES_MAX;

use crate::client::ServerArgs;
use crate::numbers;

/// Digits that follow the prefix of a path.
const DIGITS: usize = 10;

/// Units of a length of time, in milliseconds; `ms` before `s`, which it ends with.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

const SPAN_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Measure how many requests a server counts, and check that it counts each once
///
/// Sends made-up requests to a running server over one or many streams, as fast as
/// it takes them or at a fixed rate, and prints how many were acknowledged and how
/// long that took. Then it asks for the totals: every acknowledged request must be
/// counted, and none twice. If not, the exit code is 1.
///
/// Examples:
///   tally bench                                      as fast as it goes, 12 s
///   tally bench --via add --streams 1                one stream of count.v1
///   tally bench --rate 100000 --duration 1m          100,000 requests a second
///   tally bench --requests 50000000 --json           just so many, for a program
///   tally bench --connections 8 --streams 8 --series 100000 --mix uniform
///
/// Requests are real ones: they count under GET /tally-bench/0, /tally-bench/1 and
/// so on, stay in the totals, and take that much of the server's room for series;
/// the next run uses the same ones. So measure a server of its own, such as
///   tally serve --listen 127.0.0.1:7799 --database-url sqlite:bench.db
/// Two runs on one server at the same time need a --path-prefix each, or one takes
/// the other's requests for doubled ones.
///
/// The time to an acknowledgement is that of each request:
///   --via record   from when its batch is sent to the answer that covers it
///   --via add      from when its call is half-closed to the answer of the call:
///                  count.v1 acknowledges nothing before that. The time that a
///                  call takes to send is not in it.
/// With --rate, both count from when the batch, or the end of the call, was due,
/// even if the server was too slow to let it be sent: a server that stalls for a
/// second is seen by every request that was due meanwhile. The 5 ms for which a
/// batch collects requests are not in it. Without --rate, the server is always
/// full, and the time is mostly that of waiting in its queue: --in-flight 1 shows
/// how fast it can be.
///
/// The rate is that of the acknowledgements that come in the measured time. What is
/// on its way then is waited for and checked, but not in the rate. Ctrl-C ends a run
/// early, with a report of what was measured until then.
///
/// Client and server share the machine's cores if they run on one: the report says
/// how much of them the client took.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct BenchArgs {
    /// How requests are sent
    #[arg(long, value_enum, default_value_t = Via::Record)]
    pub(super) via: Via,

    /// How many connections
    #[arg(long, short = 'c', value_name = "N", default_value_t = 1,
          value_parser = numbers::within(1_usize, 256))]
    pub(super) connections: usize,

    /// How many streams each connection has
    #[arg(long, short = 's', value_name = "N", default_value_t = 8,
          value_parser = numbers::within(1_usize, 1_000))]
    pub(super) streams: usize,

    /// Requests a second, of all streams together [default: as many as the server takes]
    #[arg(long, short = 'r', value_name = "REQUESTS",
          value_parser = numbers::within(1_u64, 1_000_000_000))]
    pub(super) rate: Option<u64>,

    /// How long to measure, such as 500ms, 10s or 5m; at most 24h
    #[arg(long, short = 'd', value_name = "TIME", default_value = "10s", value_parser = span)]
    pub(super) duration: Span,

    /// Send this many requests in place of a duration, and measure until all are acknowledged
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "duration",
          value_parser = numbers::within(1_u64, 1_000_000_000_000))]
    pub(super) requests: Option<u64>,

    /// How long to send before that without measuring; 0s is not at all
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span_or_none)]
    pub(super) warm_up: Span,

    /// How many series the requests are of
    #[arg(long, value_name = "N", default_value_t = 1_000,
          value_parser = numbers::within(1_usize, 100_000))]
    pub(super) series: usize,

    /// How requests are spread over the series
    #[arg(long, value_enum, default_value_t = Mix::Zipf)]
    pub(super) mix: Mix,

    /// How many requests a batch has, or, with --via add, a call
    ///
    /// [default: 10,000 and 100,000; with --rate, what is due within 5 ms and 100 ms]
    #[arg(long, value_name = "REQUESTS", value_parser = numbers::within(1_u64, 1_000_000))]
    pub(super) batch: Option<u64>,

    /// How many batches, or calls, of a stream are on their way at most
    ///
    /// [default: of batches as many as the server allows; 4 calls]
    #[arg(long, value_name = "N", value_parser = numbers::within(1_usize, 1_000))]
    pub(super) in_flight: Option<usize>,

    /// Spread the times of batches and calls over this many days that end today; 1 is now
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::within(1_u64, 3_650))]
    pub(super) days: u64,

    /// What the paths of the series begin with
    #[arg(long, value_name = "PREFIX", default_value = "/tally-bench/", value_parser = prefix)]
    pub(super) path_prefix: String,

    /// The same number draws the same series
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,

    /// How many seconds to wait for a server that acknowledges nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = numbers::within(1_u64, 3_600))]
    pub(super) patience: u64,

    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,

    /// Print the report and errors only
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(super) server: ServerArgs,
}

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Via {
    /// count.v1: a message for each request
    Add,
    /// tally.requests.v1: numbered batches, each counted exactly once
    Record,
}

/// How requests are spread over the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mix {
    /// All the same
    Uniform,
    /// The n-th one has 1/n as many as the first (Zipf's law)
    Zipf,
}

/// A length of time as it was given.
pub(super) type Span = Duration;

// === impl BenchArgs ===

impl BenchArgs {
    /// Streams of all connections.
    pub(super) fn all_streams(&self) -> usize {
        self.connections * self.streams
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

// === impl Via and Mix ===

impl Via {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Record => "record",
        }
    }
}

impl Mix {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

/// A length of time with its unit.
fn span(text: &str) -> Result<Span, String> {
    match span_or_none(text)? {
        Duration::ZERO => Err("it is 0, and nothing would be measured".to_owned()),
        span => Ok(span),
    }
}

/// The same, or 0.
fn span_or_none(text: &str) -> Result<Span, String> {
    let parse = |(unit, ms): (&str, u64)| {
        let number = text.strip_suffix(unit)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(number.saturating_mul(ms)))
    };
    let span = UNITS.into_iter().find_map(parse);
    let span = span.ok_or("write a whole number with its unit: 500ms, 10s, 5m or 1h")?;
    if span > SPAN_MAX { Err("at most 24h".to_owned()) } else { Ok(span) }
}

/// What paths begin with, so that with a number they can be stored.
fn prefix(text: &str) -> Result<String, String> {
    let bytes_max = PATH_BYTES_MAX - DIGITS;
    match text.len() {
        // Every path begins with an empty one, so all that others count would be taken for the run's.
        0 => Err("it is empty".to_owned()),
        bytes if bytes > bytes_max => {
            Err(format!("it has {bytes} bytes, and at most {bytes_max} are possible"))
        }
        _ if text.contains('\0') => Err("it contains a NUL".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units_and_bounds() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("24h", 86_400_000)] {
            assert_eq!(span(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["10", "s", "", "1.5s", "-1s", "10 s", "1d"] {
            assert!(span(text).is_err_and(|why| why.contains("with its unit")), "{text}");
        }
        assert!(span("25h").is_err_and(|why| why.contains("24h")));
        assert!(span("99999999999999999h").is_err());
        assert!(span("0s").is_err() && span_or_none("0s") == Ok(Duration::ZERO));
    }

    #[test]
    fn a_prefix_leaves_room_for_a_number() {
        assert!(prefix("/bench/").is_ok() && prefix(&"x".repeat(2_038)).is_ok());
        for bad in ["", "/\0/", &"x".repeat(2_039)] {
            assert!(prefix(bad).is_err(), "{}", bad.len());
        }
    }
}
