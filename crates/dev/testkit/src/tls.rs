//! A certificate for a server on this machine, and the authority that signed it.

/// A server's certificate and key in PEM, and the certificate of their authority.
#[derive(Clone)]
pub struct Tls {
    /// The authority's certificate, to be trusted by clients.
    pub ca_pem: String,
    /// The server's certificate.
    pub certificate_pem: String,
    /// The private key of the server's certificate.
    pub key_pem: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

#[cfg(feature = "async")]
impl Tls {
    /// Creates an authority and a certificate for `localhost` and 127.0.0.1.
    pub fn generate() -> Tls {
        Tls::for_names(&["localhost", "127.0.0.1"])
    }

    /// Creates an authority and a certificate for these host names and addresses.
    pub fn for_names(names: &[&str]) -> Tls {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Tally test authority");
        let key = KeyPair::generate().expect("a key for the authority");
        let authority =
            CertifiedIssuer::self_signed(authority, key).expect("a certificate of the authority");

        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let server = CertificateParams::new(names).expect("names that a certificate can hold");
        let key = KeyPair::generate().expect("a key for the server");
        let certificate = server.signed_by(&key, &authority).expect("a certificate of the server");
        Tls {
            ca_pem: authority.pem(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}
