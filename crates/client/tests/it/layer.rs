//! The tower layer and the tonic interceptor: which requests are counted, and under which path.

mod allocations;
mod connections;
mod grpc;
mod interceptor;
mod names;
mod placement;
mod service;
mod support;
