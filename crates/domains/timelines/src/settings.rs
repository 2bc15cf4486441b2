//! The domain's settings: as flags and variables, and checked.

use std::net::SocketAddr;
use std::time::Duration;

use tally_access::is_namespace;
use tally_ingest::Limits;
use tally_runtime::config::{Given, Problems, name};

/// How messages are written. A batch is judged while its contexts are locked.
const BATCH_MESSAGES_MAX: usize = 2_048;
const WORKERS: usize = 2;
const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);
/// How much may wait.
const QUEUE: Limits =
    Limits { rows_max: 50_000, bytes_max: 32 << 20, wait_max: Duration::from_secs(5) };

/// The domain's settings, as they were given.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Timelines")]
#[group(skip)]
pub(crate) struct Arguments {
    /// How many contexts of timelines each namespace may have
    #[arg(long, env = "TALLY_TIMELINES_CONTEXTS_MAX", value_name = "N", default_value = "10000")]
    timelines_contexts_max: Given<u32>,

    /// How many events a timeline may have; what comes beyond them begins the next one
    #[arg(long, env = "TALLY_TIMELINES_EVENTS_MAX", value_name = "N", default_value = "20000")]
    timelines_events_max: Given<u32>,

    /// For how many days a timeline is kept after it was last heard of, unless its context says otherwise; 0 is
    /// for ever
    #[arg(long, env = "TALLY_TIMELINES_RETENTION_DAYS", value_name = "DAYS", default_value = "90")]
    timelines_retention_days: Given<u32>,

    /// For how many days it is known how long events took, also of timelines that are not kept; 0 is for ever
    #[arg(
        long,
        env = "TALLY_TIMELINES_DURATION_RETENTION_DAYS",
        value_name = "DAYS",
        default_value = "1100"
    )]
    timelines_duration_retention_days: Given<u32>,

    /// How many hours after it was last heard of an open event is abandoned, unless its context says otherwise
    #[arg(long, env = "TALLY_TIMELINES_ABANDON_HOURS", value_name = "HOURS", default_value = "24")]
    timelines_abandon_hours: Given<u32>,

    /// Take messages as datagrams of upto here, as in 127.0.0.1:8123: without keys, and without an answer
    /// [default: nowhere]
    #[arg(long, env = "TALLY_TIMELINES_UDP", value_name = "ADDRESS")]
    timelines_udp: Option<Given<SocketAddr>>,

    /// The namespace that datagrams write to
    #[arg(
        long,
        env = "TALLY_TIMELINES_UDP_NAMESPACE",
        value_name = "NAME",
        default_value = "default"
    )]
    timelines_udp_namespace: String,

    /// Take datagrams of anyone who reaches the address: true or false. For addresses that other machines reach
    #[arg(
        long,
        env = "TALLY_TIMELINES_UDP_INSECURE_ALLOW_ANYONE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "false"
    )]
    timelines_udp_insecure_allow_anyone: Given<bool>,
}

/// Where datagrams are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    /// The socket's address.
    pub address: SocketAddr,
    /// The namespace that they write to, which is made if there is none.
    pub namespace: String,
}

/// The checked settings, and the limits that are fixed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many contexts each namespace may have.
    pub contexts_max: u32,
    /// How many events a timeline may have.
    pub events_max: u32,
    /// For how many days a timeline is kept; 0 is for ever.
    pub retention_days: u32,
    /// For how many days durations are kept; 0 is for ever.
    pub duration_retention_days: u32,
    /// How many hours after it was last heard of an open event is abandoned.
    pub abandon_hours: u32,
    /// How many messages may wait, and for how long a caller is held back.
    pub queue: Limits,
    /// How they are written.
    pub workers: tally_ingest::Settings,
    /// Where datagrams are taken, if they are.
    pub udp: Option<Udp>,
}

// === impl Arguments ===

impl Arguments {
    pub(crate) fn check(&self, problems: &mut Problems) -> Settings {
        let udp = self.check_udp(problems);
        let mut within =
            |flag: &str, given: &Given<u32>, limits| problems.within(&name(flag), given, limits);
        Settings {
            contexts_max: within(
                "timelines-contexts-max",
                &self.timelines_contexts_max,
                0..=1_000_000,
            ),
            events_max: within("timelines-events-max", &self.timelines_events_max, 1..=100_000),
            retention_days: within(
                "timelines-retention-days",
                &self.timelines_retention_days,
                0..=36_500,
            ),
            duration_retention_days: within(
                "timelines-duration-retention-days",
                &self.timelines_duration_retention_days,
                0..=36_500,
            ),
            abandon_hours: within(
                "timelines-abandon-hours",
                &self.timelines_abandon_hours,
                1..=87_600,
            ),
            udp,
            ..Settings::default()
        }
    }

    /// Where datagrams are taken. They have no key, so an address that other machines reach needs a word.
    fn check_udp(&self, problems: &mut Problems) -> Option<Udp> {
        let (udp, anyone) = (name("timelines-udp"), name("timelines-udp-insecure-allow-anyone"));
        let namespace = self.timelines_udp_namespace.clone();
        if !is_namespace(&namespace) {
            problems.add(format!(
                "{}: \u{201c}{namespace}\u{201d}: it is no name of a namespace",
                name("timelines-udp-namespace")
            ));
        }
        let allows_anyone = problems.take(&anyone, &self.timelines_udp_insecure_allow_anyone)?;
        // An empty variable says the same as none.
        let given = self.timelines_udp.as_ref().filter(|given| !given.to_string().is_empty())?;
        let address = problems.take(&udp, given)?;
        if !address.ip().to_canonical().is_loopback() && !allows_anyone {
            problems.add(format!(
                "{udp}: other machines reach {address}, datagrams have no key, and their senders can be forged: \
                 take 127.0.0.1:{}, or let anyone in by {anyone}, \
                 if something else keeps others away",
                address.port()
            ));
        }
        Some(Udp { address, namespace })
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            contexts_max: 10_000,
            events_max: 20_000,
            retention_days: 90,
            duration_retention_days: 1_100,
            abandon_hours: 24,
            queue: QUEUE,
            workers: tally_ingest::Settings {
                workers: WORKERS,
                batch_rows_max: BATCH_MESSAGES_MAX,
                join_rows: BATCH_MESSAGES_MAX / 2,
                write_wait_max: WRITE_WAIT_MAX,
            },
            udp: None,
        }
    }
}
