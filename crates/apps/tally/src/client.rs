//! Connecting to a server, and saying in one line why it cannot be reached.

use std::error::Error as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use tally_client::Producer;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tonic::Status;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::output::visible;

/// Where a server is unless something else is said.
pub(crate) const SERVER_DEFAULT: &str = "http://127.0.0.1:7777";

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a silent server is asked whether it is still there, while it works on something.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may take to say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// What may be on its way to us: answers are large.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// The largest message that is taken. A year of a large service in one answer.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// How many endpoints an import tells apart; a server has a limit of its own.
const ENDPOINTS_MAX: usize = 1_000_000;

/// How many requests one batch of an import has.
const BATCH_ROWS_MAX: usize = 20_000;

/// The pauses before a lost connection is tried again: a person waits.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Which server to talk to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// The server's address, `http://` or `https://`
    #[arg(long, env = "TALLY_SERVER", value_name = "URL", default_value = SERVER_DEFAULT)]
    pub(crate) server: String,
}

// === impl ServerArgs ===

impl ServerArgs {
    /// Connects.
    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        let endpoint = self.endpoint()?;
        let server = visible(&self.server);
        let cause = match tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect()).await {
            Ok(Ok(channel)) => return Ok(channel),
            Ok(Err(error)) => innermost(&error),
            Err(_) => format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        };
        Err(anyhow!(
            "cannot reach the server at {server}: {cause}; \
             start one with `tally serve`, or name another with --server"
        ))
    }

    /// Connects, to count.
    pub(crate) async fn count(&self) -> anyhow::Result<CountServiceClient<Channel>> {
        let channel = self.connect().await?;
        Ok(CountServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Connects, to record exactly once. That the server is there is known then; when it goes
    /// away later, the producer waits for it.
    pub(crate) async fn producer(&self, name: &str) -> anyhow::Result<Producer> {
        self.connect().await?;
        Producer::builder(self.url())
            .name(name)
            .endpoints_max(ENDPOINTS_MAX)
            .batch_rows_max(BATCH_ROWS_MAX)
            .backoff(BACKOFF_MIN, BACKOFF_MAX)
            .connect()
            .await
            .context("cannot send to the server")
    }

    /// Connects, to ask for totals.
    pub(crate) async fn requests(&self) -> anyhow::Result<RequestServiceClient<Channel>> {
        let channel = self.connect().await?;
        Ok(RequestServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// With a scheme, which may be left out.
    fn url(&self) -> String {
        let text = self.server.trim();
        if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
    }

    fn endpoint(&self) -> anyhow::Result<Endpoint> {
        let url = self.url();
        let wrong = || {
            let server = visible(&self.server);
            format!("--server: \u{201c}{server}\u{201d} is not an address like {SERVER_DEFAULT}")
        };
        let endpoint = Endpoint::from_shared(url).with_context(wrong)?;
        let endpoint = match endpoint.uri().scheme_str() {
            Some("http") => endpoint,
            Some("https") => endpoint
                .tls_config(ClientTlsConfig::new().with_native_roots())
                .context("cannot set TLS up")?,
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

/// What a failed call has to say: the server's own words, or why the connection broke.
pub(crate) fn describe(status: &Status) -> String {
    match status.source() {
        Some(cause) => format!("the connection broke: {}", innermost(cause)),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => visible(status.message()).into_owned(),
    }
}

/// The last cause, which is the one that says something. The operating system's number is
/// left out.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let text = last.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = words.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(server: &str) -> ServerArgs {
        ServerArgs { server: server.to_owned() }
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
    }

    #[test]
    fn https_is_understood() {
        assert!(at("https://host:7777").endpoint().is_ok());
    }
}
