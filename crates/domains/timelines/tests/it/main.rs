//! Timelines on every database, through their service.

mod backend;
mod doors;
mod plans;
mod timelines;
