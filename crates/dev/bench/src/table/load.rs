//! What brings requests: `tally bench`, or the queue, each in a process of its own; and what it says.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tally_testkit::{Output, Process};

use super::row::Way;
use crate::arguments::Arguments;
use crate::server::{self, Server};

/// How long it may take beyond the time that it measures.
const LIMIT: Duration = Duration::from_secs(240);

/// How much there is of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    Seconds(u64),
    Requests(u64),
}

/// What comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) way: Way,
    /// On a connection each.
    pub(crate) streams: u32,
    pub(crate) series: u32,
    pub(crate) amount: Amount,
    /// How many seconds requests come before they are measured, if they come for a time.
    pub(crate) warm_up: u64,
    /// Requests a second; otherwise as many as the server takes.
    pub(crate) rate: Option<u64>,
    /// Each request waits until the one before is acknowledged.
    pub(crate) is_single: bool,
}

/// What it says at its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loaded {
    /// In the time that was measured.
    pub(crate) acknowledged: u64,
    /// With the warm-up.
    pub(crate) all_acknowledged: u64,
    /// Counted or not.
    pub(crate) in_doubt: u64,
    pub(crate) per_second: f64,
    pub(crate) client_cpu: f64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// p50, p99 and p99.9 of the time to an acknowledgement, in milliseconds.
    pub(crate) acknowledged_after: Option<[f64; 3]>,
}

// === impl Load ===

impl Load {
    /// Starts it.
    pub(crate) fn start(&self, arguments: &Arguments, server: &Server) -> anyhow::Result<Process> {
        let command = match self.way {
            Way::Queue => self.queue(server)?,
            Way::Add | Way::Record => self.bench(arguments, server)?,
        };
        Ok(Process::spawn(&command))
    }

    fn bench(&self, arguments: &Arguments, server: &Server) -> anyhow::Result<Command> {
        let mut command = server::command(arguments)?;
        let via = if self.way == Way::Add { "add" } else { "record" };
        command.args(["bench", "--json", "--quiet", "--via", via, "--server", server.url()]);
        let mut flag = |name: &str, value: &str| {
            command.args([name, value]);
        };
        flag("--connections", &self.streams.to_string());
        flag("--streams", "1");
        flag("--series", &self.series.to_string());
        flag("--mix", "uniform");
        match self.amount {
            Amount::Seconds(seconds) => {
                flag("--duration", &format!("{seconds}s"));
                flag("--warm-up", &format!("{}s", self.warm_up));
            }
            Amount::Requests(count) => {
                flag("--requests", &count.to_string());
                flag("--warm-up", "0s");
            }
        }
        if let Some(rate) = self.rate {
            flag("--rate", &rate.to_string());
        }
        if self.is_single {
            flag("--batch", "1");
            flag("--in-flight", "1");
        }
        Ok(command)
    }

    fn queue(&self, server: &Server) -> anyhow::Result<Command> {
        let own = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(own);
        command.args(["queue", "--url", server.url(), "--threads", "2"]);
        command.args(["--series", &self.series.to_string()]);
        match self.amount {
            Amount::Seconds(seconds) => {
                command.args(["--warm-up", &self.warm_up.to_string()]);
                command.args(["--seconds", &seconds.to_string()])
            }
            Amount::Requests(count) => command.args(["--requests", &count.to_string()]),
        };
        Ok(command)
    }
}

/// Waits for its end.
pub(crate) fn finish(process: &Process) -> anyhow::Result<Loaded> {
    let Output { status, stdout, stderr } = process.wait(LIMIT);
    // It fails if requests are lost, and says how many.
    parse(&stdout).with_context(|| format!("{status}: {stdout}{stderr}"))
}

/// Understands the JSON object.
fn parse(text: &str) -> anyhow::Result<Loaded> {
    let json: Value = serde_json::from_str(text.trim())?;
    anyhow::ensure!(json["failure"].is_null(), "it gave up");
    let number = |name: &str| json[name].as_f64().with_context(|| format!("no {name}"));
    let count = |name: &str| json[name].as_u64().with_context(|| format!("no {name}"));
    let after = ["p50", "p99", "p99_9"].map(|name| json["ack_ms"][name].as_f64());
    let acknowledged_after = match after {
        [Some(p50), Some(p99), Some(p999)] => Some([p50, p99, p999]),
        _ => None,
    };
    Ok(Loaded {
        acknowledged: count("acknowledged")?,
        all_acknowledged: count("all_acknowledged")?,
        in_doubt: count("in_doubt")?,
        per_second: number("requests_per_second")?,
        client_cpu: number("client_cpu_seconds")?,
        lost: count("lost")?,
        doubled: count("doubled")?,
        acknowledged_after,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_a_load_is_understood() {
        let text = r#"{"acknowledged":10,"all_acknowledged":12,"in_doubt":3,"failure":null,
            "requests_per_second":2.5,"seconds":4.0,"lost":0,"doubled":1,"client_cpu_seconds":0.5,
            "ack_ms":{"p50":1.0,"p90":1.5,"p99":2.0,"p99_9":3.0,"max":4.0}}"#;
        let loaded = Loaded {
            acknowledged: 10,
            all_acknowledged: 12,
            in_doubt: 3,
            per_second: 2.5,
            client_cpu: 0.5,
            lost: 0,
            doubled: 1,
            acknowledged_after: Some([1.0, 2.0, 3.0]),
        };
        assert_eq!(parse(text).unwrap(), loaded);
    }

    #[test]
    fn a_report_without_a_loss_says_nothing_about_it() {
        let error = parse(r#"{"acknowledged":10,"requests_per_second":2.5,"doubled":0}"#);
        assert!(error.is_err());
        assert!(parse("error: no server\n").is_err());
    }
}
