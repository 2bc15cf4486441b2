//! The queue and the producer against a server in this process that breaks in every way.

mod allocations;
mod closing;
mod damage;
mod delivery;
mod fallback;
mod full;
mod identity;
mod lines;
mod mock;
mod refusals;
mod spooled;
