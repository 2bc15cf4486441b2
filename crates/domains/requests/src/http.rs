//! The HTTP API: between JSON and the service.
//!
//! | file | what it owns |
//! |---|---|
//! | `entries.rs` | entries from JSON, and everything that is wrong with them |
//! | `post.rs` | `POST /api/v1/requests` |

mod entries;
mod post;

use http::{HeaderValue, header};
use tally_runtime::{Kind, chain, chain_for_clients};
use tally_serve::api::{Api, Problem};

use crate::domain::NAME;
use crate::error::Error;
use crate::service::Service;

// === impl Service ===

impl Service {
    /// The HTTP API.
    #[must_use]
    pub fn api(&self) -> Api {
        let api = Api::new(NAME, "Counting requests.");
        post::add(api, self)
    }
}

/// The only place where an error becomes a problem.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (message, kind) = (chain(&error), error.kind());
        if kind == Kind::Internal {
            tracing::error!(error = message, "a call failed");
        }
        let problem = Self::new(kind, chain_for_clients(&error)).because(error.reason());
        if kind == Kind::Unavailable {
            return problem.with(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        problem
    }
}
