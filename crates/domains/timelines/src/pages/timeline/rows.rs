//! Which rows of a timeline are shown: those within the time that is looked at, folded where that was asked for or
//! where there would be too many of them, and of what is still too much, the rows that matter.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::asked::Asked;
use crate::chart::lanes::Lane;
use crate::chart::{Bar, Row};
use crate::message::Status;
use crate::model::{Event, Standing};

/// How many rows a page has.
pub(super) const ROWS_MAX: usize = 200;
/// How many pieces of what all events of a host do together are drawn.
const PIECES_MAX: i128 = 300;

/// A row as it is shown.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    pub(super) row: Cow<'a, Row>,
    /// Which host it is of, where each has its rows.
    pub(super) host: Option<&'a str>,
    /// Whether it stands for a host.
    pub(super) is_host: bool,
    pub(super) depth: usize,
    /// What folds are called by, if there is something below it; and how much.
    pub(super) fold: Option<String>,
    pub(super) below: usize,
    pub(super) is_folded: bool,
}

/// The rows that are shown, and how many are not.
#[derive(Debug, Default)]
pub(super) struct Lines<'a> {
    pub(super) lines: Vec<Line<'a>>,
    /// How many there would be, all unfolded.
    pub(super) all: usize,
    /// Those that are folded, those that are not in the time that is shown, those that are not on the critical
    /// path if only that is shown, and those that would be too many.
    pub(super) folded: usize,
    pub(super) outside: usize,
    pub(super) others: usize,
    pub(super) beyond: usize,
}

/// The rows of a chart, or of the lanes of its hosts.
pub(super) fn lines<'a>(
    lanes: &'a [Lane],
    events: &[Event],
    asked: &Asked,
    window: (Timestamp, Timestamp),
) -> Lines<'a> {
    let mut lines = Vec::new();
    for lane in lanes {
        let host = lane.host.as_deref();
        if let Some(host) = host {
            lines.push(of_host(host, &lane.rows, window));
        }
        let shift = usize::from(host.is_some());
        lines.extend(lane.rows.iter().map(|row| Line {
            row: Cow::Borrowed(row),
            host,
            is_host: false,
            depth: row.depth + shift,
            fold: None,
            below: 0,
            is_folded: false,
        }));
    }
    let mut shown = Lines { all: lines.len(), ..Lines::default() };
    let (from, until) = window;
    shown.outside = retain(&mut lines, |line| line.row.from <= until && line.row.until >= from);
    if asked.is_critical {
        shown.others = retain(&mut lines, |line| line.row.is_critical);
    }
    count_below(&mut lines);
    let depth = depth_that_fits(&lines);
    for line in &mut lines {
        let Some(key) = &line.fold else { continue };
        line.is_folded = match line.depth + 1 >= depth {
            true => !asked.unfolded.contains(key),
            false => asked.folded.contains(key),
        };
    }
    shown.folded = fold(&mut lines);
    shown.beyond = cut(&mut lines, events);
    shown.lines = lines;
    shown
}

/// Drops what is not wanted, and says how many that are. What is above a row that is kept is kept.
fn retain(lines: &mut Vec<Line<'_>>, is_wanted: impl Fn(&Line<'_>) -> bool) -> usize {
    let before = lines.len();
    let mut keep = vec![false; before];
    let mut above: Vec<usize> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        above.truncate(above.partition_point(|one| lines[*one].depth < line.depth));
        if is_wanted(line) {
            keep[at] = true;
            above.iter().for_each(|one| keep[*one] = true);
        }
        above.push(at);
    }
    let mut keep = keep.into_iter();
    lines.retain(|_| keep.next().unwrap_or(false));
    before - lines.len()
}

