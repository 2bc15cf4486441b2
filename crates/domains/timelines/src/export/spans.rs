//! Events as spans, for the formats of traces: each with the event that it is below.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::message::Attributes;
use crate::model::{Event, Standing};
use crate::nested::PARENT_SPAN;
use crate::service::Shown;

/// An event that a trace can have.
pub(super) struct Span<'a> {
    pub(super) event: &'a Event,
    /// What it is called below that event.
    pub(super) name: &'a str,
    /// Which event it is below, by its number.
    pub(super) parent: Option<i64>,
    /// In nanoseconds since 1970.
    pub(super) start: u64,
    /// At least its start.
    pub(super) end: u64,
}

/// The spans of a host.
#[derive(Default)]
pub(super) struct OfHost<'a> {
    pub(super) spans: Vec<Span<'a>>,
    /// What is left out, and why.
    pub(super) left_out: Vec<String>,
}

// === impl Span ===

impl Span<'_> {
    /// What is said of it, besides what its place says.
    pub(super) fn attributes(&self) -> Attributes {
        let mut attributes = self.event.attributes();
        attributes.remove(PARENT_SPAN);
        attributes
    }
}

/// The id of a trace, in hex.
pub(super) fn trace_id(shown: &Shown) -> String {
    format!("{}", shown.timeline.id.simple())
}

/// The id of an event's span, in hex: its number, which no other one of its trace has.
pub(super) fn span_id(number: i64) -> String {
    format!("{number:016x}")
}

/// By hosts. What has not ended, or was before 1970, no span can be.
pub(super) fn by_host(events: &[Event]) -> BTreeMap<&str, OfHost<'_>> {
    let mut hosts: BTreeMap<&str, OfHost<'_>> = BTreeMap::new();
    let (mut by_name, mut here) = (HashMap::new(), HashMap::new());
    let mut by_span: HashMap<&str, &Event> = HashMap::new();
    for event in events {
        if reach(event).is_ok() {
            if !event.key.span.is_empty() && event.standing() != Standing::Point {
                by_span.entry(&event.key.span).or_insert(event);
            }
            let (name, host) = (&*event.key.name, &*event.key.host);
            let one = (event, event.attempt.time());
            by_name.entry(name).or_insert_with(Vec::new).push(one);
            here.entry((name, host)).or_insert_with(Vec::new).push(one);
        }
    }
    let begun = |(event, time): &(&Event, Timestamp)| (*time, event.number);
    by_name.values_mut().chain(here.values_mut()).for_each(|all| all.sort_by_key(begun));
    for event in events {
        let of_host = hosts.entry(&event.key.host).or_default();
        match reach(event) {
            Ok((start, end)) => {
                let named =
                    event.attributes().get(PARENT_SPAN).and_then(|span| by_span.get(&**span));
                let parent = named.copied().or_else(|| parent(event, &by_name, &here));
                let name = parent.and_then(|parent| below(event, parent));
                let name = name.unwrap_or(&event.key.name);
                let parent = parent.map(|parent| parent.number);
                of_host.spans.push(Span { event, name, parent, start, end });
            }
            Err(why) => of_host.left_out.push(format!("{}: {why}", event.key.name)),
        }
    }
    hosts
}

/// The event of the nearest name above that is there: of the same host, if it has one, and of its attempts the
/// last that had begun by then.
fn parent<'a>(
    event: &Event,
    by_name: &HashMap<&str, Vec<(&'a Event, Timestamp)>>,
    here: &HashMap<(&str, &str), Vec<(&'a Event, Timestamp)>>,
) -> Option<&'a Event> {
    let name = &*event.key.name;
    let mut above = name.rmatch_indices('.').map(|(at, _)| &name[..at]);
    let (above, all) = above.find_map(|above| Some((above, by_name.get(above)?)))?;
    let all = here.get(&(above, &*event.key.host)).unwrap_or(all);
    let time = event.attempt.time();
    let begun = all.partition_point(|(_, start)| *start <= time);
    all[..begun].last().or(all.first()).map(|(event, _)| *event)
}

/// The rest of its name, if it is below that one's.
fn below<'a>(event: &'a Event, parent: &Event) -> Option<&'a str> {
    event.key.name.strip_prefix(&*parent.key.name)?.strip_prefix('.')
}

fn reach(event: &Event) -> Result<(u64, u64), &'static str> {
    let standing = event.standing();
    if matches!(standing, Standing::Open | Standing::Abandoned) {
        return Err(standing.name());
    }
    let nanos = |time: Timestamp| u64::try_from(time.as_nanosecond()).map_err(|_| "before 1970");
    let start = nanos(event.attempt.time())?;
    let end = event.end().map_or(Ok(start), |end| nanos(end.time)).unwrap_or(start);
    Ok((start, end.max(start)))
}
