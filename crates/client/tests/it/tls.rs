//! TLS: trust, admission, and the messages when it fails.

use std::error::Error as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tally_client::{ConnectError, Method, Queue, QueueBuilder};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::lines::Lines;
use crate::mock::{Mock, Server, fast_queue, until};

/// The child process's server.
const URL: &str = "TALLY_TLS_URL";

/// An authority that signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

// === impl Authority ===

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name, and its key.
    fn signs(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// A server's settings, with a certificate for this name.
    fn server(&self, name: &str) -> ServerTlsConfig {
        let (certificate, key) = self.signs(name);
        ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))
    }
}

/// A queue with a hundred requests.
async fn recording(builder: QueueBuilder) -> Queue {
    let queue = builder.connect().await.expect("a queue");
    let endpoint = queue.endpoint(Method::GET, "/");
    for _ in 0..100 {
        queue.try_record(endpoint).expect("room");
    }
    queue
}

/// Asserts that everything arrives.
async fn assert_counted(builder: QueueBuilder, mock: &Mock) {
    let report = recording(builder).await.close().await;
    assert_eq!((report.acknowledged, report.lost(), mock.total()), (100, 0, 100), "{report:?}");
}

/// Asserts that nothing arrives, that the reason is given, and that the report is right.
async fn assert_refused(builder: QueueBuilder, mock: &Mock, why: &str) {
    let (lines, _guard) = Lines::take();
    let queue = recording(builder).await;
    let mut trouble = None;
    until("the queue is in trouble", || {
        trouble = queue.trouble();
        assert_eq!(queue.stats().acknowledged, 0, "it was let in");
        trouble.is_some()
    })
    .await;
    let trouble = trouble.expect("it is in trouble");
    assert!(trouble.contains(why), "{trouble}");
    // The log says the same, once.
    let said = lines.with("cannot be reached");
    assert!(said.len() == 1 && said[0].contains(why), "{said:?}");
    let report = queue.close_within(Duration::ZERO).await;
    assert_eq!((report.recorded, report.acknowledged, report.queued), (100, 0, 0), "{report:?}");
    // Nothing was sent, so nothing is in doubt.
    assert_eq!((report.dropped, report.in_doubt, report.lost()), (100, 0, 100), "{report:?}");
    assert_untouched(mock);
}

/// Nothing was opened, and no token was shown.
#[track_caller]
fn assert_untouched(mock: &Mock) {
    let database = mock.database();
    assert_eq!((database.opens, database.counts.len(), database.drops.len()), (0, 0, 0));
    assert_eq!(database.authorization, None);
}

/// An error with its causes, as an application prints it.
fn chain(error: &ConnectError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn a_trusted_server_counts_everything_and_gets_the_token() {
    let (authority, mock) = (Authority::new("own"), Mock::good());
    let server = mock.start_secured(authority.server("127.0.0.1"));
    assert!(server.url().starts_with("https://127.0.0.1:"), "{}", server.url());
    let queue = server.queue().ca_certificates(authority.pem()).key("sesame");
    assert_counted(queue, &mock).await;
    assert_eq!(mock.database().authorization.as_deref(), Some("Bearer sesame"));
}

/// The text may hold several certificates, such as an old and a new one.
#[tokio::test]
async fn one_of_several_authorities_is_enough() {
    let (old, new, mock) = (Authority::new("old"), Authority::new("new"), Mock::good());
    let server = mock.start_secured(new.server("127.0.0.1"));
    let both = format!("# old\n{}\n# new\n{}", old.pem(), new.pem());
    assert_counted(server.queue().ca_certificates(both), &mock).await;
}

#[tokio::test]
async fn a_client_certificate_lets_in() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let mock = Mock::good();
    let tls = authority.server("127.0.0.1").client_ca_root(Certificate::from_pem(clients.pem()));
    let server = mock.start_secured(tls);
    let trusting = || server.queue().ca_certificates(authority.pem()).key("sesame");

    assert_refused(trusting(), &mock, "may demand a client certificate").await;
    let (certificate, key) = authority.signs("client");
    let with_another = trusting().client_certificate(certificate, key);
    assert_refused(with_another, &mock, "may not accept the client certificate").await;

    let (certificate, key) = clients.signs("client");
    assert_counted(trusting().client_certificate(certificate, key), &mock).await;
}

/// Signed by another authority, or for another name: neither a request nor a token reaches it.
#[tokio::test]
async fn a_server_that_is_not_trusted_is_sent_nothing() {
    let (authority, other) = (Authority::new("own"), Authority::new("other"));
    for (tls, why) in [
        (other.server("127.0.0.1"), "invalid peer certificate: UnknownIssuer"),
        (
            authority.server("tally.example"),
            "invalid peer certificate: certificate not valid for name",
        ),
    ] {
        let mock = Mock::good();
        let server = mock.start_secured(tls);
        let queue = server.queue().ca_certificates(authority.pem()).key("sesame");
        assert_refused(queue, &mock, why).await;
    }
}

