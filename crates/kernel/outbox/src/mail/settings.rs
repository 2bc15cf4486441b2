//! The settings of mail: as flags and variables, and checked.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use lettre::message::Mailbox as Named;
use lettre::transport::smtp::authentication::Credentials;
use tally_runtime::config::{Given, Problems, name};

use super::{Mailbox, Mailboxes};

/// What names end with that are of no public server (RFC 6762, RFC 6761, and what ICANN has set aside).
const NEAR_NAMES: [&str; 3] = [".local", ".localhost", ".internal"];

/// Events by e-mail.
#[derive(Debug, Default, clap::Args)]
pub struct MailArgs {
    /// Through which server events are mailed: smtps://HOST speaks TLS from the first byte (port 465), smtp://HOST
    /// by STARTTLS (port 587), and smtp+plain://HOST without TLS (port 25), for a server on this machine
    /// or in its private network
    #[arg(long, env = "TALLY_SMTP_URL", hide_env_values = true, value_name = "URL")]
    smtp_url: Option<Given<Server>>,

    /// As whom to log in there; without it, nobody does
    #[arg(long, env = "TALLY_SMTP_USER", value_name = "NAME")]
    smtp_user: Option<String>,

    /// With which password
    #[arg(long, env = "TALLY_SMTP_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    smtp_password: Option<String>,

    /// Whom mail is from: an address, or a name and an address, as in Tally <tally@example.com>
    #[arg(long, env = "TALLY_SMTP_FROM", value_name = "ADDRESS")]
    smtp_from: Option<Given<Sender>>,

    /// To which addresses mail may go: with commas between them; @example.com allows all of a domain. Nothing
    /// else is allowed, so by default there is no mail
    #[arg(long, env = "TALLY_SMTP_ALLOW", value_name = "ADDRESSES")]
    smtp_allow: Option<Given<Mailboxes>>,
}

/// Where mail may go, and how.
#[derive(Clone)]
pub struct Mail {
    pub(super) server: Server,
    pub(super) credentials: Option<Credentials>,
    pub(super) from: Named,
    pub(crate) allowed: Mailboxes,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// By TLS from the first byte.
    Tls,
    /// By TLS, or not at all, once STARTTLS is said.
    StartTls,
    Plain,
}

/// The server that mail is given to.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) security: Security,
    /// A name, or an address, that of IPv6 without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Whom mail is from.
#[derive(Debug, Clone)]
struct Sender(Named);

// === impl MailArgs ===

impl MailArgs {
    /// The server, as people see it.
    #[must_use]
    pub fn shown_server(&self) -> String {
        let server = self.smtp_url.as_ref();
        let server = server.map(|given| Problems::new().take_secret("", given));
        server.map_or_else(String::new, |server| {
            server.map_or_else(|| "(invalid)".to_owned(), |server| server.to_string())
        })
    }

    /// Checks them. Without an address that is allowed, there is no mail.
    pub(crate) fn check(&self, problems: &mut Problems) -> Option<Mail> {
        let (url, from, allow) = (name("smtp-url"), name("smtp-from"), name("smtp-allow"));
        let (user, password) = (name("smtp-user"), name("smtp-password"));
        let server = self.smtp_url.as_ref().map(|given| problems.take_secret(&url, given));
        let sender = self.smtp_from.as_ref().map(|given| problems.take(&from, given));
        let allowed = self.smtp_allow.as_ref().map(|given| problems.take(&allow, given));
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let credentials = match (given(&self.smtp_user), given(&self.smtp_password)) {
            (Some(user), Some(password)) => Some(Credentials::new(user, password)),
            (None, None) => None,
            (Some(_), None) => {
                problems.add(format!("{password} is missing: there is a {user}"));
                None
            }
            (None, Some(_)) => {
                problems.add(format!("{user} is missing: there is a {password}"));
                None
            }
        };
        let is_plain = matches!(&server, Some(Some(server)) if server.security == Security::Plain);
        if is_plain && credentials.is_some() {
            problems.add(format!(
                "{password}: it would go over the network as it is; write smtps:// or smtp:// in {url}"
            ));
        }
        if let Some(Some(server)) = &server
            && is_plain
            && !server.is_near()
        {
            problems.add(format!(
                "{url}: with smtp+plain:// the server is on this machine or in its private network, and {} is not: \
                 others on the way could read the mail; write smtps:// or smtp://",
                server.host
            ));
        }
        let allowed = allowed?.filter(|allowed| !allowed.is_empty())?;
        for (is_given, name, why) in [
            (server.is_some(), &url, "name the server that mail is given to"),
            (sender.is_some(), &from, "say whom mail is from, as in tally@example.com"),
        ] {
            if !is_given {
                problems.add(format!("{name} is missing: {why}"));
            }
        }
        Some(Mail { server: server??, credentials, from: sender??.0, allowed })
    }
}

