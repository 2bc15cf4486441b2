//! Events that say below which other one they are: by its span, because they do not know its name.
//!
//! Spans of traces name their parent by its id, and mostly come before it, because a span is sent when it ends. So
//! an event is stored under its own name, and the names above it are put before it when the timeline is shown. Its
//! identity and its durations do not depend on what has come already.

use std::collections::HashMap;

use crate::message::{LEVELS_MAX, NAME_BYTES_MAX};
use crate::model::{Event, Standing};
use crate::pairing::Attempt;

/// The attribute that names the span.
pub(crate) const PARENT_SPAN: &str = "parent_span";

/// Puts the names above an event before its own, and returns which events have others then, with the names that they
/// are stored under. Of a name that has too many levels or is too long, those in the middle are left out.
pub(crate) fn nest(events: &mut [Event]) -> Vec<(usize, String)> {
    let parents: HashMap<usize, String> = events
        .iter()
        .enumerate()
        .filter_map(|(at, event)| Some((at, parent(event)?.clone())))
        .collect();
    if parents.is_empty() {
        return Vec::new();
    }
    let mut spans: HashMap<&str, usize> = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        if !event.key.span.is_empty() && event.standing() != Standing::Point {
            spans.entry(&event.key.span).or_insert(at);
        }
    }
    let above = |at: usize| parents.get(&at).and_then(|span| spans.get(&**span)).copied();
    let mut names: HashMap<usize, String> = HashMap::new();
    // In their order, so that names are the same whenever it is shown.
    for at in (0..events.len()).filter(|at| parents.contains_key(at)) {
        // From the event up to the first one whose name is known, or that is below none.
        let (mut way, mut next) = (Vec::new(), Some(at));
        while let Some(at) = next.filter(|at| !names.contains_key(at)) {
            if way.contains(&at) {
                // Each is below the other: the last one that was found is taken for the first.
                break;
            }
            way.push(at);
            next = above(at).filter(|_| way.len() < LEVELS_MAX);
        }
        let mut before = next.and_then(|at| names.get(&at).cloned());
        for at in way.into_iter().rev() {
            let own = &events[at].key.name;
            let name = before.map_or_else(|| own.clone(), |before| below(&before, own));
            before = Some(names.entry(at).or_insert(name).clone());
        }
    }
    let mut renamed: Vec<_> = names
        .into_iter()
        .filter_map(|(at, name)| {
            let own = &mut events[at].key.name;
            (*own != name).then(|| (at, std::mem::replace(own, name)))
        })
        .collect();
    renamed.sort_unstable();
    renamed
}

fn parent(event: &Event) -> Option<&String> {
    let Attempt { start, end, .. } = &event.attempt;
    let of_start = start.as_ref().and_then(|start| start.attributes.get(PARENT_SPAN));
    of_start.or_else(|| end.as_ref().and_then(|end| end.attributes.get(PARENT_SPAN)))
}

/// A name below another one.
fn below(above: &str, own: &str) -> String {
    let levels = own.split('.').count();
    let kept = LEVELS_MAX.saturating_sub(levels).max(1);
    let mut ends = above.match_indices('.').map(|(at, _)| at).chain([above.len()]).take(kept);
    let first = ends.next().unwrap_or(above.len());
    let fits = |end: &usize| end + 1 + own.len() <= NAME_BYTES_MAX;
    let end = ends.take_while(fits).last().unwrap_or(first);
    format!("{}.{own}", &above[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::tests::event;

    fn span(name: &str, span: &str, parent: &str) -> Event {
        let mut event = event(name, "", 0, Some(1));
        span.clone_into(&mut event.key.span);
        if !parent.is_empty() {
            let start = event.attempt.start.as_mut().expect("a start");
            start.attributes.insert(PARENT_SPAN.to_owned(), parent.to_owned());
        }
        event
    }

    fn nested(mut events: Vec<Event>) -> (Vec<String>, Vec<(usize, String)>) {
        let renamed = nest(&mut events);
        (events.into_iter().map(|event| event.key.name).collect(), renamed)
    }

    /// equinix-labs/otel-cli#344, tobert/otel-cli#10: what is below another span comes before it.
    #[test]
    fn an_event_is_below_the_one_whose_span_it_names() {
        let events = vec![
            span("c", "3", "2"),
            span("b", "2", "1"),
            span("a", "1", ""),
            span("lost", "4", "9"),
            span("other", "", ""),
        ];
        let (names, renamed) = nested(events);
        assert_eq!(names, ["a.b.c", "a.b", "a", "lost", "other"]);
        assert_eq!(renamed, [(0, "c".to_owned()), (1, "b".to_owned())]);
    }

    #[test]
    fn rings_and_long_ways_end() {
        let (names, _) =
            nested(vec![span("a", "1", "2"), span("b", "2", "1"), span("c", "3", "3")]);
        assert!(names.iter().all(|name| name.split('.').count() <= 3), "{names:?}");
        let deep = (0..1_000)
            .map(|at| span("x", &format!("{at}"), &format!("{}", at + 1)))
            .collect::<Vec<_>>();
        let (names, _) = nested(Vec::clone(&deep));
        assert_eq!(nested(deep).0, names, "they are the same whenever it is shown");
        assert!(names.iter().all(|name| name.split('.').count() <= LEVELS_MAX), "{names:?}");
        assert_eq!(names[999], "x");
        // Nor do names grow without a limit.
        let long = "y".repeat(NAME_BYTES_MAX);
        let wide = (0..31).map(|at| span(&long, &format!("{at}"), &format!("{}", at + 1)));
        let (names, _) = nested(wide.collect());
        assert!(
            names.iter().all(|name| name.len() <= 2 * NAME_BYTES_MAX + 1),
            "{}",
            names[0].len()
        );
    }
}
