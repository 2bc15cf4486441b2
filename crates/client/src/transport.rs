//! Connecting to a server.

use std::fmt;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::error::ConnectError;
use crate::settings::Settings;

/// How often a silent server is asked whether it is still there, while a stream is open.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long it may take to say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Certificates.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// PEM of the certificates to trust, instead of the operating system's.
    #[cfg(feature = "tls")]
    pub(crate) ca: Option<Vec<u8>>,
    /// PEM of the certificate and the key to show.
    #[cfg(feature = "tls")]
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A bearer token, which nobody prints.
#[derive(Clone)]
pub(crate) struct Token(pub(crate) String);

/// A server that can be connected to, again and again.
#[derive(Clone)]
pub(crate) struct Target {
    /// For people.
    pub(crate) url: String,
    endpoint: Endpoint,
    authorization: Option<MetadataValue<Ascii>>,
}

// === impl Target ===

impl Target {
    pub(crate) fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let url = settings.url.trim().to_owned();
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|source| ConnectError::Url { url: url.clone(), source: Some(source) })?;
        let host = endpoint.uri().host().is_some_and(|host| !host.is_empty());
        let endpoint = match endpoint.uri().scheme_str() {
            Some("http") if host => endpoint,
            Some("https") if host => secured(endpoint, &url, &settings.tls)?,
            _ => return Err(ConnectError::Url { url, source: None }),
        };
        let endpoint = endpoint
            .connect_timeout(settings.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        Ok(Self { url, endpoint, authorization: settings.authorization()? })
    }

    /// A new connection.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<Channel, Status> {
        match tokio::time::timeout(limit, self.endpoint.connect()).await {
            Ok(connected) => connected.map_err(|error| Status::unavailable(innermost(&error))),
            Err(_) => {
                let limit = limit.as_millis();
                Err(Status::unavailable(format!("no connection within {limit} ms")))
            }
        }
    }

    /// A call with the token, if there is one.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        request
    }
}

#[cfg(feature = "tls")]
fn secured(endpoint: Endpoint, _url: &str, tls: &Tls) -> Result<Endpoint, ConnectError> {
    use tonic::transport::{Certificate, ClientTlsConfig, Identity};
    let mut config = match &tls.ca {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    endpoint.tls_config(config).map_err(ConnectError::Tls)
}

#[cfg(not(feature = "tls"))]
fn secured(_endpoint: Endpoint, url: &str, _tls: &Tls) -> Result<Endpoint, ConnectError> {
    Err(ConnectError::TlsFeature { url: url.to_owned() })
}

/// The last cause, which is the one that says something.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// What a failed call has to say: the server's own words, or why the connection broke.
pub(crate) fn describe(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => innermost(cause),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().escape_debug().take(1_000).collect(),
    }
}

impl fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
