//! Debts: expected events that must happen in time, and their payments.
//!
//! | file | what it owns |
//! |---|---|
//! | `counted.rs` | what payments and alarms are counted under, as requests |
//! | `definition.rs`, `definition/` | what is agreed of a debt, as it is written, and what is wrong with it |
//! | `domain.rs` | the domain as an app lists it |
//! | `doors.rs`, `doors/` | the HTTP of other products |
//! | `error.rs` | what can go wrong, and what it means to the caller |
//! | `event.rs` | what receivers are told of alarms and recoveries |
//! | `grpc.rs` | `DebtService`: between messages and service |
//! | `held.rs` | payments that are received and not stored yet |
//! | `http.rs`, `http/` | the HTTP API |
//! | `keeper.rs` | what one server does for all: sweeping, and pruning |
//! | `ledger.rs` | what is done with debts in one transaction: from what is there to what is written |
//! | `metrics.rs` | what a scrape is told of debts |
//! | `migrations.rs` | the tables |
//! | `model.rs` | what is stored |
//! | `pages.rs`, `pages/` | the pages |
//! | `schedule.rs`, `schedule/` | when something is due: intervals, cron expressions, one deadline |
//! | `service.rs` | the operations |
//! | `settings.rs` | the settings, and their bounds |
//! | `state.rs`, `state/` | what a payment, a sweep, a pause and a resumption make of a debt: values in, values out |
//! | `store.rs`, `store/` | where debts are kept, and which database does it how |
//! | `terms.rs` | what is agreed of a debt: its schedule and its limits |
//! | `writer.rs` | payments on their way to the store |

mod counted;
mod definition;
mod domain;
mod doors;
mod error;
mod event;
mod grpc;
mod held;
mod http;
mod keeper;
mod ledger;
mod metrics;
mod migrations;
mod model;
mod pages;
pub mod schedule;
mod service;
mod settings;
pub mod state;
mod store;
pub mod terms;
mod writer;

pub use domain::DOMAIN;
pub use service::Service;
pub use settings::Settings;