// === impl Mail ===

impl Mail {
    /// To the addresses that are allowed, through this server, without logging in.
    ///
    /// # Errors
    /// When the URL of the server or the address of the sender is wrong.
    pub fn new(server: &str, from: &str, allowed: Mailboxes) -> Result<Self, String> {
        let Sender(from) = from.parse()?;
        Ok(Self { server: server.parse()?, credentials: None, from, allowed })
    }

    /// The same, logged in.
    #[must_use]
    pub fn logged_in(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some(Credentials::new(user.to_owned(), password.to_owned()));
        self
    }
}

/// Never the password.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("server", &self.server).finish_non_exhaustive()
    }
}

// === impl Server ===

impl Server {
    /// Whether it is on this machine or in its private network: by its address, or by a name that no public server
    /// has, such as that of a container or a service.
    fn is_near(&self) -> bool {
        match self.host.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => {
                address.is_loopback() || address.is_private() || address.is_link_local()
            }
            Ok(IpAddr::V6(address)) => {
                address.is_loopback()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
            }
            Err(_) => {
                let host = self.host.trim_end_matches('.').to_ascii_lowercase();
                !host.contains('.') || NEAR_NAMES.iter().any(|end| host.ends_with(end))
            }
        }
    }

    fn scheme(&self) -> (&'static str, u16) {
        match self.security {
            Security::Tls => ("smtps", 465),
            Security::StartTls => ("smtp", 587),
            Security::Plain => ("smtp+plain", 25),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, port) = self.scheme();
        let is_v6 = self.host.contains(':');
        let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}", self.host)?;
        if self.port == port { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Server {
    type Err = String;

    /// No error repeats it: somebody may have written a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| "it is not a URL".to_owned())?;
        let security = match uri.scheme_str() {
            Some("smtps") => Security::Tls,
            Some("smtp") => Security::StartTls,
            Some("smtp+plain") => Security::Plain,
            _ => return Err("it does not begin with smtps://, smtp:// or smtp+plain://".into()),
        };
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err(format!(
                "it has a user name or a password (@): give them by {} and {}",
                name("smtp-user"),
                name("smtp-password")
            ));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("it has something after the host and its port".into());
        }
        let host = uri.host().unwrap_or_default();
        if host.is_empty() || uri.port_u16().is_none() && authority != host {
            return Err("it has no host, or a port that is not a number up to 65535".into());
        }
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let server = Self { security, host: host.to_owned(), port: 0 };
        let port = uri.port_u16().unwrap_or(server.scheme().1);
        Ok(Self { port, ..server })
    }
}

// === impl Sender ===

