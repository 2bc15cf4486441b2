//! The testkit's own tests: its promises to all other tests.

mod cluster;
mod database;
mod eventually;
mod network;
mod owner;
mod process;
mod proxy;

use std::time::Duration;

/// Limit for steps that take milliseconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(30);
