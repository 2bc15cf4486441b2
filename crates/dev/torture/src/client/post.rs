//! A client of the HTTP API: each parcel is a `POST` under an idempotency key, and is sent again, also by
//! the next process, until it is known to be counted.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tally_proto::methods;
use tokio::time::timeout;

use super::load::{FIRST_LARGE, Load, Row};
use super::memory::Memory;
use super::pace::Pace;
use super::{Session, back_off, now_micros};
use crate::door::Door;
use crate::journal::{Line, Series};
use crate::random::Random;

/// How long an answer may take: longer than a server tries to store something.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// How many of a hundred parcels are sent twice at once, and how many again after they were counted. The
/// first ones are in any case.
const TWICE_PERCENT: u64 = 20;

struct Posting<'a> {
    session: Session<'a>,
    load: Load,
    series: Vec<Series>,
    random: Random,
    /// The last parcel that is announced in the journal.
    sent: u64,
    /// How many bodies were sent. They differ in form, and mean the same.
    attempts: u64,
}

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Counted,
    /// It may be counted, or nothing is.
    Unknown,
    /// The server broke a rule.
    Broken(String),
}

/// Sends parcels until a signal arrives, then until all of them are counted.
pub(super) async fn run(session: Session<'_>) -> anyhow::Result<()> {
    let arguments = session.arguments;
    let file = arguments.folder.join(format!("{}.memory", arguments.name));
    let load = session.load(Memory::open(&file, now_micros())?.base_micros);
    let number = u64::MAX - session.past.len() as u64;
    let random = Random::derived(arguments.seed, &arguments.name, number);
    let acknowledged = session.past.iter().filter_map(|line| match line {
        Line::UpTo(number) => Some(*number),
        _ => None,
    });
    let mut acknowledged = acknowledged.max().unwrap_or(0);
    let mut pace = Pace::new(arguments.rate);
    let sent = session.last_sent();
    let mut posting = Posting { series: load.series(), load, random, sent, attempts: 0, session };
    let mut is_stopping = false;
    loop {
        if acknowledged == posting.sent {
            if is_stopping {
                break;
            }
            tokio::select! {
                _ = posting.session.signals.recv() => {
                    is_stopping = true;
                    continue;
                }
                () = pace.ready() => {}
            }
            posting.announce()?;
            pace.sent(posting.load.requests(posting.sent));
        }
        if posting.post().await? {
            acknowledged = posting.sent;
        } else {
            tokio::select! {
                () = back_off(&mut posting.random) => {}
                _ = posting.session.signals.recv(), if !is_stopping => is_stopping = true,
            }
        }
    }
    Ok(posting.session.journal.write(&Line::Done)?)
}

// === impl Posting ===

impl Posting<'_> {
    fn announce(&mut self) -> anyhow::Result<()> {
        self.sent += 1;
        let line = Line::Sent(self.sent, self.load.parcel(self.sent));
        Ok(self.session.journal.write(&line)?)
    }

    /// Sends the last parcel. Returns whether it is counted.
    async fn post(&mut self) -> anyhow::Result<bool> {
        let is_first = self.sent <= FIRST_LARGE;
        let told = if is_first || self.random.percent(TWICE_PERCENT) {
            let (one, other) = (self.attempt(), self.attempt());
            <[Told; 2]>::from(tokio::join!(one, other)).into()
        } else {
            vec![self.attempt().await]
        };
        if !self.heard(told)? {
            return Ok(false);
        }
        self.session.journal.write(&Line::UpTo(self.sent))?;
        if is_first || self.random.percent(TWICE_PERCENT) {
            let again = self.attempt().await;
            self.heard(vec![again])?;
        }
        Ok(true)
    }

    /// Whether one of these says that the parcel is counted.
    fn heard(&mut self, all: Vec<Told>) -> anyhow::Result<bool> {
        let is_counted = all.contains(&Told::Counted);
        for told in all {
            if let Told::Broken(what) = told {
                self.session.journal.write(&Line::Broken(what))?;
            }
        }
        Ok(is_counted)
    }

    /// Sends a body with the last parcel.
    fn attempt(&mut self) -> impl Future<Output = Told> + use<> {
        self.attempts += 1;
        let is_list = self.attempts.is_multiple_of(2);
        let rows = self.load.rows(self.sent);
        let (body, expected) = (self.body(&rows, is_list), counted(&rows));
        let key = format!("{}-{}", self.session.arguments.name, self.sent);
        let door = self.session.arguments.door();
        async move {
            let asking = async { ask(&door?, &key, is_list, &body).await };
            match timeout(ANSWER_TIMEOUT, asking).await {
                Ok(Ok((status, answer))) => judge(&key, &expected, status, &answer),
                Ok(Err(_)) | Err(_) => Told::Unknown,
            }
        }
    }

    fn body(&self, rows: &[Row], is_list: bool) -> String {
        let mut body = String::new();
        for row in rows {
            let Series { path, method, service, status, customer, .. } = &self.series[row.series];
            let (method, requests) = (methods::text(*method), row.requests);
            let time = Timestamp::from_microsecond(row.micros).expect("a time");
            let separator = match (is_list, body.is_empty()) {
                (true, true) => "[",
                (true, false) => ",",
                (false, _) => "\n",
            };
            // No text has anything to escape.
            let _ = write!(
                body,
                "{separator}{{\"method\":\"{method}\",\"path\":\"{path}\",\"service\":\"{service}\",\
                 \"customer\":\"{customer}\",\"status\":{status},\"time\":\"{time}\",\
                 \"requests\":{requests}}}"
            );
        }
        if is_list { body + "]" } else { body }
    }
}

/// What the server answers when these rows are counted.
fn counted(rows: &[Row]) -> String {
    let requests: u64 = rows.iter().map(|row| u64::from(row.requests)).sum();
    format!("{{\"entries\":{},\"requests\":{requests}}}", rows.len())
}

/// What an answer means.
fn judge(key: &str, expected: &str, status: u16, answer: &str) -> Told {
    let answer = answer.trim_end();
    match status {
        200 if answer == expected => Told::Counted,
        // It has begun to say so, and broke off.
        200 if expected.starts_with(answer) => Told::Counted,
        // Too slow, still being stored, too much, or the database is away.
        408 | 409 | 429 | 500.. => Told::Unknown,
        _ => Told::Broken(format!("{key}: {status} {answer}, expected {expected}")),
    }
}

/// Sends a body on a connection of its own, and returns the status and the body of the answer.
async fn ask(door: &Door, key: &str, is_list: bool, body: &str) -> anyhow::Result<(u16, String)> {
    let kind = if is_list { "application/json" } else { "application/x-ndjson" };
    let head = format!(
        "POST /api/v1/requests HTTP/1.1\r\nIdempotency-Key: \"{key}\"\r\nContent-Type: {kind}\r\n"
    );
    let (answer, read) = door.ask(&head, body).await?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    if status != 200 {
        read?;
    }
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_decides() {
        let expected = "{\"entries\":1,\"requests\":2}";
        for (status, answer, told) in [
            (200, "{\"entries\":1,\"requests\":2}\n", Told::Counted),
            (200, "{\"entr", Told::Counted),
            (503, "", Told::Unknown),
            (409, "", Told::Unknown),
        ] {
            assert_eq!(judge("k", expected, status, answer), told);
        }
        for (status, answer) in [(200, "{\"entries\":2"), (422, ""), (400, ""), (404, "")] {
            assert!(matches!(judge("k", expected, status, answer), Told::Broken(_)), "{status}");
        }
    }
}
