//! The files of TLS, and what TLS makes of them: a certificate that fits its key, or why not.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tally_runtime::chain;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::TlsFiles;

/// Which protocols a client may choose within TLS (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

const CERT: &str = "--tls-cert";
const KEY: &str = "--tls-key";
const CLIENT_CA: &str = "--tls-client-ca";

/// A file of TLS that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    flag: &'static str,
    path: String,
    why: String,
    /// It can be from this moment on.
    pub(super) until: Option<Timestamp>,
}

/// What is in the files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// A certificate with its key, as rustls has it.
pub(super) struct Pair {
    pub(super) config: Arc<ServerConfig>,
    pub(super) valid_from: Timestamp,
    pub(super) expires_at: Timestamp,
}

// === impl Unusable ===

impl Unusable {
    fn new(flag: &'static str, path: &Path, why: impl Into<String>) -> Self {
        Self { flag, path: path.display().to_string(), why: why.into(), until: None }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.flag, self.path, self.why)
    }
}

impl std::error::Error for Unusable {}

// === impl Contents ===

impl Contents {
    pub(super) async fn read(files: &TlsFiles) -> Result<Self, Unusable> {
        Ok(Self {
            cert: read(CERT, &files.cert).await?,
            key: read(KEY, &files.key).await?,
            client_ca: match &files.client_ca {
                Some(path) => Some(read(CLIENT_CA, path).await?),
                None => None,
            },
        })
    }

    /// What TLS makes of it. The names are for what is said if it is nothing.
    pub(super) fn pair(&self, files: &TlsFiles) -> Result<Pair, Unusable> {
        let of_cert = |why: String| Unusable::new(CERT, &files.cert, why);
        let of_key = |why: String| Unusable::new(KEY, &files.key, why);
        let chain = certificates(&self.cert).map_err(of_cert)?;
        let own = chain.first().expect("there is at least one");
        let unreadable = |error| format!("its first certificate cannot be read: {error}");
        let own = Certificate::from_der(own).map_err(|error| of_cert(unreadable(error)))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            of_key(match error {
                rustls_pki_types::pem::Error::NoItemsFound => {
                    "it has no private key in PEM form; one with a password cannot be used"
                        .to_owned()
                }
                error => error.to_string(),
            })
        })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has TLS 1.2 and 1.3");
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(pem), Some(path)) => {
                let of_ca = |why: String| Unusable::new(CLIENT_CA, path, why);
                let roots = Arc::new(authorities(pem).map_err(of_ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = match files.are_clients_asked_only {
                    true => verifier.allow_unauthenticated().build(),
                    false => verifier.build(),
                };
                builder
                    .with_client_cert_verifier(verifier.map_err(|error| of_ca(error.to_string()))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => of_key(format!(
                "it is not the key of the first certificate in {}",
                files.cert.display()
            )),
            error => of_key(error.to_string()),
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        let validity = own.tbs_certificate.validity;
        Ok(Pair {
            config: Arc::new(config),
            valid_from: moment(&validity.not_before),
            expires_at: moment(&validity.not_after),
        })
    }
}

// === impl Pair ===

impl Pair {
    /// Refuses one that clients would not accept at this moment.
    pub(super) fn valid(self, files: &TlsFiles, now: Timestamp) -> Result<Self, Unusable> {
        let of_cert = |why: String| Unusable::new(CERT, &files.cert, why);
        if self.expires_at <= now {
            return Err(of_cert(format!("it expired at {}", self.expires_at)));
        }
        if now < self.valid_from {
            let why = format!("it is valid from {} on only", self.valid_from);
            return Err(Unusable { until: Some(self.valid_from), ..of_cert(why) });
        }
        Ok(self)
    }
}

async fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, Unusable> {
    let read = tally_runtime::file::read(path).await;
    read.map_err(|error| Unusable::new(flag, path, chain(&error)))
}

/// At least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if all.is_empty() => Err("it has no certificate in PEM form".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates(pem)?) {
        let added = roots.add(certificate);
        added.map_err(|error| format!("its certificate {number} cannot be used: {error}"))?;
    }
    Ok(roots)
}

/// Certificates have moments from 1950 to 9999.
fn moment(time: &x509_cert::time::Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}
