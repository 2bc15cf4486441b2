//! Timelines: runs of a process, made of events that start and end, whoever says so.
//!
//! | file | what it owns |
//! |---|---|
//! | `agent.rs`, `agent/` | messages that are kept, and handed on to a server |
//! | `chart.rs`, `chart/` | a timeline as it is drawn: rows, bars, hierarchy, critical path; and as SVG |
//! | `domain.rs` | the domain as an app lists it |
//! | `error.rs` | what can go wrong, and what it means to the caller |
//! | `export.rs`, `export/` | a timeline in the formats that viewers open |
//! | `grpc.rs`, `grpc/` | `TimelineService`: between messages and service |
//! | `hal.rs` | upto's HTTP for reading |
//! | `http.rs`, `http/` | the HTTP API |
//! | `keeper.rs` | what one server does for all: sweeping, and pruning |
//! | `ledger.rs` | what messages make of timelines in one transaction: from what is there to what is written |
//! | `message.rs` | what a sender says, and what is wrong with it |
//! | `metrics.rs` | what a scrape is told of timelines |
//! | `migrations.rs` | the tables |
//! | `model.rs` | what is stored |
//! | `nested.rs` | events that name the span that they are below |
//! | `pages.rs`, `pages/` | what browsers are shown |
//! | `pairing.rs` | which end belongs to which start: values in, values out |
//! | `service.rs`, `service/` | the operations |
//! | `settings.rs` | the settings, and their bounds |
//! | `store.rs`, `store/` | where timelines are kept, and which database does it how |
//! | `traces.rs`, `traces/` | the doors of traces: OpenTelemetry, buildevents |
//! | `track.rs` | the events of one name and host in one timeline |
//! | `typical.rs` | how long events usually take |
//! | `udp.rs`, `udp/` | the door for datagrams |
//! | `writer.rs` | messages on their way to the store |

pub mod agent;
mod chart;
mod domain;
mod error;
mod export;
mod grpc;
mod hal;
mod http;
mod keeper;
mod ledger;
mod message;
mod metrics;
mod migrations;
mod model;
mod nested;
mod pages;
mod pairing;
mod service;
mod settings;
mod store;
mod traces;
mod track;
mod typical;
mod udp;
mod writer;

pub use domain::DOMAIN;
pub use service::Service;
pub use settings::{Settings, Udp};
