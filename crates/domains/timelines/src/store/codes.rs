//! Events and their parts as the database has them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tally_runtime::Kind;
use tally_store::Error;

use super::Result;
use crate::message::{Attributes, Phase, Status, nanos, of_nanos};
use crate::model::Event;
use crate::pairing::{Attempt, End, Shift, Start};

/// A phase in JSON: the sender's time in nanoseconds, the phase, and when it was received, in microseconds.
#[derive(Serialize, Deserialize)]
struct WrittenShift(i64, u8, i64);

/// The columns of an event that change, apart from times that databases have each in their own way.
#[derive(Debug, Default, Clone)]
pub(super) struct Parts {
    pub(super) started: Option<i64>,
    pub(super) start_received: Option<Timestamp>,
    pub(super) start_attributes: String,
    pub(super) ended: Option<i64>,
    pub(super) end_received: Option<Timestamp>,
    pub(super) end_attributes: String,
    pub(super) status: i64,
    pub(super) phases: String,
}

// === impl Parts ===

impl Parts {
    pub(super) fn of(event: &Event) -> Self {
        let Attempt { start, end, shifts } = &event.attempt;
        let shifts: Vec<_> = shifts.iter().map(written).collect();
        Self {
            started: start.as_ref().and_then(|start| nanos(start.time)),
            start_received: start.as_ref().map(|start| start.received),
            start_attributes: start.as_ref().map_or_else(String::new, |one| json(&one.attributes)),
            ended: end.as_ref().and_then(|end| nanos(end.time)),
            end_received: end.as_ref().map(|end| end.received),
            end_attributes: end.as_ref().map_or_else(String::new, |one| json(&one.attributes)),
            status: end.as_ref().map_or(0, |end| status_number(end.status)),
            phases: if shifts.is_empty() { String::new() } else { text(&shifts) },
        }
    }

    pub(super) fn attempt(self) -> Result<Attempt> {
        let start = match (self.started, self.start_received) {
            (Some(time), Some(received)) => {
                let attributes = attributes(&self.start_attributes)?;
                Some(Start { time: of_nanos(time), attributes, received })
            }
            _ => None,
        };
        let end = match (self.ended, self.end_received) {
            (Some(time), Some(received)) => {
                let attributes = attributes(&self.end_attributes)?;
                let status = status_of(self.status);
                Some(End { time: of_nanos(time), status, attributes, received })
            }
            _ => None,
        };
        let shifts: Vec<WrittenShift> = read(&self.phases)?;
        Ok(Attempt { start, end, shifts: shifts.iter().map(shift).collect() })
    }
}

fn written(shift: &Shift) -> WrittenShift {
    let received = shift.received.as_microsecond();
    WrittenShift(nanos(shift.time).unwrap_or_default(), shift.phase as u8, received)
}

fn shift(WrittenShift(time, phase, received): &WrittenShift) -> Shift {
    let phase = if *phase == Phase::Waiting as u8 { Phase::Waiting } else { Phase::Working };
    let received = Timestamp::from_microsecond(*received).unwrap_or_default();
    Shift { time: of_nanos(*time), phase, received }
}

fn json(attributes: &Attributes) -> String {
    if attributes.is_empty() { String::new() } else { text(attributes) }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers can be JSON")
}

fn attributes(text: &str) -> Result<Attributes> {
    read(text)
}

/// Nothing is written of what is empty.
fn read<T: Default + for<'a> Deserialize<'a>>(text: &str) -> Result<T> {
    if text.is_empty() {
        return Ok(T::default());
    }
    let broken = |error| Error::permanent("read an event", Kind::Internal).because(error);
    serde_json::from_str(text).map_err(broken)
}

fn status_number(status: Status) -> i64 {
    match status {
        Status::Ok => 0,
        Status::Failed => 1,
        Status::Skipped => 2,
    }
}

fn status_of(number: i64) -> Status {
    match number {
        1 => Status::Failed,
        2 => Status::Skipped,
        _ => Status::Ok,
    }
}

/// In microseconds, as the database has what something took.
pub(super) fn micros(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
