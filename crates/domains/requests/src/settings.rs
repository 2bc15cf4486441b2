//! The domain's settings: as flags and variables, and checked.

use std::time::Duration;

use tally_ingest::Limits;
use tally_producers::Terms;
use tally_proto::wire::PATH_BYTES_MAX;
use tally_runtime::config::{Given, Problems, name};

use crate::batch::RecordLimits;
use crate::resolution::Resolution;
use crate::schedule::Schedule;

/// A day: roll-ups are scheduled by the day too.
const KEPT_AFTER_ROLL_UP: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many series are told apart.
#[derive(Debug, clap::Args)]
pub struct NamesArgs {
    /// The longest path that is counted under its own name; longer ones are counted under the path
    /// _other
    #[arg(
        long,
        env = "TALLY_REQUESTS_PATH_BYTES_MAX",
        value_name = "BYTES",
        default_value = "2048"
    )]
    requests_path_bytes_max: Given<usize>,

    /// How many series of each namespace are told apart, and 256 times as many bytes of their texts; beyond,
    /// the path and the customer of a request are counted as _other
    #[arg(long, env = "TALLY_REQUESTS_SERIES_MAX", value_name = "N", default_value = "100000")]
    requests_series_max: Given<usize>,
}

/// The domain's settings, as they were given.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Requests")]
#[group(skip)]
pub(crate) struct Arguments {
    /// How precisely times are kept: raw (a row for each request, with its time to the microsecond), 1s or
    /// 1m (requests of one series in the same second or minute are added up in one row, or a few). Counts
    /// are the same; it can be changed at any time
    #[arg(
        long,
        alias = "resolution",
        env = "TALLY_REQUESTS_RESOLUTION",
        value_name = "RESOLUTION",
        default_value = "1s"
    )]
    requests_resolution: Given<Resolution>,

    /// How many batches are written at the same time (SQLite: always one)
    #[arg(long, env = "TALLY_REQUESTS_WORKERS", value_name = "N", default_value = "2")]
    requests_workers: Given<usize>,

    /// Roughly how many rows a batch collects before it is written
    #[arg(
        long,
        env = "TALLY_REQUESTS_BATCH_ROWS_MAX",
        value_name = "ROWS",
        default_value = "100000"
    )]
    requests_batch_rows_max: Given<usize>,

    /// How many rows may wait in memory
    #[arg(
        long,
        env = "TALLY_REQUESTS_QUEUE_ROWS_MAX",
        value_name = "ROWS",
        default_value = "500000"
    )]
    requests_queue_rows_max: Given<u32>,

    /// How much memory they may take, and 4 KiB for each `Add` stream that waits for its own
    #[arg(
        long,
        env = "TALLY_REQUESTS_QUEUE_BYTES_MAX",
        value_name = "BYTES",
        default_value = "16777216"
    )]
    requests_queue_bytes_max: Given<u32>,

    /// How long a stream is held back while the queue is full, before it ends with UNAVAILABLE
    #[arg(long, env = "TALLY_REQUESTS_QUEUE_WAIT_MS", value_name = "MS", default_value = "5000")]
    requests_queue_wait_ms: Given<u64>,

    /// How long requests are kept while the database is away, before their streams end
    #[arg(long, env = "TALLY_REQUESTS_WRITE_WAIT_MS", value_name = "MS", default_value = "30000")]
    requests_write_wait_ms: Given<u64>,

    #[command(flatten)]
    names: NamesArgs,

    /// How many totals one answer may have, and 64 times as many bytes of texts
    #[arg(long, env = "TALLY_REQUESTS_TOTALS_MAX", value_name = "N", default_value = "1000000")]
    requests_totals_max: Given<usize>,

    /// For how many hours an Idempotency-Key is remembered: for that long, what comes again under it is
    /// not counted again
    #[arg(
        long,
        env = "TALLY_REQUESTS_IDEMPOTENCY_HOURS",
        value_name = "HOURS",
        default_value = "24"
    )]
    requests_idempotency_hours: Given<u32>,

    #[command(flatten)]
    life: LifeArgs,

    /// How many endpoints, the busiest ones, have a counter each at /metrics; all others have one together.
    /// There are none by default, because each is a series of the monitoring system
    #[arg(long, env = "TALLY_REQUESTS_METRICS_ENDPOINTS", value_name = "N", default_value = "0")]
    requests_metrics_endpoints: Given<usize>,
}

/// What becomes of a day that is over.
#[derive(Debug, clap::Args)]
struct LifeArgs {
    /// When the server rolls up by itself every day that is over: at its start, and each day at this
    /// time in UTC, as in 00:10; or never
    #[arg(long, env = "TALLY_REQUESTS_ROLL_UP_AT", value_name = "HH:MM", default_value = "never")]
    requests_roll_up_at: Given<Schedule>,

    /// For how many days the server keeps the quarter-hours of rolled-up days, which totals by hour
    /// and in other time zones need; 0 is for ever
    #[arg(
        long,
        env = "TALLY_REQUESTS_QUARTER_RETENTION_DAYS",
        value_name = "DAYS",
        default_value = "400"
    )]
    requests_quarter_retention_days: Given<u32>,
}

