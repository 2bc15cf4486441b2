//! A timeline as a chart, as data: rows in the order in which they are drawn, each with its bars. Whatever draws
//! it, on a terminal, as SVG or on a page, draws this.
//!
//! A name with several events has a row of its own, and one for each event below. `a.b` is below `a`, whoever
//! sent it, and `a` reaches from the first start to the last end below it.
//!
//! | file | what it owns |
//! |---|---|
//! | `lanes.rs` | which rows are drawn together: all, or those of one host |
//! | `svg.rs`, `svg/` | the chart as SVG |

pub(crate) mod lanes;
pub(crate) mod svg;

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use crate::message::Phase;
use crate::model::{Event, Standing};
use crate::pairing::{Attempt, Spent};
use crate::typical::Typical;

/// How far the clock of a host may be off before it is shown.
pub(crate) const CLOCK_OFF_MAX: SignedDuration = SignedDuration::from_secs(10);

/// Of how many such hosts a drawing names the clock.
pub(crate) const CLOCKS_MAX: usize = 20;
/// How many rows of names, above those of events, a chart has at least. See [`rows_max`].
const ROWS_MAX: usize = 10_000;

/// A timeline as it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    /// What it reaches over: to now, if something is open.
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) rows: Vec<Row>,
    /// How long all events without any below them waited and worked.
    pub(crate) spent: Spent,
    /// Hosts whose clocks are off, and by how much they are behind the server's.
    pub(crate) clocks: Vec<(String, SignedDuration)>,
}

/// A row: of an event, or of a name with everything below it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// How far it is to be indented.
    pub(crate) depth: usize,
    /// The whole name.
    pub(crate) name: String,
    /// Which event it is of, by its place in what is drawn. None: of several, or only of what is below it.
    pub(crate) event: Option<usize>,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// Whether it is open, or something below it.
    pub(crate) is_open: bool,
    /// One for each phase; a point, an end without a start, and a row of several have none.
    pub(crate) bars: Vec<Bar>,
    /// How long such events usually take.
    pub(crate) typical: Option<Typical>,
    /// Whether everything would have ended sooner without it.
    pub(crate) is_critical: bool,
}

/// A part of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) phase: Phase,
}

/// A name, and the names below it by their last parts.
#[derive(Default)]
struct Node<'a> {
    events: Vec<usize>,
    below: BTreeMap<&'a str, Node<'a>>,
}

/// From when to when something reaches, and whether it is open.
#[derive(Clone, Copy)]
struct Reach {
    from: Timestamp,
    until: Timestamp,
    is_open: bool,
}

/// Lays out what is drawn of these events.
pub(crate) fn chart(events: &[Event], typical: &HashMap<&str, Typical>, now: Timestamp) -> Chart {
    let root = tree(events, 0..events.len(), &mut rows_max(events));
    let whole = root.reach(events, now).unwrap_or(Reach { from: now, until: now, is_open: false });
    let mut leaves = Vec::new();
    root.leaves(&mut leaves);
    let leaves: Vec<usize> = leaves.into_iter().filter(|at| has_bars(&events[*at])).collect();
    let critical = critical(events, &leaves, now);
    let mut spent = Spent::default();
    for leaf in leaves {
        let Spent { waiting, working } = events[leaf].spent(now);
        spent.waiting = spent.waiting.saturating_add(waiting);
        spent.working = spent.working.saturating_add(working);
    }
    let mut rows = Vec::new();
    let drawing = Drawing { events, typical, critical, now };
    drawing.below(&root, "", 0, &mut rows);
    Chart { from: whole.from, until: whole.until, rows, spent, clocks: clocks(events) }
}

/// The rows of some events alone, without what is usual and critical.
fn laid_out(events: &[Event], places: &[usize], left: &mut usize, now: Timestamp) -> Vec<Row> {
    let root = tree(events, places.iter().copied(), left);
    let drawing = Drawing { events, typical: &HashMap::new(), critical: HashSet::new(), now };
    let mut rows = Vec::new();
    drawing.below(&root, "", 0, &mut rows);
    rows
}

/// How many names above those of events have rows of their own: a name has up to 32 parts, and each row its whole
/// name. Beyond it, the rest of a name is taken for one part.
fn rows_max(events: &[Event]) -> usize {
    ROWS_MAX.max(2 * events.len())
}

fn tree<'a>(
    events: &'a [Event],
    places: impl Iterator<Item = usize>,
    left: &mut usize,
) -> Node<'a> {
    let mut root = Node::default();
    for at in places {
        let (mut node, mut rest) = (&mut root, &*events[at].key.name);
        while let Some((part, below)) = rest.split_once('.').filter(|_| *left > 0) {
            node = node.below.entry(part).or_insert_with(|| {
                *left -= 1;
                Node::default()
            });
            rest = below;
        }
        node.below.entry(rest).or_default().events.push(at);
    }
    root
}

struct Drawing<'a> {
    events: &'a [Event],
    typical: &'a HashMap<&'a str, Typical>,
    critical: HashSet<usize>,
    now: Timestamp,
}

// === impl Drawing ===

