//! One attempt: a conversation by SMTP (RFC 5321), as a client that hands mail in (RFC 6409).

use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::{Response, Severity};
use tokio::time::timeout;
use uuid::Uuid;

use super::settings::Security;
use super::wire::{self, GREETING, Wire};
use super::{Mail, Mailbox, letter};
use crate::post::{self, Client};

/// How long an attempt may take. Servers look at a mail before they take it, and one that has taken it after
/// this has it twice.
pub(crate) const ATTEMPT_MAX: Duration = Duration::from_secs(60);
/// How long the end of the conversation may take. The mail is taken before it.
const QUIT_MAX: Duration = Duration::from_secs(1);
/// How much of an answer is repeated.
const ANSWER_CHARS_MAX: usize = 160;

/// Hands mail in.
#[derive(Default)]
pub(crate) struct Submitter {
    client: Client,
}

/// What is sent.
pub(crate) struct Letter<'a> {
    pub(crate) id: Uuid,
    pub(crate) created: Timestamp,
    /// As [`super::write`] has made it.
    pub(crate) body: &'a str,
    pub(crate) to: &'a Mailbox,
}

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) why: String,
    /// There is no such mailbox, so no other attempt is of use.
    pub(crate) is_final: bool,
}

// === impl Submitter ===

impl Submitter {
    /// Hands a letter in; returns the server's answer.
    pub(crate) async fn send(&self, mail: &Mail, letter: Letter<'_>) -> Result<String, Refused> {
        let silence = || Refused::new(format!("no answer within {} s", ATTEMPT_MAX.as_secs()));
        let conversation = self.converse(mail, letter);
        let conversation = timeout(ATTEMPT_MAX, conversation).await;
        let (answer, mut connection) = conversation.unwrap_or_else(|_| Err(silence()))?;
        let _ = timeout(QUIT_MAX, connection.quit()).await;
        Ok(answer)
    }

    async fn converse(
        &self,
        mail: &Mail,
        letter: Letter<'_>,
    ) -> Result<(String, AsyncSmtpConnection), Refused> {
        let Letter { id, created, body, to } = letter;
        let message = letter::message(body, id, created, &mail.from, to).map_err(Refused::new)?;
        let mut connection = self.connect(mail).await?;
        if let Some(credentials) = &mail.credentials {
            let known = [Mechanism::Plain, Mechanism::Login];
            connection.auth(&known, credentials).await.map_err(at("logging in"))?;
        }
        let sender = MailFrom::new(Some(mail.from.email.clone()), Vec::new());
        connection.command(sender).await.map_err(at("the sender"))?;
        let recipient = Rcpt::new(to.address().clone(), Vec::new());
        connection.command(recipient).await.map_err(|error| {
            let is_final = is_no_mailbox(&error);
            Refused { is_final, ..at("the recipient")(error) }
        })?;
        connection.command(Data).await.map_err(at("the mail"))?;
        // The connection ends the last line itself.
        let message = message.strip_suffix(b"\r\n").unwrap_or(&message);
        let response = connection.message(message).await.map_err(at("the mail"))?;
        // What asks for more has taken nothing.
        if response.code().severity != Severity::PositiveCompletion {
            return Err(Refused::new(format!("the mail: {}", told(&response))));
        }
        Ok((told(&response), connection))
    }

    async fn connect(&self, mail: &Mail) -> Result<AsyncSmtpConnection, Refused> {
        let server = &mail.server;
        // The name of this machine may be none that others know, and some servers hang up on what is not one.
        let name = mail.from.email.domain();
        let client = ClientId::Domain(name.to_owned());
        let failed = |why: String| Refused::new(beginning(format_args!("connecting: {why}")));
        let mut stream = post::connect(&server.host, server.port).await.map_err(failed)?;
        let peer = stream.peer_addr().map_err(|error| failed(error.to_string()))?;
        if server.security == Security::StartTls {
            wire::begin_tls(&mut stream, name).await.map_err(|why| Refused::new(beginning(why)))?;
        }
        let wire: Box<dyn AsyncTokioStream> = if server.security == Security::Plain {
            Box::new(Wire::new(stream, peer, b""))
        } else {
            let stream = self.client.encrypt(&server.host, stream).await.map_err(failed)?;
            let is_greeted = server.security == Security::StartTls;
            Box::new(Wire::new(stream, peer, if is_greeted { GREETING } else { b"" }))
        };
        AsyncSmtpConnection::connect_with_transport(wire, &client).await.map_err(at("connecting"))
    }
}

