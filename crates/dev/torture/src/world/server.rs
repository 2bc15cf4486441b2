//! A `tally serve` process, restarted on the same port.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tally_testkit::Proxy;

use super::access::without_settings;
use super::child::{Child, END_LIMIT};
use crate::arguments::Broken;
use crate::door::{CERTIFICATE, CERTIFICATE_KEY};
use crate::random::Random;
use crate::schedule;
use crate::stop::Stop;

/// The duties find everything due in each round, or nothing at all.
const EAGER: &str = "duties.eager";
const IDLE: &str = "duties.idle";

/// What is not delivered is due again at once.
const RETRY: &str = "outbox.eager";

/// What events are signed with.
const SECRET: &str = "whsec_dG9ydHVyZS10b3J0dXJlLXRvcnR1cmUtdG9ydHVyZS0=";

/// Faults of one start.
#[derive(Clone, Debug, Default)]
pub(crate) struct StartOptions {
    /// A fault of `tally_runtime::faults`.
    pub(crate) fault: Option<String>,
    /// The maximum size of the SQLite file.
    pub(crate) size_bytes_max: Option<u64>,
    /// Whether it does no duties.
    pub(crate) is_idle: bool,
    /// How exactly it keeps times, if the seed does not decide that.
    pub(crate) resolution: Option<&'static str>,
}

/// A server and its way to the database.
pub(crate) struct Server {
    /// Its address, such as `127.0.0.1:1234`.
    pub(crate) address: String,
    /// The proxy to Postgres.
    pub(crate) database: Option<Proxy>,
    pub(super) database_url: String,
    pub(super) tally: PathBuf,
    /// A fault of every start.
    pub(super) broken: Option<Broken>,
    /// Where it may send events.
    pub(super) hook: String,
    pub(super) seed: u64,
    pub(super) starts: AtomicUsize,
    /// Whether its next start waits for nothing long, so that some writes give up. Only while things fail:
    /// a machine may be so slow that no write would be in time.
    pub(crate) is_hasty: AtomicBool,
    pub(crate) process: Child,
}

// === impl Server ===

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Starts it, and retries while its database is down, until it listens or the run stops.
    pub(crate) fn bring_up(&self, how: &StartOptions, stop: &Stop) -> anyhow::Result<()> {
        loop {
            match self.start(how) {
                Err(_) if stop.pause(200) => {}
                outcome => return outcome,
            }
        }
    }

    /// Starts it and waits until it listens. It may end instead while its database is down.
    pub(crate) fn start(&self, how: &StartOptions) -> anyhow::Result<()> {
        self.process.start(&mut self.command(how), "listens on https://")
    }

    /// Sends SIGTERM and waits until it ends with 0.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        self.process.signal("TERM");
        self.process.await_end(END_LIMIT)
    }

    fn command(&self, how: &StartOptions) -> Command {
        let mut command = Command::new(&self.tally);
        let url = match how.size_bytes_max {
            Some(size) => format!("{}?size_bytes_max={size}", self.database_url),
            None => self.database_url.clone(),
        };
        without_settings(&mut command);
        command.args([
            "serve",
            "--listen",
            &self.address,
            "--database-url",
            &url,
            "--auth",
            "keys",
        ]);
        // Its working directory is the run's folder.
        command.args(["--tls-cert", CERTIFICATE, "--tls-key", CERTIFICATE_KEY]);
        command.args(["--webhooks-allow", &self.hook, "--webhooks-secret", SECRET]);
        // Why a producer is gone or refused.
        command.args(["--log-level", "info,tally_producers=debug"]);
        if self.is_hasty.load(Ordering::SeqCst) {
            command.args(["--requests-write-wait-ms", "800", "--requests-queue-wait-ms", "1500"]);
            command.args(["--drain-timeout-ms", "4000"]);
        }
        // Some processes do by themselves what others are asked for, and some prune what others keep.
        let start = self.starts.fetch_add(1, Ordering::SeqCst);
        if !start.is_multiple_of(3) {
            command.args(["--requests-roll-up-at", "00:00"]);
        }
        let drawn = || schedule::resolution(self.seed, &self.process.name, start);
        let resolution = how.resolution.or(self.broken.and_then(Broken::resolution));
        command.args(["--requests-resolution", resolution.unwrap_or_else(drawn)]);
        let retention = if start.is_multiple_of(2) { "2" } else { "0" };
        command.args(["--requests-quarter-retention-days", retention]);
        let duties = if how.is_idle { Some(IDLE) } else { (start % 4 != 3).then_some(EAGER) };
        let clock = clock(self.seed, &self.process.name, start);
        let broken = self.broken.and_then(Broken::fault);
        let faults = [broken, how.fault.as_deref(), duties, Some(RETRY), clock];
        let faults: Vec<&str> = faults.into_iter().flatten().collect();
        command.env("TALLY_FAULT", faults.join(","));
        command
    }
}

/// What becomes of the clock from this start on: half of them are right, and the others are set ahead and back
/// every few seconds.
fn clock(seed: u64, server: &str, start: usize) -> Option<&'static str> {
    let mut random = Random::derived(seed, server, 1_000_000 + start as u64);
    [None, None, Some("clock.3"), Some("clock.8")][random.index(4)]
}
