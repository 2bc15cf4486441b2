//! Where events may go. The server sends what anybody who reaches its port may ask for, so it sends only
//! to receivers that its operator has named: it cannot be made to call what it alone can reach.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use crate::format::Format;
use crate::mail::{self, Mailbox};

/// The longest URL.
const URL_BYTES_MAX: usize = 2_000;

/// What a path has not, because some servers read it as a separator of segments, or decode it twice: then
/// dots behind it lead out of what is allowed.
const AMBIGUOUS: [&str; 8] = ["\\", ";", "%00", "%25", "%2e", "%2f", "%3b", "%5c"];

/// What stands for the path and the query of a URL where people see it.
const LEFT_OUT: &str = "/\u{2026}";

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receiver {
    /// To a URL, by POST.
    Webhook(Webhook),
    /// To an address, by e-mail: `mailto:ops@example.com`.
    Mail(Mailbox),
}

/// A URL that events are sent to, by POST, and in which format: `slack+` or `alertmanager+` before it says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    format: Format,
    uri: Uri,
}

/// The beginnings of the URLs that the operator allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Webhook>);

// === impl Receiver ===

impl Receiver {
    /// What is sent there.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Webhook(webhook) => webhook.format,
            Self::Mail(_) => Format::Mail,
        }
    }

    /// The whole URL, which may be a secret, with its format.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Webhook(webhook) => webhook.url(),
            Self::Mail(mailbox) => mailbox.url(),
        }
    }

    /// What events share, so that one that is slow holds up no other one: scheme, host and port, and of all mail
    /// the one server that it is given to.
    #[must_use]
    pub fn origin(&self) -> String {
        match self {
            Self::Webhook(webhook) => webhook.origin(),
            Self::Mail(_) => mail::SCHEME.to_owned(),
        }
    }

    /// What people see: format, scheme, host and port, and `/…` for the rest, which may be a secret; or an address.
    /// Nobody takes the former for a receiver.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Webhook(webhook) => webhook.shown(),
            Self::Mail(mailbox) => mailbox.url(),
        }
    }
}

impl FromStr for Receiver {
    type Err = &'static str;

    /// No error repeats it.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix(mail::SCHEME) {
            Some(mailbox) => mailbox.parse().map(Self::Mail),
            None => text.parse().map(Self::Webhook),
        }
    }
}

// === impl Webhook ===

impl Webhook {
    /// Whether to use TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The host: a name, or an address, that of IPv6 without its brackets.
    pub(crate) fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
    }

    pub(crate) fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// The value of the header `host`.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map(Authority::as_str).unwrap_or_default()
    }

    /// What stands behind the host.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    fn url(&self) -> String {
        format!("{}{}", self.format.prefix(), self.uri)
    }

    /// Scheme, host and port: what logs and people see, because the rest may be a secret.
    pub(crate) fn origin(&self) -> String {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        format!("{scheme}://{}", self.authority().to_ascii_lowercase())
    }

    /// The same, with its format, and with a sign that something is left out.
    fn shown(&self) -> String {
        let rest = if self.target() == "/" { "" } else { LEFT_OUT };
        format!("{}{}{rest}", self.format.prefix(), self.origin())
    }

    /// Whether it begins with this one: the same scheme, host and port, and whole segments of the path.
    fn begins_with(&self, prefix: &Self) -> bool {
        let is_same_place = self.is_https() == prefix.is_https()
            && self.host().eq_ignore_ascii_case(prefix.host())
            && self.port() == prefix.port();
        let rest = self.uri.path().strip_prefix(prefix.uri.path());
        let is_segment = |rest: &str| {
            rest.is_empty() || rest.starts_with('/') || prefix.uri.path().ends_with('/')
        };
        is_same_place && rest.is_some_and(is_segment)
    }
}

/// The origin only.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.origin()).finish()
    }
}

impl FromStr for Webhook {
    type Err = &'static str;

    /// Takes no URL that a server on the way could read in another way than this one. No error
    /// repeats it.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.len() > URL_BYTES_MAX {
            return Err("is longer than 2000 bytes");
        }
        if text.ends_with(LEFT_OUT) {
            return Err(
                "has /\u{2026} in place of its path, as it is shown because it may be a secret: write all of it",
            );
        }
        if text.contains('#') {
            return Err("has a fragment (#), which no server sees");
        }
        let (format, text) = Format::read(text);
        let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("does not begin with https://, http:// or mailto:");
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("has a user name or a password (@): put a secret into the path");
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("has no host");
        }
        if uri.port_u16().is_none() && uri.host() != uri.authority().map(Authority::as_str) {
            return Err("has a port that is not a number up to 65535");
        }
        let path = uri.path().to_ascii_lowercase();
        if AMBIGUOUS.iter().any(|text| path.contains(text))
            || path.split('/').any(|segment| matches!(segment, "." | ".."))
        {
            return Err(
                "has in its path a segment . or .., a backslash or a semicolon, or one of \
                        %00, %25, %2e, %2f, %3b and %5c",
            );
        }
        Ok(Self { format, uri })
    }
}

// === impl Allowed ===

impl Allowed {
    /// Whether events may be sent there.
    #[must_use]
    pub fn allows(&self, webhook: &Webhook) -> bool {
        self.0.iter().any(|prefix| webhook.begins_with(prefix))
    }

    /// Whether they may be sent anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The origins only.
impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins: Vec<_> = self.0.iter().map(Webhook::origin).collect();
        f.write_str(&origins.join(","))
    }
}

