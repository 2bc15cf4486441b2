//! A `tally serve`, and calls to it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_proto::count::v1::CountDailyTotalsRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::{FoldRequest, Granularity, QueryTotalsRequest};
use tally_testkit::{Process, Stream};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::arguments::Arguments;
use crate::place::Place;
use crate::usage::{self, Memory};

/// How long a server may take to start: it migrates first. And to stop: it folds the SQLite log.
const LIMIT: Duration = Duration::from_secs(120);

/// How large an answer in one message may be.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A server of this run, ended with this value.
pub(crate) struct Server {
    process: Process,
    url: String,
    endpoint: Endpoint,
}

/// An answer to a query.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    /// How many totals it has.
    pub(crate) totals: usize,
    /// Their sum.
    pub(crate) sum: i64,
}

// === impl Server ===

impl Server {
    pub(crate) fn start(arguments: &Arguments, place: &Place) -> anyhow::Result<Self> {
        Self::start_with(arguments, place, &[])
    }

    /// The same, with more flags.
    pub(crate) fn start_with(
        arguments: &Arguments,
        place: &Place,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        Self::start_within(arguments, place, flags, None)
    }

    /// The same after a shell has set limits.
    pub(crate) fn start_within(
        arguments: &Arguments,
        place: &Place,
        flags: &[&str],
        limits: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut command = match limits {
            None => command(arguments)?,
            Some(limits) => {
                let mut shell = isolated(Command::new("sh"));
                shell.args(["-c", &format!("{limits} && exec \"$@\""), "sh"]);
                shell.arg(arguments.tally()?);
                shell
            }
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", &place.url]);
        command.args(flags);
        let process = Process::spawn(&command);
        let line = process.wait_for_line(Stream::Stderr, "listens on http://", LIMIT);
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.context("the server's address")?.to_owned();
        let endpoint = Endpoint::new(url.clone())?;
        Ok(Self { process, url, endpoint })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its CPU time so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        usage::cpu(self.process.pid())
    }

    /// Its memory, now and at its peak.
    pub(crate) fn memory(&self) -> Option<Memory> {
        usage::memory(self.process.pid())
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        self.endpoint.connect().await.with_context(|| self.log())
    }

    /// Ends it as in production; fails if it does not end well.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        self.process.signal("TERM");
        let output = self.process.wait(LIMIT);
        anyhow::ensure!(output.status.success(), "the server ended badly: {}", output.stderr);
        Ok(())
    }

    /// The end of what it has logged.
    pub(crate) fn log(&self) -> String {
        let log = self.process.text(Stream::Stderr);
        let lines: Vec<&str> = log.lines().collect();
        format!("the server's log:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"))
    }
}

/// `tally`, without what the environment says of another server or database.
pub(crate) fn command(arguments: &Arguments) -> anyhow::Result<Command> {
    Ok(isolated(Command::new(arguments.tally()?)))
}

fn isolated(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let of_tally = ["LISTEN_ADDR", "DB_URL", "MIGRATION_DRIVER"].contains(&&*name);
        if of_tally || name.starts_with("TALLY_") || name.starts_with("PG") {
            command.env_remove(&*name);
        }
    }
    command.current_dir(std::env::temp_dir());
    command
}

/// How many requests are counted, of all days.
pub(crate) async fn sum(channel: &Channel) -> Result<u64, Status> {
    let query = QueryTotalsRequest {
        granularity: Granularity::Whole.into(),
        sum: true,
        live: true,
        ..QueryTotalsRequest::default()
    };
    Ok(ask(channel, &query).await?.0.sum.unsigned_abs())
}

/// Asks for totals, reads the whole answer, and says how long that took.
pub(crate) async fn ask(
    channel: &Channel,
    query: &QueryTotalsRequest,
) -> Result<(Answer, Duration), Status> {
    let start = Instant::now();
    let mut client = RequestServiceClient::new(channel.clone());
    client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
    let mut messages = client.query_totals(query.clone()).await?.into_inner();
    let mut answer = Answer::default();
    while let Some(message) = messages.message().await? {
        for period in &message.periods {
            answer.totals += period.count.len();
            answer.sum += period.count.iter().sum::<i64>();
        }
    }
    Ok((answer, start.elapsed()))
}

/// Folds now, and says how long that took.
pub(crate) async fn fold(channel: &Channel) -> Result<Duration, Status> {
    let start = Instant::now();
    RequestServiceClient::new(channel.clone()).fold(FoldRequest {}).await?;
    Ok(start.elapsed())
}

/// Rolls a day, a month or a year up, and says how long that took.
pub(crate) async fn roll_up(channel: &Channel, date: Date) -> Result<Duration, Status> {
    let start = Instant::now();
    let mut client = CountServiceClient::new(channel.clone());
    client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
    client.count_daily_totals(CountDailyTotalsRequest { date: Some(date) }).await?;
    Ok(start.elapsed())
}
