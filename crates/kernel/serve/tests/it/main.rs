//! The port as clients meet it: raw frames, TLS, requests that only look like gRPC, a new owner, and
//! what the domains behind it see; an HTTP API; what the log says of administrators;
//! and the duties of a domain.

mod admission;
mod api;
mod audit;
mod domains;
mod duties;
mod facts;
mod floods;
mod frames;
mod handover;
mod metrics;
mod support;
mod tls;
mod wire;
