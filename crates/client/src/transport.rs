//! Connecting to a server.

use std::fmt;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::error::ConnectError;

/// How often to ping the server while a stream is open.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long it may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A server's address and credentials. `Debug` hides the secrets.
#[derive(Clone, Default)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) key: Option<String>,
    /// PEM of the trusted certificates, instead of the operating system's.
    #[cfg(feature = "tls")]
    pub(crate) ca: Option<Vec<u8>>,
    /// PEM of the client's certificate and key.
    #[cfg(feature = "tls")]
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone)]
pub(crate) struct Target {
    endpoint: Endpoint,
    /// What may be wrong if the server closes a connection without a reason.
    hint: &'static str,
    authorization: Option<MetadataValue<Ascii>>,
}

// === impl Target ===

impl Target {
    pub(crate) fn new(address: &Address) -> Result<Self, ConnectError> {
        let url = &address.url;
        let wrong = |reason| ConnectError::Url { url: shown(url), reason };
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|_| wrong("it has characters, or a port, that an address cannot have"))?;
        if let Some(reason) = flaw(endpoint.uri()) {
            return Err(wrong(reason));
        }
        let (endpoint, hint) = match endpoint.uri().scheme_str() {
            Some("https") => secured(endpoint, address)?,
            _ => (endpoint, "the server may want https://"),
        };
        let endpoint = endpoint
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        let mut authorization: Option<MetadataValue<Ascii>> = None;
        if let Some(key) = &address.key {
            let value = format!("Bearer {key}").parse().map_err(|_| ConnectError::Key)?;
            authorization.insert(value).set_sensitive(true);
        }
        Ok(Self { endpoint, hint, authorization })
    }

    pub(crate) async fn connect(&self, limit: Duration) -> Result<Channel, Status> {
        match tokio::time::timeout(limit, self.endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) if is_cut(&error) => Err(Status::unavailable(self.hinted(&error))),
            Ok(Err(error)) => Err(Status::unavailable(innermost(&error))),
            Err(_) => {
                let limit = limit.as_millis();
                Err(Status::unavailable(format!("no connection within {limit} ms")))
            }
        }
    }

    /// Adds a hint to an error before the first answer: a server that refuses the client's
    /// certificate or plain text closes the connection, and its reason is often lost.
    pub(crate) fn unanswered(&self, status: Status) -> Status {
        match std::error::Error::source(&status) {
            Some(cause) => Status::new(status.code(), self.hinted(cause)),
            None => status,
        }
    }

    fn hinted(&self, error: &(dyn std::error::Error + 'static)) -> String {
        format!("{}; {}", innermost(error), self.hint)
    }

    /// A call with the key, if set.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        request
    }
}

fn flaw(uri: &http::Uri) -> Option<&'static str> {
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Some("it does not begin with http:// or https://");
    }
    let authority = uri.authority()?.as_str();
    if authority.contains('@') {
        return Some("a user name does not belong there; a key is a setting of its own");
    }
    let host = uri.host().unwrap_or_default();
    let port = authority.strip_prefix(host).unwrap_or_default();
    if host.is_empty() {
        Some("it has no host")
    } else if !port.is_empty() && uri.port_u16().is_none_or(|port| port == 0) {
        Some("its port is not a number from 1 to 65535")
    } else if uri.path() != "/" || uri.query().is_some() {
        Some("a path does not belong there")
    } else {
        None
    }
}

/// The part of an address without user name, password and key.
fn shown(url: &str) -> String {
    let Some(secret) = url.find(['@', '?', '#']) else { return url.to_owned() };
    let from = url.rfind('@').map_or(0, |at| at + 1);
    let host = &url[from..];
    let host = if from == 0 { &url[..secret] } else { host };
    let end = host.find(['/', '?', '#']).filter(|_| from > 0).unwrap_or(host.len());
    format!("\u{2026}{}\u{2026}", &host[..end])
}

/// An endpoint with TLS, and the hint for a closed connection.
#[cfg(feature = "tls")]
fn secured(
    endpoint: Endpoint,
    address: &Address,
) -> Result<(Endpoint, &'static str), ConnectError> {
    use tonic::transport::{ClientTlsConfig, Identity};
    let config = match &address.ca {
        Some(pem) => ClientTlsConfig::new().trust_anchors(trusted(pem)?.roots),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    let secured = endpoint.clone().tls_config(config.clone()).map_err(ConnectError::Tls)?;
    // In its own step, so the error says what is wrong.
    let Some((certificate, key)) = &address.identity else {
        return Ok((secured, "the server may demand a client certificate, and none is set"));
    };
    let config = config.identity(Identity::from_pem(certificate, key));
    let secured = endpoint.tls_config(config).map_err(ConnectError::ClientCertificate)?;
    Ok((secured, "the server may not accept the client certificate"))
}

/// The certificates of a PEM text. tonic would skip unreadable ones, and a client that trusts
/// nothing would retry for ever.
#[cfg(feature = "tls")]
fn trusted(pem: &[u8]) -> Result<rustls::RootCertStore, ConnectError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut trusted = rustls::RootCertStore::empty();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
        let failed = |source| ConnectError::CaCertificate { number, source };
        let certificate = certificate.map_err(|error| failed(error.into()))?;
        trusted.add(certificate).map_err(|error| failed(error.into()))?;
    }
    if trusted.is_empty() { Err(ConnectError::NoCaCertificate) } else { Ok(trusted) }
}

#[cfg(not(feature = "tls"))]
fn secured(_: Endpoint, address: &Address) -> Result<(Endpoint, &'static str), ConnectError> {
    Err(ConnectError::TlsFeature { url: address.url.clone() })
}

/// An error and its causes.
pub(crate) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The last cause, which is the informative one.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let said = causes(error).last().map(ToString::to_string).unwrap_or_default();
    // The words of rustls for an answer without TLS.
    let plain = said.contains("InvalidContentType");
    if plain { format!("{said}; the server may want http://") } else { said }
}

/// Whether the server closed an existing connection.
fn is_cut(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut kinds = causes(error).filter_map(|error| error.downcast_ref::<std::io::Error>());
    kinds.any(|error| {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted)
    })
}

/// Why a call failed: the server's words, or why the connection broke.
pub(crate) fn describe(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => innermost(cause),
        // What tonic makes of an answer that is not gRPC, such as a web page.
        None if status.message().contains("invalid compression flag") => {
            "the server there does not speak gRPC: is the address right?".to_owned()
        }
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().chars().flat_map(printable).take(1_000).collect(),
    }
}

/// Escapes what could control a terminal, but not quotes.
fn printable(character: char) -> impl Iterator<Item = char> {
    let is_plain = matches!(character, '\'' | '"' | '\\');
    let escaped = (!is_plain).then(|| character.escape_debug());
    is_plain.then_some(character).into_iter().chain(escaped.into_iter().flatten())
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", shown(&self.url))
    }
}

#[cfg(test)]
mod tests;
