//! The warning of a layer that sees no route.

use super::*;

/// A thread may have looked before another one settled the question.
#[test]
fn what_is_known_stays_known() {
    for routed in [true, false] {
        let rules = Rules::new(Queue::in_memory());
        (0..ROUTELESS).for_each(|_| rules.look(routed));
        (0..1_000).for_each(|_| rules.look(false));
        assert!(rules.routeless.load(Ordering::Relaxed) >= KNOWN);
    }
}
