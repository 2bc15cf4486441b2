//! `tally timelines agent`: takes messages on this machine, and hands them on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use tally_proto::tally::timelines::v1 as proto;
use tally_proto::tally::timelines::v1::record_result::Result as RecordResult;
use tally_proto::tally::timelines::v1::timeline_service_client::TimelineServiceClient;
use tally_proto::wire::reason;
use tally_runtime::{Drain, Signals, SystemClock, Tasks};
use tally_serve::{Access, Listener, Server, Started};
use tally_timelines::agent::{Agent, Fate, Onward, Settings};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::{Code, async_trait};

use crate::app::plain;
use crate::client::{Caller, ServerArgs, describe};
use crate::commands::run::usual_folder;
use crate::output::say;

/// How long one call may take.
const CALL_MAX: std::time::Duration = std::time::Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// Take events on this machine, keep them on disk, and hand them on to the server
///
/// For machines that reach the server only now and then, and for programs that should
/// not wait for it. The agent takes what the server takes: messages at
/// POST /api/v1/timelines and /api/v1/timelines/batch, and datagrams of upto. It
/// answers when a message is on disk, and hands it on until the server has it: once.
/// It serves this machine only, and asks for no key; --key is for the server.
///
/// Examples:
///   tally timelines agent --server https://tally.example --key-file /etc/tally/key
///   tally timelines agent --udp 127.0.0.1:8123 --spool /var/lib/tally-agent
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct AgentArgs {
    /// Where to take messages over HTTP: an address of this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7778", value_parser = of_this_machine)]
    listen: SocketAddr,

    /// Where to take datagrams of upto, as in 127.0.0.1:8123 [default: nowhere]
    #[arg(long, value_name = "ADDRESS", value_parser = of_this_machine)]
    udp: Option<SocketAddr>,

    /// Where messages are kept until the server has them: a folder for this agent alone
    /// [default: $XDG_STATE_HOME/tally/agent]
    #[arg(long, env = "TALLY_TIMELINES_AGENT_SPOOL", value_name = "FOLDER")]
    spool: Option<PathBuf>,

    /// How much room they may take on disk, in MiB; beyond it, none is taken
    #[arg(long, value_name = "MIB", default_value = "256", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    spool_mib_max: u64,

    #[command(flatten)]
    server: ServerArgs,
}

/// An address that no other machine reaches.
fn of_this_machine(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "write it as in 127.0.0.1:7778".to_owned())?;
    let is_of_it = address.ip().to_canonical().is_loopback();
    is_of_it.then_some(address).ok_or_else(|| {
        "other machines reach it, and an agent asks for no key: take 127.0.0.1, and an agent on each machine"
            .to_owned()
    })
}

/// The server.
struct Connection {
    server: ServerArgs,
    /// While it works.
    client: Mutex<Option<TimelineServiceClient<Caller>>>,
}

// === impl Connection ===

impl Connection {
    async fn call(
        &self,
        messages: Vec<proto::RecordRequest>,
    ) -> Result<proto::RecordAllResponse, String> {
        let mut kept = self.client.lock().await;
        let mut client = match kept.take() {
            Some(client) => client,
            None => self.server.timelines().await.map_err(|error| format!("{error:#}"))?,
        };
        let answer = client.record_all(proto::RecordAllRequest { messages }).await;
        let answer = answer.map_err(|status| describe(&status))?.into_inner();
        *kept = Some(client);
        Ok(answer)
    }
}

#[async_trait]
impl Onward for Connection {
    async fn record_all(&self, messages: Vec<proto::RecordRequest>) -> Result<Vec<Fate>, String> {
        let answer = timeout(CALL_MAX, self.call(messages)).await;
        let answer = answer.unwrap_or_else(|_| Err("the server does not answer".to_owned()))?;
        Ok(answer.results.into_iter().map(|result| fate(result.result)).collect())
    }
}

/// What became of a message.
fn fate(result: Option<RecordResult>) -> Fate {
    match result {
        Some(RecordResult::Recorded(_)) => Fate::Taken,
        // The same message, which had no time of its own, and has that at which it came again.
        Some(RecordResult::Refusal(refusal)) if refusal.reason == reason::KEY_CONTENT => {
            tracing::info!(why = refusal.message, "a message is stored under its key already");
            Fate::Taken
        }
        Some(RecordResult::Refusal(refusal)) => match Code::from(refusal.code) {
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::NotFound => Fate::Never(refusal.message),
            _ => Fate::Later(refusal.message),
        },
        None => Fate::Later("the server's answer says nothing of it".to_owned()),
    }
}

pub(super) async fn run(args: AgentArgs) -> anyhow::Result<ExitCode> {
    let AgentArgs { listen, udp, spool, spool_mib_max, server } = args;
    server.check()?;
    let spool = spool.or_else(|| usual_folder("agent"));
    let spool = spool.context("there is no HOME: name a folder by --spool")?;
    let to = server.url();
    let mut signals = Signals::install().context("take over SIGTERM, SIGHUP and Ctrl-C")?;
    let listener = Listener::bind(&listen.to_string()).await.map_err(plain)?;
    let address = listener.address();
    let drain = Drain::new();
    let settings = Settings { folder: spool.clone(), bytes_max: spool_mib_max * MIB, udp };
    let onward = Arc::new(Connection { server, client: Mutex::default() });
    let agent = Agent::open(settings, Arc::new(SystemClock), onward, drain.clone());
    let agent = agent.with_context(|| format!("cannot use the folder {}", spool.display()))?;
    let started = Started {
        name: "timelines",
        doors: agent.doors(),
        running: Arc::new(agent),
        tasks: Tasks::new(),
    };
    let opened = Server::open("Tally timelines agent", "", vec![started], &drain).await;
    let opened = opened.map_err(plain)?.guarded(Access::ThisMachine, Arc::new(SystemClock));
    let domains = opened.domains();
    let more = udp.map(|udp| format!(" and datagrams at {udp}")).unwrap_or_default();
    say(format_args!("taking messages at http://{address}{more}, for {to}"));
    let asked = domains.clone();
    let probe = move || {
        let asked = asked.clone();
        async move { asked.ready().await }
    };
    let serving = opened.run(listener, probe, &drain);
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended.context("the agent ended by itself")?,
        signal = signals.recv() => {
            say(format_args!("{signal}: what is not handed on stays in {}", spool.display()));
            drain.begin();
            serving.await.context("end")?;
        }
    }
    domains.finished().await;
    Ok(ExitCode::SUCCESS)
}
