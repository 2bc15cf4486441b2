//! The domain's integration tests: every store, and the service in front of them.

#![allow(clippy::unwrap_used, reason = "clippy takes the cases of a suite for no tests")]

mod accounts;
mod add;
mod ahead;
mod audit;
mod away;
mod backend;
mod cache;
mod changes;
mod changing;
mod coming_back;
mod concurrency;
mod conformance;
mod copying;
mod corrections;
mod dates;
mod disturbed;
mod drops;
mod facts;
mod following;
mod forgetting;
mod frames;
mod http;
mod import_count;
mod keeper;
mod keys;
mod leaving;
mod log;
mod migrations;
mod namespaces;
mod neighbours;
mod pages;
mod plans;
mod property;
mod queries;
mod ready;
mod record;
mod record_faults;
mod recording;
mod resolution;
mod rules;
mod runs;
mod server;
mod setbacks;
mod snapshots;
mod sqlite_folds;
mod steps;
mod submitting;
mod taking_over;
mod time_zones;
mod totals;
mod trays;
mod went_back;
mod year;

use std::time::Duration;

/// Limit for steps that take milliseconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);
