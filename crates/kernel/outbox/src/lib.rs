//! Events for other programs: a domain writes them in the transaction that decides them, and they are
//! delivered by webhook or e-mail at least once, each with an id. What an event says is the domain's business.
//! In the same way a domain has another one count requests, each once.
//!
//! | file | what it owns |
//! |---|---|
//! | `counts.rs`, `counts/` | requests that one domain has another one count |
//! | `courier.rs` | sends what is due, tries again, and gives up |
//! | `event.rs` | an event, and the text that a receiver gets |
//! | `format.rs` | what an event is written as, for receivers that have a format of their own |
//! | `mail.rs`, `mail/` | events by e-mail |
//! | `metrics.rs` | what a scrape is told of deliveries |
//! | `post.rs` | one attempt: a connection, a request, and the head of its answer |
//! | `postgres.rs`, `postgres/` | the outbox in Postgres and CockroachDB |
//! | `receiver.rs` | where events may go: addresses of e-mail and URLs, and those URLs that the operator allows |
//! | `settings.rs` | the settings, as flags and variables, and checked |
//! | `signature.rs` | signatures by which a receiver knows that an event is from here |
//! | `sqlite.rs`, `sqlite/` | the outbox in SQLite |
//! | `store.rs` | the outbox in its database |

mod counts;
mod courier;
mod event;
mod format;
mod mail;
mod metrics;
mod post;
pub mod postgres;
mod receiver;
mod settings;
mod signature;
pub mod sqlite;
mod store;

pub use counts::{Count, Counter, Counting, Counts};
pub use courier::Courier;
pub use event::{About, Event};
pub use format::Told;
pub use mail::{Mail, MailArgs, Mailbox, Mailboxes};
pub use receiver::{Allowed, Receiver, Webhook};
pub use settings::{Webhooks, WebhooksArgs};
pub use signature::Secrets;
pub use store::{Delivery, Outbox, State};
