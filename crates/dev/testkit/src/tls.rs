//! Certificates for servers on this machine and for their clients, and the authority that signs them.

/// A certificate and its key in PEM, and the certificate of their authority.
#[derive(Clone)]
pub struct Tls {
    /// The authority's certificate, to be trusted by the other side.
    pub ca_pem: String,
    /// The certificate.
    pub certificate_pem: String,
    /// The private key of the certificate.
    pub key_pem: String,
}

/// Signs certificates.
#[cfg(feature = "async")]
pub struct Authority(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

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
        Authority::generate().sign(names)
    }
}

#[cfg(feature = "async")]
impl Authority {
    /// Creates one.
    pub fn generate() -> Authority {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Tally test authority");
        let key = KeyPair::generate().expect("a key for the authority");
        Authority(CertifiedIssuer::self_signed(authority, key).expect("a certificate of its own"))
    }

    /// Its certificate, to be trusted.
    pub fn ca_pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these host names and addresses, for as long as any test may run.
    pub fn sign(&self, names: &[&str]) -> Tls {
        self.sign_for(names, &[], "a test", 1975..4096)
    }

    /// A certificate for these host names and addresses, for these URIs, and with this common name. It
    /// is valid from the beginning of the first year to that of the last.
    pub fn sign_for(
        &self,
        names: &[&str],
        uris: &[&str],
        common_name: &str,
        years: std::ops::Range<i32>,
    ) -> Tls {
        use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut own = CertificateParams::new(names).expect("names that a certificate can hold");
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII")));
        own.subject_alt_names.extend(uris);
        own.distinguished_name = DistinguishedName::new();
        own.distinguished_name.push(DnType::CommonName, common_name);
        own.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        own.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = own.signed_by(&key, &self.0).expect("a certificate");
        Tls {
            ca_pem: self.0.pem(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}
