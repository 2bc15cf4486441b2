//! Each open request is taken once, whoever comes first.

use super::*;
use crate::Series;

fn row(number: u32) -> Row {
    Row::one(Series(number), i64::from(number))
}

fn is_same(one: &Ticket, other: &Arc<Slot>) -> bool {
    Arc::ptr_eq(&one.0, other)
}

#[test]
fn a_request_is_taken_once_and_its_place_is_used_again() {
    let mut open = OpenRequests::new(3);
    let (first, second) = (open.add(row(1)), open.add(row(2)));
    assert_eq!((open.len(), first.shard()), (2, 3));
    let slot = Arc::clone(&first.0);
    assert_eq!(open.remove(first), Some(row(1)));
    let first = open.add(row(3));
    assert!(is_same(&first, &slot));
    assert_eq!(open.all(), [row(3), row(2)]);
    assert_eq!((open.len(), open.all()), (0, vec![]));
    // Their tickets still have the slots, so no other request is mistaken for them.
    let third = open.add(row(4));
    assert!(!is_same(&third, &first.0) && !is_same(&third, &second.0));
    assert_eq!((open.remove(first), open.remove(second)), (None, None));
    assert_eq!(open.remove(third), Some(row(4)));
    assert_eq!(open.len(), 0);
}

#[test]
fn a_stream_is_overdue_after_its_time_and_what_waits_for_its_head_is_not() {
    let mut open = OpenRequests::default();
    let (_waiting, stream) = (open.add(row(1)), open.add(row(2)));
    // Its head has also said what it counts under.
    stream.stream(Series(7), 1);
    let counted = Row { series: Series(7), ..row(2) };
    assert_eq!(open.overdue(2, 2), []);
    assert_eq!(open.overdue(3, 2), [counted]);
    assert_eq!(open.overdue(4, 2), []);
    assert_eq!(open.remove(stream), None);
    // It is recorded: its head comes too late.
    let late = open.add(row(3));
    assert_eq!(open.all().len(), 2);
    late.stream(Series(3), 5);
    assert_eq!(open.overdue(9, 0), []);
    assert_eq!(open.remove(late), None);
    // Nobody takes the next one in its slot for a stream.
    let _next = open.add(row(5));
    assert_eq!(open.overdue(9, 0), []);
}
