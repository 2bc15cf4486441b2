//! The Trace Event Format, which ui.perfetto.dev and `chrome://tracing` open.
//!
//! | event | what it is here |
//! |---|---|
//! | ended | `X`, a slice with a duration |
//! | open or abandoned | `B` without an `E`: a slice that is not finished |
//! | a point, or an end without a start | `i`, an instant |
//!
//! Slices of one thread have to nest. A thread is a lane of a host, and an event is in one with another only if
//! that one is over by then, or is of a name above its own and lasts longer: everything else has a lane of its
//! own. Times are whole microseconds, rounded down, so that what nests still does; `args` has them to the
//! nanosecond.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use serde_json::{Value, json};

use crate::export::titled;
use crate::model::{Event, Standing};
use crate::service::Shown;

/// How many lanes whose last event is of the right name are tried.
const TRIED_MAX: usize = 8;

/// What a lane has on top: until when, and of what name.
type Entry<'a> = (i128, &'a str);

/// The lanes of a host, while events are put into them in the order of their starts.
#[derive(Default)]
struct Lanes<'a> {
    /// What is on each lane, one within the other.
    stacks: Vec<Vec<Entry<'a>>>,
    /// When each lane has room, the first of them on top.
    free: BinaryHeap<Reverse<(i128, usize)>>,
    /// Where events of a name are.
    by_name: HashMap<&'a str, Vec<usize>>,
}

/// The document.
pub(super) fn json(context: &str, shown: &Shown) -> Vec<u8> {
    let mut by_host: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in &shown.events {
        by_host.entry(&event.key.host).or_default().push(event);
    }
    let meta = |name: &str, tid: usize, args: Value| json!({"ph": "M", "name": name, "pid": 1, "tid": tid, "args": args});
    let mut all = vec![meta("process_name", 0, json!({"name": titled(context, shown)}))];
    let mut first_lane = 1;
    for (host, events) in by_host {
        let (placed, lanes) = placed(events);
        let host = if host.is_empty() { "no host" } else { host };
        for lane in 0..lanes {
            let tid = first_lane + lane;
            let name = if lane == 0 { host.to_owned() } else { format!("{host} ({})", lane + 1) };
            all.push(meta("thread_name", tid, json!({"name": name})));
            all.push(meta("thread_sort_index", tid, json!({"sort_index": tid})));
        }
        all.extend(
            placed.iter().map(|(event, lane)| slice(event, context, first_lane + lane, shown)),
        );
        first_lane += lanes;
    }
    serde_json::to_vec(&json!({"traceEvents": all, "displayTimeUnit": "ms"})).expect("it is JSON")
}

/// Events with their lanes, in the order of their starts, and how many lanes there are.
fn placed(mut events: Vec<&Event>) -> (Vec<(&Event, usize)>, usize) {
    // What is around another one comes before it.
    events.sort_by_key(|event| {
        let depth = event.key.name.split('.').count();
        (start(event), Reverse(end(event)), depth, event.number)
    });
    let mut lanes = Lanes::default();
    let place = |event| (event, if lasts(event) { lanes.place(event) } else { 0 });
    let placed: Vec<_> = events.into_iter().map(place).collect();
    (placed, lanes.stacks.len().max(1))
}

// === impl Lanes ===

impl<'a> Lanes<'a> {
    fn place(&mut self, event: &'a Event) -> usize {
        let (start, end, name) = (start(event), end(event), &*event.key.name);
        let above = name.rmatch_indices('.').map(|(at, _)| &name[..at]);
        let mut known = above.filter_map(|above| Some((above, self.by_name.get(above)?)));
        let found = known.find_map(|(above, lanes)| {
            let has_room = |lane: &&usize| {
                let top = self.stacks[**lane].iter().rev().find(|(until, _)| *until > start);
                top.is_some_and(|(until, name)| *name == above && *until >= end)
            };
            lanes.iter().rev().take(TRIED_MAX).find(has_room).copied()
        });
        let lane = found.unwrap_or_else(|| self.free(start, end));
        let stack = &mut self.stacks[lane];
        while stack.last().is_some_and(|(until, _)| *until <= start) {
            stack.pop();
        }
        stack.push((end, name));
        self.by_name.entry(name).or_default().push(lane);
        lane
    }

    /// A lane that is free by then, until the end.
    fn free(&mut self, start: i128, end: i128) -> usize {
        let lane = match self.free.peek() {
            Some(Reverse((until, lane))) if *until <= start => {
                let lane = *lane;
                self.free.pop();
                lane
            }
            _ => {
                self.stacks.push(Vec::new());
                self.stacks.len() - 1
            }
        };
        self.free.push(Reverse((end, lane)));
        lane
    }
}

fn slice(event: &Event, context: &str, tid: usize, shown: &Shown) -> Value {
    let mut args = json!({"state": event.standing().name()});
    let mut note = |name: &str, value: Value| args[name] = value;
    let attempt = &event.attempt;
    if let Some(start) = &attempt.start {
        note("start", start.time.to_string().into());
    }
    if let Some(end) = event.end() {
        note("end", end.time.to_string().into());
    }
    if event.rank > 1 {
        note("attempt", event.rank.into());
    }
    if !event.key.span.is_empty() {
        note("span", (&*event.key.span).into());
    }
    let waited = event.spent(shown.now).waiting;
    if !waited.is_zero() {
        note("waited_us", micros(waited.as_nanos()).into());
    }
    if let Some(reversed) = attempt.reversed() {
        note("reversed_us", micros(reversed.as_nanos()).into());
    }
    if event.standing() == Standing::Abandoned {
        note("heard_at", attempt.heard().to_string().into());
    }
    let attributes = event.attributes();
    if !attributes.is_empty() {
        note("attributes", json!(attributes));
    }
    let mut slice = json!({
        "pid": 1,
        "tid": tid,
        "name": event.key.name,
        "cat": context,
        "ts": micros(start(event)),
        "args": args,
    });
    if !lasts(event) {
        (slice["ph"], slice["s"]) = ("i".into(), "t".into());
    } else if event.end().is_none() {
        slice["ph"] = "B".into();
    } else {
        (slice["ph"], slice["dur"]) =
            ("X".into(), (micros(end(event)) - micros(start(event))).into());
    }
    slice
}

fn lasts(event: &Event) -> bool {
    !matches!(event.standing(), Standing::Point | Standing::Unstarted)
}

fn start(event: &Event) -> i128 {
    event.attempt.time().as_nanosecond()
}

/// What is not finished is never over.
fn end(event: &Event) -> i128 {
    match event.end() {
        Some(end) => end.time.as_nanosecond().max(start(event)),
        None if lasts(event) => i128::MAX,
        None => start(event),
    }
}

/// Rounded down.
fn micros(nanos: i128) -> i64 {
    i64::try_from(nanos.div_euclid(1_000)).unwrap_or(i64::MAX)
}
