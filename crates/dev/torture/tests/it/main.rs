//! The harness itself: a right server passes, a broken one is found, and nothing is left behind.

mod left_behind;
mod program;
mod verdicts;

use std::time::Duration;

/// How long a run may take that takes a few seconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(300);
