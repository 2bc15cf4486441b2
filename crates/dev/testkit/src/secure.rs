//! A client of HTTP/1.1 with TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Tls;

/// Trusts one authority, and asks servers for `localhost`.
#[derive(Debug, Clone)]
pub struct Secure(ClientConfig);

impl Secure {
    /// Trusts the authority of this certificate, and shows another one, if it has one.
    pub fn trusting(ca_pem: &str, shown: Option<&Tls>) -> Secure {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(ca_pem)).expect("an authority's certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has versions")
            .with_root_certificates(roots);
        let mut config = match shown {
            None => config.with_no_client_auth(),
            Some(pem) => {
                let key = PrivateKeyDer::from_pem_slice(pem.key_pem.as_bytes()).expect("a key");
                let chain = vec![certificate(&pem.certificate_pem)];
                config.with_client_auth_cert(chain, key).expect("the key of the certificate")
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Secure(config)
    }

    /// Offers these protocols.
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Secure {
        self.0.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        self
    }

    /// A new connection.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(self.0.clone())).connect(name, stream).await
    }

    /// The certificate that the server shows on a new connection.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn shown(&self, address: SocketAddr) -> io::Result<Vec<u8>> {
        let stream = self.connect(address).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(shown.first().map(|one| one.to_vec()).unwrap_or_default())
    }

    /// The answer on a new connection, with its head.
    ///
    /// # Errors
    /// Why there is none, such as that the server refuses the certificate.
    pub async fn get(&self, address: SocketAddr, path: &str) -> io::Result<String> {
        let mut stream = self.connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

impl Tls {
    /// The certificate as it is shown in a handshake.
    pub fn der(&self) -> Vec<u8> {
        certificate(&self.certificate_pem).to_vec()
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}
