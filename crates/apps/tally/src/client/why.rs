//! Why an address is not a Tally server's, and what to do.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tally_proto::wire::{REASON_TRAILER, reason, trailer};
use tonic::codegen::http::{StatusCode, Uri};
use tonic::{Code, Status};

use super::look::{LOOK_TIMEOUT, Seen, look};
use crate::output::visible;

pub(super) const ADVICE: &str = "start one with `tally serve`, or name another with --server";

/// How a connection ends whose keep-alive ping was not answered.
pub(super) const SILENCE: &str = "operation timed out";

/// How a key is given so that no other user of the machine sees it.
const KEY: &str = "TALLY_KEY or --key-file (TALLY_KEY_FILE)";

const USE_HTTPS: &str = "it wants TLS: write https:// instead of http:// in --server";
const USE_HTTP: &str = "it does not speak TLS: write http:// instead of https:// in --server";

const OTHER_CERTIFICATE: &str = "it ends the connection, as servers do that ask for a client \
    certificate: give one that it accepts with --tls-client-cert and --tls-client-key";

/// An answer that is not gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) status: u16,
    /// Where a redirect points.
    pub(super) location: Option<String>,
    /// Its content type.
    pub(super) kind: Option<String>,
}

// === impl Foreign ===

impl Error for Foreign {}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With its reason, as in `302 Found`.
        let known = StatusCode::from_u16(self.status);
        let status = known.map_or_else(|_| self.status.to_string(), |known| known.to_string());
        match self.status {
            401 | 407 => write!(
                f,
                "a proxy or another program there wants a login ({status}): give it a key with \
                 --key (TALLY_KEY), or name the server behind it with --server"
            ),
            403 => write!(
                f,
                "a proxy or another program there refuses the call ({status}): name the server \
                 behind it with --server"
            ),
            300..=399 => {
                let to = self.location.as_deref().map(visible);
                let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
                write!(
                    f,
                    "a proxy or another program there redirects{to} ({status}), as for a login: \
                     name the server behind it with --server"
                )
            }
            502..=504 => write!(
                f,
                "the proxy there does not reach a server ({status}): look whether Tally runs \
                 behind it"
            ),
            _ => {
                let kind = self.kind.as_deref().map(visible).unwrap_or("no content type".into());
                write!(
                    f,
                    "what answers there does not speak gRPC ({status}, {kind}): name Tally's own \
                     host and port with --server, or have the proxy pass gRPC on"
                )
            }
        }
    }
}

pub(super) fn foreign<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Foreign> {
    causes(error).find_map(<dyn Error>::downcast_ref)
}

/// Why a first call failed, if every other call would too; `None` if a Tally server answered, or
/// only went away.
pub(super) async fn no_tally(status: &Status, uri: &Uri) -> Option<String> {
    if let Some(cause) = status.source() {
        return match foreign(cause) {
            Some(foreign) => Some(foreign.to_string()),
            // A server may refuse the client's certificate after the handshake.
            None if uri.scheme_str() == Some("https") => {
                Some(broken_tls(cause).unwrap_or_else(|| OTHER_CERTIFICATE.to_owned()))
            }
            None => looked(uri, LOOK_TIMEOUT).await,
        };
    }
    match status.code() {
        Code::Unimplemented => Some(
            "a gRPC server answers there, but it is not Tally: check the host and the port in \
             --server"
                .to_owned(),
        ),
        // A connection may break without a reported cause.
        _ => looked(uri, LOOK_TIMEOUT).await,
    }
}

/// What a server that was reached does, if it refused a first call for want of a key that it accepts.
pub(super) fn refused(status: &Status, has_key: bool) -> Option<String> {
    if status.source().is_some() || status.code() != Code::Unauthenticated {
        return None;
    }
    let detail = is_checked(status).then(|| format!(": {}", visible(status.message())));
    let does = match (has_key, detail) {
        (true, detail) => format!(
            "does not accept the key{}: give another one with {KEY}",
            detail.unwrap_or_default()
        ),
        (false, Some(detail)) => format!("does not accept the client certificate{detail}"),
        (false, None) => format!("wants a key: give one with {KEY}"),
    };
    Some(does)
}

/// Whether a Tally server has refused a call for its key or, without one, for its client certificate.
fn is_checked(status: &Status) -> bool {
    trailer(status, REASON_TRAILER).is_some_and(|reason| reason != reason::KEY_MISSING)
}

/// What is wrong at an `http://` address, if that can be seen.
pub(super) async fn looked(uri: &Uri, limit: Duration) -> Option<String> {
    if uri.scheme_str() != Some("http") {
        return None;
    }
    match look(uri, limit).await? {
        Seen::Http2 => None,
        Seen::Tls => Some(USE_HTTPS.to_owned()),
        Seen::Http1(foreign) if matches!(foreign.status, 300..=399 | 401 | 403 | 407 | 502..=504) => {
            Some(foreign.to_string())
        }
        Seen::Http1(_) => Some(
            "an HTTP/1 server answers there, and gRPC needs HTTP/2: check the port in --server, or \
             have the proxy there speak HTTP/2"
                .to_owned(),
        ),
        Seen::Other => Some(
            "another program answers there, and it does not speak HTTP: check the host and the port \
             in --server"
                .to_owned(),
        ),
        Seen::Nothing => Some(
            "it ends the connection without an answer: check the port in --server, and whether it \
             wants https://"
                .to_owned(),
        ),
    }
}

pub(super) fn connecting(error: &(dyn Error + 'static)) -> String {
    broken_tls(error).unwrap_or_else(|| format!("{}; {ADVICE}", innermost(error)))
}

/// What is wrong with TLS, judged by the library's words.
fn broken_tls(error: &(dyn Error + 'static)) -> Option<String> {
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    let has = |words: &[&str]| words.iter().any(|words| text.contains(words));
    let said = if has(&["InvalidContentType"]) {
        USE_HTTP.to_owned()
    } else if has(&["HTTP/2 was not negotiated", "NoApplicationProtocol"]) {
        "it speaks TLS, but not HTTP/2, which gRPC needs: check the port in --server, or have the \
         proxy there speak HTTP/2"
            .to_owned()
    } else if has(&["CaUsedAsEndEntity"]) {
        "its certificate is one that may sign others, which a server's own must not be: make it with \
         CA:FALSE, as by openssl's -addext basicConstraints=CA:FALSE"
            .to_owned()
    } else if has(&["UnknownIssuer"]) {
        "its certificate is signed by no authority that is trusted here: name a file with that \
         authority's certificate with --tls-ca (TALLY_TLS_CA)"
            .to_owned()
    } else if has(&["invalid peer certificate"]) {
        let detail = text.split("invalid peer certificate: ").nth(1).unwrap_or(&text);
        format!("its certificate is not valid for this connection: {detail}")
    } else if has(&["CertificateRequired", "BadCertificate", "UnknownCA", "HandshakeFailure"]) {
        OTHER_CERTIFICATE.to_owned()
    } else {
        return None;
    };
    Some(said)
}

/// The last cause, which says the most, without the operating system's number.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = words.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => words.to_owned(),
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}
