//! What must hold of timelines at the end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tally_proto::tally::timelines::v1::{self as wire, Status};

use super::Told;
use super::script::{Event, LABELLED, NEWEST, Script, WINDOW};
use super::stored::Stored;
use crate::oracle::Verdict;

/// Where something is stored: the timeline and the event.
type Place<'a> = (&'a Stored, &'a wire::Event);

/// What the checks compare.
pub(super) struct Judge<'a> {
    pub(super) script: Script,
    /// Of each of the two who tell.
    pub(super) told: [Told; 2],
    pub(super) stored: &'a [Stored],
    /// Messages may be lost then.
    pub(super) is_set_back: bool,
}

/// Where the halves of events are stored, by their numbers.
#[derive(Default)]
struct Found<'a> {
    starts: BTreeMap<u64, Place<'a>>,
    ends: BTreeMap<u64, Place<'a>>,
}

// === impl Judge ===

impl Judge<'_> {
    pub(super) fn judge(&self, verdict: &mut Verdict) {
        let found = self.find(verdict);
        self.counts(verdict);
        if self.is_set_back {
            return;
        }
        let [one, other] = self.told;
        let all = one.answered == other.answered && one.begun == other.begun;
        verdict.check("timelines: all told", all && one.answered == one.begun, || {
            format!("windows: {:?}", self.told)
        });
        let last = one.answered.min(other.answered) * WINDOW;
        let mut ranks = BTreeMap::new();
        for number in 1..=last {
            let event = self.script.event(number);
            let (start, end) = (found.starts.get(&number), found.ends.get(&number));
            let is_whole = start.is_some() && (event.is_point || end.is_some());
            verdict.check("timelines: acknowledged", is_whole, || {
                format!("of {event:?} there is {start:?} and {end:?}")
            });
            let Some((of, stored)) = start else { continue };
            // By the times of their starts, which follow each other.
            let key = (&of.timeline.id, &stored.name, &stored.host, &stored.span);
            let rank = if event.is_point {
                1
            } else {
                *ranks.entry(key).and_modify(|rank| *rank += 1).or_insert(1)
            };
            let is_paired =
                event.is_point || end.is_some_and(|(_, end)| std::ptr::eq(*end, *stored));
            verdict.check("timelines: pairs", is_paired && is_stored(&event, stored), || {
                format!("{event:?} is {stored:?}, and its end of {:?}", end.map(|(_, end)| end))
            });
            verdict.check("timelines: attempts", stored.attempt == rank, || {
                format!("{event:?} is attempt {} of {rank}", stored.attempt)
            });
        }
        self.timelines(last, verdict);
    }

    /// Each half is stored once, and where it was told.
    fn find(&self, verdict: &mut Verdict) -> Found<'_> {
        let mut found = Found::default();
        let last = self.told.iter().map(|told| told.begun).max().unwrap_or(0) * WINDOW;
        for of in self.stored {
            for stored in &of.events {
                let number = |what| stored.attributes.get(what)?.parse::<u64>().ok();
                let halves = [(&mut found.starts, number("s")), (&mut found.ends, number("e"))];
                let is_of_one = number("s").or(number("e")).is_some();
                verdict.check("timelines: stored as told", is_of_one, || format!("{stored:?}"));
                for (halves, number) in halves {
                    let Some(number) = number else { continue };
                    let event = self.script.event(number);
                    let is_its = number <= last
                        && event.context == of.context
                        && event.timeline == of.timeline.label
                        && (&event.name, &event.host, &event.span)
                            == (&stored.name, &stored.host, &stored.span);
                    verdict.check("timelines: stored as told", is_its, || {
                        format!("{number} as {stored:?} in {:?}", of.timeline)
                    });
                    let other = halves.insert(number, (of, stored));
                    verdict.check("timelines: stored once", other.is_none(), || {
                        format!("{number}: {stored:?} and {other:?}")
                    });
                }
            }
        }
        found
    }

    /// Each timeline has as many events as it says.
    fn counts(&self, verdict: &mut Verdict) {
        for Stored { timeline, events, .. } in self.stored {
            let of =
                |state: &str| events.iter().filter(|event| event.state == state).count() as i64;
            let (open, abandoned) = (of("open"), of("abandoned"));
            let is_failed = |event: &&wire::Event| event.state == "failed";
            let failed = events.iter().filter(is_failed).count() as i64;
            let numbers: BTreeSet<i64> = events.iter().map(|event| event.number).collect();
            let all = events.len() as i64;
            let holds = (timeline.events, timeline.open, timeline.abandoned)
                == (all, open, abandoned)
                && timeline.failed >= failed
                && numbers.len() == events.len();
            verdict.check("timelines: counts", holds, || {
                format!(
                    "{timeline:?} has {all}, {open} open, {abandoned} abandoned, {failed} failed"
                )
            });
        }
    }

    /// Each label has one timeline, and each new timeline that was told of is one.
    fn timelines(&self, last: u64, verdict: &mut Verdict) {
        let labels = |stored: &&Stored| stored.context == LABELLED;
        let labels: Vec<&str> =
            self.stored.iter().filter(labels).map(|one| &*one.timeline.label).collect();
        let expected = (1..=last).map(|number| self.script.event(number));
        let expected: BTreeSet<String> =
            expected.map(|event| event.timeline).filter(|one| !one.is_empty()).collect();
        let found: BTreeSet<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        verdict.check("timelines: once", found == expected && labels.len() == found.len(), || {
            format!("labels {labels:?}, expected {expected:?}")
        });
        let newest = self.stored.iter().filter(|stored| stored.context == NEWEST);
        let (begun, newest) = (
            (1..=last).filter(|number| self.script.event(*number).is_followed).count(),
            newest.count(),
        );
        // The first message makes one as well, unless it is what begins one.
        verdict.check("timelines: once", (begun..=begun + 1).contains(&newest), || {
            format!("{newest} timelines, of which {begun} were begun")
        });
    }
}

/// Whether an event is stored with its times, its state, and how long it waited.
fn is_stored(event: &Event, stored: &wire::Event) -> bool {
    let state = match event.status {
        _ if event.is_point => "point",
        Status::Failed => "failed",
        Status::Skipped => "skipped",
        Status::Unspecified => "ok",
    };
    let waited = stored
        .waited
        .map_or(0, |one| i128::from(one.seconds) * 1_000_000_000 + i128::from(one.nanos));
    let waits = event.waits.map_or(0, |waits| waits.as_nanos());
    stored.state == state
        && time(stored.start) == Some(event.start)
        && time(stored.end) == Some(event.end).filter(|_| !event.is_point)
        && waited == waits
        && stored.reversed.is_some() == (event.end < event.start)
}

fn time(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let at = at?;
    Timestamp::new(at.seconds, at.nanos).ok()
}

#[cfg(test)]
mod tests;
