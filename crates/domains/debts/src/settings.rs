//! The domain's settings: as flags and variables, and checked.

use std::time::Duration;

use tally_ingest::Limits;
use tally_runtime::config::{Given, Problems, name};

/// How payments are written. A batch is judged while its debts are locked, so it is not large.
const BATCH_PAYMENTS_MAX: usize = 512;
const WORKERS: usize = 2;
const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);
/// How much may wait.
const QUEUE: Limits =
    Limits { rows_max: 20_000, bytes_max: 16 << 20, wait_max: Duration::from_secs(5) };

/// The domain's settings, as they were given.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Debts")]
#[group(skip)]
pub(crate) struct Arguments {
    /// How many debts each namespace may have
    #[arg(long, env = "TALLY_DEBTS_MAX", value_name = "N", default_value = "100000")]
    debts_max: Given<u32>,

    /// For how many days payments and ended runs are kept, and what tells that a payment comes again; 0 is
    /// for ever
    #[arg(
        long,
        env = "TALLY_DEBTS_PAYMENT_RETENTION_DAYS",
        value_name = "DAYS",
        default_value = "400"
    )]
    debts_payment_retention_days: Given<u32>,

    /// How many debts, the oldest ones, have metrics each at /metrics; all have sums. There are none by default,
    /// because each is some series of the monitoring system
    #[arg(long, env = "TALLY_DEBTS_METRICS_MAX", value_name = "N", default_value = "0")]
    debts_metrics_max: Given<u32>,
}

/// The checked settings, and the limits that are fixed.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many debts each namespace may have.
    pub debts_max: u32,
    /// For how many days payments are kept; 0 is for ever.
    pub payment_retention_days: u32,
    /// How many debts have metrics each.
    pub metrics_max: u32,
    /// How many may wait, and for how long a caller is held back.
    pub queue: Limits,
    /// How they are written.
    pub workers: tally_ingest::Settings,
}

// === impl Arguments ===

impl Arguments {
    pub(crate) fn check(&self, problems: &mut Problems) -> Settings {
        Settings {
            debts_max: problems.within(&name("debts-max"), &self.debts_max, 0..=10_000_000),
            payment_retention_days: problems.within(
                &name("debts-payment-retention-days"),
                &self.debts_payment_retention_days,
                0..=36_500,
            ),
            metrics_max: problems.within(
                &name("debts-metrics-max"),
                &self.debts_metrics_max,
                0..=10_000,
            ),
            ..Settings::default()
        }
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            debts_max: 100_000,
            payment_retention_days: 400,
            metrics_max: 0,
            queue: QUEUE,
            workers: tally_ingest::Settings {
                workers: WORKERS,
                batch_rows_max: BATCH_PAYMENTS_MAX,
                join_rows: BATCH_PAYMENTS_MAX / 2,
                write_wait_max: WRITE_WAIT_MAX,
            },
        }
    }
}
