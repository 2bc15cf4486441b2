//! The outbox in real databases, with a receiver of webhooks.

mod delivering;
mod failing;
mod place;
mod plans;
