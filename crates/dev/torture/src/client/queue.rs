//! A client with `tally_client::Queue`, which drops requests when it is full, and reports that.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tally_client::spool::Options;
use tally_client::{Clock, Queue};

use super::load::{Row, SERVICE, as_key};
use super::pace::Pace;
use super::{Arguments, CLOSE_LIMIT, CONNECT_TIMEOUT, Kind, Session, layer, now_micros, spooled};
use crate::arguments::namespace_of;
use crate::journal::{Key, Line, Parcel, Series};
use crate::random::Random;

/// Interval between notes of the acknowledged total.
const NOTE_INTERVAL: Duration = Duration::from_millis(50);

/// A process's queue has room for this many seconds of requests, or this many times less: little enough
/// that it also becomes full of rows that stand for many requests each.
const ROOM_SECONDS: u64 = 2;
const SMALL: u64 = 32;

/// A clock that is set before each request. It begins in 1970, as that of a device without a battery, so
/// the server takes the producer's id for an old one.
#[derive(Debug, Default)]
pub(super) struct SetClock(AtomicI64);

/// Records parcels until a signal arrives, then closes the queue.
pub(super) async fn run(session: Session<'_>) -> anyhow::Result<()> {
    let mut number = session.last_sent();
    let load = session.load(now_micros());
    let Session { arguments, mut journal, mut signals, .. } = session;
    let spool = arguments.folder.join(format!("{}.spool", arguments.name));
    let spool = (arguments.kind == Kind::Spool).then_some(spool);
    if let Some(spool) = &spool {
        for line in spooled::read(spool, namespace_of(&arguments.name))? {
            journal.write(&line)?;
        }
    }
    let clock = Arc::new(SetClock::default());
    let is_small = Random::derived(arguments.seed, &arguments.name, number).percent(50);
    let room = arguments.rate * ROOM_SECONDS / if is_small { SMALL } else { 1 };
    let queue = connect(arguments, &clock, room, spool.as_deref()).await?;
    let series = load.series();
    let mut pace = Pace::new(arguments.rate);
    let mut interval = tokio::time::interval(NOTE_INTERVAL);
    loop {
        tokio::select! {
            _ = signals.recv() => break,
            _ = interval.tick() => journal.write(&Line::Total(queue.stats().acknowledged))?,
            () = pace.ready() => {
                number += 1;
                let rows = load.rows(number);
                pace.sent(rows.len() as u64);
                journal.write(&Line::Sent(number, load.parcel(number)))?;
                let rows: Vec<_> = rows.iter().map(|row| (*row, &series[row.series])).collect();
                let dropped = match arguments.kind {
                    Kind::Layer => layer::call(&queue, &clock, &rows, arguments.counted_twice),
                    _ => record(&queue, &clock, &rows),
                };
                let mut left = Parcel::default();
                for Row { series: at, micros, .. } in dropped {
                    *left.requests.entry(Key::at(micros, series[at].clone())).or_default() += 1;
                }
                journal.write(&Line::Queued(number, left))?;
            }
        }
    }
    let report = queue.close_within(CLOSE_LIMIT).await;
    journal.write(&Line::Total(report.acknowledged))?;
    let what = format!("the queue lost requests: {report:?}");
    if report.rejected > 0 {
        journal.write(&Line::Broken(what))?;
    } else if report.in_doubt > 0 {
        journal.write(&Line::Setback(what))?;
    }
    drop(queue);
    let is_empty = match &spool {
        Some(spool) => spooled::read(spool, namespace_of(&arguments.name))?.is_empty(),
        None => report.drops_reported == report.refused,
    };
    if report.acknowledged == report.recorded && is_empty {
        journal.write(&Line::Done)?;
    } else if report.acknowledged + report.in_doubt == report.recorded
        && (is_empty || spool.is_none())
    {
        journal.write(&Line::InDoubt)?;
    } else {
        eprintln!("closed with {report:?}");
    }
    Ok(())
}

/// Records rows, and returns those that the queue had no room for.
fn record(queue: &Queue, clock: &SetClock, rows: &[(Row, &Series)]) -> Vec<Row> {
    let mut dropped = Vec::new();
    for (row, series) in rows {
        clock.set(row.micros);
        if let Err(given_back) = queue.try_record(queue.series(as_key(series))) {
            queue.note_dropped(&given_back);
            dropped.push(*row);
        }
    }
    dropped
}

async fn connect(
    arguments: &Arguments,
    clock: &Arc<SetClock>,
    room: u64,
    spool: Option<&Path>,
) -> anyhow::Result<Queue> {
    let door = arguments.door()?;
    let builder = Queue::builder(door.url)
        .key(door.key)
        .ca_certificates(door.ca)
        .name(arguments.name.clone())
        .service(SERVICE)
        .connect_timeout(CONNECT_TIMEOUT)
        .backoff(Duration::from_millis(20), Duration::from_millis(300))
        .acknowledge_timeout(Duration::from_secs(8))
        .fallback(false)
        .queue_rows_max(usize::try_from(room)?)
        .clock(Arc::clone(clock) as Arc<dyn Clock>);
    let builder = match spool {
        Some(spool) => builder.spool(spool, Options::default()),
        None => builder,
    };
    Ok(builder.connect().await?)
}

// === impl SetClock ===

impl SetClock {
    pub(super) fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        let micros = u64::try_from(self.0.load(Ordering::SeqCst)).unwrap_or(0);
        UNIX_EPOCH + Duration::from_micros(micros)
    }
}
