//! Timelines on every database, through their service.

mod backend;
mod doors;
mod pages;
mod plans;
mod timelines;
mod traces;
