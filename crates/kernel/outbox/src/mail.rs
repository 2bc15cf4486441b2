//! Events by e-mail: to addresses that the operator allows, through the one SMTP server that the operator names.
//!
//! | file | what it owns |
//! |---|---|
//! | `letter.rs` | what a person reads: a subject and a text, and the message that they are |
//! | `settings.rs` | the settings, as flags and variables, and checked |
//! | `submit.rs` | one attempt: a conversation by SMTP |
//! | `wire.rs` | what the conversation goes by: up to STARTTLS, and as long as the server does not say too much |

mod letter;
mod settings;
mod submit;
mod wire;

use std::fmt;
use std::str::FromStr;

use lettre::Address;

pub(crate) use self::letter::write;
pub use self::settings::{Mail, MailArgs};
pub(crate) use self::submit::{Letter, Refused, Submitter};

/// What an address begins with where it stands among URLs (RFC 6068).
pub(crate) const SCHEME: &str = "mailto:";

/// How long an address and the part before its `@` may be (RFC 5321, 4.5.3.1).
const ADDRESS_BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;

/// An address that events are mailed to. It is plain: nothing in it is quoted, and it names no way to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox(Address);

/// Which addresses the operator allows: single ones, and all of a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailboxes(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    One(Mailbox),
    /// In lower case.
    Domain(String),
}

// === impl Mailbox ===

impl Mailbox {
    /// As it stands among URLs.
    pub(crate) fn url(&self) -> String {
        format!("{SCHEME}{}", self.0)
    }

    pub(crate) fn address(&self) -> &Address {
        &self.0
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Mailbox {
    type Err = &'static str;

    /// Takes no address that a mail server could read in another way than this one, such as one that names a
    /// way to take (`%`, `!`), a comment, or a second address.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.contains('?') {
            return Err("has a query (?): events say themselves what is in them");
        }
        if text.len() > ADDRESS_BYTES_MAX {
            return Err("is longer than 254 bytes");
        }
        let Some((local, domain)) = text.split_once('@') else {
            return Err("names no e-mail address, such as ops@example.com");
        };
        let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b".+-_=~'".contains(&byte);
        if local.is_empty()
            || local.len() > LOCAL_BYTES_MAX
            || !local.bytes().all(is_local)
            || local.split('.').any(str::is_empty)
        {
            return Err(
                "has something before its @ that is not 1 to 64 ASCII letters and digits, single dots \
                 between them, and + - _ = ~ '",
            );
        }
        if !is_domain(domain) {
            return Err("has no domain name in ASCII after its @");
        }
        let address = Address::new(local, domain.to_ascii_lowercase());
        address.map(Self).map_err(|_| "is not an e-mail address")
    }
}

fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

// === impl Mailboxes ===

impl Mailboxes {
    /// Whether events may be mailed there.
    #[must_use]
    pub fn allows(&self, mailbox: &Mailbox) -> bool {
        self.0.iter().any(|entry| match entry {
            Entry::One(one) => one == mailbox,
            Entry::Domain(domain) => domain == mailbox.0.domain(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Mailboxes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |text: &str| match text.strip_prefix('@') {
            Some(domain) if is_domain(domain) => Ok(Entry::Domain(domain.to_ascii_lowercase())),
            Some(_) => Err(format!("\u{201c}{text}\u{201d} is not @ and a domain name")),
            None => {
                let mailbox = text.strip_prefix(SCHEME).unwrap_or(text).parse();
                mailbox.map(Entry::One).map_err(|why| format!("\u{201c}{text}\u{201d} {why}"))
            }
        };
        let all = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        all.map(one).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain() {
        for text in
            ["ops@example.com", "o'brien+tally@Mail.Example.COM", "root@localhost", "a.b=c@x-y.z"]
        {
            let mailbox: Mailbox = text.parse().unwrap_or_else(|why| panic!("{text} {why}"));
            let (local, domain) = text.split_once('@').expect("an @");
            assert_eq!(mailbox.url(), format!("mailto:{local}@{}", domain.to_ascii_lowercase()));
        }
        for text in [
            "",
            "ops",
            "@example.com",
            "ops@",
            "a@b@c",
            "evil.example!ops@example.com",
            "ops%evil.example@example.com",
            "ops@example.com,evil@example.net",
            "ops@example.com>\r\nRCPT TO:<evil@example.net",
            "ops@example.com\r\nBcc: evil@example.net",
            "ops@example.com?cc=evil@example.net",
            "\"ops\"@example.com",
            "Ops <ops@example.com>",
            "(x)ops@example.com",
            ".ops@example.com",
            "o..ps@example.com",
            "ops @example.com",
            "ops@[127.0.0.1]",
            "ops@-example.com",
            "ops@example..com",
            "ops@example.com.",
            "öps@example.com",
            "ops@exämple.com",
            "ops@example.com\0",
            &format!("{}@example.com", "x".repeat(65)),
            &format!("ops@{}.com", "x".repeat(64)),
            &format!("ops@{}com", "abcdefg.".repeat(32)),
        ] {
            assert!(text.parse::<Mailbox>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_what_the_operator_names_is_allowed() {
        let allowed: Mailboxes = "ops@example.com, @Example.NET".parse().expect("two entries");
        for (text, is_allowed) in [
            ("ops@example.com", true),
            ("ops@EXAMPLE.com", true),
            ("any@example.net", true),
            ("other@example.com", false),
            ("ops@mail.example.com", false),
            ("any@sub.example.net", false),
            ("any@notexample.net", false),
        ] {
            let mailbox = text.parse().expect("an address");
            assert_eq!(allowed.allows(&mailbox), is_allowed, "{text}");
        }
        assert!("".parse::<Mailboxes>().expect("nothing").is_empty());
        for text in ["example.com", "@", "@a b", "ops@example.com;x@y"] {
            assert!(text.parse::<Mailboxes>().is_err(), "{text}");
        }
    }
}
