//! What the HTTP APIs of all domains have in common: how they read, answer, refuse and are described.
//!
//! | file | what it owns |
//! |---|---|
//! | `accept.rs` | what a client wants to read: JSON, CSV or a page |
//! | `answer.rs` | answers with a tag, and bodies that are made as the client takes them |
//! | `coding.rs` | bodies that come compressed |
//! | `csv.rs` | comma-separated values that no spreadsheet takes for formulas |
//! | `describe.rs` | what an operation takes and gives, and the OpenAPI document of all |
//! | `given.rs` | the body of a request, of a known type and bounded size |
//! | `idempotency.rs` | the header `Idempotency-Key` |
//! | `parameters.rs` | query parameters, whose mistakes are collected |
//! | `problem.rs` | what went wrong, as RFC 9457 has it |
//! | `room.rs` | memory for what clients read and send at their own pace |
//! | `schema.rs` | JSON schemas that those of all domains are made of |

mod accept;
mod answer;
mod coding;
pub mod csv;
mod describe;
mod given;
mod idempotency;
mod parameters;
mod problem;
mod room;
pub mod schema;

use axum::Router;
use axum::routing::MethodRouter;
use serde_json::{Map, Value};

pub use self::accept::{FORMAT, Format, preferred, wants_page};
pub use self::answer::{
    GivenUp, PART_BYTES, json, one, paged, streamed, tag_of, tagged, text, untagged,
};
pub use self::coding::{Coding, decoded};
pub use self::describe::{Body, Operation, Reply};
pub(crate) use self::describe::{DOCUMENT_PATH, document};
pub use self::given::{Beginning, Given, beginning, json_of, read, whole};
pub use self::idempotency::idempotency_key;
pub use self::parameters::{Parameter, Parameters, Values, pairs};
pub use self::problem::{Mistakes, Problem};
#[cfg(test)]
pub(crate) use self::room::ALONE;
pub use self::room::{Kept, keep};

/// The operations of a domain's HTTP API, with what they are described by.
pub struct Api {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) operations: Vec<&'static Operation>,
    pub(crate) schemas: Map<String, Value>,
    pub(crate) router: Router,
}

// === impl Api ===

impl Api {
    /// Without operations yet.
    #[must_use]
    pub fn new(name: &'static str, about: &'static str) -> Self {
        let (operations, schemas, router) = (Vec::new(), Map::new(), Router::new());
        Self { name, about, operations, schemas, router }
    }

    /// Adds an operation and what does it: `get(handler).with_state(service)`, or `post`. Panics if
    /// there is one of this method and path.
    #[must_use]
    pub fn route(self, operation: &'static Operation, does: MethodRouter) -> Self {
        self.routes(&[operation], does)
    }

    /// The same for several methods of one path.
    #[must_use]
    pub fn routes(mut self, operations: &[&'static Operation], does: MethodRouter) -> Self {
        let path = operations.first().map(|operation| operation.path);
        assert!(operations.iter().all(|one| Some(one.path) == path), "they have one path");
        if let Some(path) = path {
            self.router = self.router.route(path, does);
        }
        self.operations.extend(operations);
        self
    }

    /// Adds a JSON schema, which operations refer to by its name.
    #[must_use]
    pub fn schema(mut self, name: &str, schema: Value) -> Self {
        self.schemas.insert(name.to_owned(), schema);
        self
    }
}
