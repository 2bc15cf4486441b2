//! A server as somebody with a key reaches it: by TLS, through a proxy or not.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use tally_testkit::{Secure, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// The files of the servers' certificate and its key, and that of the authority.
pub(crate) const CERTIFICATE: &str = "tls.crt";
pub(crate) const CERTIFICATE_KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// Where a server is, whom to trust, and the key to show.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) url: String,
    /// The certificate of the authority.
    pub(crate) ca: String,
    pub(crate) key: String,
}

/// A connection whose calls all show the key.
pub(crate) type Link = InterceptedService<Channel, Bearer>;

/// Shows a key.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

// === impl Door ===

impl Door {
    /// The one of a client, whose key is in the run's folder.
    pub(crate) fn of_client(folder: &Path, client: &str, url: &str) -> anyhow::Result<Self> {
        let read = |name: &str| {
            fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read {name}"))
        };
        let key = read(&key_file(client))?.trim().to_owned();
        Ok(Self { url: url.to_owned(), ca: read(AUTHORITY)?, key })
    }

    pub(crate) fn endpoint(&self) -> Result<Endpoint, tonic::transport::Error> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.ca));
        Endpoint::from_shared(self.url.clone())?.tls_config(tls)
    }

    /// A connection to this server, with the key.
    pub(crate) fn link(&self, channel: Channel) -> Link {
        let value = format!("Bearer {}", self.key).parse().expect("a key is letters and digits");
        InterceptedService::new(channel, Bearer(value))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.url.trim_start_matches("https://").parse()?)
    }

    /// Sends a request of HTTP/1.1 on a connection of its own, and reads until the end or a failure: what has
    /// come until then may be enough.
    pub(crate) async fn ask(
        &self,
        head: &str,
        body: &str,
    ) -> anyhow::Result<(Vec<u8>, std::io::Result<usize>)> {
        let secure = Secure::trusting(&self.ca, None);
        let mut stream = secure.connect(self.address()?).await?;
        let length = body.len();
        let head = format!(
            "{head}Host: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {length}\r\n\r\n",
            self.key
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        Ok((answer, read))
    }

    /// The certificate that it shows now.
    pub(crate) async fn shown(&self) -> anyhow::Result<Vec<u8>> {
        Ok(Secure::trusting(&self.ca, None).shown(self.address()?).await?)
    }
}

// === impl Bearer ===

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The file that a client's key is in.
pub(crate) fn key_file(client: &str) -> String {
    format!("{client}.key")
}

/// Writes whom to trust, before there is anybody who reads it.
pub(crate) fn write_authority(folder: &Path, pem: &str) -> std::io::Result<()> {
    fs::write(folder.join(AUTHORITY), pem)
}

/// Writes a certificate for servers, which read the files while they are written.
pub(crate) fn write_certificate(folder: &Path, tls: &Tls) -> std::io::Result<()> {
    fs::write(folder.join(CERTIFICATE_KEY), &tls.key_pem)?;
    fs::write(folder.join(CERTIFICATE), &tls.certificate_pem)
}
