//! A reader of a source that gives every process the same parcels. It stores the number of the last one
//! as its checkpoint, and takes the producer over from itself: from the process before it, and within
//! one process while the holder before still sends.

use std::collections::VecDeque;
use std::time::Duration;

use tally_client::{Opened, Producer, Progress, Refusal, Row, Series};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::load::{Load, as_key};
use super::memory::Memory;
use super::pace::Pace;
use super::{CLOSE_LIMIT, CONNECT_TIMEOUT, Session, now_micros};
use crate::journal::{Journal, Line};
use crate::random::Random;

/// After how many parcels in a hundred another holder takes over.
const TAKE_OVER_PERCENT: u64 = 20;

/// How long to wait for room before signals and other holders have their turn.
const TURN: Duration = Duration::from_millis(50);

struct Reader<'a> {
    session: Session<'a>,
    load: Load,
    id: [u8; 16],
    /// The last parcel announced in the journal, and the last one known to be stored.
    announced: u64,
    acknowledged: u64,
}

/// Who has the producer, as far as this process knows.
struct Holder {
    producer: Producer,
    progress: watch::Receiver<Progress>,
    series: Vec<Series>,
    /// The last parcel that was given to it.
    number: u64,
    /// Parcels that are not acknowledged: each one's number, and the position of its last row.
    sent: VecDeque<(u64, u64)>,
}

/// Sends parcels until a signal arrives, then until all that were announced are stored.
pub(super) async fn run(session: Session<'_>) -> anyhow::Result<()> {
    let arguments = session.arguments;
    let memory = arguments.folder.join(format!("{}.memory", arguments.name));
    let memory = Memory::open(&memory, now_micros())?;
    let (load, announced) = (session.load(memory.base_micros), session.last_sent());
    let past = session.past.len() as u64;
    let mut random = Random::derived(arguments.seed, &arguments.name, u64::MAX - past);
    let mut pace = Pace::new(arguments.rate);
    let id = memory.producer.into_bytes();
    let mut reader = Reader { session, load, id, announced, acknowledged: 0 };
    let (mut holder, mut next) = (None::<Holder>, Some(reader.connect().await?));
    let mut deadline = None;
    while deadline.is_none() || !reader.is_done(holder.as_ref()) {
        // Not more than was announced, once it is to stop.
        let may_send = holder
            .as_ref()
            .is_some_and(|holder| deadline.is_none() || holder.number < reader.announced);
        tokio::select! {
            _ = reader.session.signals.recv(), if deadline.is_none() => {
                deadline = Some(Instant::now() + CLOSE_LIMIT);
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                eprintln!("{} of {} are stored", reader.acknowledged, reader.announced);
                return Ok(());
            }
            opened = opened(next.as_ref()), if next.is_some() => {
                // What the holder before has sent by now is in the checkpoint, or refused.
                if let (Ok(opened), Some(producer)) = (opened, next.take()) {
                    holder = Some(reader.hold(producer, &opened)?);
                }
            }
            progress = changed(holder.as_mut()), if holder.is_some() => {
                holder = match holder {
                    Some(mut holder) => reader.settle(&mut holder, progress)?.then_some(holder),
                    None => None,
                };
            }
            () = pace.ready(), if may_send => {
                if let Some(holder) = &mut holder {
                    pace.sent(reader.send(holder).await?);
                }
                if next.is_none() && random.percent(TAKE_OVER_PERCENT) {
                    next = Some(reader.connect().await?);
                }
            }
        }
        if holder.is_none() && next.is_none() {
            next = Some(reader.connect().await?);
        }
    }
    reader.journal().write(&Line::Done)?;
    Ok(())
}

// === impl Reader ===

impl Reader<'_> {
    fn journal(&mut self) -> &mut Journal {
        &mut self.session.journal
    }

    async fn connect(&self) -> anyhow::Result<Producer> {
        let arguments = self.session.arguments;
        let door = arguments.door()?;
        let builder = Producer::builder(door.url)
            .key(door.key)
            .ca_certificates(door.ca)
            .name(arguments.name.clone())
            .take_over(self.id)
            .connect_timeout(CONNECT_TIMEOUT)
            .backoff(Duration::from_millis(20), Duration::from_millis(300))
            .acknowledge_timeout(Duration::from_secs(8));
        Ok(builder.connect().await?)
    }

    /// Goes on after the checkpoint.
    fn hold(&mut self, producer: Producer, opened: &Opened) -> anyhow::Result<Holder> {
        let number = match opened.checkpoint() {
            [] => 0,
            checkpoint => std::str::from_utf8(checkpoint)?.parse()?,
        };
        let before = std::mem::replace(&mut self.acknowledged, number);
        if number < before {
            let what = format!("the checkpoint was {before} and is {number}");
            self.journal().write(&Line::Setback(what))?;
        } else if number > self.announced {
            let what = format!("the checkpoint is {number}, and {} were sent", self.announced);
            self.journal().write(&Line::Broken(what))?;
        } else if number > before {
            self.journal().write(&Line::UpTo(number))?;
        }
        let series = self.load.series();
        let series = series.iter().map(|series| producer.series(as_key(series))).collect();
        let (progress, sent) = (producer.watch(), VecDeque::new());
        Ok(Holder { producer, progress, series, number, sent })
    }

    /// Sends the next parcel, if there is room now. Returns how many requests were sent.
    async fn send(&mut self, holder: &mut Holder) -> anyhow::Result<u64> {
        let number = holder.number + 1;
        if number > self.announced {
            let parcel = self.load.parcel(number);
            self.journal().write(&Line::Sent(number, parcel))?;
            self.announced = number;
        }
        let rows = self.load.rows(number);
        let rows: Vec<Row> = rows.iter().map(|row| row.of(holder.series[row.series])).collect();
        let count = self.load.requests(number);
        tokio::select! {
            sent = holder.producer.send_batch(rows, number.to_string()) => match sent {
                Ok(position) => {
                    holder.number = number;
                    holder.sent.push_back((number, position));
                    Ok(count)
                }
                // Its progress says so, too.
                Err(error) if matches!(error.reason, Refusal::Stopped(_)) => Ok(0),
                Err(error) => Err(error.into()),
            },
            () = sleep(TURN) => Ok(0),
        }
    }

    /// Notes what is stored. Returns whether the holder goes on.
    fn settle(&mut self, holder: &mut Holder, progress: Progress) -> anyhow::Result<bool> {
        if progress.rejected > 0 {
            self.journal().write(&Line::Broken(format!("a batch was refused: {progress:?}")))?;
        }
        while let Some((number, position)) = holder.sent.front().copied()
            && position <= progress.acknowledged
        {
            holder.sent.pop_front();
            self.acknowledged = number;
            self.journal().write(&Line::UpTo(number))?;
        }
        Ok(progress.stopped.is_none() && !progress.finished)
    }

    fn is_done(&self, holder: Option<&Holder>) -> bool {
        self.acknowledged >= self.announced && holder.is_some_and(|holder| holder.sent.is_empty())
    }
}

async fn opened(next: Option<&Producer>) -> Result<Opened, Refusal> {
    match next {
        Some(next) => next.opened().await,
        None => std::future::pending().await,
    }
}

async fn changed(holder: Option<&mut Holder>) -> Progress {
    let Some(holder) = holder else { return std::future::pending().await };
    // The last state stays when the sender is gone.
    let _ = holder.progress.changed().await;
    *holder.progress.borrow_and_update()
}
