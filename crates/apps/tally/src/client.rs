//! Connects to a server, or says in one line why that fails.

mod caller;
mod failed;
mod look;
pub(crate) mod patience;
mod why;

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use tally_client::Producer;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::tally::requests::v1::book_service_client::BookServiceClient;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::rule_service_client::RuleServiceClient;
use tally_runtime::{Signals, file};
use tokio::time::timeout;
use tonic::codegen::http::HeaderValue;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

pub(crate) use self::caller::Caller;
use self::failed::is_refusal;
pub(crate) use self::failed::{Unreachable, describe, may_be_done};
use self::why::ADVICE;
use crate::output::{say, visible};

pub(crate) const SERVER_DEFAULT: &str = "http://127.0.0.1:7777";

/// After this silence the address is probed, for at most this long.
const LOOK_AFTER: Duration = Duration::from_secs(1);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for an answer before saying so.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// How often a busy, silent server is pinged, and how long it may take to reply.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The flow-control window: answers are large.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// The largest answer: a year of a large service.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// How many series an import tells apart; the server has its own limit.
const SERIES_MAX: usize = 1_000_000;

const BATCH_ROWS_MAX: usize = 20_000;

/// Short pauses before reconnecting, because a person waits.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

const PEM_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Which server to use, and its credentials.
#[derive(Clone, Args)]
pub(crate) struct ServerArgs {
    /// The server's address, `http://` or `https://`
    #[arg(long, env = "TALLY_SERVER", value_name = "URL", default_value = SERVER_DEFAULT)]
    pub(crate) server: String,

    /// A key for the server or a proxy in front of it, sent as `authorization: Bearer KEY`; prefer
    /// TALLY_KEY, because other users of this machine can see command lines
    #[arg(
        long,
        visible_alias = "token",
        env = "TALLY_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    key: Option<String>,

    /// A file with the key, instead of --key
    #[arg(long, env = "TALLY_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// A PEM file with the certificates to trust [default: those of the operating system]
    #[arg(long, env = "TALLY_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// A PEM file with a certificate for a server that asks for one
    #[arg(long, env = "TALLY_TLS_CLIENT_CERT", value_name = "FILE")]
    tls_client_cert: Option<PathBuf>,

    /// A PEM file with the private key of the client certificate
    #[arg(long, env = "TALLY_TLS_CLIENT_KEY", value_name = "FILE")]
    tls_client_key: Option<PathBuf>,
}

/// Credentials and trusted certificates, as read from their files.
#[derive(Default)]
struct Papers {
    authorization: Option<HeaderValue>,
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

// === impl ServerArgs ===

impl ServerArgs {
    /// Connects, and makes sure that a Tally server answers.
    pub(crate) async fn connect(&self) -> anyhow::Result<Caller> {
        self.connect_within(CONNECT_TIMEOUT, false).await
    }

    /// The same for a call that needs no key.
    pub(crate) async fn connect_openly(&self) -> anyhow::Result<Caller> {
        self.connect_within(CONNECT_TIMEOUT, true).await
    }

    /// The same, waiting at most this long for the first answer, which is not required.
    async fn connect_within(
        &self,
        first_answer_max: Duration,
        is_open: bool,
    ) -> anyhow::Result<Caller> {
        let papers = self.papers()?;
        let endpoint = self.endpoint(&papers)?;
        let channel = match timeout(CONNECT_TIMEOUT, endpoint.connect()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(self.unreachable(&why::connecting(&error))),
            Err(_) => {
                let seconds = CONNECT_TIMEOUT.as_secs();
                return Err(self.unreachable(&format!("no answer within {seconds} s; {ADVICE}")));
            }
        };
        let has_key = papers.authorization.is_some();
        let caller = Caller::new(channel, papers.authorization);
        // An empty stream counts nothing. A server may be slow to answer even that.
        let mut client = CountServiceClient::new(caller.clone());
        let mut nothing = pin!(client.add(tokio_stream::empty()));
        let mut answer = timeout(LOOK_AFTER.min(first_answer_max), &mut nothing).await;
        if answer.is_err() {
            // A connection that broke as the call began may never answer it.
            if let Some(why) = why::looked(endpoint.uri(), LOOK_AFTER).await {
                return Err(self.unreachable(&why));
            }
            answer = timeout(first_answer_max.saturating_sub(LOOK_AFTER * 2), nothing).await;
        }
        if let Ok(Err(status)) = &answer
            && is_refusal(status)
            && (is_open || status.code() != Code::Unauthenticated)
        {
            // A Tally server, which knows other calls.
            return Ok(caller);
        }
        if let Ok(Err(status)) = answer {
            if let Some(why) = why::refused(&status, has_key) {
                return Err(anyhow!("the server at {} {why}", visible(&self.server)));
            }
            if let Some(why) = why::no_tally(&status, endpoint.uri()).await {
                return Err(self.unreachable(&why));
            }
        }
        Ok(caller)
    }