/// A line for a host, with what all of its events do together.
fn of_host<'a>(host: &'a str, rows: &[Row], (from, until): (Timestamp, Timestamp)) -> Line<'a> {
    let least = until.duration_since(from).as_nanos().max(0) / PIECES_MAX;
    let mut bars: Vec<Bar> = rows.iter().flat_map(|row| row.bars.clone()).collect();
    bars.sort_by_key(|bar| bar.from);
    let mut busy: Vec<Bar> = Vec::new();
    for bar in bars {
        match busy.last_mut() {
            Some(last) if bar.from.duration_since(last.until).as_nanos() <= least => {
                last.until = last.until.max(bar.until);
                // It works if one of its events does.
                if bar.phase != last.phase {
                    last.phase = crate::message::Phase::Working;
                }
            }
            _ => busy.push(bar),
        }
    }
    let row = Row {
        depth: 0,
        name: host.to_owned(),
        event: None,
        from: rows.iter().map(|row| row.from).min().unwrap_or(from),
        until: rows.iter().map(|row| row.until).max().unwrap_or(from),
        is_open: rows.iter().any(|row| row.is_open),
        bars: busy,
        typical: None,
        is_critical: rows.iter().any(|row| row.is_critical),
    };
    Line {
        row: Cow::Owned(row),
        host: Some(host),
        is_host: true,
        depth: 0,
        fold: None,
        below: 0,
        is_folded: false,
    }
}

