//! A client of `count.v1`: streams of `Add`, which it never resends.

use std::sync::{Mutex, MutexGuard};

use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::wire::{self, COUNTED_TRAILER, timestamp};
use tokio::sync::watch;
use tonic::Status;

use super::load::clock;
use super::pace::Pace;
use super::{Arguments, Session, back_off, now_micros};
use crate::arguments::namespace_of;
use crate::door::Link;
use crate::journal::{Journal, Key, Line, Parcel, Series};
use crate::random::Random;

/// GET.
const METHOD: i32 = 3;

/// Concurrent streams.
const SLOTS: u64 = 6;

/// State that the slots share.
struct Common {
    journal: Journal,
    /// The last announced parcel.
    number: u64,
}

/// Sends one stream after another.
struct Slot<'a> {
    arguments: &'a Arguments,
    common: &'a Mutex<Common>,
    random: Random,
    rows_max: u64,
    /// The path of its requests. It changes after each stream with an unknown outcome, so that this
    /// doubt hides no errors of later streams.
    path: String,
}

/// Sends streams in all slots until a signal arrives.
pub(super) async fn run(session: Session<'_>) -> anyhow::Result<()> {
    let (rows_max, number) = (session.load(0).rows_max, session.last_sent());
    let Session { arguments, journal, past, mut signals } = session;
    let common = Mutex::new(Common { journal, number });
    let stop = watch::Sender::new(false);
    let slots = (0..SLOTS).map(|number| {
        let random = Random::derived(arguments.seed, &arguments.name, past.len() as u64 ^ number);
        let slot = Slot { arguments, common: &common, random, rows_max, path: String::new() };
        slot.run(stop.subscribe())
    });
    let (ended, _) = tokio::join!(futures_util::future::try_join_all(slots), async {
        signals.recv().await;
        stop.send_replace(true);
    });
    ended?;
    let mut common = common.into_inner().expect("no slot panics while it holds the journal");
    common.journal.write(&Line::Done)?;
    Ok(())
}

// === impl Slot ===

impl Slot<'_> {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut pace = Pace::new(self.arguments.rate / SLOTS);
        let mut channel: Option<Link> = None;
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                () = pace.ready() => {}
            }
            if channel.is_none() {
                channel = self.arguments.connect().await.ok();
            }
            let Some(connected) = channel.clone() else {
                back_off(&mut self.random).await;
                continue;
            };
            let count = self.random.within(1, self.rows_max);
            pace.sent(count);
            self.stream(connected, count).await?;
            if !self.random.percent(95) {
                channel = None;
            }
        }
    }

    async fn stream(&mut self, channel: Link, count: u64) -> anyhow::Result<()> {
        let micros = clock(&mut self.random, now_micros());
        let (number, key) = {
            let mut common = lock(self.common);
            common.number += 1;
            if self.path.is_empty() {
                self.path = format!("/{}/{}", self.arguments.name, common.number);
            }
            let path = self.path.clone();
            let namespace = namespace_of(&self.arguments.name);
            let series = Series { namespace, method: METHOD, path, ..Series::default() };
            let key = Key::at(micros, series);
            let number = common.number;
            common.journal.write(&Line::Sent(number, Parcel::of(key.clone(), count)))?;
            (number, key)
        };
        let line = match send(channel, &key, micros, count).await {
            Ok(()) => Line::Exactly(number, count),
            Err(status) => outcome(number, count, &status),
        };
        if matches!(line, Line::Doubtful(_)) {
            self.path.clear();
        }
        Ok(lock(self.common).journal.write(&line)?)
    }
}

fn lock(common: &Mutex<Common>) -> MutexGuard<'_, Common> {
    common.lock().expect("no slot panics while it holds the journal")
}

/// Sends `count` equal requests and waits for the answer.
async fn send(channel: Link, key: &Key, micros: i64, count: u64) -> Result<(), Status> {
    // One timestamp puts them all in one quarter.
    let request = AddRequest {
        method: key.series.method,
        path: key.series.path.clone(),
        request_timestamp: Some(timestamp(micros)),
    };
    let requests = tokio_stream::iter((0..count).map(move |_| request.clone()));
    CountServiceClient::new(channel).add(requests).await.map(|_| ())
}

/// What is known about a failed stream.
fn outcome(number: u64, count: u64, status: &Status) -> Line {
    match wire::number(status, COUNTED_TRAILER) {
        Some(counted) if counted <= count => Line::Exactly(number, counted),
        Some(counted) => Line::Broken(format!("{COUNTED_TRAILER} is {counted} of {count}")),
        None => Line::Doubtful(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trailer_decides_what_a_failed_stream_counts() {
        let status = |counted: Option<&'static str>| {
            let mut status = Status::unavailable("");
            if let Some(counted) = counted {
                status.metadata_mut().insert(COUNTED_TRAILER, counted.parse().unwrap());
            }
            status
        };
        assert_eq!(outcome(1, 9, &status(Some("4"))), Line::Exactly(1, 4));
        assert_eq!(outcome(1, 9, &status(None)), Line::Doubtful(1));
        assert!(matches!(outcome(1, 9, &status(Some("10"))), Line::Broken(_)));
    }
}
