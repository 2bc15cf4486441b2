//! gRPC and HTTP on one port, with health, reflection, limits and a drain.
//!
//! | file | what it owns |
//! |---|---|
//! | `health.rs` | SERVING only while what is sent can be stored |
//! | `http.rs` | what a browser or a load balancer sees, and calls to unknown services |
//! | `linger.rs` | the end of a connection, which the client hears |
//! | `server.rs` | the listener, the connection's limits, the graceful end |

mod health;
mod http;
mod linger;
mod server;

pub use server::{Error, Listener, Server};
