//! The testkit's own tests: what it promises to every other test.

mod cluster;
mod database;
mod eventually;
mod network;
mod owner;
mod process;
mod proxy;

use std::time::Duration;

/// For what takes milliseconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(30);
