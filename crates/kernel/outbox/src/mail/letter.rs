//! What a person reads: a subject and a text, and the message that they are.
//!
//! The database has the subject and the text, so that each attempt sends the same; who it is from is a setting.

use std::time::SystemTime;

use jiff::Timestamp;
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox as Named, MessageBuilder};
use uuid::Uuid;

use super::Mailbox;
use crate::Told;

/// What the text begins with as the database has it; the subject follows up to the end of the line.
const SUBJECT: &str = "Subject: ";
/// How many characters a subject has, and each line of the text, at most.
const SUBJECT_CHARS_MAX: usize = 120;
const LINE_CHARS_MAX: usize = 2_000;
/// How many facts.
const FACTS_MAX: usize = 20;

/// Subject and text of an event of this type.
pub(crate) fn write(id: Uuid, r#type: &str, told: &Told<'_>) -> String {
    let mut text = format!(
        "{SUBJECT}{}\n\n{}\n",
        line(&told.subject, SUBJECT_CHARS_MAX),
        line(&told.text, LINE_CHARS_MAX)
    );
    let facts = &told.facts[..told.facts.len().min(FACTS_MAX)];
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    for (at, (name, value)) in facts.iter().enumerate() {
        let before = if at == 0 { "\n" } else { "" };
        let (name, value) = (format!("{name}:"), line(value, LINE_CHARS_MAX));
        text += &format!("{before}{name:width$}  {value}\n");
    }
    text += &format!("\nFrom Tally: {type}, event {id}\n");
    text
}

/// The message of a text that [`write`] has made. In each attempt it is the same, with the same id, by which mail
/// systems know one that comes again.
pub(super) fn message(
    body: &str,
    id: Uuid,
    created: Timestamp,
    from: &Named,
    to: &Mailbox,
) -> Result<Vec<u8>, String> {
    let (subject, text) = body.split_once("\n\n").unwrap_or((body, ""));
    let subject = subject.strip_prefix(SUBJECT).unwrap_or(subject);
    let header = |name, value: &str| {
        HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
    };
    let builder: MessageBuilder = Message::builder()
        .from(from.clone())
        .to(Named::new(None, to.address().clone()))
        .date(SystemTime::from(created))
        .message_id(Some(format!("<{id}@{}>", from.email.domain())))
        .subject(line(subject, SUBJECT_CHARS_MAX))
        // Nobody's absence is to be told to it (RFC 3834).
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .header(ContentType::TEXT_PLAIN);
    let message = builder.body(text.to_owned());
    message.map(|message| message.formatted()).map_err(|error| format!("write the mail: {error}"))
}

/// The text as one line, whose characters all stand where they are.
fn line(text: &str, chars_max: usize) -> String {
    let plain = |char: char| match char {
        '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
        char if char.is_control() => ' ',
        char => char,
    };
    let mut chars = text.chars().map(plain);
    let mut line: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        line.pop();
        line.push('\u{2026}');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(subject: &str, text: &str) -> Told<'static> {
        Told {
            subject: subject.to_owned(),
            text: text.to_owned(),
            facts: vec![
                ("Why", "no payment\u{202e} by 03:00".to_owned()),
                ("Number", "12".to_owned()),
            ],
            alert: "Happened",
            labels: Vec::new(),
            starts: None,
            ends: None,
        }
    }

    fn sent(told: &Told<'_>) -> String {
        let body = write(Uuid::from_u128(7), "tests.happened", told);
        let from = "Tally <tally@example.com>".parse().expect("an address");
        let to = "ops@example.com".parse().expect("an address");
        let created = "2030-06-15T12:00:00Z".parse().expect("a time");
        let message = message(&body, Uuid::from_u128(7), created, &from, &to).expect("a message");
        String::from_utf8(message).expect("ASCII")
    }

    #[test]
    fn a_letter_is_one_that_people_like_to_read() {
        let expected = "\
From: Tally <tally@example.com>\r
To: ops@example.com\r
Date: Sat, 15 Jun 2030 12:00:00 +0000\r
Message-ID: <00000000-0000-0000-0000-000000000007@example.com>\r
Subject: Down: backup\r
Auto-Submitted: auto-generated\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 7bit\r
\r
backup is overdue since noon.\r
\r
Why:     no payment  by 03:00\r
Number:  12\r
\r
From Tally: tests.happened, event 00000000-0000-0000-0000-000000000007\r
";
        assert_eq!(sent(&told("Down: backup", "backup is overdue since noon.")), expected);
    }

    /// A name comes from whoever may add a debt.
    #[test]
    fn nothing_in_a_text_becomes_a_header() {
        let evil =
            "x\r\nBcc: evil@example.net\r\n\r\nHello\n\n.\r\nRCPT TO:<evil@example.net>\0\u{2028}y";
        for told in [told(evil, "text"), told("subject", evil), told("Grüße\r\nBcc: a@b", "ä")] {
            let sent = sent(&told);
            let (head, _) = sent.split_once("\r\n\r\n").expect("a head");
            let names: Vec<_> = head.split("\r\n").filter(|line| !line.starts_with(' ')).collect();
            let names: Vec<_> = names.iter().filter_map(|line| line.split(':').next()).collect();
            let mut expected =
                vec!["From", "To", "Date", "Message-ID", "Subject", "Auto-Submitted"];
            expected.extend(["Content-Type", "Content-Transfer-Encoding"]);
            assert_eq!(names, expected, "{sent}");
            assert!(sent.is_ascii() && !sent.contains("\r\n.\r\n"), "{sent}");
        }
    }

    #[test]
    fn a_letter_is_short() {
        let long = "\u{20ac}".repeat(100_000);
        let mut told = told(&long, &long);
        told.facts = vec![("Long", long); 100];
        let sent = sent(&told);
        assert!(sent.len() < 1 << 20, "{}", sent.len());
        assert!(sent.split("\r\n").all(|line| line.len() < 998), "RFC 5322, 2.1.1");
    }
}
