//! The harness itself: a correct server passes, a broken one is found, and nothing is left behind.

mod left_behind;
mod program;
mod verdicts;

use std::time::Duration;

/// Limit for a run that takes a few seconds on an idle machine. It is longer than any limit within a run,
/// so that a run that hangs says where.
const LIMIT: Duration = Duration::from_secs(600);
