//! One attempt: a connection, a request, and the head of its answer.
//!
//! The body of an answer is not read: nobody needs it, and whoever may ask for a webhook could read what
//! the server alone can reach. A redirect is an answer like others.

use std::error::Error as _;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

use crate::Secrets;
use crate::receiver::Webhook;

/// How long an attempt may take: looking the host up, connecting, and waiting for the answer.
pub(crate) const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// How large the head of an answer may be.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// How long it wants to be left alone.
    pub(crate) retry_after: Option<SignedDuration>,
}

/// Makes attempts.
#[derive(Default)]
pub(crate) struct Client {
    /// Made when it is needed, because reading the certificates of the system takes a while.
    tls: OnceLock<TlsConnector>,
}

/// What is sent.
pub(crate) struct Message<'a> {
    pub(crate) id: Uuid,
    pub(crate) body: &'a str,
    pub(crate) secrets: &'a Secrets,
    pub(crate) now: Timestamp,
}

// === impl Client ===

impl Client {
    /// Sends an event and waits for the head of the answer; or says in a few words why there is none.
    pub(crate) async fn post(
        &self,
        receiver: &Webhook,
        message: Message<'_>,
    ) -> Result<Answer, String> {
        let attempt = self.attempt(receiver, message);
        let silence = || format!("no answer within {} s", ATTEMPT_MAX.as_secs());
        timeout(ATTEMPT_MAX, attempt).await.unwrap_or_else(|_| Err(silence()))
    }

    async fn attempt(&self, receiver: &Webhook, message: Message<'_>) -> Result<Answer, String> {
        let stream = connect(receiver.host(), receiver.port()).await?;
        let now = message.now;
        let request = message.request(receiver)?;
        if !receiver.is_https() {
            return exchange(stream, request, now).await;
        }
        exchange(self.encrypt(receiver.host(), stream).await?, request, now).await
    }

    /// Begins TLS with whoever shows that this is its name.
    pub(crate) async fn encrypt(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(host.to_owned());
        let name =
            name.map_err(|_| "the host is no name that a certificate can have".to_owned())?;
        let stream = self.tls()?.connect(name, stream).await;
        stream.map_err(|error| format!("TLS: {error}"))
    }

    fn tls(&self) -> Result<&TlsConnector, String> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls.get_or_init(|| TlsConnector::from(Arc::new(config))))
    }
}

// === impl Message ===

impl Message<'_> {
    fn request(self, receiver: &Webhook) -> Result<Request<Full<Bytes>>, String> {
        let seconds = self.now.as_second();
        Request::post(receiver.target())
            .header(HOST, receiver.authority())
            .header(USER_AGENT, concat!("Tally/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close")
            .header("webhook-id", self.id.to_string())
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", self.secrets.sign(self.id, seconds, self.body))
            .body(Full::new(Bytes::copy_from_slice(self.body.as_bytes())))
            .map_err(|error| format!("make the request: {error}"))
    }
}

pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = tokio::net::lookup_host((host, port)).await;
    let addresses = addresses.map_err(|error| format!("look up the host: {error}"))?.collect();
    first(addresses, TcpStream::connect).await.map_err(|error| format!("connect: {error}"))
}

