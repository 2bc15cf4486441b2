//! The HTTP API: between requests and service.
//!
//! | file | what it owns |
//! |---|---|
//! | `books.rs` | roll-ups and folds |
//! | `cursor.rs` | where a list goes on |
//! | `entries.rs`, `entries/` | entries from JSON, and everything that is wrong with them |
//! | `lists.rs` | endpoints, services, customers and producers |
//! | `submit.rs` | `POST /api/v1/requests` |
//! | `schemas.rs` | what JSON answers and bodies look like |
//! | `totals.rs`, `totals/` | totals: the query, and the answer as JSON or CSV |

mod books;
mod cursor;
mod entries;
mod lists;
mod schemas;
mod submit;
mod totals;

use axum::routing::{MethodRouter, get, post};
use tally_runtime::{Kind, tell};
use tally_serve::api::{Api, Problem};

use crate::domain::NAME;
use crate::error::Error;
use crate::service::Service;

// === impl Service ===

impl Service {
    /// The HTTP API.
    pub(crate) fn api(&self) -> Api {
        let with = |does: MethodRouter<Self>| does.with_state(self.clone());
        let api = Api::new(NAME, "Counted requests: totals, and what they are told apart by.")
            .route(&submit::SUBMIT, with(post(submit::submit)))
            .route(&totals::TOTALS, with(get(totals::totals)))
            .route(&lists::ENDPOINTS, with(get(lists::endpoints)))
            .route(&lists::SERVICES, with(get(lists::services)))
            .route(&lists::CUSTOMERS, with(get(lists::customers)))
            .route(&lists::PRODUCERS, with(get(lists::producers)))
            .route(&books::ROLL_UP, with(post(books::roll_up)))
            .route(&books::FOLD, with(post(books::fold)));
        schemas::all().into_iter().fold(api, |api, (name, schema)| api.schema(name, schema))
    }
}

/// The only place where an error becomes an HTTP status.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = match &error {
            // It is the query that is too large, and it stays so: not a matter of how often somebody asks.
            Error::AnswerTooLarge(_) => Kind::InvalidArgument,
            _ => error.kind(),
        };
        Self::new(kind, tell(&error, kind)).because(error.reason())
    }
}

#[cfg(test)]
mod tests {
    use tally_producers::KEY_BYTES_MAX;
    use tally_serve::pages::thousands;

    use super::*;
    use crate::submission::ENTRIES_MAX;

    /// What is described is what holds.
    #[test]
    fn descriptions_have_the_limits() {
        let body = submit::SUBMIT.body.expect("a body").about;
        for (text, limit) in [
            (totals::SORT.about, totals::SORTED_MAX),
            (lists::LIMIT.about, lists::LIMIT_USUAL),
            (body, ENTRIES_MAX),
            (submit::SUBMIT.headers[0].about, KEY_BYTES_MAX),
        ] {
            let limit = thousands(i64::try_from(limit).expect("a limit"));
            assert!(text.contains(&limit), "{limit} is not in {text}");
        }
    }
}
