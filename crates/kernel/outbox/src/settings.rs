//! The settings of webhooks and of mail: as flags and variables, and checked.

use std::sync::Arc;

use tally_runtime::config::{Given, Problems, name};

use crate::{Allowed, Mail, MailArgs, Receiver, Secrets};

/// Webhooks of all domains.
#[derive(Debug, clap::Args)]
pub struct WebhooksArgs {
    /// Where webhooks may go: URLs with commas between them; what begins with one of them is allowed,
    /// such as every path of a host. Nothing else is, so by default there are none
    #[arg(long, env = "TALLY_WEBHOOKS_ALLOW", hide_env_values = true, value_name = "URLS")]
    webhooks_allow: Option<Given<Allowed>>,

    /// What webhooks are signed with: whsec_ and 24 to 64 random bytes in base64. While it is being
    /// replaced, the new one and the old one, with a comma between them
    #[arg(long, env = "TALLY_WEBHOOKS_SECRET", hide_env_values = true, value_name = "SECRET")]
    webhooks_secret: Option<Given<Secrets>>,

    /// And what is mailed.
    #[command(flatten)]
    pub mail: MailArgs,
}

/// Where webhooks may go, and what they are signed with; and where mail may go. Without it there are none.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    pub(crate) allowed: Allowed,
    /// None only if nothing is allowed.
    pub(crate) secrets: Option<Secrets>,
    pub(crate) mail: Option<Arc<Mail>>,
}

// === impl WebhooksArgs ===

impl WebhooksArgs {
    /// Where webhooks may go, as people see it.
    #[must_use]
    pub fn shown_allowed(&self) -> String {
        let allowed = self.webhooks_allow.as_ref();
        let allowed = allowed.map(|given| Problems::new().take_secret("", given));
        allowed.map_or_else(String::new, |allowed| {
            allowed.map_or_else(|| "(invalid)".to_owned(), |allowed| allowed.to_string())
        })
    }

    /// Checks them.
    pub fn check(&self, problems: &mut Problems) -> Webhooks {
        let (allow, secret) = (name("webhooks-allow"), name("webhooks-secret"));
        let allowed = self.webhooks_allow.as_ref();
        let allowed = allowed.and_then(|given| problems.take_secret(&allow, given));
        let allowed = allowed.unwrap_or_default();
        let given = self.webhooks_secret.as_ref();
        let secrets = given.and_then(|given| problems.take_secret(&secret, given));
        if given.is_none() && !allowed.is_empty() {
            problems.add(format!(
                "{secret} is missing: webhooks are signed; draw one by \
                 echo whsec_$(head -c 32 /dev/urandom | base64)"
            ));
        }
        let mail = self.mail.check(problems).map(Arc::new);
        Webhooks { allowed, secrets, mail }
    }
}

// === impl Webhooks ===

impl Webhooks {
    /// Those that are allowed, signed with these secrets.
    #[must_use]
    pub fn new(allowed: Allowed, secrets: Secrets) -> Self {
        Self { allowed, secrets: Some(secrets), mail: None }
    }

    /// The same, and mail.
    #[must_use]
    pub fn with_mail(self, mail: Mail) -> Self {
        Self { mail: Some(Arc::new(mail)), ..self }
    }

    /// Whether events may go nowhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.mail.is_none()
    }

    /// Reads the URL of a receiver that the operator allows.
    ///
    /// # Errors
    /// What is wrong, to be said of the URL, which is not repeated.
    pub fn receiver(&self, url: &str) -> Result<Receiver, String> {
        let receiver: Receiver = url.parse().map_err(str::to_owned)?;
        let is_allowed = match &receiver {
            Receiver::Webhook(webhook) => self.allowed.allows(webhook),
            Receiver::Mail(mailbox) => {
                self.mail.as_ref().is_some_and(|mail| mail.allowed.allows(mailbox))
            }
        };
        if is_allowed {
            return Ok(receiver);
        }
        if let Receiver::Mail(mailbox) = &receiver {
            let server =
                if self.mail.is_none() { ", and with --smtp-url and --smtp-from" } else { "" };
            return Err(format!(
                "is not allowed: the server sends mail only to what its --smtp-allow (TALLY_SMTP_ALLOW) \
                 names; restart it with one that names {mailbox}{server}"
            ));
        }
        let secret = if self.secrets.is_none() { " and a --webhooks-secret" } else { "" };
        Err(format!(
            "is not allowed: the server sends webhooks only to what its --webhooks-allow \
             (TALLY_WEBHOOKS_ALLOW) names; restart it with one that names {}{secret}",
            receiver.origin()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allow: &str, secret: Option<&str>) -> Result<Webhooks, String> {
        let args = WebhooksArgs {
            webhooks_allow: Some(allow.parse().expect("never fails")),
            webhooks_secret: secret.map(|secret| secret.parse().expect("never fails")),
            mail: MailArgs::default(),
        };
        let mut problems = Problems::new();
        let webhooks = args.check(&mut problems);
        problems.check().map(|()| webhooks).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn webhooks_need_a_secret_and_permission() {
        let secret = format!("whsec_{}", "A".repeat(32));
        let webhooks = check("https://a/", Some(&secret)).expect("right");
        assert!(webhooks.receiver("https://a/b").is_ok());
        let why = webhooks.receiver("http://127.0.0.1/b?c").expect_err("not allowed");
        assert!(why.contains("TALLY_WEBHOOKS_ALLOW") && !why.contains("?c"), "{why}");
        assert!(why.ends_with("restart it with one that names http://127.0.0.1"), "{why}");
        let why = check("https://a/", None).expect_err("no secret");
        assert!(why.contains("--webhooks-secret (TALLY_WEBHOOKS_SECRET) is missing"), "{why}");
        let why = check("a", Some("s3cret")).expect_err("both are wrong");
        assert!(why.contains("2 settings are wrong") && !why.contains("s3cret"), "{why}");
        let why = check("", None).expect("none").receiver("https://a/").expect_err("not allowed");
        assert!(why.ends_with("names https://a and a --webhooks-secret"), "{why}");
    }

    #[test]
    fn mail_needs_permission() {
        let secret = format!("whsec_{}", "A".repeat(32));
        let webhooks = check("https://a/", Some(&secret)).expect("right");
        let why = webhooks.receiver("mailto:ops@example.com").expect_err("no mail");
        assert!(
            why.ends_with("names ops@example.com, and with --smtp-url and --smtp-from"),
            "{why}"
        );
        let allowed = "@example.com".parse().expect("a domain");
        let mail = Mail::new("smtps://mail", "tally@example.com", allowed).expect("right");
        let webhooks = webhooks.with_mail(mail);
        assert!(webhooks.receiver("mailto:ops@example.com").is_ok());
        let why = webhooks.receiver("mailto:ops@example.net").expect_err("not allowed");
        assert!(why.ends_with("names ops@example.net"), "{why}");
    }
}