/// Only one of them speaks TLS.
#[tokio::test]
async fn both_ends_must_speak_tls() {
    let (authority, mock) = (Authority::new("own"), Mock::good());
    let server = mock.start();
    let url = server.url().replace("http:", "https:");
    let queue = fast_queue(&url).ca_certificates(authority.pem()).key("sesame");
    assert_refused(queue, &mock, "the server may want http://").await;
    let server = mock.start_secured(authority.server("127.0.0.1"));
    let url = server.url().replace("https:", "http:");
    assert_refused(fast_queue(&url).key("sesame"), &mock, "may want https://").await;
}

/// Printed by a child that trusts the operating system's certificates: these files.
fn by_default(server: &Server, trusted: &Path) -> String {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "tls::child", "--nocapture", "--test-threads=1"])
        .env(URL, server.url())
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .stdin(Stdio::null())
        .output()
        .expect("this program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let said = text.lines().find_map(|line| Some(line.split_once('@')?.1.to_owned()));
    said.unwrap_or_else(|| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)))
}

/// Not a test of its own: the children of the tests below run it.
#[tokio::test]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let (lines, _guard) = Lines::take();
    match fast_queue(&url).connect().await {
        Err(error) => println!("@{}", chain(&error)),
        Ok(queue) => {
            queue.try_record(queue.endpoint(Method::GET, "/")).expect("room");
            until("the outcome is known", || {
                !lines.with("cannot be reached").is_empty() || queue.stats().acknowledged > 0
            })
            .await;
            let acknowledged = queue.close_within(Duration::from_millis(1)).await.acknowledged;
            println!("@{acknowledged} {:?}", lines.with("cannot be reached"));
        }
    }
}

#[test]
fn without_other_certificates_those_of_the_system_are_trusted() {
    let (authority, other, mock) = (Authority::new("own"), Authority::new("other"), Mock::good());
    let server = mock.start_secured(authority.server("127.0.0.1"));
    let folder = tempfile::tempdir().expect("a folder");
    let trusted = |pem: &str| {
        let path = folder.path().join("trusted.pem");
        std::fs::write(&path, pem).expect("a file");
        by_default(&server, &path)
    };
    let said = trusted(&other.pem());
    assert!(said.starts_with("0 ") && said.contains("UnknownIssuer"), "{said}");
    assert_untouched(&mock);
    let said = trusted("");
    assert!(said.contains("cannot set TLS up") && said.contains("no native certs"), "{said}");
    assert_untouched(&mock);
    assert_eq!(trusted(&authority.pem()), "1 []");
    assert_eq!(mock.total(), 1);
}

/// PEM text around something that is not a certificate.
const GARBAGE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[tokio::test]
async fn authorities_that_cannot_be_read_are_an_error_at_once() {
    let authority = Authority::new("own");
    let (_, key) = authority.signs("client");
    let builder = || Queue::builder("https://127.0.0.1:1");
    for none in ["", "not PEM", &key] {
        let error = builder().ca_certificates(none).connect().await.expect_err("no certificate");
        assert!(matches!(error, ConnectError::NoCaCertificate), "{error:?}");
        assert!(chain(&error).contains("not PEM: there is no BEGIN CERTIFICATE"), "{error}");
    }
    let cut = authority.pem().replace("-----END", "");
    for (second, why) in [(GARBAGE, "BadEncoding"), (&*cut, "missing section end")] {
        let text = authority.pem() + second;
        let error = builder().ca_certificates(text).connect().await.expect_err("a bad one");
        assert!(matches!(error, ConnectError::CaCertificate { number: 2, .. }), "{error:?}");
        let said = chain(&error);
        assert!(said.contains("certificate 2 of those to trust") && said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn a_client_certificate_that_cannot_be_used_is_an_error_at_once() {
    let authority = Authority::new("own");
    let (certificate, key) = authority.signs("client");
    let (_, other_key) = authority.signs("client");
    for (certificate, key, why) in [
        ("", &*key, "no certificates"),
        ("not PEM", &key, "no certificates"),
        (GARBAGE, &key, "BadEncoding"),
        (&certificate, "", "private key"),
        (&certificate, "not PEM", "private key"),
        (&certificate, &certificate, "private key"),
        (&certificate, &other_key, "KeyMismatch"),
    ] {
        let builder = Queue::builder("https://127.0.0.1:1").ca_certificates(authority.pem());
        let builder = builder.client_certificate(certificate, key);
        assert!(!format!("{builder:?}").contains("PRIVATE"), "nobody prints the key");
        let error = builder.connect().await.expect_err(why);
        assert!(matches!(error, ConnectError::ClientCertificate(_)), "{error:?}");
        let said = chain(&error);
        assert!(said.contains("the client's certificate and key"), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
