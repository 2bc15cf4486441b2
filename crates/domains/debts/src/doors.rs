//! The HTTP of other products, whose clients pay by a change of the address alone, and badges, which are for pages
//! elsewhere: on paths of their own. What they say becomes a payment or a definition; their oddities end here.
//!
//! | file | what it owns |
//! |---|---|
//! | `asked.rs` | what a request of any product has: its query, its caller, and how it came |
//! | `badges.rs` | badges, which are for pages elsewhere |
//! | `checks.rs`, `checks/` | healthchecks: the management API |
//! | `compter.rs` | compter: `/debts` |
//! | `create.rs` | debts that a payment makes, with their terms in the query |
//! | `cronitor.rs` | Cronitor: telemetry |
//! | `kuma.rs` | Uptime Kuma: push monitors |
//! | `pings.rs` | healthchecks: pings, and the webhooks of Alertmanager |
//! | `sentry.rs`, `sentry/` | Sentry: check-ins |

mod asked;
mod badges;
mod checks;
pub(crate) mod compter;
mod create;
mod cronitor;
mod kuma;
mod pings;
mod sentry;

use axum::response::Response;
use http::StatusCode;
use tally_runtime::{Kind as ErrorKind, tell};
use tally_serve::Foreign;

use crate::error::Error;
use crate::service::Service;

/// The environment whose debt has the job's own slug.
const PRODUCTION: &str = "production";
/// The longest environment, in characters.
const ENVIRONMENT_CHARS_MAX: usize = 64;

// === impl Service ===

impl Service {
    /// The routes of other products.
    pub(crate) fn foreign(&self) -> Foreign {
        let routes = compter::routes(Foreign::new(), self);
        let routes = pings::routes(routes, self);
        let routes = sentry::routes(routes, self);
        let routes = checks::routes(routes, self);
        let routes = kuma::routes(routes, self);
        let routes = badges::routes(routes, self);
        cronitor::routes(routes, self)
    }
}

/// The slug of a job in an environment: each has a debt of its own, because each has a state of its own.
fn of_environment(slug: &str, environment: Option<&str>) -> String {
    match environment.filter(|environment| *environment != PRODUCTION) {
        None => slug.to_owned(),
        Some(environment) => format!("{slug}--{}", slug_of(environment, ENVIRONMENT_CHARS_MAX)),
    }
}

/// The beginning of a text as slugs are written: what may not be in one becomes `-`.
fn slug_of(text: &str, chars_max: usize) -> String {
    let of_slug = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '_' => c,
        _ => '-',
    };
    text.chars().take(chars_max).map(of_slug).collect()
}

/// The status and the words of an error.
fn told(error: &Error) -> (StatusCode, String) {
    (status(error.kind()), tell(error, error.kind()))
}

fn status(kind: ErrorKind) -> StatusCode {
    StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An answer that is not what was asked for.
struct Declined(Box<Response>);

impl From<Response> for Declined {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl From<Declined> for Response {
    fn from(declined: Declined) -> Self {
        *declined.0
    }
}