/// The checked settings, and the limits that are fixed.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How precisely times are kept.
    pub resolution: Resolution,
    /// How many batches are written at the same time. SQLite always has one writer.
    pub workers: usize,
    /// How many rows a batch takes, before they are merged, give or take a chunk: 1,024 rows of an `Add`
    /// stream, or up to 196,607 of a `Record` stream.
    pub batch_rows_max: usize,
    /// How much may wait, and how long a stream is held back.
    pub queue: Limits,
    /// How long a batch is tried while the database is away.
    pub write_wait_max: Duration,
    /// The longest path, in bytes.
    pub path_bytes_max: usize,
    /// How many series of each namespace to tell apart.
    pub series_max: usize,
    /// How many totals an answer may have.
    pub totals_max: usize,
    /// When the server rolls up by itself.
    pub roll_up_at: Schedule,
    /// For how many days to keep the quarters of rolled-up days; 0 is for ever.
    pub quarter_retention_days: u32,
    /// For how long a day keeps them after its roll-up, however old it is: somebody who imports an old
    /// log can ask for its hours.
    pub kept_after_roll_up: Duration,
    /// How many endpoints have a counter for whoever scrapes.
    pub metrics_endpoints: usize,
    /// For how long an idempotency key is remembered at least.
    pub idempotency: Duration,
    /// The limits of a `Record` stream.
    pub record: RecordLimits,
    /// Which clients of `Record` to accept.
    pub terms: Terms,
}

// === impl NamesArgs ===

impl NamesArgs {
    /// The longest path, in bytes, and how many series there may be.
    pub fn check(&self, problems: &mut Problems) -> (usize, usize) {
        // Postgres takes at most a third of a page, 2,704 bytes, into its unique index, and a series
        // has other texts too.
        let path_bytes_max = problems.within(
            &name("requests-path-bytes-max"),
            &self.requests_path_bytes_max,
            1..=PATH_BYTES_MAX,
        );
        let series_max = problems.within(
            &name("requests-series-max"),
            &self.requests_series_max,
            0..=10_000_000,
        );
        (path_bytes_max, series_max)
    }
}

// === impl LifeArgs ===

impl LifeArgs {
    fn roll_up_at(&self, problems: &mut Problems) -> Schedule {
        let given = problems.take(&name("requests-roll-up-at"), &self.requests_roll_up_at);
        given.unwrap_or(Schedule::NEVER)
    }

    fn quarter_retention_days(&self, problems: &mut Problems) -> u32 {
        let (name, given) =
            (name("requests-quarter-retention-days"), &self.requests_quarter_retention_days);
        match problems.take(&name, given) {
            Some(days @ (0 | 2..=36_500)) => days,
            Some(days) => {
                problems.add(format!(
                    "{name}: \u{201c}{days}\u{201d}: must be 0 (for ever), or 2 to 36500: a day in \
                     another time zone needs the quarter-hours of two UTC days"
                ));
                0
            }
            None => 0,
        }
    }
}

// === impl Arguments ===

impl Arguments {
    pub(crate) fn check(&self, terms: Terms, problems: &mut Problems) -> Settings {
        let (path_bytes_max, series_max) = self.names.check(problems);
        Settings {
            resolution: problems
                .take(&name("requests-resolution"), &self.requests_resolution)
                .unwrap_or_default(),
            workers: problems.within(&name("requests-workers"), &self.requests_workers, 1..=64),
            batch_rows_max: problems.within(
                &name("requests-batch-rows-max"),
                &self.requests_batch_rows_max,
                1..=10_000_000,
            ),
            queue: self.queue(problems),
            write_wait_max: problems
                .ms(&name("requests-write-wait-ms"), &self.requests_write_wait_ms),
            path_bytes_max,
            series_max,
            roll_up_at: self.life.roll_up_at(problems),
            quarter_retention_days: self.life.quarter_retention_days(problems),
            totals_max: problems.within(
                &name("requests-totals-max"),
                &self.requests_totals_max,
                1..=1_000_000_000,
            ),
            idempotency: HOUR
                * problems.within(
                    &name("requests-idempotency-hours"),
                    &self.requests_idempotency_hours,
                    1..=8_760,
                ),
            kept_after_roll_up: KEPT_AFTER_ROLL_UP,
            metrics_endpoints: problems.within(
                &name("requests-metrics-endpoints"),
                &self.requests_metrics_endpoints,
                0..=1_000,
            ),
            record: RecordLimits::default(),
            terms,
        }
    }

    fn queue(&self, problems: &mut Problems) -> Limits {
        Limits {
            rows_max: problems.within(
                &name("requests-queue-rows-max"),
                &self.requests_queue_rows_max,
                2_048..=100_000_000,
            ),
            bytes_max: problems.within(
                &name("requests-queue-bytes-max"),
                &self.requests_queue_bytes_max,
                1 << 20..=u32::MAX / 2,
            ),
            wait_max: problems.ms(&name("requests-queue-wait-ms"), &self.requests_queue_wait_ms),
        }
    }
}

// === impl Settings ===

impl Settings {
    /// How the insert workers write.
    #[must_use]
    pub fn of_workers(&self) -> tally_ingest::Settings {
        let Self { workers, batch_rows_max, write_wait_max, .. } = *self;
        // Two small batches at once would have rows of the same series and steps.
        let join_rows = match self.resolution {
            Resolution::Raw => 0,
            Resolution::Second | Resolution::Minute => batch_rows_max / 4,
        };
        tally_ingest::Settings { workers, batch_rows_max, join_rows, write_wait_max }
    }
}