impl FromStr for Sender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named: Named =
            text.parse().map_err(|_| "it is not an address, as in tally@example.com".to_owned())?;
        let plain: Result<Mailbox, _> = named.email.to_string().parse();
        plain.map_err(|why| format!("its address {why}"))?;
        if named.name.iter().any(|name| name.contains(char::is_control)) {
            return Err("its name has a control character".into());
        }
        Ok(Self(named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: [&str; 5]) -> Result<Option<Mail>, String> {
        let text = |at: usize| (!given[at].is_empty()).then(|| given[at].to_owned());
        let args = MailArgs {
            smtp_url: text(0).map(|text| text.parse().expect("never fails")),
            smtp_user: text(1),
            smtp_password: text(2),
            smtp_from: text(3).map(|text| text.parse().expect("never fails")),
            smtp_allow: text(4).map(|text| text.parse().expect("never fails")),
        };
        let mut problems = Problems::new();
        let mail = args.check(&mut problems);
        problems.check().map(|()| mail).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn a_server_is_named_by_its_url() {
        for (text, host, port, shown) in [
            ("smtps://mail.example.com", "mail.example.com", 465, "smtps://mail.example.com"),
            ("smtp://mail.example.com/", "mail.example.com", 587, "smtp://mail.example.com"),
            ("smtp://mail:2525", "mail", 2525, "smtp://mail:2525"),
            ("smtp+plain://[::1]:25", "::1", 25, "smtp+plain://[::1]"),
        ] {
            let server: Server = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((&*server.host, server.port, &*server.to_string()), (host, port, shown));
        }
        for text in [
            "",
            "mail",
            "mail:25",
            "http://mail",
            "smtp://",
            "smtp://mail/x",
            "smtp://m:x",
            "smtp://m?x",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_said_and_no_password_is() {
        let (url, from, allow) = ("smtps://mail", "Tally <tally@example.com>", "@example.com");
        assert!(check(["", "", "", "", ""]).expect("right").is_none());
        assert!(check([url, "", "", from, ""]).expect("right").is_none(), "nothing is allowed");
        assert!(check([url, "me", "s3cret", from, allow]).expect("right").is_some());
        for host in [
            "localhost:25",
            "[::1]",
            "127.0.0.1",
            "relay",
            "Relay.mail.svc.cluster.local.:2525",
            "mail.internal",
            "10.0.0.1",
            "172.31.255.254",
            "192.168.1.1",
            "169.254.1.1",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
        ] {
            let near = &format!("smtp+plain://{host}");
            assert!(check([near, "", "", from, allow]).expect("right").is_some(), "{near}");
        }
        for (given, words) in [
            (["", "", "", "", allow], &["TALLY_SMTP_URL) is missing", "TALLY_SMTP_FROM) is"][..]),
            ([url, "me", "", from, allow], &["TALLY_SMTP_PASSWORD) is missing"]),
            ([url, "", "s3cret", from, allow], &["TALLY_SMTP_USER) is missing"]),
            (["smtp+plain://[::1]", "me", "s3cret", from, allow], &["as it is"]),
            (
                ["smtp+plain://mail.example.com", "", "", from, allow],
                &["and mail.example.com is not: others on the way"],
            ),
            (["smtp+plain://11.0.0.1", "", "", from, allow], &["and 11.0.0.1 is not"]),
            (["smtp+plain://172.32.0.1", "", "", from, allow], &["and 172.32.0.1 is not"]),
            (["smtp+plain://[2001:db8::1]", "", "", from, allow], &["and 2001:db8::1 is not"]),
            (["smtp+plain://xlocal.example", "", "", from, allow], &["is not"]),
            (["smtps://me:s3cret@mail", "", "", from, allow], &["by --smtp-user"]),
            ([url, "", "", "Tally", "x y"], &["not an address, as in", "TALLY_SMTP_ALLOW"]),
            ([url, "", "", "a!b@example.com", allow], &["its address has something before its @"]),
        ] {
            let why = check(given).expect_err("wrong");
            assert!(words.iter().all(|words| why.contains(words)), "{given:?}: {why}");
            assert!(!why.contains("s3cret"), "{why}");
        }
        let mail = check([url, "me", "s3cret", from, allow]).expect("right");
        assert!(!format!("{mail:?}").contains("s3cret"));
    }
}