impl FromStr for Allowed {
    type Err = String;

    /// No error repeats a URL: its path may be a secret.
    fn from_str(text: &str) -> Result<Self, String> {
        let one = |(at, text): (usize, &str)| {
            let prefix: Result<Webhook, _> = text.parse();
            let prefix = prefix.and_then(|prefix| match prefix.uri.query() {
                Some(_) => Err("has a query (?)"),
                None if prefix.format != Format::Plain => {
                    Err("has a format (slack+, alertmanager+): what is allowed is allowed in each")
                }
                None => Ok(prefix),
            });
            prefix.map_err(|why| format!("URL {} {why}", at + 1))
        };
        let all = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        all.enumerate().map(one).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(text: &str) -> Webhook {
        text.parse().unwrap_or_else(|why| panic!("{text} {why}"))
    }

    #[test]
    fn a_receiver_is_a_plain_url() {
        let one = receiver("https://Hooks.example.com/a/b?c=d");
        assert_eq!((one.host(), one.port(), one.target()), ("Hooks.example.com", 443, "/a/b?c=d"));
        assert_eq!(one.origin(), "https://hooks.example.com");
        assert!(!format!("{one:?}").contains("/a/b"), "the path may be a secret");
        let one = receiver("slack+https://hooks.example.com/s3cret");
        assert_eq!((one.target(), &*one.origin()), ("/s3cret", "https://hooks.example.com"));
        assert_eq!(one.shown(), "slack+https://hooks.example.com/\u{2026}");
        let why = one.shown().parse::<Receiver>().expect_err("it is not all of it");
        assert!(why.contains("write all of it"), "{why}");
        assert_eq!(receiver("https://a/").shown(), "https://a", "nothing is left out");
        assert_eq!(receiver("https://a/?b").shown(), "https://a/\u{2026}");
        assert_eq!(receiver(&one.url()), one, "the database has it so");
        let one = receiver("http://[::1]:8080");
        assert_eq!((one.host(), one.port(), one.target()), ("::1", 8080, "/"));
        for text in [
            "",
            "hooks.example.com",
            "/hook",
            "ftp://a/",
            "slack+",
            "teams+https://a/",
            "slack+alertmanager+https://a/",
            "https:///a",
            "https://user:secret@a/",
            "https://user@a:443/",
            "https://a/#b",
            "https://a/b/../c",
            "https://a/b/%2E%2e/c",
            "https://a/./c",
            "https://a/b\\c",
            "https://a/b/..%2f..%2Fc",
            "https://a/b/%2e%2E%2f..%2fc",
            "https://a/b/..%5c..%5Cc",
            "https://a/b/..%3bc",
            "https://a/b/..%3Bc",
            "https://a/b/..%252fc",
            "https://a/b/..%00/c",
            "https://a/..;/c",
            "https://a:/",
            "https://a:99999/",
            "https://[::1]:x/",
            "https://[::1/",
            "https://a b/",
        ] {
            assert!(text.parse::<Receiver>().is_err(), "{text}");
        }
        assert!(format!("https://a/{}", "x".repeat(2_000)).parse::<Receiver>().is_err());
    }

    #[test]
    fn a_receiver_may_be_an_address_of_e_mail() {
        let one: Receiver = "mailto:ops@Example.com".parse().expect("an address");
        assert_eq!(
            (&*one.url(), &*one.shown()),
            ("mailto:ops@example.com", "mailto:ops@example.com")
        );
        assert_eq!(one.origin(), "mailto:");
        for text in ["mailto:", "slack+mailto:ops@example.com", "mailto://ops@example.com"] {
            assert!(text.parse::<Receiver>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_the_operator_names_is_allowed() {
        let allowed: Allowed =
            "https://hooks.example.com/tally, http://127.0.0.1:9000".parse().expect("prefixes");
        for text in [
            "https://hooks.example.com/tally",
            "https://HOOKS.example.com:443/tally/a?b",
            "https://hooks.example.com/tally?b",
            "http://127.0.0.1:9000/any",
            "slack+https://hooks.example.com/tally/a",
            "alertmanager+http://127.0.0.1:9000/api/v2/alerts",
        ] {
            assert!(allowed.allows(&receiver(text)), "{text}");
        }
        for text in [
            "http://hooks.example.com/tally",
            "https://hooks.example.com/tallyho",
            "https://hooks.example.com/",
            "https://hooks.example.com:8443/tally",
            "https://hooks.example.com.evil.example/tally",
            "https://evil.example/https://hooks.example.com/tally",
            "http://127.0.0.1:9001/any",
            "http://127.0.0.1/any",
            "http://localhost:9000/any",
            "http://169.254.169.254/latest",
            "slack+https://hooks.example.com/tallyho",
        ] {
            assert!(!allowed.allows(&receiver(text)), "{text}");
        }
        let slash: Allowed = "https://a/b/".parse().expect("a prefix");
        assert!(
            slash.allows(&receiver("https://a/b/c")) && !slash.allows(&receiver("https://a/b"))
        );
        let none: Allowed = "".parse().expect("nothing");
        assert!(none.is_empty() && !none.allows(&receiver("https://a/")));
        for text in ["a", "https://a/?b", "https://a/,*", "https://user@a/", "slack+https://a/"] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
        let why = "https://a/b, https://c/s3cret?d".parse::<Allowed>().expect_err("a query");
        assert_eq!(why, "URL 2 has a query (?)");
        assert_eq!(allowed.to_string(), "https://hooks.example.com,http://127.0.0.1:9000");
    }
}
