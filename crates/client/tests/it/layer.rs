//! The tower layer and the tonic interceptor: which requests are counted, and under what.

mod allocations;
mod arrival;
mod cases;
mod channel;
mod connections;
mod ends;
mod grpc;
mod interceptor;
mod keys;
mod names;
mod placement;
mod service;
mod shutdown;
mod support;
