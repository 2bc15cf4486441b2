//! The outbox in real databases, with a receiver of webhooks and a server of mail.

mod delivering;
mod failing;
mod mail;
mod place;
mod plans;
