//! One who tells timelines what starts and ends: one half of every event. A window of events is told in any order,
//! and again, by the same process or the next one, until a server says of each message that it is stored.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use tally_proto::tally::timelines::v1::RecordRequest;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Session;
use super::notes::Notes;
use crate::door::Link;
use crate::journal::Line;
use crate::random::Random;
use crate::timelines::LAST;
use crate::timelines::script::Script;
use crate::timelines::tell::{self, Told};

/// The pause between two windows.
const PAUSE_MS: (u64, u64) = (50, 350);

/// How many of a hundred messages are told once more when they are stored.
const AGAIN_PERCENT: u64 = 15;

struct Teller<'a> {
    arguments: &'a super::Arguments,
    notes: Notes,
    side: u64,
    /// The connection, while it is good.
    link: Mutex<Option<Link>>,
}

/// Tells windows until a signal comes, and then as many as the other one.
pub(super) async fn run(session: Session<'_>) -> anyhow::Result<()> {
    let arguments = session.arguments;
    let number = arguments.name.rsplit('-').next().context("a number")?;
    let noted = |word: &str| {
        let of_line = |line: &Line| match line {
            Line::Note(note) => note.strip_prefix(word)?.trim().parse::<u64>().ok(),
            _ => None,
        };
        session.past.iter().filter_map(of_line).max().unwrap_or(0)
    };
    let (told, processes) = (noted("told"), session.past.len() as u64);
    let teller = Teller {
        arguments,
        notes: Notes::new(session.journal),
        side: number.parse::<u64>()? % 2,
        link: Mutex::default(),
    };
    let work = teller.tell(told + 1, Random::derived(arguments.seed, &arguments.name, processes));
    teller.notes.until_done(session.signals, work).await
}

// === impl Teller ===

impl Teller<'_> {
    async fn tell(&self, first: u64, mut random: Random) -> anyhow::Result<()> {
        for window in first.. {
            let is_on = self.notes.pause(random.within(PAUSE_MS.0, PAUSE_MS.1)).await;
            match self.last() {
                Some(last) if window > last => {
                    self.notes.over().await;
                    break;
                }
                None if !is_on => break,
                _ => {}
            }
            self.notes.write(&Line::Note(format!("tell {window}")))?;
            let parts = Script { seed: self.arguments.seed }.parts(window, self.side);
            self.window(parts, &mut random).await?;
            self.notes.write(&Line::Note(format!("told {window}")))?;
        }
        Ok(())
    }

    /// Up to which window all tell, once that is known.
    fn last(&self) -> Option<u64> {
        fs::read_to_string(self.arguments.folder.join(LAST)).ok()?.parse().ok()
    }

    /// Tells all of it: at once, or one after the other backwards, or by one call, in which some come twice.
    async fn window(
        &self,
        mut parts: Vec<RecordRequest>,
        random: &mut Random,
    ) -> anyhow::Result<()> {
        if random.percent(30) {
            let again: Vec<_> =
                parts.iter().filter(|_| random.percent(AGAIN_PERCENT)).cloned().collect();
            parts.extend(again);
            parts.reverse();
            return self.settle(&parts, random).await;
        }
        let settle = |(part, mut random): (RecordRequest, Random)| async move {
            let part = [part];
            self.settle(&part, &mut random).await?;
            if random.percent(AGAIN_PERCENT) {
                self.settle(&part, &mut random).await?;
            }
            anyhow::Ok(())
        };
        let seeded = |part| (part, Random::derived(random.next(), "part", 0));
        let parts: Vec<_> = parts.into_iter().map(seeded).collect();
        try_join_all(parts.into_iter().map(settle)).await?;
        Ok(())
    }

    /// Tells these until a server says that they are stored.
    async fn settle(&self, messages: &[RecordRequest], random: &mut Random) -> anyhow::Result<()> {
        loop {
            // Some do not wait for the answer.
            let patience = Duration::from_millis(match random.within(0, 9) {
                0 => random.within(1, 60),
                _ => 10_000,
            });
            let attempt = self.attempt(messages, random.percent(30));
            match timeout(patience, attempt).await.unwrap_or(Ok(Told::Unknown)) {
                Ok(Told::Stored) => return Ok(()),
                Ok(Told::Broken(what)) => {
                    let first = &messages[0];
                    self.notes.write(&Line::Broken(format!("{what}: {first:?}")))?;
                    return Ok(());
                }
                Ok(Told::Unknown) | Err(_) => *self.link.lock().await = None,
            }
            super::back_off(random).await;
        }
    }

    async fn attempt(&self, messages: &[RecordRequest], is_posted: bool) -> anyhow::Result<Told> {
        if let ([message], true) = (messages, is_posted) {
            return Ok(tell::post(&self.arguments.door()?, message).await);
        }
        let mut link = self.link.lock().await;
        let link = match &*link {
            Some(link) => link.clone(),
            None => link.insert(self.arguments.connect().await?).clone(),
        };
        Ok(match messages {
            [message] => tell::one(link, message.clone()).await,
            _ => tell::all(link, messages.to_vec()).await,
        })
    }
}
