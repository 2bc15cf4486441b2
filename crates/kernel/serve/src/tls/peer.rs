//! What is known of a connection's other end, for whoever handles its requests.

use std::sync::{Arc, OnceLock};

use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// `commonName` (RFC 5280, appendix A).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// How many names of a certificate are read.
const NAMES_MAX: usize = 64;

/// The other end of a request's connection: an extension of each request.
#[derive(Debug, Clone, Default)]
pub struct Peer(Arc<OnceLock<Known>>);

/// What a handshake shows.
#[derive(Debug)]
struct Known {
    names: Vec<String>,
}

// === impl Peer ===

impl Peer {
    /// Whether the connection has TLS.
    pub fn has_tls(&self) -> bool {
        self.0.get().is_some()
    }

    /// What the client's certificate calls it: its DNS names, its URIs, and its common name, in this order.
    /// None without a certificate. They are verified: an authority that the operator trusts has signed them.
    pub fn names(&self) -> &[String] {
        self.0.get().map_or(&[], |known| &known.names)
    }

    /// The handshake is done, and the client has shown these certificates.
    pub(super) fn shown(&self, certificates: Option<&[CertificateDer<'_>]>) {
        let names = certificates.and_then(<[_]>::first).map(|own| names(own)).unwrap_or_default();
        let _ = self.0.set(Known { names });
    }
}

fn names(certificate: &[u8]) -> Vec<String> {
    // rustls has verified it, but reads it by other code.
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let own = &certificate.tbs_certificate;
    let alternative = own.get::<SubjectAltName>().ok().flatten();
    let alternative = alternative.map(|(_, names)| names.0).unwrap_or_default();
    let of_dns = alternative.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str()),
        _ => None,
    });
    let uris = alternative.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(name) => Some(name.as_str()),
        _ => None,
    });
    let subject = own.subject.0.iter().flat_map(|names| names.0.iter());
    let common = subject.filter(|one| one.oid == COMMON_NAME).filter_map(|one| {
        Some(match one.value.tag() {
            Tag::Utf8String => one.value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str(),
            Tag::PrintableString => one.value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str(),
            Tag::TeletexString => one.value.decode_as::<TeletexStringRef<'_>>().ok()?.as_str(),
            _ => return None,
        })
    });
    of_dns.chain(uris).chain(common).take(NAMES_MAX).map(str::to_owned).collect()
}