/// Tries each address. One that never answers, as when a network has no way for IPv6, leaves the others
/// their part of the time, and the request its own.
async fn first<A, T>(
    addresses: Vec<A>,
    connect: impl AsyncFn(A) -> io::Result<T>,
) -> io::Result<T> {
    let share = ATTEMPT_MAX / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
    let mut failed = io::Error::other("the host has no address");
    for address in addresses {
        let silence = |_| Err(io::Error::other(format!("no answer within {share:.1?}")));
        match timeout(share, connect(address)).await.unwrap_or_else(silence) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    now: Timestamp,
) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: hyper::Error| {
        let why = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        format!("{error}{why}")
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Once it has ended, the other future has what there is to know.
    let carrying = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let response = tokio::select! {
        response = sender.send_request(request) => response.map_err(broken)?,
        () = carrying => unreachable!("it never ends"),
    };
    let status = response.status();
    Ok(Answer { status, retry_after: retry_after(response.headers(), now) })
}

/// Seconds, or a date (RFC 9110, 10.2.3). What is in the past is none.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let text = headers.get(RETRY_AFTER).map(HeaderValue::to_str)?.ok()?.trim();
    let pause = match text.parse::<u32>() {
        Ok(seconds) => SignedDuration::from_secs(seconds.into()),
        Err(_) => {
            let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            at.duration_since(now)
        }
    };
    pause.is_positive().then_some(pause)
}

#[cfg(test)]
pub(crate) mod tests {
    use rustls::ServerConfig;
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    use tally_testkit::Tls;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[test]
    fn a_receiver_says_how_long_to_leave_it_alone() {
        let now: Timestamp = "2026-10-21T07:28:00Z".parse().expect("a time");
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            retry_after(&headers, now).map(|pause| pause.as_secs())
        };
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("Wed, 21 Oct 2026 07:30:00 GMT"), Some(120));
        for text in ["0", "-1", "soon", "", "Wed, 21 Oct 2026 07:27:00 GMT", "99999999999999999999"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_never_answers_leaves_time_for_the_others() {
        let connect = async |address| match address {
            "silent" => std::future::pending().await,
            "closed" => Err(io::Error::other("refused")),
            address => Ok(address),
        };
        let within = |addresses: &[_]| timeout(ATTEMPT_MAX, first(addresses.to_vec(), connect));
        let open = within(&["silent", "closed", "silent", "open"]).await.expect("in time");
        assert_eq!(open.expect("connected"), "open");
        for (addresses, why) in [
            (&["silent"][..], "no answer within 5.0s"),
            (&["silent", "closed"], "refused"),
            (&[], "the host has no address"),
        ] {
            let failed = within(addresses).await.expect("in time").expect_err(why);
            assert_eq!(failed.to_string(), why);
        }
    }

    /// A client that trusts an authority, or nobody.
    pub(crate) fn trusting(authority: Option<&str>) -> Client {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = authority {
            let certificate =
                CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
            roots.add(certificate).expect("a certificate");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Client { tls: OnceLock::from(TlsConnector::from(Arc::new(config))) }
    }

    /// Answers each connection with 204.
    async fn answer(listener: TcpListener, tls: Tls) {
        let certificate = CertificateDer::from_pem_slice(tls.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("one")], key.expect("a key"))
            .expect("they fit");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4_096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    }

    #[tokio::test]
    async fn a_receiver_shows_a_certificate_of_a_known_authority() {
        let tls = Tls::for_names(&["localhost"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let secrets: Secrets = format!("whsec_{}", "A".repeat(32)).parse().expect("a secret");
        let authority = tls.ca_pem.clone();
        let asking = async {
            let (url, now) = (format!("https://localhost:{port}/"), Timestamp::UNIX_EPOCH);
            let receiver: Webhook = url.parse().expect("a URL");
            let message = || Message { id: Uuid::nil(), body: "{}", secrets: &secrets, now };
            let answer = trusting(Some(&authority)).post(&receiver, message()).await;
            assert_eq!(answer.map(|answer| answer.status.as_u16()), Ok(204));
            let why = trusting(None).post(&receiver, message()).await.expect_err("not known");
            assert!(why.starts_with("TLS: "), "{why}");
            // The certificate is for a name.
            let receiver: Webhook = format!("https://127.0.0.1:{port}/").parse().expect("a URL");
            let why = trusting(Some(&authority)).post(&receiver, message()).await;
            assert!(why.expect_err("another name").starts_with("TLS: "));
        };
        tokio::select! {
            () = asking => {}
            () = answer(listener, tls) => {}
        }
    }
}