    pub(crate) async fn count(&self) -> anyhow::Result<CountServiceClient<Caller>> {
        let caller = self.connect().await?;
        Ok(CountServiceClient::new(caller).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Connects to record exactly once. If the server goes away later, the producer waits for it:
    /// half of `patience` is kept for that.
    pub(crate) async fn producer(
        &self,
        name: &str,
        patience: Duration,
    ) -> anyhow::Result<Producer> {
        self.reach(patience).await?;
        self.new_producer(name, None).await
    }

    /// Makes sure that a Tally server answers, or may do so later: half of `patience` is kept for that.
    pub(crate) async fn reach(&self, patience: Duration) -> anyhow::Result<()> {
        self.connect_within(CONNECT_TIMEOUT.min(patience / 2), false).await.map(drop)
    }

    /// A producer for a server that was reached; with an id, it is taken over from another process.
    pub(crate) async fn new_producer(
        &self,
        name: &str,
        take_over: Option<[u8; 16]>,
    ) -> anyhow::Result<Producer> {
        let mut builder = Producer::builder(self.url())
            .name(name)
            .series_max(SERIES_MAX)
            .batch_rows_max(BATCH_ROWS_MAX)
            .backoff(BACKOFF_MIN, BACKOFF_MAX);
        if let Some(id) = take_over {
            builder = builder.take_over(id);
        }
        let papers = self.papers()?;
        if let Some(key) = self.key()? {
            builder = builder.key(key);
        }
        if let Some(ca) = papers.ca {
            builder = builder.ca_certificates(ca);
        }
        if let Some((certificate, key)) = papers.identity {
            builder = builder.client_certificate(certificate, key);
        }
        builder.connect().await.context("cannot send to the server")
    }

    pub(crate) async fn requests(&self) -> anyhow::Result<RequestServiceClient<Caller>> {
        let caller = self.connect().await?;
        Ok(RequestServiceClient::new(caller).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    pub(crate) async fn books(&self) -> anyhow::Result<BookServiceClient<Caller>> {
        let caller = self.connect().await?;
        Ok(BookServiceClient::new(caller).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    pub(crate) async fn rules(&self) -> anyhow::Result<RuleServiceClient<Caller>> {
        Ok(RuleServiceClient::new(self.connect().await?))
    }

    /// Waits for an answer, and says so if it is slow; the connection itself notices a lost server.
    pub(crate) async fn answer<T>(&self, call: impl Future<Output = T>) -> T {
        tokio::pin!(call);
        if let Ok(answer) = timeout(SILENCE_MAX, &mut call).await {
            return answer;
        }
        let server = visible(&self.server);
        say(format_args!("the server at {server} has not answered yet; still waiting"));
        call.await
    }

    /// Waits for the answer to something that is stored: a user who does not wait for it must hear that it
    /// may be done.
    pub(crate) async fn answer_or_signal<T>(
        &self,
        call: impl Future<Output = Result<T, Status>>,
    ) -> anyhow::Result<Result<T, Status>> {
        let mut signals = Signals::install().context("cannot take over Ctrl-C")?;
        Ok(tokio::select! {
            answer = self.answer(call) => answer,
            signal = signals.recv() => {
                Err(Status::cancelled(format!("{signal} came before the answer")))
            }
        })
    }

    fn unreachable(&self, why: &str) -> anyhow::Error {
        Unreachable(format!("cannot reach the server at {}: {why}", visible(&self.server))).into()
    }

    /// What is wrong with the address and the files, before any server is asked.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.endpoint(&self.papers()?).map(drop)
    }

    /// The address with its scheme, which users may omit.
    pub(crate) fn url(&self) -> String {
        let text = self.server.trim();
        if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
    }

    /// An empty key is none: env files often have one.
    pub(crate) fn key(&self) -> anyhow::Result<Option<String>> {
        if let Some(key) = self.key.as_deref().filter(|key| !key.is_empty()) {
            return Ok(Some(key.to_owned()));
        }
        let Some(path) = self.key_file.as_ref().filter(|path| !path.as_os_str().is_empty()) else {
            return Ok(None);
        };
        let failed = || format!("--key-file (TALLY_KEY_FILE): cannot read {}", path.display());
        let bytes = file::read_once(path).with_context(failed)?;
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    fn papers(&self) -> anyhow::Result<Papers> {
        let read = |flag: &str, path: &Option<PathBuf>| {
            let path = path.as_ref().filter(|path| !path.as_os_str().is_empty());
            let Some(path) = path else { return Ok(None) };
            let failed = || format!("{flag}: cannot read {}", path.display());
            file::read_once(path).map(Some).with_context(failed)
        };
        let authorization = self.key()?.map(|key| {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                anyhow!("--key (TALLY_KEY) has characters that a header cannot have")
            })?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        let certificate = read("--tls-client-cert", &self.tls_client_cert)?;
        let key = read("--tls-client-key", &self.tls_client_key)?;
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(anyhow!(
                    "--tls-client-cert and --tls-client-key belong together: give both, or neither"
                ));
            }
        };
        let ca = read("--tls-ca", &self.tls_ca)?;
        if ca.as_ref().is_some_and(|pem| !String::from_utf8_lossy(pem).contains(PEM_CERTIFICATE)) {
            return Err(anyhow!("--tls-ca: the file has no certificate in PEM form"));
        }
        Ok(Papers { authorization: authorization.transpose()?, ca, identity })
    }

    fn endpoint(&self, papers: &Papers) -> anyhow::Result<Endpoint> {
        let url = self.url();
        let wrong = || {
            let server = visible(&self.server);
            format!("--server: \u{201c}{server}\u{201d} is not an address like {SERVER_DEFAULT}")
        };
        let endpoint = Endpoint::from_shared(url).with_context(wrong)?;
        let endpoint = match endpoint.uri().scheme_str() {
            Some("http") => endpoint,
            Some("https") => endpoint.tls_config(papers.tls()).context(
                "cannot set TLS up with the files of --tls-ca, --tls-client-cert and \
                 --tls-client-key",
            )?,
            _ => return Err(anyhow!(wrong())),
        };
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES))
    }
}

impl fmt::Debug for ServerArgs {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerArgs").field("server", &self.server).finish_non_exhaustive()
    }
}

// === impl Papers ===

impl Papers {
    fn tls(&self) -> ClientTlsConfig {
        let config = match &self.ca {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match &self.identity {
            Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
            None => config,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(server: &str) -> ServerArgs {
        ServerArgs {
            server: server.to_owned(),
            key: None,
            key_file: None,
            tls_ca: None,
            tls_client_cert: None,
            tls_client_key: None,
        }
    }

    #[tokio::test]
    async fn an_absent_server_is_one_clear_line() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        for server in [format!("http://{address}"), address.to_string()] {
            let error = at(&server).connect().await.expect_err("nobody there");
            let expected = format!(
                "cannot reach the server at {server}: connection refused; \
                 start one with `tally serve`, or name another with --server"
            );
            assert_eq!(format!("{error:#}"), expected);
        }
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_named() {
        for server in ["ftp://host", "http://", "a b", ""] {
            let error = at(server).connect().await.expect_err("no address");
            assert!(format!("{error:#}").contains("--server"), "{server}: {error:#}");
        }
        at("https://host:7777").check().expect("an address");
    }
}