impl Drawing<'_> {
    /// The rows of all names below a node, by when they begin.
    fn below(&self, node: &Node<'_>, name: &str, depth: usize, rows: &mut Vec<Row>) {
        let mut below: Vec<(Reach, String, &Node<'_>)> = node
            .below
            .iter()
            .filter_map(|(part, node)| {
                let name =
                    if name.is_empty() { (*part).to_owned() } else { format!("{name}.{part}") };
                Some((node.reach(self.events, self.now)?, name, node))
            })
            .collect();
        below.sort_by(|one, other| (one.0.from, &one.1).cmp(&(other.0.from, &other.1)));
        for (reach, name, node) in below {
            match node.events[..] {
                [event] => rows.push(self.event(event, depth)),
                _ => {
                    let is_critical = node.events.iter().any(|event| self.critical.contains(event));
                    rows.push(Row {
                        depth,
                        typical: self.typical.get(&*name).copied(),
                        name: name.clone(),
                        event: None,
                        from: reach.from,
                        until: reach.until,
                        is_open: reach.is_open,
                        bars: Vec::new(),
                        is_critical,
                    });
                    let mut events = node.events.clone();
                    events.sort_by_key(|at| {
                        let Event { attempt, key, number, .. } = &self.events[*at];
                        (attempt.time(), &key.host, *number)
                    });
                    rows.extend(events.into_iter().map(|event| self.event(event, depth + 1)));
                }
            }
            self.below(node, &name, depth + 1, rows);
        }
    }

    fn event(&self, at: usize, depth: usize) -> Row {
        let event = &self.events[at];
        let Reach { from, until, is_open } = reach(event, self.now);
        let bar = |(from, until, phase)| Bar { from, until, phase };
        let pieces = if has_bars(event) { event.attempt.phases(until) } else { Vec::new() };
        Row {
            depth,
            name: event.key.name.clone(),
            event: Some(at),
            from,
            until,
            is_open,
            bars: pieces.into_iter().map(bar).collect(),
            typical: self.typical.get(&*event.key.name).copied(),
            is_critical: self.critical.contains(&at),
        }
    }
}

// === impl Node ===

impl Node<'_> {
    fn reach(&self, events: &[Event], now: Timestamp) -> Option<Reach> {
        let own = self.events.iter().map(|at| reach(&events[*at], now));
        let below = self.below.values().filter_map(|node| node.reach(events, now));
        own.chain(below).reduce(|one, other| Reach {
            from: one.from.min(other.from),
            until: one.until.max(other.until),
            is_open: one.is_open || other.is_open,
        })
    }

    /// The events of names that have none below them.
    fn leaves(&self, leaves: &mut Vec<usize>) {
        if self.below.is_empty() {
            leaves.extend(&self.events);
        }
        self.below.values().for_each(|node| node.leaves(leaves));
    }
}

/// Whether an event lasts.
fn has_bars(event: &Event) -> bool {
    !matches!(event.standing(), Standing::Point | Standing::Unstarted)
}

fn reach(event: &Event, now: Timestamp) -> Reach {
    let Attempt { start, end, .. } = &event.attempt;
    let from = event.attempt.time();
    let is_open = event.standing() == Standing::Open;
    let until = match (start, end) {
        (Some(_), Some(end)) => end.time.max(from),
        (Some(_), None) => event.known_until(now).max(from),
        (None, _) => from,
    };
    Reach { from, until, is_open }
}

/// The critical path: from what ends last back to what ended last before that began, and so on.
fn critical(events: &[Event], leaves: &[usize], now: Timestamp) -> HashSet<usize> {
    let mut by_start: Vec<(Reach, usize)> =
        leaves.iter().map(|at| (reach(&events[*at], now), *at)).collect();
    by_start.sort_by_key(|(reach, at)| (reach.from, *at));
    // Of each, and all that begin before it, the one that ends last.
    let mut last_until: Vec<usize> = Vec::new();
    for at in 0..by_start.len() {
        let before = last_until.last().copied().unwrap_or(at);
        let is_later = by_start[at].0.until > by_start[before].0.until;
        last_until.push(if is_later { at } else { before });
    }
    let (mut critical, mut among) = (HashSet::new(), by_start.len());
    while let Some(at) = among.checked_sub(1).map(|last| last_until[last]) {
        critical.insert(by_start[at].1);
        let from = by_start[at].0.from;
        among = by_start.partition_point(|(reach, _)| reach.from < from);
    }
    critical
}

/// How far the clock of each host is behind, by the message that says it best: the one with the least
/// difference. A message that is sent long after its time says nothing of a clock.
fn clocks(events: &[Event]) -> Vec<(String, SignedDuration)> {
    let mut least: BTreeMap<&str, SignedDuration> = BTreeMap::new();
    for event in events {
        let Attempt { start, end, shifts } = &event.attempt;
        let start = start.iter().map(|one| (one.time, one.received));
        let end = end.iter().map(|one| (one.time, one.received));
        let shifts = shifts.iter().map(|one| (one.time, one.received));
        for (time, received) in start.chain(end).chain(shifts) {
            let behind = received.duration_since(time);
            let least = least.entry(&event.key.host).or_insert(behind);
            if behind.abs() < least.abs() {
                *least = behind;
            }
        }
    }
    let is_off = |(_, behind): &(&str, SignedDuration)| behind.abs() > CLOCK_OFF_MAX;
    least.into_iter().filter(is_off).map(|(host, behind)| (host.to_owned(), behind)).collect()
}

#[cfg(test)]
pub(crate) mod tests;
