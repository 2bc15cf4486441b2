//! The doors of traces: what other products send when a part of a process is over, as events.
//!
//! | file | what it owns |
//! |---|---|
//! | `buildevents.rs` | Honeycomb's events, as `buildevents` sends them |
//! | `otlp.rs`, `otlp/` | OpenTelemetry's traces, over HTTP and gRPC |
//! | `parts.rs` | how many parts a body has, before it is read |
//! | `span.rs` | a span of any of them, and the event that it is |

mod buildevents;
pub(crate) mod otlp;
mod parts;
mod span;

use tally_serve::Foreign;

use crate::service::Service;

/// How large a body may be, before and after it is unpacked.
const BODY_BYTES_MAX: usize = 8 << 20;

// === impl Service ===

impl Service {
    /// Their routes.
    pub(crate) fn traces(&self) -> Foreign {
        let routes = otlp::routes(Foreign::new(), self);
        buildevents::routes(routes, self)
    }
}