// === impl Refused ===

impl Refused {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_final: false }
    }
}

/// Says at what the conversation failed.
fn at(step: &'static str) -> impl Fn(Error) -> Refused {
    move |error| Refused::new(beginning(once(&format!("{step}: {error}"))))
}

/// Each part of a chain of errors once: some repeat the one that they wrap.
fn once(chain: &str) -> String {
    let mut parts: Vec<_> = chain.split(": ").collect();
    parts.dedup();
    parts.join(": ")
}

/// Whether the server will not take mail for this address, ever: not because of a rule of the server (5.7, RFC
/// 3463), which its operator may change, or because nobody has logged in (530).
fn is_no_mailbox(error: &Error) -> bool {
    let is_rule = std::error::Error::source(error)
        .is_some_and(|text| text.to_string().trim_start().starts_with("5.7."));
    let is_530 = error.status().is_some_and(|code| code.to_string() == "530");
    error.is_permanent() && !is_rule && !is_530
}

fn told(response: &Response) -> String {
    let code = response.code();
    beginning(format_args!("{code} {}", response.first_line().unwrap_or_default()))
}

/// The beginning of a text, in one line.
fn beginning(text: impl Display) -> String {
    let text = text.to_string();
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().map(plain).take(ANSWER_CHARS_MAX).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tally_testkit::{Mailed, Relay, Reply, Speaks, Tls};

    use super::*;
    use crate::mail;

    /// One that trusts an authority, or nobody.
    fn trusting(authority: Option<&Tls>) -> Submitter {
        Submitter { client: post::tests::trusting(authority.map(|tls| &*tls.ca_pem)) }
    }

    async fn send(submitter: &Submitter, url: &str) -> Result<String, Refused> {
        send_as(submitter, url, true).await
    }

    async fn send_as(submitter: &Submitter, url: &str, login: bool) -> Result<String, Refused> {
        let mail = Mail::new(url, "tally@example.com", mail::Mailboxes::default());
        let mail = mail.expect("right");
        let mail = if login { mail.logged_in("me", "s3cret") } else { mail };
        let (id, to) = (Uuid::nil(), "ops@example.com".parse().expect("an address"));
        let (body, created) = ("Subject: it\n\nhappened\n", Timestamp::UNIX_EPOCH);
        submitter.send(&mail, Letter { id, created, body, to: &to }).await
    }

    /// No word of the mail, and no password, before the server has shown who it is.
    #[tokio::test]
    async fn mail_goes_by_tls_to_a_server_of_a_known_authority() {
        let tls = Tls::for_names(&["localhost"]);
        for speaks in [Speaks::Tls, Speaks::StartTls] {
            let relay = Relay::start_with(speaks, Some(&tls));
            let url = relay.url("localhost");
            let why = send(&trusting(None), &url).await.expect_err("not known").why;
            assert!(why.contains("certificate"), "{why}");
            assert!(why.matches("onnection error").count() <= 1, "{why}");
            let why = send(&Submitter::default(), &relay.url("127.0.0.1")).await;
            assert!(!why.expect_err("another name").is_final);
            assert_eq!(relay.mailed(), []);
            assert!(
                !relay.said().iter().any(|line| line.starts_with("AUTH")),
                "{:?}",
                relay.said()
            );
            let sent = send(&trusting(Some(&tls)), &url).await;
            assert_eq!(sent.as_deref(), Ok("250 2.0.0 queued as 4711"));
            let mailed = relay.mailed();
            let [Mailed { is_encrypted: true, login, .. }] = &mailed[..] else {
                panic!("{mailed:?}")
            };
            assert_eq!(login, "AUTH PLAIN AG1lAHMzY3JldA==");
        }
        // It should say STARTTLS, and does not, as when somebody on the way leaves it out.
        let relay = Relay::start();
        let url = relay.url("localhost").replace("smtp+plain", "smtp");
        let why = send(&trusting(Some(&tls)), &url).await.expect_err("not encrypted").why;
        assert!(why.contains("no STARTTLS"), "{why}");
        assert_eq!(relay.said().iter().filter(|line| !line.starts_with("EHLO")).count(), 0);
    }

    #[test]
    fn what_an_error_repeats_is_said_once() {
        let chain =
            "STARTTLS: Connection error: Connection error: invalid peer certificate: Expired";
        let told = "STARTTLS: Connection error: invalid peer certificate: Expired";
        assert_eq!([chain, told].map(once), [told; 2]);
    }

    /// Whoever is on the way adds all answers behind the one to STARTTLS, and lets nothing of the mail through.
    #[tokio::test]
    async fn what_is_said_before_tls_delivers_nothing() {
        let tls = Tls::for_names(&["localhost"]);
        let relay = Relay::start_with(Speaks::StartTls, Some(&tls));
        let added = "220 go on\r\n250-relay\r\n250 AUTH PLAIN\r\n235 in\r\n250 from\r\n250 to\r\n354 go on\r\n250 queued";
        relay.reply("STARTTLS", [Reply::Head(added.to_owned())]);
        relay.reply("AUTH", [Reply::Silence]);
        let why =
            send(&trusting(Some(&tls)), &relay.url("localhost")).await.expect_err("added").why;
        assert!(why.contains("TLS: "), "{why}");
        assert_eq!(relay.mailed(), []);
    }

    #[tokio::test]
    async fn a_mail_is_taken_by_what_says_so() {
        let relay = Relay::start();
        relay.reply(".", [Reply::Head("354 go on".to_owned())]);
        let refused = send_as(&Submitter::default(), &relay.url("127.0.0.1"), false).await;
        let Refused { why, is_final } = refused.expect_err("not taken");
        assert_eq!((&*why, is_final), ("the mail: 354 go on", false));
    }

    #[tokio::test]
    async fn a_server_that_says_too_much_is_left() {
        let tls = Tls::for_names(&["localhost"]);
        for (speaks, step) in [
            (Speaks::Plain, "CONNECT"),
            (Speaks::Tls, "RCPT"),
            (Speaks::StartTls, "CONNECT"),
            (Speaks::StartTls, "MAIL"),
        ] {
            let relay = Relay::start_with(speaks, Some(&tls));
            // Without an end: it goes on, and nobody answers any more.
            let endless = format!("250-{}", "x".repeat(1 << 20));
            relay.reply(step, [Reply::Head(endless)]);
            let url = relay.url("localhost");
            let why = send_as(&trusting(Some(&tls)), &url, false).await.expect_err("too much").why;
            assert!(why.contains("says more than 64 KiB"), "{speaks:?} {step}: {why}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_server_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let url = format!("smtp+plain://127.0.0.1:{port}");
        let why = send(&Submitter::default(), &url).await.expect_err("nobody is there").why;
        assert!(why.starts_with("connecting: ") && why.contains("refused"), "{why}");
        let relay = Relay::start();
        relay.reply("AUTH", [Reply::Head("535 5.7.8 wrong".to_owned())]);
        let refused =
            send(&Submitter::default(), &relay.url("127.0.0.1")).await.expect_err("wrong");
        assert_eq!(
            (&*refused.why, refused.is_final),
            ("logging in: permanent error (535): 5.7.8 wrong", false)
        );
        assert_eq!(relay.mailed(), []);
    }

    /// The time stands still until nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_hangs_is_left() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = silent.local_addr().expect("it is bound").port();
        let began = tokio::time::Instant::now();
        let url = format!("smtp+plain://127.0.0.1:{port}");
        let why = send(&Submitter::default(), &url).await.expect_err("silence").why;
        assert!(why.starts_with("no answer within ") || why.contains("timed out"), "{why}");
        assert!(began.elapsed() <= ATTEMPT_MAX, "{:?}", began.elapsed());
    }
}
