//! Handing on what is kept: in its order, again and again until it is taken or refused for good.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tally_proto::tally::timelines::v1 as proto;
use tally_runtime::{Drain, backoff, random};
use tokio::sync::mpsc;

use super::spool::Kept;
use super::{Agent, Fate, Onward};
use crate::service::MESSAGES_MAX;

/// How many files are handed on together.
const FILES_MAX: usize = 256;
/// How large one call may be.
const CALL_BYTES_MAX: usize = 1 << 20;
/// The pauses while the server is away.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

// === impl Agent ===

impl Agent {
    /// Hands on until the drain begins. What is not handed on then stays where it is.
    pub(super) async fn hand_on(
        self,
        mut kept: mpsc::UnboundedReceiver<Kept>,
        onward: Arc<dyn Onward>,
        drain: Drain,
    ) {
        loop {
            let mut files = Vec::new();
            let come = tokio::select! {
                come = kept.recv_many(&mut files, FILES_MAX) => come,
                () = drain.begun() => 0,
            };
            if come == 0 {
                return;
            }
            let handed_on = tokio::select! {
                () = self.hand_on_files(&files, &*onward, &drain) => true,
                () = drain.begun() => false,
            };
            if !handed_on {
                return;
            }
            files.iter().for_each(|file| self.0.spool.remove(file));
        }
    }

    async fn hand_on_files(&self, files: &[Kept], onward: &dyn Onward, drain: &Drain) {
        let (mut call, mut bytes) = (Vec::new(), 0);
        for message in files.iter().flat_map(Kept::read) {
            let size = message.encoded_len();
            if call.len() == MESSAGES_MAX || (!call.is_empty() && bytes + size > CALL_BYTES_MAX) {
                self.hand_on_call(std::mem::take(&mut call), onward, drain).await;
                bytes = 0;
            }
            bytes += size;
            call.push(message);
        }
        self.hand_on_call(call, onward, drain).await;
    }

    async fn hand_on_call(
        &self,
        messages: Vec<proto::RecordRequest>,
        onward: &dyn Onward,
        drain: &Drain,
    ) {
        if messages.is_empty() {
            return;
        }
        let mut attempts = 0;
        loop {
            let why = match onward.record_all(messages.clone()).await {
                Ok(fates) => match later(&fates) {
                    Some(why) => why,
                    None => return self.note(&messages, &fates, attempts),
                },
                Err(why) => why,
            };
            attempts += 1;
            if attempts == 1 {
                tracing::warn!(why, "messages cannot be handed on: will try again");
            }
            let pause = backoff::pause(PAUSE_MIN, PAUSE_MAX, attempts, random::number());
            if !drain.pause(pause).await {
                return std::future::pending().await;
            }
        }
    }

    fn note(&self, messages: &[proto::RecordRequest], fates: &[Fate], attempts: u32) {
        if attempts > 0 {
            tracing::info!(attempts, "messages are handed on again");
        }
        for (message, fate) in messages.iter().zip(fates) {
            match fate {
                Fate::Never(why) => {
                    self.0.measured.given_up.add(1);
                    let (context, name) = (&message.context, &message.name);
                    tracing::error!(context, name, why, "the server refuses a message for good");
                }
                _ => self.0.measured.handed_on.add(1),
            }
        }
    }
}

/// Why one of them is to be handed on again. Those that are stored change nothing then.
fn later(fates: &[Fate]) -> Option<String> {
    fates.iter().find_map(|fate| match fate {
        Fate::Later(why) => Some(why.clone()),
        _ => None,
    })
}
