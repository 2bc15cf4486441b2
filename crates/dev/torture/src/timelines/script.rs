//! What happens, which a seed decides, and who tells what of it.
//!
//! Events are numbered 1, 2, 3 …, and every window has a few of them. In one context, each message names its
//! timeline, and names of events come again and again, as attempts one after the other, or side by side under
//! spans of their own. In the other context, what is told belongs to the newest timeline, and a new one begins now
//! and then; there each name comes once, so that its end can belong nowhere else.

use jiff::{SignedDuration, Timestamp};
use tally_proto::tally::timelines::v1::{Kind, Phase, RecordRequest, Status};

use crate::random::Random;

/// How many events a window has, and a block: events of a block are in the same context.
pub(crate) const WINDOW: u64 = 8;
const BLOCK: u64 = 6 * WINDOW;

/// In the second context, every so many events are followed by a new timeline.
const NEW: u64 = 20;

/// The contexts.
pub(super) const LABELLED: &str = "labelled";
pub(super) const NEWEST: &str = "newest";

/// When the first event begins, by its senders' clocks: 2026-01-15.
const BASE_SECONDS: i64 = 1_768_435_200;

/// How far a clock is behind that tells an end before its start.
const REVERSED: SignedDuration = SignedDuration::from_secs(-5);

/// What a seed makes happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) number: u64,
    pub(super) context: &'static str,
    /// Empty: the newest one.
    pub(super) timeline: String,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) span: String,
    pub(super) is_point: bool,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// For how long it waits, if it says so.
    pub(super) waits: Option<SignedDuration>,
    pub(super) status: Status,
    /// Whether a new timeline follows.
    pub(super) is_followed: bool,
}

/// A message, and what it is of its event.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Which half of those who tell tells it.
    pub(super) side: u64,
    pub(crate) request: RecordRequest,
}

// === impl Script ===

impl Script {
    /// The messages that one side tells of a window, in their order.
    pub(crate) fn parts(self, window: u64, side: u64) -> Vec<RecordRequest> {
        let numbers = (window - 1) * WINDOW + 1..=window * WINDOW;
        let parts = numbers.flat_map(|number| self.event(number).parts());
        parts.filter(|part| part.side == side).map(|part| part.request).collect()
    }

    pub(super) fn event(self, number: u64) -> Event {
        let mut random = Random::derived(self.seed, "event", number);
        let block = (number - 1) / BLOCK;
        let is_labelled = block.is_multiple_of(2);
        let has_span = is_labelled && random.percent(30);
        let is_point = random.percent(10);
        let seconds = BASE_SECONDS + i64::try_from(number).unwrap_or_default();
        let nanos = i32::try_from(number * 7_919 % 1_000_000).unwrap_or_default();
        let start = Timestamp::new(seconds, nanos).expect("a time of this century");
        // Attempts of one name are not open at the same time, unless they have spans.
        let took = match random.within(0, 9) {
            0 if has_span => REVERSED,
            _ if has_span => SignedDuration::from_millis(random.within(1, 30_000) as i64),
            _ => SignedDuration::from_micros(random.within(2_000, 900_000) as i64),
        };
        let took = if is_point { SignedDuration::ZERO } else { took };
        let can_wait = took.is_positive() && random.percent(30);
        Event {
            number,
            context: if is_labelled { LABELLED } else { NEWEST },
            timeline: if is_labelled { format!("run-{block}") } else { String::new() },
            name: match is_labelled {
                true => format!("part-{}.step", random.within(0, 3)),
                false => format!("step.{number}"),
            },
            host: ["", "web-1"][random.index(2)].to_owned(),
            span: if has_span { format!("span-{number}") } else { String::new() },
            is_point,
            start,
            end: start + took,
            waits: can_wait.then(|| took / 2),
            status: [Status::Unspecified, Status::Unspecified, Status::Failed, Status::Skipped]
                [random.index(4)],
            is_followed: !is_labelled && number.is_multiple_of(NEW),
        }
    }
}

// === impl Event ===

impl Event {
    /// Start and end are told by different sides.
    pub(super) fn parts(&self) -> Vec<Part> {
        let side = self.number % 2;
        let mut parts = Vec::new();
        let mut tell = |side, kind, at, more: RecordRequest| {
            let what = match kind {
                Kind::End => "e",
                Kind::New => "n",
                Kind::Phase => "w",
                _ => "s",
            };
            let mut request = RecordRequest {
                kind: kind.into(),
                context: self.context.to_owned(),
                time: Some(seconds(at)),
                ..more
            };
            if kind != Kind::New {
                request.timeline.clone_from(&self.timeline);
                request.name.clone_from(&self.name);
                request.host.clone_from(&self.host);
                request.span.clone_from(&self.span);
            }
            if !matches!(kind, Kind::New | Kind::Phase) {
                request.attributes.insert(what.to_owned(), self.number.to_string());
            }
            // What has no key is told by what it says.
            if self.number.is_multiple_of(3) {
                request.idempotency_key = format!("{}-{what}", self.number);
            }
            parts.push(Part { side, request });
        };
        let status = RecordRequest { status: self.status.into(), ..RecordRequest::default() };
        if self.is_point {
            tell(side, Kind::Point, self.start, status);
        } else {
            let phase = |phase: Phase| RecordRequest { phase: phase.into(), ..Default::default() };
            let begins = self.waits.map_or_else(Default::default, |_| phase(Phase::Waiting));
            tell(side, Kind::Start, self.start, begins);
            if let Some(waits) = self.waits {
                tell(side, Kind::Phase, self.start + waits, phase(Phase::Working));
            }
            tell(1 - side, Kind::End, self.end, status);
        }
        if self.is_followed {
            tell(self.number / NEW % 2, Kind::New, self.end, RecordRequest::default());
        }
        parts
    }
}

fn seconds(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_tells_one_half_of_every_event() {
        let script = Script { seed: 7 };
        let all = (1..=600).map(|number| script.event(number));
        let mut kinds = std::collections::BTreeSet::new();
        for event in all.filter(|event| !event.is_point) {
            let parts = event.parts();
            let side = |kind: Kind| {
                let part = parts.iter().find(|part| part.request.kind() == kind);
                part.map(|part| part.side)
            };
            assert_ne!(side(Kind::Start), side(Kind::End), "{event:?}");
            kinds.insert((event.context, event.end < event.start, event.waits.is_some()));
        }
        assert_eq!(kinds.len(), 5, "{kinds:?}");
        let told: usize = (0..2).map(|side| script.parts(3, side).len()).sum();
        let parts: usize = (17..=24).map(|number| script.event(number).parts().len()).sum();
        assert_eq!(told, parts);
    }
}
