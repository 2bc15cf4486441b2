//! The port as clients meet it: raw frames, requests that only look like gRPC, a new owner, and
//! what the domains behind it see;
//! and the duties of a domain.

mod admission;
mod domains;
mod duties;
mod facts;
mod frames;
mod handover;
mod support;
mod wire;