/// Finds what can be folded.
fn count_below(lines: &mut [Line<'_>]) {
    let mut above: Vec<usize> = Vec::new();
    for at in 0..lines.len() {
        let depth = lines[at].depth;
        above.truncate(above.partition_point(|one| lines[*one].depth < depth));
        above.iter().for_each(|one| lines[*one].below += 1);
        above.push(at);
    }
    for line in lines.iter_mut().filter(|line| line.below > 0) {
        // No part of an event's name is empty.
        line.fold =
            Some(if line.is_host { format!(".{}", line.row.name) } else { line.row.name.clone() });
    }
}

/// How many levels can be shown at once, at least one.
fn depth_that_fits(lines: &[Line<'_>]) -> usize {
    let deepest = lines.iter().map(|line| line.depth + 1).max().unwrap_or(1);
    let fits =
        |levels: &usize| lines.iter().filter(|line| line.depth < *levels).count() <= ROWS_MAX;
    // Whatever the last level is, what has nothing below it is not folded.
    match (1..=deepest).rev().find(fits) {
        Some(levels) if levels == deepest => usize::MAX,
        Some(levels) => levels,
        None => 1,
    }
}

/// Drops what is below folded rows, and says how many that are.
fn fold(lines: &mut Vec<Line<'_>>) -> usize {
    let before = lines.len();
    let mut below = None;
    lines.retain(|line| {
        if below.is_some_and(|depth| line.depth > depth) {
            return false;
        }
        below = line.is_folded.then_some(line.depth);
        true
    });
    before - lines.len()
}

/// Drops the rows that matter least if there are too many, and says how many that are.
fn cut(lines: &mut Vec<Line<'_>>, events: &[Event]) -> usize {
    if lines.len() <= ROWS_MAX {
        return 0;
    }
    let mut above: Vec<usize> = Vec::new();
    let ancestors: Vec<Vec<usize>> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| {
            above.truncate(above.partition_point(|one| lines[*one].depth < line.depth));
            let ancestors = above.clone();
            above.push(at);
            ancestors
        })
        .collect();
    let mut by_weight: Vec<usize> = (0..lines.len()).collect();
    by_weight.sort_by_key(|at| Reverse(weight(&lines[*at].row, events)));
    let mut kept = BTreeSet::new();
    for at in by_weight {
        let more = ancestors[at].iter().chain([&at]).filter(|one| !kept.contains(*one)).count();
        if kept.len() + more <= ROWS_MAX {
            kept.extend(ancestors[at].iter().copied().chain([at]));
        }
        if kept.len() == ROWS_MAX {
            break;
        }
    }
    let before = lines.len();
    let mut at = 0;
    lines.retain(|_| {
        at += 1;
        kept.contains(&(at - 1))
    });
    before - lines.len()
}

/// How much a row matters: whether it failed, is open or on the critical path, and how long it lasts.
fn weight(row: &Row, events: &[Event]) -> (bool, bool, bool, SignedDuration) {
    let standing = row.event.and_then(|at| events.get(at)).map(Event::standing);
    let has_failed =
        matches!(standing, Some(Standing::Ended(Status::Failed) | Standing::Abandoned));
    (has_failed, row.is_open, row.is_critical, row.until.duration_since(row.from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::chart;
    use crate::chart::tests::{at, event};

    fn rows(events: &[Event]) -> Vec<Lane> {
        vec![Lane { host: None, rows: chart(events, &Default::default(), at(100)).rows }]
    }

    fn names<'a>(lines: &'a Lines<'_>) -> Vec<&'a str> {
        lines.lines.iter().map(|line| &*line.row.name).collect()
    }

    const ALL: (i64, i64) = (-1_000, 1_000);

    fn shown<'a>(
        lanes: &'a [Lane],
        events: &[Event],
        asked: &Asked,
        (from, to): (i64, i64),
    ) -> Lines<'a> {
        lines(lanes, events, asked, (at(from), at(to)))
    }

    #[test]
    fn rows_fold_and_unfold() {
        let events = vec![
            event("a.b.c", "", 0, Some(5)),
            event("a.d", "", 5, Some(9)),
            event("e", "", 9, None),
        ];
        let lanes = rows(&events);
        let mut asked = Asked::default();
        let all = shown(&lanes, &events, &asked, ALL);
        assert_eq!(names(&all), ["a", "a.b", "a.b.c", "a.d", "e"]);
        assert_eq!((all.lines[0].below, all.lines[1].below, all.lines[4].below), (3, 1, 0));
        asked.turn("a.b", false);
        let folded = shown(&lanes, &events, &asked, ALL);
        assert_eq!((names(&folded), folded.folded), (vec!["a", "a.b", "a.d", "e"], 1));
        asked.turn("a", false);
        assert_eq!(names(&shown(&lanes, &events, &asked, ALL)), ["a", "e"]);
    }

    #[test]
    fn what_is_not_in_the_time_or_on_the_path_is_left_out() {
        let events = vec![
            event("a.b", "", 0, Some(5)),
            event("a.c", "", 1, Some(2)),
            event("d", "", 7, Some(9)),
        ];
        let lanes = rows(&events);
        let early = shown(&lanes, &events, &Asked::default(), (0, 6));
        assert_eq!((names(&early), early.outside), (vec!["a", "a.b", "a.c"], 1));
        let asked = Asked { is_critical: true, ..Asked::default() };
        let critical = shown(&lanes, &events, &asked, ALL);
        assert_eq!((names(&critical), critical.others), (vec!["a", "a.b", "d"], 1));
    }

    /// 10,000 events are shown by what they are parts of; flat ones by those that matter.
    #[test]
    fn there_are_never_too_many_rows() {
        let of = |name: String, seconds: i64| event(&name, "", 0, Some(seconds));
        let deep: Vec<_> = (0..10_000).map(|n| of(format!("p{}.q{}", n % 20, n), 5)).collect();
        let lanes = rows(&deep);
        let lines = shown(&lanes, &deep, &Asked::default(), ALL);
        assert_eq!((lines.lines.len(), lines.folded, lines.beyond), (20, 10_000, 0));
        let mut asked = Asked::default();
        asked.turn("p3", true);
        let lines = shown(&lanes, &deep, &asked, ALL);
        assert_eq!((lines.lines.len(), lines.beyond), (ROWS_MAX, 320));
        let mut flat: Vec<_> = (0..10_000).map(|n| of(format!("e{n}"), 5)).collect();
        flat[7_777].attempt.end.as_mut().expect("an end").status = Status::Failed;
        flat[1_234] = of("long".to_owned(), 50);
        let lanes = rows(&flat);
        let lines = shown(&lanes, &flat, &Asked::default(), ALL);
        assert_eq!((lines.lines.len(), lines.beyond), (ROWS_MAX, 9_800));
        assert!(names(&lines).contains(&"e7777") && names(&lines).contains(&"long"));
        assert_eq!(lines.all, 10_000);
    }

    #[test]
    fn each_host_has_its_rows_below_it() {
        let events = vec![
            event("a.b", "one", 0, Some(4)),
            event("a.c", "one", 4, Some(8)),
            event("a", "two", 20, Some(30)),
        ];
        let whole = chart(&events, &Default::default(), at(100));
        let lanes = crate::chart::lanes::by_host(&whole, &events, at(100));
        let asked = Asked { is_by_host: true, ..Asked::default() };
        let lines = shown(&lanes, &events, &asked, ALL);
        assert_eq!(names(&lines), ["one", "a", "a.b", "a.c", "two", "a"]);
        assert!(lines.lines[0].is_host && lines.lines[0].row.bars.len() == 1, "{lines:?}");
        let mut asked = asked;
        asked.turn(".one", false);
        assert_eq!(names(&shown(&lanes, &events, &asked, ALL)), ["one", "two", "a"]);
    }
}
