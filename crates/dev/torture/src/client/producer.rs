//! A client with `tally_client::Producer`: batches of rows, in order.

use std::collections::VecDeque;
use std::time::Duration;

use tally_client::{Producer, Progress, Row};

use super::load::as_key;
use super::pace::Pace;
use super::{CLOSE_LIMIT, CONNECT_TIMEOUT, Session, now_micros};
use crate::journal::{Journal, Line};

/// Parcels that are sent and not settled.
#[derive(Default)]
struct Open {
    /// Each parcel's number and the position of its last row.
    parcels: VecDeque<(u64, u64)>,
    lost: u64,
}

/// Sends parcels until a signal arrives, then waits until all of them are acknowledged.
pub(super) async fn run(session: Session<'_>) -> anyhow::Result<()> {
    let load = session.load(now_micros());
    let mut number = session.last_sent();
    let Session { arguments, mut journal, mut signals, .. } = session;
    let door = arguments.door()?;
    let builder = Producer::builder(door.url)
        .key(door.key)
        .ca_certificates(door.ca)
        .name(arguments.name.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .backoff(Duration::from_millis(20), Duration::from_millis(300))
        .acknowledge_timeout(Duration::from_secs(8))
        .fallback(false);
    let mut producer = builder.connect().await?;
    let series: Vec<_> =
        load.series().iter().map(|series| producer.series(as_key(series))).collect();
    let mut pace = Pace::new(arguments.rate);
    let mut open = Open::default();
    let mut progress = producer.watch();
    loop {
        tokio::select! {
            _ = signals.recv() => break,
            changed = progress.changed() => {
                changed?;
                let now = *progress.borrow_and_update();
                open.settle(&now, &mut journal)?;
            }
            () = pace.ready() => {
                number += 1;
                let rows: Vec<Row> = load
                    .rows(number)
                    .iter()
                    .map(|row| row.of(series[row.series]))
                    .collect();
                pace.sent(load.requests(number));
                journal.write(&Line::Sent(number, load.parcel(number)))?;
                let sending = producer.send(rows);
                // A full producer waits for the server; a signal ends the wait.
                tokio::select! {
                    position = sending => open.parcels.push_back((number, position?)),
                    _ = signals.recv() => {
                        journal.write(&Line::Exactly(number, 0))?;
                        break;
                    }
                }
            }
        }
    }
    let last = producer.close_within(CLOSE_LIMIT).await;
    open.settle(&last, &mut journal)?;
    if open.parcels.is_empty() && last.lost() == last.in_doubt {
        journal.write(&Line::Done)?;
    } else {
        eprintln!("closed with {last:?}");
    }
    Ok(())
}

// === impl Open ===

impl Open {
    /// Notes the outcome of the parcels that are settled.
    fn settle(&mut self, progress: &Progress, journal: &mut Journal) -> anyhow::Result<()> {
        if progress.lost() > self.lost {
            let what = format!("the producer lost rows: {progress:?}");
            // If the server follows the protocol and closing has time enough, only a rewound
            // database can lose rows.
            let is_in_doubt = progress.lost() == progress.in_doubt;
            journal.write(&if is_in_doubt { Line::Setback(what) } else { Line::Broken(what) })?;
        }
        while let Some((number, end)) = self.parcels.front().copied()
            && end <= progress.settled()
        {
            self.parcels.pop_front();
            let is_known = progress.lost() == self.lost;
            journal.write(&if is_known { Line::UpTo(number) } else { Line::Doubtful(number) })?;
        }
        self.lost = progress.lost();
        Ok(())
    }
}
