//! TLS to Postgres, with libpq's `sslmode`, `sslrootcert`, `sslcert` and `sslkey`.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tally_runtime::{Kind, file};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// How much of the server's identity is checked: libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS where the server offers it, unchecked. libpq's default, and ours.
    #[default]
    Prefer,
    /// TLS or nothing; unchecked unless `sslrootcert` is given.
    Require,
    /// TLS, by a certificate that a trusted authority signed.
    VerifyCa,
    /// The same, and the certificate is for this host.
    VerifyFull,
}

/// The `ssl…` parameters of a Postgres URL.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsSettings {
    pub(crate) mode: TlsMode,
    /// A PEM file, or `system` for the operating system's authorities, the default.
    pub(crate) root_cert: Option<String>,
    /// A PEM file with the client's certificate chain.
    pub(crate) cert: Option<String>,
    /// A PEM file with the client's key.
    pub(crate) key: Option<String>,
}

/// Accepts any certificate, or any that a trusted authority signed, whatever its name.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
}

// === impl TlsMode ===

impl TlsMode {
    pub(crate) fn driver_mode(self) -> SslMode {
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }

    fn parse(value: &str) -> Result<Self, &'static str> {
        match value {
            "disable" => Ok(Self::Disable),
            "allow" | "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err("is none of disable, prefer, require, verify-ca, verify-full"),
        }
    }
}

// === impl TlsSettings ===

impl TlsSettings {
    /// Takes a parameter of the URL if it is one of these; says whether it was, or what is wrong
    /// with its value.
    pub(crate) fn take(&mut self, name: &str, value: &str) -> Result<bool, &'static str> {
        match name {
            "sslmode" => self.mode = TlsMode::parse(value)?,
            "sslrootcert" => self.root_cert = Some(value.to_owned()),
            "sslcert" => self.cert = Some(value.to_owned()),
            "sslkey" => self.key = Some(value.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What the driver makes TLS connections with.
    pub(crate) fn connector(&self) -> Result<MakeRustlsConnect, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed("set up TLS").because(error))?;
        let checks_chain = matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyFull)
            || (self.mode == TlsMode::Require && self.root_cert.is_some());
        let roots = if checks_chain { Some(self.roots()?) } else { None };
        let builder = match (self.mode, roots) {
            (TlsMode::VerifyFull, Some(roots)) => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| failed("use the trusted certificates").because(error))?;
                builder.with_webpki_verifier(verifier)
            }
            (_, roots) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Lenient { provider, roots })),
        };
        let config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                .map_err(|error| failed("use sslcert and sslkey").because(error))?,
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(failed("use sslcert and sslkey: one is given without the other")),
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        match self.root_cert.as_deref() {
            Some(path) if path != "system" => {
                for certificate in certificates(path)? {
                    store.add(certificate).map_err(|error| {
                        failed(format!("use the certificates of sslrootcert={path}")).because(error)
                    })?;
                }
            }
            _ => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if store.is_empty() {
            return Err(failed(
                "find a trusted certificate: name a PEM file with sslrootcert=/path/to/ca.pem",
            ));
        }
        Ok(store)
    }
}

// === impl Lenient ===

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let step = || failed(format!("read the certificates in {path}"));
    let pem = file::read_once(Path::new(path)).map_err(|error| step().because(error))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| step().because(error))?;
    if certificates.is_empty() {
        return Err(step().because("the file has none in PEM form"));
    }
    Ok(certificates)
}

fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, Error> {
    let step = || failed(format!("read the private key in {path}"));
    let pem = file::read_once(Path::new(path)).map_err(|error| step().because(error))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| step().because(error))
}

fn failed(step: impl Into<String>) -> Error {
    Error::permanent(step, Kind::FailedPrecondition)
}
