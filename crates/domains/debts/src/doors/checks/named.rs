//! Which check is asked for, and for whom.

use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use tally_access::Caller;
use tally_runtime::Namespace;
use uuid::Uuid;

use super::shown::id_of;
use super::{error, not_found, refused};
use crate::model::{Debt, Named, Which};
use crate::service::Service;

/// The debt of a uuid, or of a unique key.
pub(super) async fn debt_of(
    service: &Service,
    check: &str,
    whose: Whose,
) -> Result<Debt, Response> {
    let Whose { namespace, is_read } = whose;
    let which = match Uuid::try_parse(check) {
        Ok(ping_id) => Which::Ping(ping_id),
        Err(_) => Which::Id(id_of(check).ok_or_else(not_found)?),
    };
    if matches!(which, Which::Id(_)) && !is_read {
        return Err(not_found());
    }
    let debt = service.find(&Named { namespace, which }).await.map_err(refused)?;
    if debt.namespace != namespace {
        return Err(error(StatusCode::FORBIDDEN, "the check is of another project"));
    }
    Ok(debt)
}

/// For whom a check is looked for.
#[derive(Clone, Copy)]
pub(super) struct Whose {
    pub(super) namespace: Namespace,
    /// Whether it is looked at only.
    is_read: bool,
}

// === impl Whose ===

impl Whose {
    pub(super) fn of(request: &Request) -> Self {
        let namespace = Caller::of(request.extensions()).namespace();
        Self { namespace, is_read: request.method() == http::Method::GET }
    }
}
