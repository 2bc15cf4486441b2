//! Tests of the tower layer and the tonic interceptor: what is counted, and under which path.

mod allocations;
mod connections;
mod grpc;
mod interceptor;
mod names;
mod placement;
mod service;
mod support;
