//! The queue and the producer against a server in this process that breaks in every way; in
//! `layer`, the layer alone.

mod allocations;
mod answer;
mod closing;
mod damage;
mod delivery;
mod fallback;
mod full;
mod hands;
mod identity;
mod layer;
mod lines;
mod measured;
mod merging;
mod mock;
mod refusals;
mod spooled;
mod taking_over;
mod tls;
