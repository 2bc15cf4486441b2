//! Redis as a counter: `INCR` of a hundred keys by `redis-benchmark`, pipelined, with its log on disk.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use tally_testkit::{Process, Stream, Watched, free_port, run as run_program};

use super::figures::{Figures, Metric};
use super::programs::{checked, find};
use super::row::Fsync;
use super::{Measured, Run};

/// Connections, and requests that each has on their way.
const CLIENTS: &str = "16";
const PIPELINE: &str = "64";

/// How many keys are counted.
const KEYS: &str = "100";

/// How long the server may take to start, and the requests to be counted.
const LIMIT: Duration = Duration::from_secs(120);

/// The server and the program that drives it.
///
/// # Errors
/// One is not installed.
pub(super) fn find_both() -> anyhow::Result<(PathBuf, PathBuf)> {
    Ok((find("redis-server", "redis-server")?, find("redis-benchmark", "redis-tools")?))
}

pub(super) fn measure(run: &Run<'_>, fsync: Fsync) -> anyhow::Result<Measured> {
    let (server, benchmark) = find_both()?;
    let folder = Watched::create("tally-bench-redis-")?;
    let port = free_port().to_string();
    let fsync = match fsync {
        Fsync::Always => "always",
        Fsync::EverySecond => "everysec",
    };
    let mut command = Command::new(server);
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.args(["--appendfsync", fsync, "--daemonize", "no", "--dir"]).arg(folder.path());
    let server = Process::spawn(&command);
    server.wait_for_line(Stream::Stdout, "Ready to accept connections", LIMIT);
    let mut command = Command::new(benchmark);
    command.args(["-h", "127.0.0.1", "-p", &port, "-c", CLIENTS, "-P", PIPELINE, "-r", KEYS]);
    command.args(["-n", &run.sizes.redis.to_string(), "-q", "INCR", "key:__rand_int__"]);
    let output = checked(run_program(&command, b"", LIMIT)).context("redis-benchmark")?;
    let mut figures = Figures::default();
    figures.set(Metric::Rate, parse(&output.stdout).with_context(|| output.stdout.clone())?);
    Ok(Measured::of(figures))
}

/// Understands the last line, which overwrites those before it on a terminal.
fn parse(text: &str) -> anyhow::Result<f64> {
    let (before, _) = text.rsplit_once(" requests per second").context("no rate")?;
    let number = before.rsplit([' ', '\r', '\n']).next().unwrap_or_default();
    number.parse().with_context(|| format!("{number} is no rate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_in_the_last_line() {
        let text = "INCR key:__rand_int__: rps=0.0 (overall: nan) avg_msec=nan (overall: nan)\r\
            INCR key:__rand_int__: rps=998144.0 (overall: 990000.0) avg_msec=0.9 (overall: 0.9)\r\
            INCR key:__rand_int__: 1003512.25 requests per second, p50=0.935 msec\n\n";
        assert!((parse(text).unwrap() - 1_003_512.25).abs() < 1e-6);
        // Redis 5.
        assert!((parse("INCR: 78003.12 requests per second\n").unwrap() - 78_003.12).abs() < 1e-6);
        assert!(parse("Could not connect to Redis").is_err());
    }
}
