//! The port as clients see it: raw frames, requests that only look like gRPC, a new owner.

mod admission;
mod frames;
mod handover;
mod support;
mod wire;
