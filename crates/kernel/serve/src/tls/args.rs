//! The settings of TLS: as flags and variables, and checked.

use std::path::PathBuf;
use std::str::FromStr;

use tally_runtime::config::{Given, Problems, name};

/// TLS on the port.
#[derive(Debug, clap::Args)]
pub struct TlsArgs {
    /// A PEM file with the server's certificate and those that lead to its authority, in this order; with
    /// it the port speaks TLS only. It is read again when it changes
    #[arg(long, env = "TALLY_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// A PEM file with the private key of the certificate, without a password
    #[arg(long, env = "TALLY_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// A PEM file with the authorities whose client certificates are accepted; without it none is asked for
    #[arg(long, env = "TALLY_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,

    /// Whether a client must show a certificate: optional or required. With required, probes need one too
    #[arg(long, env = "TALLY_TLS_CLIENT_AUTH", value_name = "WORD", default_value = "optional")]
    tls_client_auth: Given<ClientAuth>,
}

/// Where the certificate is, and whom it is shown to.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate and those that lead to its authority, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// The authorities of clients' certificates, in PEM; without it clients are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must show a certificate.
    pub are_clients_asked_only: bool,
}

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientAuth {
    Optional,
    Required,
}

// === impl TlsArgs ===

impl TlsArgs {
    /// Checks them. Without a certificate, there is no TLS.
    pub fn check(&self, problems: &mut Problems) -> Option<TlsFiles> {
        let (cert, key) = (name("tls-cert"), name("tls-key"));
        let (ca, auth) = (name("tls-client-ca"), name("tls-client-auth"));
        let client_auth = problems.take(&auth, &self.tls_client_auth);
        if client_auth == Some(ClientAuth::Required) && self.tls_client_ca.is_none() {
            problems.add(format!("{auth}: to require certificates of clients takes {ca}"));
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: self.tls_client_ca.clone(),
                are_clients_asked_only: client_auth != Some(ClientAuth::Required),
            }),
            (None, None) => {
                if self.tls_client_ca.is_some() {
                    problems.add(format!("{ca}: certificates of clients take TLS: give {cert}"));
                }
                None
            }
            (Some(_), None) => {
                problems.add(format!("{key} is missing: a certificate takes its private key"));
                None
            }
            (None, Some(_)) => {
                problems.add(format!("{cert} is missing: a private key takes its certificate"));
                None
            }
        }
    }
}

// === impl TlsFiles ===

impl TlsFiles {
    /// Which certificates of clients are wanted.
    pub(super) fn client_certificates(&self) -> &'static str {
        match (&self.client_ca, self.are_clients_asked_only) {
            (None, _) => "none",
            (Some(_), true) => "optional",
            (Some(_), false) => "required",
        }
    }
}

// === impl ClientAuth ===

impl FromStr for ClientAuth {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err("it is neither optional nor required"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        tls: TlsArgs,
    }

    #[test]
    fn what_belongs_together_is_given_together() {
        let check = |given: &str| {
            let given = given.split_whitespace();
            let cli = Cli::try_parse_from(["tally"].into_iter().chain(given)).expect("flags");
            let mut problems = Problems::new();
            let files = cli.tls.check(&mut problems);
            let said = problems.check().map_err(|invalid| invalid.to_string());
            said.map(|()| files.map(|files| files.client_certificates()))
        };
        assert_eq!(check(""), Ok(None));
        let pair = "--tls-cert a --tls-key b";
        assert_eq!(check(pair), Ok(Some("none")));
        assert_eq!(check(&format!("{pair} --tls-client-ca c")), Ok(Some("optional")));
        let required = "--tls-client-ca c --tls-client-auth required";
        assert_eq!(check(&format!("{pair} {required}")), Ok(Some("required")));
        for (given, words) in [
            ("--tls-cert a", "--tls-key (TALLY_TLS_KEY) is missing"),
            ("--tls-key b", "--tls-cert (TALLY_TLS_CERT) is missing"),
            ("--tls-client-ca c", "certificates of clients take TLS: give --tls-cert"),
            ("--tls-client-auth required", "takes --tls-client-ca (TALLY_TLS_CLIENT_CA)"),
            ("--tls-client-auth maybe", "it is neither optional nor required"),
        ] {
            let said = check(given).expect_err(given);
            assert!(said.contains(words), "{said}");
        }
    }
}
